package drill

import (
	"cmp"
	"slices"
	"sync"

	"github.com/spillwayhq/spillway/shared/deliver"
	"github.com/spillwayhq/spillway/shared/segment"
)

// An observation is what the report shows of a minute.
type observation struct {
	accepted, delivered, waiting, oldest, peak float64
	p50, p99                                   float64            // seconds that the API waited
	calls                                      int                // of the API; 0: p50 and p99 say nothing
	answers                                    map[string]float64 // of Segment, by class
	asked                                      map[string]float64 // of SDKs, see pair; nil: there is one region
}

// minutes are the observations of a drill. It is safe for concurrent use.
type minutes struct {
	n   int
	all []*observation // nil: not observed

	mu      sync.Mutex
	answers map[string]float64 // in this minute
}

func newMinutes(n int) *minutes {
	return &minutes{n: n, all: make([]*observation, n), answers: map[string]float64{}}
}

// invoked adds an invocation of deliver.
func (m *minutes) invoked(r *deliver.Report) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, f := range r.Flushes {
		m.answers[f.Class.String()]++
	}
}

// take returns what was added since the last call.
func (m *minutes) take() observation {
	m.mu.Lock()
	defer m.mu.Unlock()
	o := observation{answers: m.answers}
	m.answers = map[string]float64{}
	return o
}

func (m *minutes) set(n int, o observation) { m.all[n] = &o }

// series are the observations as charts.
func (m *minutes) series() []Series {
	pick := func(chart, name, unit string, of func(*observation) (float64, bool)) Series {
		s := Series{Chart: chart, Name: name, Unit: unit, Values: make([]*float64, m.n)}
		for i, o := range m.all {
			if o == nil {
				continue
			}
			if v, ok := of(o); ok {
				s.Values[i] = &v
			}
		}
		return s
	}
	always := func(of func(*observation) float64) func(*observation) (float64, bool) {
		return func(o *observation) (float64, bool) { return of(o), true }
	}
	called := func(of func(*observation) float64) func(*observation) (float64, bool) {
		return func(o *observation) (float64, bool) { return of(o), o.calls > 0 }
	}
	all := []Series{
		pick(ChartAPILatency, "p50", Seconds, called(func(o *observation) float64 { return o.p50 })),
		pick(ChartAPILatency, "p99", Seconds, called(func(o *observation) float64 { return o.p99 })),
		pick(ChartBacklog, "waiting", EventCount, always(func(o *observation) float64 { return o.waiting })),
		pick(ChartTraffic, "accepted", PerMinute, always(func(o *observation) float64 { return o.accepted })),
		pick(ChartTraffic, "delivered", PerMinute, always(func(o *observation) float64 { return o.delivered })),
		pick(ChartOldest, "oldest", Seconds, always(func(o *observation) float64 { return o.oldest })),
	}
	for _, class := range segment.Classes() {
		name := class.String()
		if !slices.ContainsFunc(m.all, func(o *observation) bool { return o != nil && o.answers[name] > 0 }) {
			continue
		}
		all = append(all, pick(ChartAnswers, name, PerMinute,
			always(func(o *observation) float64 { return o.answers[name] })))
	}
	for _, region := range []string{nearRegion, farRegion, ""} {
		if !slices.ContainsFunc(m.all, func(o *observation) bool { return o != nil && o.asked != nil }) {
			break
		}
		name := cmp.Or(region, "by nobody")
		all = append(all, pick(ChartRegions, name, PerMinute,
			always(func(o *observation) float64 { return o.asked[region] })))
	}
	return append(all, pick(ChartConcurrency, "invocations", InvocationCount,
		always(func(o *observation) float64 { return o.peak })))
}

// latencies are how long the API's calls waited to publish. It is safe for concurrent use.
type latencies struct {
	mu            sync.Mutex
	minute        []float64
	total         []float64 // as many as calls are simulated
	calls, failed int64
	highest       float64
	down          int // minutes in which more than one call in ten failed, as in the old design's Stop
	failedNow     int
}

func (l *latencies) add(seconds []float64, failed int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.minute = append(l.minute, seconds...)
	l.failedNow += failed
}

// take ends a minute.
func (l *latencies) take() (p50, p99 float64, calls int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	slices.Sort(l.minute)
	p50, p99, calls = percentile(l.minute, 50), percentile(l.minute, 99), len(l.minute)
	if calls > 0 {
		l.highest = max(l.highest, l.minute[calls-1])
	}
	l.total = append(l.total, l.minute...)
	if 10*l.failedNow > calls {
		l.down++
	}
	l.calls, l.failed = l.calls+int64(calls), l.failed+int64(l.failedNow)
	l.minute, l.failedNow = l.minute[:0], 0
	return p50, p99, calls
}
