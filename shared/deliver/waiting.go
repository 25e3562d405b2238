package deliver

import (
	"sync"
	"time"
)

// waiting remembers the oldest message that this environment has retained, until it is due again.
// In a long outage all messages are due together, once in 15 minutes. In between nothing is
// received but what is new, and without this the backlog would look young. The zero value is ready.
// It is safe for concurrent use.
type waiting struct {
	mu          sync.Mutex
	seen, until time.Time // until is zero: there is none
}

// add remembers a message that was seen at a time and is retained until another. Nothing is
// remembered of one whose time is zero: it does not count.
func (w *waiting) add(seen, until, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !seen.IsZero() && (!now.Before(w.until) || seen.Before(w.seen)) {
		w.seen, w.until = seen, until
	}
}

// age is that of the message; 0: there is none.
func (w *waiting) age(now time.Time) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !now.Before(w.until) {
		return 0
	}
	return since(w.seen, now)
}
