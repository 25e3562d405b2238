package ingest

import (
	"sync"
	"time"
)

const (
	// tripAfter is how many calls to the queue in a row must fail before requests are refused without a call. One may be an accident;
	// one that got no answer at all trips the gate alone, for each further one would cost its requests the whole time-out.
	tripAfter = 3
	// shutFor is how long they are refused before one call finds out whether the queue is back. SDKs wait at least as long.
	shutFor = time.Second
)

// gate keeps requests from waiting for a queue that is away: each would wait for the whole time-out, and be refused then. The
// zero value is open. It may be used by several goroutines at the same time.
type gate struct {
	mu       sync.Mutex
	failures int
	until    time.Time // shut until then; then a probe is due
	probing  bool
}

// shut reports whether a request is to be refused.
func (g *gate) shut(now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.failures == tripAfter && (g.probing || now.Before(g.until))
}

// begin asks to call the queue; whoever may must tell the outcome. While the gate is shut, one may when the time is over.
func (g *gate) begin(now time.Time) (ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.failures < tripAfter {
		return true
	}
	if g.probing || now.Before(g.until) {
		return false
	}
	g.probing = true
	return true
}

// end tells the outcome of a call that began; hung is that it failed because no answer came.
func (g *gate) end(now time.Time, failed, hung bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.probing = false
	if !failed {
		g.failures = 0
		return
	}
	switch {
	case hung:
		g.failures = tripAfter
	case g.failures < tripAfter:
		g.failures++
	}
	g.until = now.Add(shutFor)
}
