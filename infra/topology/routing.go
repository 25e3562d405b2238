package topology

import (
	"slices"
	"time"

	"github.com/spillwayhq/spillway/shared/canary"
	"github.com/spillwayhq/spillway/shared/operator"
)

// Routing is the severity of an alarm that notifies nobody: only Route 53 acts on it. Other alarms
// tell people of the same cause.
const Routing Severity = "routing"

// routingSection is the heading of the runbook about several regions.
const routingSection = "several-regions"

// twoCanaries is the period of the alarms that watch the canary's function.
const twoCanaries = 2 * canary.Interval

// routingAlarms decide whether Route 53 answers with this region: while any of them fires, it
// answers with the others. Route 53 reads an alarm's metric itself, and so takes only the plainest:
// one metric of standard resolution, a simple statistic, and N of N values (Route 53 API reference,
// AlarmIdentifier). So none of the parts of ingest-down would do.
//
// Route 53 does not know how an alarm treats missing data, but its health check has a setting for
// that, InsufficientDataHealthStatus. It is LastKnownStatus for MissingIsUnknown: that a canary
// can't be seen is no reason to move all traffic. It is Unhealthy for MissingIsBad, which the one
// alarm has that fires when nothing of the region can be seen: otherwise a region that is away
// altogether, with its canary, would be answered with for ever.
//
// Periods have two canaries. With one each, all but one of the minutes that are read may be late
// still: a single refused canary would move the traffic, and a drain would never be seen.
func routingAlarms(n Names) []Alarm {
	return []Alarm{
		{
			Name: n.Alarm("route-ingest"), Severity: Routing, Section: routingSection,
			// The canary goes to its own region whatever the name leads to, so a region that
			// traffic has left still shows when it is well again. One event that got through in two
			// minutes is enough.
			Metrics:   []Metric{n.own("u", "canary", canary.UnavailableMetric, "Minimum")},
			Threshold: 0, Unit: "canaries", Period: twoCanaries, Periods: 2, Breaching: 2,
			Missing: MissingIsUnknown,
			Meaning: "the region's ingest endpoint did not accept 3 canary events or more in a row, and not because of " +
				"too many requests: Route 53 answers with the other regions.",
			First: "see which parts of ingest-down fire in this region.",
		},
		{
			Name: n.Alarm("drained"), Severity: Routing, Section: routingSection,
			Metrics:   []Metric{n.own("d", "canary", operator.DrainedMetric, "Maximum")},
			Threshold: 0, Unit: "regions", Period: twoCanaries, Periods: 1, Breaching: 1, Missing: MissingIsUnknown,
			Meaning: "a person has drained this region: Route 53 answers with the other regions.",
			First:   "see who did, when and why with spillway region ls; spillway region restore brings it back.",
		},
		{
			Name: n.Alarm("route-gone"), Severity: Routing, Section: routingSection,
			// SQS writes it of every queue that is used, and deliver's event source uses this one.
			// So it is a sign of life of the region which does not depend on anything of ours.
			Metrics: []Metric{ofQueue("v", n.EventsQueue, "ApproximateNumberOfMessagesVisible", "SampleCount")},
			// More minutes than the metric may be late.
			Threshold: 1, Below: true, Unit: "values", Period: time.Minute, Periods: 2 + maxLag, Breaching: 2 + maxLag,
			Missing: MissingIsBad,
			Meaning: "CloudWatch has nothing of this region's queue, so the region may be away altogether: Route 53 answers " +
				"with the other regions.",
			First: "look at health.aws.amazon.com for SQS and CloudWatch in this region.",
		},
	}
}

// RecordTTL is how long a client may keep the answer with a region: an alias record has its
// target's time to live, which nobody can set, and for an API Gateway that is a minute (Route 53
// developer guide, "Choosing between alias and non-alias records").
const RecordTTL = time.Minute

// routingStatistics are those that Route 53 reads.
var routingStatistics = [...]string{"Average", "Minimum", "Maximum", "Sum", "SampleCount"}

// validateRouting checks what Route 53 would refuse, or not see as CloudWatch does.
func (t *Topology) validateRouting(p *problems) {
	for _, a := range t.Routing {
		p.check(len(a.Metrics) == 1 && a.Expression == "", "alarm %s: Route 53 reads one metric and no metric math", a.Name)
		p.check(a.Breaching == a.Periods, "alarm %s: Route 53 reads only alarms that want all of their values, this one "+
			"wants %d of %d", a.Name, a.Breaching, a.Periods)
		p.check(a.Missing == MissingIsUnknown || a.Missing == MissingIsBad,
			"alarm %s: missing data must be %s, so that Route 53 "+
				"changes nothing, or %s, so that it leaves the region; is %s", a.Name, MissingIsUnknown, MissingIsBad, a.Missing)
		p.check(a.Severity == Routing, "alarm %s: severity must be %s, so that it notifies nobody, is %q", a.Name, Routing,
			a.Severity)
		p.check(a.Period%time.Minute == 0, "alarm %s: Route 53 reads only metrics of standard resolution", a.Name)
		for _, m := range a.Metrics {
			p.check(slices.Contains(routingStatistics[:], m.Statistic), "alarm %s: the statistic must be one of %v, is %s",
				a.Name, routingStatistics, m.Statistic)
		}
	}
}
