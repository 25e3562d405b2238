package topology

import (
	"time"

	"github.com/spillwayhq/spillway/shared/canary"
)

func canaryFunction(o Options) Function {
	return Function{Name: o.Names.CanaryFunction, Metrics: "canary", Timeout: 30 * time.Second, MemoryMB: 128,
		LogRetention: o.LogRetention}
}

func canarySchedule(n Names) Schedule {
	return Schedule{Function: n.CanaryFunction, Every: canary.Interval}
}

func canaryAlarms(n Names) []Alarm {
	const missed = int(canary.MissingAfter / canary.Interval)
	return []Alarm{
		{
			Name: n.Alarm("ingest-silent"), Severity: Critical, Section: "ingest-silent",
			Metrics:   []Metric{n.own("c", "canary", "CanaryAccepted", "Sum")},
			Threshold: 1, Below: true, Unit: "events", Period: canary.Interval, Periods: missed, Breaching: missed,
			Missing: MissingIsBad,
			Meaning: "for 3 minutes the ingest endpoint accepted no canary event, or none was sent.",
			First:   "try GET /health of the ingest URL; if it answers 200, read the canary function's log.",
		},
		{
			Name: n.Alarm("canary-silent"), Severity: Critical, Section: "canary-silent",
			Metrics:   []Metric{n.own("c", "deliver", "CanaryDelivered", "Sum")},
			Threshold: 1, Below: true, Unit: "events", Period: canary.Interval, Periods: missed, Breaching: missed,
			Missing: MissingIsBad,
			Meaning: "for 3 minutes no canary event has come through to Segment.",
			First: "see which other alarm fires: one of the ingest endpoint, one of the delivery, or none, which points to " +
				"the canary or the metrics.",
		},
	}
}
