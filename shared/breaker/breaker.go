// Package breaker is a circuit breaker: it refuses calls to a destination that is down, so that
// callers neither wait for a timeout nor add to its load.
//
// Closed, it allows every call. Failures in a row open it; while it is open it refuses calls. When
// the open time is over it is half-open: it allows one call, the probe. The probe's success closes
// it, its failure opens it again.
//
// It exists beside gobreaker because the delivery to Segment needs what that lacks: an open time
// that grows, a call that says nothing about the destination, and time that is passed in. It does
// no I/O and starts no goroutine.
package breaker

import (
	"sync"
	"time"
)

// Settings configure a Breaker. All but IgnoreLate are required.
type Settings struct {
	// Failures in a row open the breaker.
	Failures int
	// OpenFor is how long calls are refused after the given number of openings in a row. It must
	// not call the Breaker.
	OpenFor func(now time.Time, openings int) time.Duration
	// IgnoreLate ignores the reports of calls that were allowed before the breaker last opened,
	// became half-open or closed. Without it they count as the probe's: their success closes the
	// breaker, their failure opens it again.
	IgnoreLate bool
}

// A Result is the result of a call, as far as it concerns the destination.
type Result uint8

// The results.
const (
	Success Result = iota
	Failure
	Hang    // a failure that opens the breaker at once: each further one would cost a whole timeout
	Unknown // the call proves nothing; if it was the probe, the next call becomes the probe
)

// A Breaker is safe for concurrent use.
type Breaker struct {
	settings Settings

	mu         sync.Mutex
	failures   int // in a row
	openings   int // in a row; 0: closed
	since      time.Time
	until      time.Time
	probing    bool
	generation int // counts changes of the state, to recognise late reports
}

// New returns a closed Breaker.
func New(s Settings) *Breaker { return &Breaker{settings: s} }

// A Ticket belongs to one allowed call.
type Ticket struct {
	// Probe: the breaker is half-open, and no other call is allowed before this one is reported.
	Probe      bool
	generation int
}

// Allow asks whether a call may be made. The caller must Report each call that was allowed.
func (b *Breaker) Allow(now time.Time) (t Ticket, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.refusing(now) {
		return Ticket{}, false
	}
	if b.openings > 0 {
		b.probing = true
		b.generation++
	}
	return Ticket{Probe: b.openings > 0, generation: b.generation}, true
}

// Report records the result of an allowed call. opened is true when it opened the breaker, for the
// first time or again.
func (b *Breaker) Report(now time.Time, t Ticket, r Result) (opened bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	late := t.generation != b.generation
	switch {
	case late && (b.settings.IgnoreLate || r == Unknown):
		return false
	case r == Unknown:
		b.probing = false
		return false
	case r == Success:
		b.close()
		return false
	case r == Hang:
		b.failures = b.settings.Failures
	default:
		b.failures++
	}
	if b.openings == 0 && b.failures < b.settings.Failures {
		return false
	}
	b.open(now)
	return true
}

func (b *Breaker) close() {
	b.failures = 0
	if b.openings > 0 {
		b.openings, b.since, b.until, b.probing = 0, time.Time{}, time.Time{}, false
		b.generation++
	}
}

func (b *Breaker) open(now time.Time) {
	if b.openings == 0 {
		b.since = now
	}
	b.openings++
	b.until = now.Add(b.settings.OpenFor(now, b.openings))
	b.probing = false
	b.generation++
}

// Refusing reports whether Allow would refuse a call now. It changes nothing.
func (b *Breaker) Refusing(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.refusing(now)
}

func (b *Breaker) refusing(now time.Time) bool {
	return b.openings > 0 && (b.probing || now.Before(b.until))
}

// Opened returns since when the breaker has not been closed and when the next probe is due. Both
// are zero while it is closed.
func (b *Breaker) Opened() (since, probe time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.since, b.until
}
