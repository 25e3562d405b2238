package drill

import (
	"context"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/spillwayhq/spillway/infra/local/cloudwatch"
	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/heavy"
	"github.com/spillwayhq/spillway/shared/traffic"
)

// A history is what the canary's function compares the traffic with: in the drill's metrics and
// log, as on AWS in CloudWatch. It implements traffic.Source, and is safe for concurrent use.
type history struct {
	*simulation

	mu      sync.Mutex
	lines   []heavy.Line // of the last minutes
	windows []heavy.Line // of all comparisons
	came    map[time.Time]float64
	counted time.Time // until when came has the traffic
}

func newHistory(s *simulation) *history {
	return &history{simulation: s, came: map[time.Time]float64{}, counted: s.start}
}

// add notes a line of the log, if it is one of the heaviest.
func (h *history) add(text []byte) {
	l, ok := heavy.Parse(text)
	if !ok {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if l.Part == heavy.PartAll {
		h.windows = append(h.windows, l)
		return
	}
	weighLine(&l, h.weight)
	h.keep(l)
}

// weighLine multiplies the events of a line.
func weighLine(l *heavy.Line, by float64) {
	times := func(n uint64) uint64 { return uint64(math.Round(float64(n) * by)) }
	l.Events, l.Refused = times(l.Events), times(l.Refused)
	for i := range l.Heaviest {
		l.Heaviest[i].Events = times(l.Heaviest[i].Events)
	}
}

// keep adds a line, and forgets those that no comparison needs any more.
func (h *history) keep(l heavy.Line) {
	h.lines = append(h.lines, l)
	if oldest := l.Time.Add(-4 * traffic.Interval); h.lines[0].Time.Before(oldest.Add(-time.Hour)) {
		h.lines = slices.DeleteFunc(h.lines, func(l heavy.Line) bool { return l.Time.Before(oldest) })
	}
}

// model notes what the log would have of a modelled minute.
func (h *history) model(minute time.Time, ratio float64) {
	l := heavy.Line{Time: minute.Add(59 * time.Second), Part: heavy.PartDeliver, From: minute}
	for _, s := range []struct {
		of        Source
		key, name string
	}{{FromAPI, apiKey, apiEvent}, {FromSDKs, webKey, webEvent}, {FromPartner, partnerKey, partnerEvent}} {
		n := uint64(math.Round(h.load(s.of, minute.Sub(h.start)) * 60 * h.weight * ratio))
		l.Events += n
		if n > 0 {
			l.Heaviest = append(l.Heaviest, heavy.Entry{By: heavy.ByWriteKey, Name: event.KeyID(s.key), Events: n},
				heavy.Entry{By: heavy.ByEvent, Name: s.name, Events: n})
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.keep(l)
}

// compare is what the canary's function does in a modelled minute, in which it is not invoked.
func (h *history) compare(minute time.Time) error {
	from, due := traffic.Due(minute)
	if !due {
		return nil
	}
	r, err := traffic.Compare(context.Background(), h, h.topology.Names.Pipeline, from)
	if err != nil {
		return err
	}
	for _, m := range r.Metrics() {
		h.record.store.Put(minute, cloudwatch.Key{Own: "canary", Pipeline: h.topology.Names.Pipeline, Name: m.Name},
			m.Values...)
	}
	if r.Window != nil {
		h.mu.Lock()
		h.windows = append(h.windows, *r.Window)
		h.mu.Unlock()
	}
	return nil
}

// Traffic implements traffic.Source.
func (h *history) Traffic(_ context.Context, _, to time.Time) (map[time.Time]float64, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for ; h.counted.Before(to); h.counted = h.counted.Add(traffic.Interval) {
		for part, name := range map[string]string{"ingest": "EventsAccepted", "publisher": "EventsPublished"} {
			k := cloudwatch.Key{Own: part, Pipeline: h.topology.Names.Pipeline, Name: name}
			values, err := h.record.store.Values(k, "Sum", h.counted, traffic.Interval, 1)
			if err != nil {
				return nil, err
			}
			if !math.IsNaN(values[0]) {
				h.came[h.counted] += values[0]
			}
		}
	}
	return h.came, nil // which only changes when this is called again, after the comparison
}

// Lines implements traffic.Source.
func (h *history) Lines(_ context.Context, from, to time.Time) ([]heavy.Line, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return heavy.Between(h.lines, from, to), nil
}

// Windows implements traffic.Source.
func (h *history) Windows(_ context.Context, from, to time.Time) ([]heavy.Line, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	first, _ := slices.BinarySearchFunc(h.windows, from,
		func(l heavy.Line, at time.Time) int { return l.From.Compare(at) })
	var found []heavy.Line
	for _, l := range h.windows[first:] {
		if !l.From.Before(to) {
			break
		}
		found = append(found, l)
	}
	return found, nil
}

var _ traffic.Source = (*history)(nil)
