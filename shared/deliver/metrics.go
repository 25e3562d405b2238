package deliver

import (
	"time"

	"github.com/spillwayhq/spillway/shared/telemetry"
)

// Metrics are the names under which CloudWatch shows a Summary. BatchesAllFailed stands for what Lambda's own Errors can't show,
// because a function that reports its failures has not failed.
func (s *Summary) Metrics() []telemetry.Metric {
	one := func(name string, n int) telemetry.Metric {
		return telemetry.Metric{Name: name, Unit: telemetry.Count, Values: []float64{float64(n)}}
	}
	flag := func(name string, set bool) telemetry.Metric {
		if set {
			return one(name, 1)
		}
		return one(name, 0)
	}
	ages := telemetry.Metric{Name: "EventAge", Unit: telemetry.Seconds}
	for _, age := range s.Ages {
		ages.Values = append(ages.Values, age.Seconds())
	}
	latency := telemetry.Metric{Name: "FlushLatency", Unit: telemetry.Milliseconds}
	events := telemetry.Metric{Name: "FlushEvents", Unit: telemetry.Count}
	responses := map[string]int{}
	for _, f := range s.Flushes {
		latency.Values = append(latency.Values, float64(f.Latency)/float64(time.Millisecond))
		events.Values = append(events.Values, float64(f.Events))
		responses[f.Class.String()]++
	}
	metrics := []telemetry.Metric{
		// A canary must not make a standstill look alive.
		one("EventsDelivered", s.Delivered-len(s.Canary)), flag("BatchesAllFailed", s.AllFailed), flag("BreakerOpen", s.BreakerOpen), one("DeadLetterErrors", s.LetterErrors),
		one("VisibilityErrors", s.HideErrors), ages, latency, events,
	}
	if s.CanaryEvents > 0 { // without one the metrics are missing, which is what an alarm for silence looks for
		canary := telemetry.Metric{Name: "CanaryLatency", Unit: telemetry.Milliseconds}
		for _, age := range s.Canary {
			canary.Values = append(canary.Values, float64(age)/float64(time.Millisecond))
		}
		metrics = append(metrics, one("CanaryDelivered", len(s.Canary)), canary)
	}
	metrics = append(metrics, telemetry.By("EventsRetried", "Class", s.Retried)...)
	metrics = append(metrics, telemetry.By("EventsDeadLettered", "Reason", s.DeadLettered)...)
	return append(metrics, telemetry.By("SegmentResponses", "Class", responses)...)
}
