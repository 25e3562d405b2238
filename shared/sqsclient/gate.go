package sqsclient

import (
	"sync"
	"time"
)

const (
	// tripAfter is how many calls to the queue in a row must fail before callers are refused
	// without a call. One may be an accident; one that got no answer at all trips the gate alone,
	// for each further one would cost its caller the whole time-out.
	tripAfter = 3
	// ShutFor is how long a [Gate] stays shut before one call finds out whether the queue is back.
	// SDKs that the door refused wait at least as long.
	ShutFor = time.Second
)

// A Gate keeps callers from waiting for a queue that is away: each would wait for the whole
// time-out, and fail then. The zero value is open. It may be used by several goroutines at the same
// time.
type Gate struct {
	mu       sync.Mutex
	failures int
	until    time.Time // shut until then; then a probe is due
	probing  bool
}

// Shut reports whether a caller is to be refused.
func (g *Gate) Shut(now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.failures == tripAfter && (g.probing || now.Before(g.until))
}

// Begin asks to call the queue; whoever may must tell the outcome. While the gate is shut, one may
// when the time is over.
func (g *Gate) Begin(now time.Time) (ok bool) {
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

// End tells the outcome of a call that began; hung is that it failed because no answer came.
func (g *Gate) End(now time.Time, failed, hung bool) {
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
	g.until = now.Add(ShutFor)
}
