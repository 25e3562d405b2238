package deliver

import (
	"time"

	"github.com/spillwayhq/spillway/shared/emf"
)

// Metrics are the names under which CloudWatch shows a Summary. BatchesAllFailed stands for what
// Lambda's own Errors can't show, because a function that reports its failures has not failed.
func (s *Report) Metrics() []emf.Metric {
	one := func(name string, n int) emf.Metric {
		return emf.Metric{Name: name, Unit: emf.Count, Values: []float64{float64(n)}}
	}
	flag := func(name string, set bool) emf.Metric {
		if set {
			return one(name, 1)
		}
		return one(name, 0)
	}
	ages := emf.Metric{Name: "EventAge", Unit: emf.Seconds}
	for _, age := range s.Ages {
		ages.Values = append(ages.Values, age.Seconds())
	}
	latency := emf.Metric{Name: "FlushLatency", Unit: emf.Milliseconds}
	events := emf.Metric{Name: "FlushEvents", Unit: emf.Count}
	responses := map[string]int{}
	for _, f := range s.Flushes {
		latency.Values = append(latency.Values, float64(f.Latency)/float64(time.Millisecond))
		events.Values = append(events.Values, float64(f.Events))
		responses[f.Class.String()]++
	}
	metrics := []emf.Metric{
		one("EventsDelivered", s.Delivered), flag("BatchesAllFailed", s.AllFailed),
		flag("BreakerOpen", s.BreakerOpen), one("DeadLetterErrors", s.DeadLetterErrors),
		one("VisibilityErrors", s.VisibilityErrors), ages, latency, events,
	}
	if s.CanaryEvents > 0 { // without one the metrics are missing, which is what an alarm for silence looks for
		canary := emf.Metric{Name: "CanaryLatency", Unit: emf.Milliseconds}
		for _, age := range s.CanaryAges {
			canary.Values = append(canary.Values, float64(age)/float64(time.Millisecond))
		}
		metrics = append(metrics, one("CanaryDelivered", len(s.CanaryAges)), canary)
	}
	metrics = append(metrics, emf.By("EventsRetried", "Class", s.Retried)...)
	metrics = append(metrics, emf.By("EventsDeadLettered", "Reason", s.DeadLettered)...)
	return append(metrics, emf.By("SegmentResponses", "Class", responses)...)
}
