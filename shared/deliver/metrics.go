package deliver

import (
	"time"

	"github.com/spillwayhq/spillway/shared/emf"
	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/rollout"
	"github.com/spillwayhq/spillway/shared/segment"
)

// Metrics returns the report as CloudWatch metrics.
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
	if r.Waiting > 0 {
		ages.Values = append(ages.Values, r.Waiting.Seconds())
	}
	bulkAges := emf.Metric{Name: "BulkEventAge", Unit: emf.Seconds}
	for _, age := range r.BulkAges {
		bulkAges.Values = append(bulkAges.Values, age.Seconds())
	}
	latency := emf.Metric{Name: "FlushLatency", Unit: emf.Milliseconds}
	responses := map[string]int{}
	for _, f := range r.Flushes {
		if f.Bulk { // its batches are larger and never urgent
			continue
		}
		latency.Values = append(latency.Values, float64(f.Latency)/float64(time.Millisecond))
		responses[f.Class.String()]++
	}
	// A breaker that nothing waits for may be open for hours, after one answer that was too late:
	// the next message goes to another environment.
	open := r.BreakerOpen && (r.Waiting > 0 || r.Retried[segment.Transient.String()] > 0)
	delivered := one("EventsDelivered", r.Delivered)
	delivered.ByVersion = true
	metrics := []emf.Metric{delivered, flag("BreakerOpen", open), ages, latency}
	if len(bulkAges.Values) > 0 {
		metrics = append(metrics, bulkAges)
	}
	for _, m := range []struct { // a metric costs money for each hour in which it is written
		name      string
		n         int
		byVersion bool
	}{
		{name: "EventsGivenUp", n: r.givenUp()}, {name: "DeadLetterErrors", n: r.DeadLetterErrors},
		{name: "VisibilityErrors", n: r.VisibilityErrors},
		{name: "EventsArchived", n: r.Archived}, {name: "ArchiveDeferred", n: r.ArchiveDeferred},
		{name: "EventsNotArchived", n: r.NotArchived},
		{rollout.FailuresMetric, emf.Sum(r.Retried) - r.Retried[Paused] - r.Retried[Paced], true},
		{rollout.DeadLettersMetric, emf.Sum(r.DeadLettered), true},
		{rollout.PanicsMetric, r.Panics, true},
	} {
		if m.n > 0 {
			metrics = append(metrics, one(m.name, m.n))
			metrics[len(metrics)-1].ByVersion = m.byVersion
		}
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

// givenUp counts the events that became dead letters although their sender made no mistake: Segment
// refuses them, they are too old, or the function has a bug.
func (r *Report) givenUp() int {
	return r.DeadLettered[message.ReasonRejected] + r.DeadLettered[message.ReasonExpired] +
		r.DeadLettered[message.ReasonPanic]
}
