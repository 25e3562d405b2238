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
	// batch, so that one batch on which Segment fails does not look like an outage.
	breakAfter = 2*maxTries - 1
	// firstProbe is how long Segment is not called when the breaker opens; each probe that fails
	// doubles it, up to maxProbe.
	firstProbe = 15 * time.Second
	// maxProbe is the longest time between probes. With the longest back-off it is below the 17
	// minutes in which every message is retried after an outage. It is not shorter because a probe
	// of a Segment that hangs occupies an environment for 10 s.
	maxProbe = 2 * time.Minute
	// maxEarly bounds how long a message is invisible in the first quarter of an hour of an outage.
	maxEarly = 14 * time.Minute
	// wave is the time between two waves: in a long outage all messages are retried together.
	wave = maxBackoff
)

// segmentBreaker is an environment's circuit breaker for Segment. Attempts without an answer and
// answers of the class Transient are failures; every other answer shows that Segment is up. It is
// one for both queues, because what fails is Segment: the bulk queue does not call it on while
// fresh events wait, and its failures are as good a sign.
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

// openFor returns how long Segment is not called: at most until the next wave, which must find out
// whether Segment is back.
func (b *segmentBreaker) openFor(now time.Time, openings int) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	return min(probeAfter(openings, rand.Float64()), nextWave(now, b.phase).Sub(now))
}

// probeAfter returns how long Segment is not called after n openings in a row. jitter, between 0
// and 1, spreads it over ±10 %, so that environments that saw the same outage begin do not probe
// together.
func probeAfter(n int, jitter float64) time.Duration {
	wait := firstProbe
	for ; n > 1 && wait < maxProbe; n-- {
		wait *= 2
	}
	return time.Duration(float64(min(wait, maxProbe)) * (0.9 + 0.2*jitter))
}

// allow asks whether Segment may be called. If so, refused is nil and the attempt must be reported.
func (b *segmentBreaker) allow(now time.Time) (attempt breaker.Ticket, refused *failure) {
	attempt, ok := b.machine.Allow(now)
	if !ok {
		return attempt, b.refuse(now)
	}
	return attempt, nil
}

// report records the result of an attempt. f is why it failed.
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

// refuse returns a failure that names the last one before it, because a person needs that cause.
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

// follow derives the phase of the waves from the queue's name, so that all environments of a
// deployment have the same phase, and different deployments have different ones.
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

// backoff returns a message's visibility timeout while the breaker is open; false when it is not
// open.
//
// In the first 15 minutes it depends on the receive count, but is at least as long as the outage
// has lasted. Later all messages are retried together, in the next wave. If they were spread
// evenly, there would be invocations all the time, each with few messages at nearly the full price,
// and every environment would send probes. A wave does not overload Segment, because every
// environment begins with one batch at a time.
//
// Either way the message is retried within 17 minutes after Segment is back: early because
// maxEarly, its ±5 % and maxProbe add up to less, later because every environment that gets a part
// of a wave sends a probe first.
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
