package deliver

import (
	"hash/fnv"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/spillwayhq/spillway/shared/breaker"
)

const (
	// breakAfter is how many failed attempts in a row open the breaker: more than the tries of one
	// batch, so that a batch that Segment can't digest does not look like an outage.
	breakAfter = 2*maxTries - 1
	// firstProbe is how long Segment is not called when the breaker opens; each probe that fails
	// doubles it, up to maxProbe.
	firstProbe = 15 * time.Second
	// maxProbe bounds what Segment's return costs: together with the longest back-off it is below
	// the 17 minutes in which everything has been tried again. A probe of a Segment that hangs
	// keeps an environment busy for 10 s, so it is not less.
	maxProbe = 2 * time.Minute
	// maxEarly bounds how long a message is invisible in the first quarter of an hour of an outage.
	maxEarly = 14 * time.Minute
	// wave is the time between two waves: in a long outage all messages are retried together.
	wave = maxBackoff
)

// segmentBreaker keeps an environment from calling a Segment that is down. Only what says something
// about Segment itself counts: attempts without an answer and answers of the class Transient; every
// other answer shows that Segment is there.
type segmentBreaker struct {
	machine *breaker.Breaker
	opened  func() // called each time it opens, also after a probe that failed

	mu    sync.Mutex
	phase time.Duration // of the waves
	last  *failure      // what a refusal quotes
}

func newBreaker(opened func()) *segmentBreaker {
	b := &segmentBreaker{opened: opened}
	b.machine = breaker.New(breaker.Settings{Failures: breakAfter, OpenFor: b.openFor, IgnoreLate: true})
	return b
}

// openFor is how long Segment is not called: until the next wave at the latest, because the
// messages of a wave need to know whether Segment is back.
func (b *segmentBreaker) openFor(now time.Time, openings int) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	return min(probeAfter(openings, rand.Float64()), nextWave(now, b.phase).Sub(now))
}

// probeAfter is how long Segment is left alone after n openings in a row. jitter, between 0 and 1,
// spreads it over ±10 %, so that environments that saw the same outage begin do not probe together.
func probeAfter(n int, jitter float64) time.Duration {
	wait := firstProbe
	for ; n > 1 && wait < maxProbe; n-- {
		wait *= 2
	}
	return time.Duration(float64(min(wait, maxProbe)) * (0.9 + 0.2*jitter))
}

// allow asks whether Segment may be called. If so, the attempt must be reported. Otherwise refused
// is why events are retried.
func (b *segmentBreaker) allow(now time.Time) (attempt breaker.Ticket, refused *failure) {
	attempt, ok := b.machine.Allow(now)
	if !ok {
		return attempt, b.refuse(now)
	}
	return attempt, nil
}

// report tells the result of an attempt, and why it failed.
func (b *segmentBreaker) report(now time.Time, attempt breaker.Ticket, result breaker.Result, f *failure) {
	if result == breaker.Failure {
		b.mu.Lock()
		b.last = f
		b.mu.Unlock()
	}
	if b.machine.Report(now, attempt, result) {
		b.opened()
	}
}

// refusal is why Segment is not called until the next probe is due; nil when it may be called, and
// while a probe is under way.
func (b *segmentBreaker) refusal(now time.Time) *failure {
	if _, probe := b.machine.Opened(); now.Before(probe) {
		return b.refuse(now)
	}
	return nil
}

// refuse carries the failure that was seen last, which is what a person wants to know.
func (b *segmentBreaker) refuse(now time.Time) *failure {
	f := newFailure(reasonBreakerOpen, nil)
	if since, _ := b.machine.Opened(); !since.IsZero() {
		f.lasted = now.Sub(since)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	f.earlier = b.last
	return f
}

// open reports whether Segment is considered down.
func (b *segmentBreaker) open() bool {
	since, _ := b.machine.Opened()
	return !since.IsZero()
}

// follow sets the phase of the waves by the name of the queue: all environments of a deployment
// have the same one, and deployments that share nothing but Segment have different ones.
func (b *segmentBreaker) follow(queue []byte) {
	h := fnv.New32a()
	_, _ = h.Write(queue)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.phase = time.Duration(h.Sum32()) * time.Second % wave
}

// nextWave is when the next wave comes after now.
func nextWave(now time.Time, phase time.Duration) time.Time {
	return now.Add(-phase).Truncate(wave).Add(wave + phase)
}

// backoff is how long a message is invisible while the breaker is open; false when it is not.
//
// In the first quarter of an hour it depends on the receive count, but is not less than the outage
// has lasted. Later everything is retried with the next wave. Spread evenly, as other back-offs
// are, invocations would go on all the time, each with a few messages and most of a price, and keep
// all environments awake, each to send its own probes. A wave does not burden Segment: every
// environment begins with one batch at a time.
//
// Either way it is tried within 17 minutes of Segment's return: early on because maxEarly, its ±5 %
// and maxProbe are less, later because every environment that gets a part of a wave sends a probe
// first.
func (b *segmentBreaker) backoff(receives int, now time.Time, jitter float64) (time.Duration, bool) {
	since, _ := b.machine.Opened()
	if since.IsZero() {
		return 0, false
	}
	lasted := now.Sub(since)
	if lasted >= wave {
		b.mu.Lock()
		defer b.mu.Unlock()
		return nextWave(now, b.phase).Sub(now), true
	}
	return time.Duration(float64(min(max(schedule(receives), lasted), maxEarly)) * (0.95 + 0.1*jitter)), true
}
