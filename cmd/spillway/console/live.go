package console

import (
	"math"
	"slices"
	"sync"
	"time"

	"github.com/spillwayhq/spillway/shared/chart"
)

// The live charts show the last minutes by the second, where the totals are known by the second:
// CloudWatch's metrics are a minute old at best, and a newcomer wants to see at once what happens.

const (
	liveStep  = 2 * time.Second
	liveSteps = 150
	// smoothSteps are the steps over which a rate is drawn: batches that come together must not make it
	// jump.
	smoothSteps = 3
	// rateOver is the time over which the time to drain is foretold.
	rateOver = 10 * time.Second
)

// live are the last minutes, a Now for each step; nil: there was none. It is safe for concurrent
// use.
type live struct {
	mu    sync.Mutex
	steps [liveSteps]*Now // a ring, by the number of the step
	last  int64           // the number of the latest step
}

func stepOf(t time.Time) int64 { return t.UnixNano() / int64(liveStep) }

// add adds how the pipeline is now.
func (l *live) add(n Now) {
	if n.Totals == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	step := stepOf(n.At)
	for at := max(l.last+1, step-liveSteps+1); at <= step; at++ {
		l.steps[at%liveSteps] = nil
	}
	if step > l.last-liveSteps {
		l.steps[step%liveSteps] = &n
	}
	l.last = max(l.last, step)
}

// window returns the steps until the latest, oldest first; nil: nothing was added yet.
func (l *live) window() (from time.Time, steps []*Now) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.last == 0 {
		return from, nil
	}
	first := l.last - liveSteps + 1
	for at := first; at <= l.last; at++ {
		steps = append(steps, l.steps[at%liveSteps])
	}
	return time.Unix(0, first*int64(liveStep)), steps
}

// rate is by how many events a second the backlog got smaller lately.
func (l *live) rate() drainRate {
	_, steps := l.window()
	var last *Now
	for _, n := range slices.Backward(steps) {
		switch {
		case n == nil:
		case last == nil:
			last = n
		case last.At.Sub(n.At) >= rateOver:
			in := float64(last.Totals.Accepted - n.Totals.Accepted)
			out := float64(last.Totals.gone() - n.Totals.gone())
			return drainRate{perSecond: (out - in) / last.At.Sub(n.At).Seconds(), events: true, known: true}
		}
	}
	return drainRate{}
}

// gone are the events that have left the queue.
func (t *Totals) gone() int64 { return t.Delivered + t.DeadLettered }

// charts draws the window: what comes in and goes out a second, and what waits.
func (l *live) charts() []chart.Chart {
	from, steps := l.window()
	if steps == nil {
		return nil
	}
	clock := chart.Clock{Start: from, Step: liveStep, N: len(steps), Zone: zone(from)}
	rates := func(of func(*Totals) int64) []float64 {
		values := make([]float64, len(steps))
		for i := range values {
			values[i] = math.NaN()
			// From the earliest step of the smoothing on that is there.
			for j := max(0, i-smoothSteps); j < i && steps[i] != nil; j++ {
				if steps[j] != nil {
					passed := steps[i].At.Sub(steps[j].At).Seconds()
					values[i] = max(0, float64(of(steps[i].Totals)-of(steps[j].Totals))/passed)
					break
				}
			}
		}
		return values
	}
	waiting := make([]float64, len(steps))
	for i, n := range steps {
		waiting[i] = math.NaN()
		if n != nil {
			waiting[i] = float64(max(n.Events, n.Messages))
		}
	}
	all := []chart.Chart{
		chart.New("liveflow", "Events a second", []chart.Series{
			{Name: "received", Unit: chart.PerSecond, Values: rates(func(t *Totals) int64 { return t.Accepted })},
			{Name: "delivered", Unit: chart.PerSecond, Values: rates(func(t *Totals) int64 { return t.Delivered }), Class: "s4"},
			{Name: "retried", Unit: chart.PerSecond, Values: rates(func(t *Totals) int64 { return t.Retried }), Class: "s2"},
		}, 0, clock),
		chart.New("livewait", "Events that wait", []chart.Series{{Name: "waiting", Unit: "events", Values: waiting}}, 0,
			clock),
	}
	for i := range all {
		all[i].Bands = openBands(clock, steps) // what was before the first step is no gap
	}
	return all
}

// openBands shade the times in which the circuit breaker was open.
func openBands(clock chart.Clock, steps []*Now) (all []chart.Band) {
	begin := -1
	for i := 0; i <= len(steps); i++ {
		open := i < len(steps) && steps[i] != nil && steps[i].BreakerOpen
		switch {
		case open && begin < 0:
			begin = i
		case !open && begin >= 0:
			from, to := clock.Start.Add(time.Duration(begin)*liveStep), clock.Start.Add(time.Duration(i)*liveStep)
			all = append(all, clock.Shade("fault", "The circuit breaker is open, "+clock.Span(from, &to), from, &to))
			begin = -1
		}
	}
	return all
}
