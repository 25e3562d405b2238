package deliver

import (
	"time"

	"github.com/spillwayhq/spillway/shared/emf"
)

// Metrics returns the report as CloudWatch metrics. It has BatchesAllFailed because Lambda's metric
// Errors does not count a batch whose failures the function reports.
func (r *Report) Metrics() []emf.Metric {
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
	for _, age := range r.Ages {
		ages.Values = append(ages.Values, age.Seconds())
	}
	latency := emf.Metric{Name: "FlushLatency", Unit: emf.Milliseconds}
	events := emf.Metric{Name: "FlushEvents", Unit: emf.Count}
	responses := map[string]int{}
	for _, f := range r.Flushes {
		latency.Values = append(latency.Values, float64(f.Latency)/float64(time.Millisecond))
		events.Values = append(events.Values, float64(f.Events))
		responses[f.Class.String()]++
	}
	metrics := []emf.Metric{
		one("EventsDelivered", r.Delivered), flag("BatchesAllFailed", r.AllFailed),
		flag("BreakerOpen", r.BreakerOpen), one("DeadLetterErrors", r.DeadLetterErrors),
		one("VisibilityErrors", r.VisibilityErrors), ages, latency, events,
	}
	metrics = append(metrics, r.canaries()...)
	metrics = append(metrics, emf.By("EventsRetried", "Class", r.Retried)...)
	metrics = append(metrics, emf.By("EventsDeadLettered", "Reason", r.DeadLettered)...)
	metrics = append(metrics, emf.By("FieldsOmitted", "Field", r.Omitted)...)
	return append(metrics, emf.By("SegmentResponses", "Class", responses)...)
}

// canaries are the delivered canaries, each of the minute for which it was sent. An alarm compares
// them with those that ingest accepted in that minute. Without canaries there are no such metrics.
func (r *Report) canaries() []emf.Metric {
	var metrics []emf.Metric
	for i, at := range r.CanaryTimes {
		metrics = append(metrics, emf.Metric{Name: "CanaryDelivered", Unit: emf.Count, Values: []float64{1}, At: at},
			emf.Metric{Name: "CanaryLatency", Unit: emf.Milliseconds,
				Values: []float64{float64(r.CanaryAges[i]) / float64(time.Millisecond)}, At: at})
	}
	return metrics
}
