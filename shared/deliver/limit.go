package deliver

import "sync"

// concurrencyLimit is how many batches an environment may have under way. It behaves as TCP's
// congestion window does (RFC 5681): each success raises it, and when Segment throttles or is down
// it begins again at one. So a Segment that is back gets one batch of each environment, and then as
// many as it can take. It is a policy without clock and I/O.
type concurrencyLimit struct {
	mu        sync.Mutex
	limit     float64
	threshold float64 // up to here every success adds one; above, as many successes as the limit do
	most      float64
}

func newConcurrencyLimit(most int) *concurrencyLimit {
	return &concurrencyLimit{limit: float64(most), threshold: float64(most), most: float64(most)}
}

// grow notes a batch that Segment took.
func (l *concurrencyLimit) grow() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.limit < l.threshold {
		l.limit++
	} else {
		l.limit += 1 / l.limit
	}
	l.limit = min(l.limit, l.most)
}

// cut begins again at one, and remembers half of what was too much.
func (l *concurrencyLimit) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.threshold = max(1, l.limit/2)
	l.limit = 1
}

// allows reports whether one more batch may be under way beside n.
func (l *concurrencyLimit) allows(n int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return float64(n) < l.limit
}
