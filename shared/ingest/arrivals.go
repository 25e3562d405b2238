package ingest

import (
	"net/netip"
	"sync"
	"time"
)

const (
	// maxArriving is how many bodies of one client may be arriving for longer than youngArrival: more
	// than the browsers behind one company's address send at once.
	maxArriving = 256
	// youngArrival is the age up to which a body counts as fast: most arrive whole in less.
	youngArrival = 250 * time.Millisecond
)

// arrivals are the bodies that are arriving. It bounds the memory that they hold: all of them at
// most half of what requests may hold (Limits.maxArriving), so that clients that do not finish
// their bodies leave room for others, and those of one client half of that. When a bound is
// reached, the body that comes most slowly is cut off. So whoever sends what it has announced is
// served, whatever others hold back. A body whose header names an accepted write key is cut off for
// bodies of the same client only. It is safe for concurrent use.
type arrivals struct {
	limit  int // bytes
	memory *memoryBudget
	known  func(authorization string) bool // whether it names an accepted write key

	mu      sync.Mutex
	all     []*arrival
	bytes   int
	clients map[netip.Prefix]arriving
}

// arriving is what arrives from one client.
type arriving struct{ bodies, bytes int }

// A cutter is a body whose Read under way can be ended.
type cutter interface{ Cut() }

// arrival is a body that is arriving. The mu of its arrivals guards it.
type arrival struct {
	client        netip.Prefix
	authorization string
	cutter        cutter // nil: it can't be cut off
	since         time.Time

	here     bool // in all
	index    int  // in all
	bytes    int  // that it holds, taken from the memory
	gone     int  // of these, given back when it was cut off
	keyRead  bool
	keyKnown bool
}

// enter counts in a body that is about to arrive.
func (s *arrivals) enter(a *arrival) {
	s.mu.Lock()
	defer s.mu.Unlock()
	from := s.clients[a.client]
	// When many come at once, one that is whole is among them: the young ones keep their places.
	if from.bodies >= maxArriving && s.cutSlowest(a, true, youngArrival) {
		from = s.clients[a.client]
	}
	from.bodies++
	if s.clients == nil {
		s.clients = map[netip.Prefix]arriving{}
	}
	s.clients[a.client] = from
	a.here, a.index = true, len(s.all)
	s.all = append(s.all, a)
}

// grow takes memory for n more bytes of a body; a negative n gives some back. false: there is none,
// or the body was cut off.
func (s *arrivals) grow(a *arrival, n int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !a.here {
		return false
	}
	for n > 0 && s.clients[a.client].bytes+n > s.limit/2 {
		if !s.cutSlowest(a, true, 0) {
			return false
		}
	}
	for n > 0 && s.bytes+n > s.limit {
		if !s.cutSlowest(a, false, 0) {
			return false
		}
	}
	if !s.memory.take(n) {
		return false
	}
	s.add(a, n)
	return true
}

func (s *arrivals) add(a *arrival, n int) {
	a.bytes += n
	s.bytes += n
	from := s.clients[a.client]
	from.bytes += n
	s.clients[a.client] = from
}

// leave is called when a body has arrived, or will not. It returns how many of its bytes were given
// back because it was cut off; the others are the caller's.
func (s *arrivals) leave(a *arrival) (gone int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(a)
	return a.gone
}

// cutSlowest cuts off the slowest body that may be cut off for another one: one of the same client,
// or of any, of some age. false: there is none.
func (s *arrivals) cutSlowest(newcomer *arrival, sameClient bool, least time.Duration) bool {
	now := time.Now()
	var slowest *arrival
	for _, a := range s.all {
		if a != newcomer && a.cutter != nil && now.Sub(a.since) >= least && (slowest == nil || a.slowerThan(slowest, now)) &&
			(a.client == newcomer.client || !sameClient && !s.knows(a)) {
			slowest = a
		}
	}
	if slowest == nil {
		return false
	}
	s.memory.take(-slowest.bytes)
	slowest.gone = slowest.bytes
	s.remove(slowest)
	slowest.cutter.Cut()
	return true
}

// knows reports whether a body's header names an accepted write key. It is asked only when there is
// not enough memory.
func (s *arrivals) knows(a *arrival) bool {
	if !a.keyRead {
		a.keyRead, a.keyKnown = true, s.known(a.authorization)
	}
	return a.keyKnown
}

// slowerThan compares bytes by time. Of two bodies of which one is young, the older one is slower.
func (a *arrival) slowerThan(b *arrival, now time.Time) bool {
	ageA, ageB := now.Sub(a.since), now.Sub(b.since)
	if min(ageA, ageB) < youngArrival {
		return ageA > ageB
	}
	return float64(a.bytes)*float64(ageB) < float64(b.bytes)*float64(ageA)
}

// remove is called with mu held.
func (s *arrivals) remove(a *arrival) {
	if !a.here {
		return
	}
	last := len(s.all) - 1
	s.all[a.index] = s.all[last]
	s.all[a.index].index = a.index
	s.all[last] = nil
	s.all = s.all[:last]
	a.here = false
	s.bytes -= a.bytes
	from := s.clients[a.client]
	from.bytes -= a.bytes
	if from.bodies--; from.bodies == 0 {
		delete(s.clients, a.client)
		return
	}
	s.clients[a.client] = from
}
