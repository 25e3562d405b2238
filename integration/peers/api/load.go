package api

import (
	"context"
	"maps"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// A Load is one turn of calls at a fixed rate.
type Load struct {
	Rate int           // calls a second
	For  time.Duration // so many calls are due
	From int           // the number of the first event, which the next ones count up from
	// Patience is how long the API's own request lives, and so how long it lets a call wait. What
	// has not returned a second after that is left alone, as the API's client has left.
	Patience time.Duration
}

// An Outcome is what has become of a Load's calls.
type Outcome struct {
	// Latencies are those of the calls that returned, whatever they returned, from when each was
	// due.
	Latencies []time.Duration
	// Waiting is for how long the other calls had waited when the turn ended, each from when it was
	// due.
	Waiting []time.Duration
	Rate    int            // the Load's
	Calls   int            // all that were due
	Errors  map[string]int // how many returned an error, by its reason
	Refused []int          // numbers of the events whose call returned one or has not returned
	// AtOnce is the most calls that were under way at the same time.
	AtOnce int
}

// spin is how long before a call is due the generator stops sleeping: the kernel wakes it up to
// about 60 µs late, which would be most of the latency of a call that takes one.
const spin = 100 * time.Microsecond

// Run makes the calls, each with the number of its event in a goroutine of its own, as a server has
// one for each request. It returns when all calls have returned, or a second after the last one's
// patience. The call must be safe for concurrent use.
func (l Load) Run(ctx context.Context, call func(context.Context, int) error) Outcome {
	return l.run(ctx, call, sleepUntil)
}

func (l Load) run(ctx context.Context, call func(context.Context, int) error, sleepUntil func(time.Time)) Outcome {
	calls := int(l.For.Seconds() * float64(l.Rate))
	r := recorder{latencies: make([]atomic.Int64, calls), accepted: make([]atomic.Bool, calls), errors: map[string]int{}}
	var running sync.WaitGroup
	start := time.Now()
	due := func(i int) time.Time { return start.Add(time.Duration(i) * time.Second / time.Duration(l.Rate)) }
	begun := 0
	for ; begun < calls && ctx.Err() == nil; begun++ {
		i := begun
		sleepUntil(due(i))
		running.Go(func() { r.call(ctx, i, due(i), l, call) })
		runtime.Gosched() // the call begins on this thread
	}
	returned := make(chan struct{})
	go func() { running.Wait(); close(returned) }()
	select {
	case <-returned:
	case <-time.After(time.Until(due(calls)) + l.Patience + time.Second):
	}
	return r.outcome(l, begun, due)
}

// sleepUntil returns at a time, a few microseconds late at most while the machine has a free core.
// A Go timer would be up to a millisecond late.
func sleepUntil(due time.Time) {
	if wait := time.Until(due) - spin; wait > 0 {
		t := syscall.NsecToTimespec(int64(wait))
		_ = syscall.Nanosleep(&t, nil) // interrupted by a signal it returns early; the loop waits for the rest
	}
	for time.Now().Before(due) {
		runtime.Gosched()
	}
}

// A recorder takes down what the calls of a Load come to. It is safe for concurrent use.
type recorder struct {
	latencies        []atomic.Int64 // by the order in which calls are due; 0: has not returned
	accepted         []atomic.Bool
	underWay, atOnce atomic.Int64

	mu     sync.Mutex
	errors map[string]int
}

func (r *recorder) call(ctx context.Context, i int, due time.Time, l Load, call func(context.Context, int) error) {
	r.begins()
	request, cancel := context.WithTimeout(ctx, l.Patience)
	err := call(request, l.From+i)
	took := time.Since(due)
	cancel()
	r.underWay.Add(-1)
	if err != nil {
		r.mu.Lock()
		r.errors[reason(err)]++
		r.mu.Unlock()
	}
	r.accepted[i].Store(err == nil)
	r.latencies[i].Store(max(int64(took), 1))
}

func (r *recorder) begins() {
	now := r.underWay.Add(1)
	for most := r.atOnce.Load(); now > most && !r.atOnce.CompareAndSwap(most, now); most = r.atOnce.Load() {
	}
}

// outcome is of the calls that have begun. Some may still be under way.
func (r *recorder) outcome(l Load, begun int, due func(int) time.Time) Outcome {
	o := Outcome{Rate: l.Rate, Calls: begun, AtOnce: int(r.atOnce.Load()), Errors: map[string]int{}}
	for i := range begun {
		took := r.latencies[i].Load()
		if took == 0 {
			o.Waiting = append(o.Waiting, time.Since(due(i)))
			o.Refused = append(o.Refused, l.From+i)
			continue
		}
		o.Latencies = append(o.Latencies, time.Duration(took))
		if !r.accepted[i].Load() {
			o.Refused = append(o.Refused, l.From+i)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.Copy(o.Errors, r.errors)
	return o
}

// reason is the last part of an error's text: "connection refused" of one that names the request
// and the address before it, so that no two would be the same. Some of the errors wrap others as
// text alone, and the AWS SDK adds lines.
func reason(err error) string {
	text, _, _ := strings.Cut(err.Error(), "\n")
	return strings.TrimLeft(text[strings.LastIndex(": "+text, ": "):], ", ")
}
