package deliver

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/spillwayhq/spillway/shared/breaker"
	"github.com/spillwayhq/spillway/shared/segment"
)

const (
	// breakAfter is how many attempts in a row must fail before Segment is not called any more:
	// more than the tries of one batch, so that a batch that Segment can't digest does not look
	// like an outage.
	breakAfter = 2*Tries - 1
	// firstProbe is how long Segment is not called when the breaker opens; each probe that fails
	// doubles it, up to maxProbe.
	firstProbe = 15 * time.Second
	// maxProbe bounds what Segment's return costs: together with the longest pause it is below the
	// 17 minutes in which everything has been tried again. A probe of a Segment that hangs keeps an
	// environment busy for 10 s, so it is not less.
	maxProbe = 2 * time.Minute
	// maxEarly is how long a message is hidden at most in the first quarter of an hour of an
	// outage.
	maxEarly = 14 * time.Minute
	// wave is how far apart the moments are at which all that waits for a Segment that has long
	// been away comes back.
	wave = maxPause
)

// The states of the breaker as they stand in the log.
const (
	breakerClosed = "closed"
	breakerOpen   = "open"
)

// segmentBreaker keeps an environment from calling a Segment that is down. Only what says something
// about Segment itself counts: attempts without an answer and answers of the class Transient; every
// other answer shows that Segment is there.
type segmentBreaker struct {
	machine *breaker.Breaker
	opened  func() // called each time it opens, also after a probe that failed

	mu    sync.Mutex
	phase time.Duration // of the waves
	last  *segment.Error
}

func newBreaker(opened func()) *segmentBreaker {
	b := &segmentBreaker{opened: opened}
	b.machine = breaker.New(breaker.Settings{Failures: breakAfter, OpenFor: b.openFor, IgnoreLate: true})
	return b
}

// openFor is how long Segment is left alone: until a wave comes at the latest, because what comes
// back with a wave needs to know whether Segment is there.
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
func (b *segmentBreaker) allow(now time.Time) (attempt breaker.Ticket, refused *segment.Error) {
	attempt, ok := b.machine.Allow(now)
	if !ok {
		return attempt, b.refuse(now)
	}
	return attempt, nil
}

// report tells the result of an attempt, with Segment's answer when it failed.
func (b *segmentBreaker) report(now time.Time, attempt breaker.Ticket, result breaker.Result, answer *segment.Error) {
	if result == breaker.Failure {
		b.mu.Lock()
		b.last = answer
		b.mu.Unlock()
	}
	if b.machine.Report(now, attempt, result) {
		b.opened()
	}
}

// refusal is why Segment is not called before the next probe is due; nil when it may be called, or
// when a probe is under way.
func (b *segmentBreaker) refusal(now time.Time) *segment.Error {
	if _, probe := b.machine.Opened(); now.Before(probe) {
		return b.refuse(now)
	}
	return nil
}

// refuse carries the answer that was last seen, which is what a person wants to know.
func (b *segmentBreaker) refuse(now time.Time) *segment.Error {
	since, _ := b.machine.Opened()
	b.mu.Lock()
	defer b.mu.Unlock()
	err := &segment.Error{Class: segment.Transient}
	if b.last != nil {
		err.Status, err.Detail = b.last.Status, b.last.Detail
	}
	err.Err = fmt.Errorf("the circuit breaker is open: it has failed for %v and is not called until a probe succeeds",
		now.Sub(since).Round(time.Second))
	return err
}

// open reports whether Segment is taken to be down.
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

// pause is how long a message stays hidden while the breaker is open; false when it is not.
//
// In the first quarter of an hour it is as the receive count says, but not less than the outage has
// lasted. Later everything waits for the next wave. Were it spread evenly, as other pauses are,
// invocations would go on all the time, each with a few messages and most of a price, and keep all
// environments awake, each to send its own probes. Segment does not feel the wave: every
// environment begins with one batch at a time.
//
// Either way it is tried within 17 minutes of Segment's return: early on because maxEarly, its ±5 %
// and maxProbe are less, later because every environment that gets a part of a wave sends a probe
// first.
func (b *segmentBreaker) pause(receives int, now time.Time, jitter float64) (time.Duration, bool) {
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
