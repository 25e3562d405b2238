package topology

import (
	"fmt"
	"time"

	"github.com/spillwayhq/spillway/shared/canary"
	"github.com/spillwayhq/spillway/shared/traffic"
)

func canaryFunction(o Options) Function {
	return Function{Name: o.Names.CanaryFunction, Metrics: "canary", Timeout: 30 * time.Second, MemoryMB: 128,
		LogRetention: o.LogRetention}
}

func canarySchedule(n Names) Schedule {
	return Schedule{Function: n.CanaryFunction, Every: canary.Interval}
}

// canaryAlarms are about what the canary finds. Not only those in a row count, so that every other
// canary failing is seen too.
func canaryAlarms(o Options) []Alarm {
	n := o.Names
	const missed = int(canary.MissingAfter / canary.Interval)
	const lookback = 2*missed + maxLag
	// While a batch waits to be filled its canary is not delivered, which is no failure.
	window := wholeMinutes(o.BatchingWindow)
	return []Alarm{
		{
			Name: n.Alarm("ingest-silent"), Severity: Critical, Section: "ingest-silent",
			// The canary writes 0 when it failed. So what is missing is late, and counts as good.
			Metrics: []Metric{n.own("c", "canary", "CanaryAccepted", "Sum")}, Expression: "FILL(c, 1)",
			Threshold: 1, Below: true, Unit: "events", Period: canary.Interval, Periods: lookback, Breaching: missed,
			Missing: MissingIsGood,
			Meaning: fmt.Sprintf("the ingest endpoint did not accept %d of the last %d canary events.", missed, lookback),
			First:   "try GET /health of the ingest URL; if it answers 200, read the canary function's log.",
		},
		{
			Name: n.Alarm("canary-stopped"), Severity: Critical, Section: "canary-stopped",
			// What is missing here is a sign of life, and the last minutes may be missing because they
			// are late: so more minutes must be missing than that. The queue's metric is only
			// there to tell a canary that stopped from a pipeline that is being deployed for the first
			// time: arithmetic takes a missing side for 0 if the other one is there.
			Metrics:    []Metric{visible("v", n.EventsQueue), n.own("c", "canary", "CanaryAccepted", "SampleCount")},
			Expression: "0 * v + c",
			Threshold:  1, Below: true, Unit: "canaries", Period: canary.Interval, Periods: 5 + maxLag, Breaching: 5,
			Missing: MissingIsSilent,
			Meaning: "for 5 minutes no canary has been tried, or the metrics of the functions do not arrive: nobody would " +
				"see an outage.",
			First: "read the canary function's log, and look at health.aws.amazon.com for CloudWatch.",
		},
		{
			Name: n.Alarm("canary-silent"), Severity: Critical, Section: "canary-silent",
			Metrics: []Metric{n.own("a", "canary", "CanaryAccepted", "Sum"),
				n.own("d", "deliver", "CanaryDelivered", "Sum")},
			// Both have the minute of the schedule, so what makes both late does not matter. Without
			// any delivered one the accepted ones are left.
			Expression: "a - FILL(d, 0)",
			Threshold:  0, Unit: "events", Period: canary.Interval, Periods: lookback + window, Breaching: missed + window,
			Missing: MissingIsGood,
			Meaning: "canary events that ingest accepted do not come through.",
			First:   "see which other alarm of the delivery fires; if none does, read the deliver function's log.",
		},
	}
}

// trafficAlarms are about what the canary's function finds when it compares the traffic with that of
// other days, every five minutes. It writes a value only where there is something to compare.
func trafficAlarms(n Names) []Alarm {
	return []Alarm{
		{
			Name: n.Alarm("traffic-fell"), Severity: Critical, Section: "traffic-fell",
			Metrics: []Metric{n.own("r", "canary", traffic.RatioMetric, "Minimum")}, Expression: "FILL(r, 1)",
			Threshold: 0.2, Below: true, Unit: "of the usual", Period: traffic.Interval, Periods: 3, Breaching: 2,
			Missing: MissingIsGood,
			Meaning: "for 10 minutes less than a fifth of the events that are usual at this time have come in (the value).",
			First: "find out what was released: tracking may be broken in an app, or a domain or certificate that only " +
				"customers use.",
		},
		{
			Name: n.Alarm("source-growing"), Severity: Warning, Section: "source-growing",
			Metrics: []Metric{n.own("g", "canary", traffic.GrowthMetric, "Maximum")}, Expression: "FILL(g, 0)",
			Threshold: 5, Unit: "times the usual", Period: traffic.Interval, Periods: 3, Breaching: 2,
			Missing: MissingIsGood,
			Meaning: "for 10 minutes an event or a write key has been sent over 5 times as often as is usual at this time " +
				"(the value).",
			First: "run spillway top: it names the source.",
		},
	}
}

// wholeMinutes is how many minutes something may need that usually takes that long.
func wholeMinutes(d time.Duration) int { return int((d + 30*time.Second) / time.Minute) }
