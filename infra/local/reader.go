package local

import (
	"math"
	"time"

	"github.com/spillwayhq/spillway/infra/local/cloudwatch"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/deliver"
	"github.com/spillwayhq/spillway/shared/heavy"
	"github.com/spillwayhq/spillway/shared/ingest"
)

// A Reader reads what a pipeline knows about itself, as the operator's page needs it: what of a
// deployment is in CloudWatch and in the functions' logs. Everything is in memory, and of this run.
// It is safe for concurrent use.
type Reader struct{ p *Pipeline }

// Reader returns what reads the pipeline.
func (p *Pipeline) Reader() Reader { return Reader{p} }

// Topology is that of the pipeline.
func (r Reader) Topology() topology.Topology { return *r.p.topology }

// Metrics returns n values of each metric, of the periods from a time on; NaN where there is no
// data. period is whole minutes. Of publishers' EventsPublished, which programs on this machine do
// not write here, it returns the events that the queue received otherwise than from ingest; of
// ingest's EventsAccepted those without the canary's, as soon as they come.
func (r Reader) Metrics(metrics []topology.Metric, from time.Time, period time.Duration, n int) ([][]float64, error) {
	values := make([][]float64, len(metrics))
	for i, m := range metrics {
		k := cloudwatch.KeyOf(m)
		switch {
		case m.Own == "publisher" && m.Name == "EventsPublished":
			k = otherKey(m.Pipeline)
		case m.Own == "ingest" && m.Name == "EventsAccepted":
			k = ingestKey(m.Pipeline)
		}
		var err error
		if values[i], err = r.p.monitor.store.Values(k, m.Statistic, from, period, n); err != nil {
			return nil, err
		}
	}
	return values, nil
}

// Refusals returns how many requests ingest refused from one minute on and before another, and how
// many invalid events of accepted requests became dead letters, both by code. It includes those of
// the canary.
func (r Reader) Refusals(from, to time.Time) (requests, events map[string]float64, err error) {
	requests, events = map[string]float64{}, map[string]float64{}
	minutes := time.Duration(to.Sub(from)/time.Minute) * time.Minute
	for _, k := range r.p.monitor.store.Keys() {
		codes := requests
		switch {
		case minutes <= 0, k.Dimension != "Code":
			continue
		case k.Own == "ingest" && k.Name == "EventsRejected":
			codes = events
		case k != refusedKey(k.Pipeline, k.Value):
			continue
		}
		values, err := r.p.monitor.store.Values(k, "Sum", from, minutes, 1)
		if err != nil {
			return nil, nil, err
		}
		if !math.IsNaN(values[0]) {
			codes[k.Value] = values[0]
		}
	}
	return requests, events, nil
}

// Firings returns when an alarm fired, as far as that was after a time, oldest first.
func (r Reader) Firings(alarm string, since time.Time) []Firing {
	return r.p.monitor.firings.since(alarm, since)
}

// Samples returns at most limit of the latest events that a filter takes, newest first and without
// their payloads: there are up to 100 of each outcome and reason. Requests that ingest refused are
// among them, with the outcome "refused". The filter must not keep its argument, nor call the
// Reader.
func (r Reader) Samples(limit int, takes func(*Outcome) bool) []Outcome {
	return r.p.samples.find(limit, takes)
}

// Senders returns the lines of who sent what that were written in a time, at most 26 hours ago, and
// one of each part with what was counted since, with up to n names of each kind.
func (r Reader) Senders(from, to time.Time, n int) []heavy.Line {
	return r.p.senders.soFar(from, to, n)
}

// WriteKeys returns the write keys that ingest accepts, sorted by name; false: it accepts any.
func (r Reader) WriteKeys() ([]ingest.Key, bool) {
	if r.p.ingest == nil {
		return nil, false
	}
	return r.p.ingest.Keys()
}

// Pauses returns the write keys with which nothing is sent to Segment at a time, by their
// fingerprints.
func (r Reader) Pauses(now time.Time) map[string]deliver.Pause { return r.p.activity.pauses(now) }
