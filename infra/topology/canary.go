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

func canaryAlarms(o Options) []Alarm {
	n := o.Names
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
			Metrics: []Metric{n.own("a", "canary", "CanaryAccepted", "Sum"),
				n.own("d", "deliver", "CanaryDelivered", "Sum")},
			// Both have the minute of the schedule. Arithmetic takes a missing side for 0, so it holds
			// also where deliver never wrote a value.
			Expression: "a - FILL(d, 0)",
			Threshold:  0, Unit: "events", Period: canary.Interval, Periods: 2 * missed, Breaching: missed,
			Missing: MissingIsGood,
			Meaning: "canary events that ingest accepted do not come through: for 3 minutes none was delivered.",
			First:   "see which other alarm of the delivery fires; if none does, read the deliver function's log.",
		},
	}
}
