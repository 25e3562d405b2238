package deliver

import (
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/sony/gobreaker/v2"

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

// breaker keeps an environment from calling a Segment that is down. Only what says something about
// Segment itself counts: attempts without an answer and answers of the class Transient; every other
// answer shows that Segment is there.
//
// While it is open it lets one attempt through now and then, the probe. The state machine is
// gobreaker's; that the time between two probes grows is added here, because gobreaker's is fixed.
type breaker struct {
	machine *gobreaker.TwoStepCircuitBreaker[struct{}]
	opened  func() // called each time it opens, also after a probe that failed

	mu    sync.Mutex
	phase time.Duration // of the waves
	since time.Time     // when the outage began; zero: closed
	probe time.Time     // when the next attempt is let through
	fails int           // openings in a row
	last  *segment.Error
}

// errSaysNothing marks an attempt from which nothing can be learned about Segment.
var errSaysNothing = errors.New("the attempt says nothing about Segment")

func newBreaker(opened func()) *breaker {
	b := &breaker{opened: opened}
	b.machine = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		MaxRequests:   1,
		Timeout:       time.Millisecond, // less than any time that allow lets pass, which is the one that counts
		ReadyToTrip:   func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= breakAfter },
		IsExcluded:    func(err error) bool { return errors.Is(err, errSaysNothing) },
		OnStateChange: func(_ string, from, to gobreaker.State) { b.changed(to, time.Now()) },
	})
	return b
}

func (b *breaker) changed(to gobreaker.State, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch to {
	case gobreaker.StateOpen:
		if b.since.IsZero() {
			b.since = now
		}
		b.fails++
		b.probe = now.Add(probeAfter(b.fails, rand.Float64()))
		if next := nextWave(now, b.phase); next.Before(b.probe) { // whoever gets a part of a wave finds out for it
			b.probe = next
		}
		b.opened()
	case gobreaker.StateClosed:
		b.since, b.fails, b.last = time.Time{}, 0, nil
	}
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

// allow asks whether Segment may be called. If so, done must be called with the attempt's outcome,
// and probe says that nothing but this attempt is let through before. Otherwise refused is why
// events stay.
func (b *breaker) allow(now time.Time) (done func(error), probe bool, refused *segment.Error) {
	if refused := b.refusal(now); refused != nil {
		return nil, false, refused
	}
	done, err := b.machine.Allow()
	if err != nil { // a probe is under way
		b.mu.Lock()
		defer b.mu.Unlock()
		return nil, false, b.refuse(now)
	}
	return done, b.open(), nil
}

// refusal is why Segment is not called now, nil when it may be.
func (b *breaker) refusal(now time.Time) *segment.Error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.since.IsZero() || !now.Before(b.probe) {
		return nil
	}
	return b.refuse(now)
}

// refuse is called under mu. It carries the answer that was last seen, which is what a person wants
// to know.
func (b *breaker) refuse(now time.Time) *segment.Error {
	err := &segment.Error{Class: segment.Transient}
	if b.last != nil {
		err.Status, err.Detail = b.last.Status, b.last.Detail
	}
	err.Err = fmt.Errorf("the circuit breaker is open: it has failed for %v and is not called until a probe succeeds",
		now.Sub(b.since).Round(time.Second))
	return err
}

// failed notes the answer that a refusal will carry.
func (b *breaker) failed(err *segment.Error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last = err
}

// open reports whether Segment is taken to be down.
func (b *breaker) open() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.since.IsZero()
}

// follow sets the phase of the waves by the name of the queue: all environments of a deployment
// have the same one, and deployments that share nothing but Segment have different ones.
func (b *breaker) follow(queue []byte) {
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
func (b *breaker) pause(receives int, now time.Time, jitter float64) (time.Duration, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.since.IsZero() {
		return 0, false
	}
	lasted := now.Sub(b.since)
	if lasted >= wave {
		return nextWave(now, b.phase).Sub(now), true
	}
	return time.Duration(float64(min(max(schedule(receives), lasted), maxEarly)) * (0.95 + 0.1*jitter)), true
}
