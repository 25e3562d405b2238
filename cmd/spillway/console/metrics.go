package console

import (
	"context"
	"math"
	"time"

	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/deliver"
	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/segment"
)

// The metrics of the page. What they mean stands in the packages that write them: shared/ingest,
// shared/deliver, and AWS's documentation of SQS and Lambda.

func own(n topology.Names, function, name, statistic string, dimension ...string) topology.Metric {
	m := topology.Metric{Pipeline: n.Pipeline, Own: function, Name: name, Statistic: statistic}
	if len(dimension) == 2 {
		m.Dimension, m.Value = dimension[0], dimension[1]
	}
	return m
}

func ofQueue(queue, name, statistic string) topology.Metric {
	return topology.Metric{Queue: queue, Name: name, Statistic: statistic}
}

func accepted(n topology.Names) topology.Metric { return own(n, "ingest", "EventsAccepted", "Sum") }
func published(n topology.Names) topology.Metric {
	return own(n, "publisher", "EventsPublished", "Sum")
}
func delivered(n topology.Names) topology.Metric { return own(n, "deliver", "EventsDelivered", "Sum") }

func visible(queue string) topology.Metric {
	return ofQueue(queue, "ApproximateNumberOfMessagesVisible", "Maximum")
}

func notVisible(queue string) topology.Metric {
	return ofQueue(queue, "ApproximateNumberOfMessagesNotVisible", "Maximum")
}

// retryClasses are under what events are counted that are retried: the classes of Segment's answers,
// that a person has paused their write key, and that they could not be archived.
var retryClasses = []string{segment.Transient.String(), segment.Throttled.String(), segment.Misconfigured.String(),
	deliver.Paused, deliver.NotArchived}

// deadReasons are the reasons with which deliver writes dead letters.
var deadReasons = []string{message.ReasonRejected, message.ReasonInvalid, message.ReasonTooLarge,
	message.ReasonUndecodable, message.ReasonExpired, message.ReasonPanic}

// A measured has the values of metrics, from one time on.
type measured struct {
	from   time.Time
	step   time.Duration
	n      int
	values map[topology.Metric][]float64
}

// measure reads metrics.
func (c *Console) measure(ctx context.Context, metrics []topology.Metric, from time.Time, step time.Duration,
	n int) (measured, error) {
	values, err := c.source.Metrics(ctx, metrics, from, step, n)
	m := measured{from, step, n, make(map[topology.Metric][]float64, len(metrics))}
	for i := range values {
		m.values[metrics[i]] = values[i]
	}
	return m, err
}

// sum adds up the values of metrics from one step on and before another; NaN: there is none.
func (m measured) sum(from, to int, metrics ...topology.Metric) float64 {
	total := math.NaN()
	for _, metric := range metrics {
		values := m.values[metric]
		for _, v := range values[min(from, len(values)):min(to, len(values))] {
			total = plus(total, v)
		}
	}
	return total
}

// plus adds what is known.
func plus(a, b float64) float64 {
	switch {
	case math.IsNaN(a):
		return b
	case math.IsNaN(b):
		return a
	}
	return a + b
}

// together adds up metrics step by step.
func (m measured) together(metrics ...topology.Metric) []float64 {
	out := make([]float64, m.n)
	for i := range out {
		out[i] = m.sum(i, i+1, metrics...)
	}
	return out
}

// known says of which steps there is any value: the pipeline ran.
func (m measured) known() []bool {
	out := make([]bool, m.n)
	for _, values := range m.values {
		for i, v := range values[:min(m.n, len(values))] {
			out[i] = out[i] || !math.IsNaN(v)
		}
	}
	return out
}

// scaled are the values times a factor.
func scaled(values []float64, factor float64) []float64 {
	out := make([]float64, len(values))
	for i, v := range values {
		out[i] = v * factor
	}
	return out
}

// highest are the highest values of metrics, step by step.
func (m measured) highest(metrics ...topology.Metric) []float64 {
	out := make([]float64, m.n)
	for i := range out {
		out[i] = math.NaN()
		for _, metric := range metrics {
			if v := m.values[metric]; i < len(v) && !(v[i] <= out[i]) && !math.IsNaN(v[i]) {
				out[i] = v[i]
			}
		}
	}
	return out
}
