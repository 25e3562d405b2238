package deliver

import "sync"

// concurrencyLimit is how many batches an environment may have under way. Like TCP's congestion
// window (RFC 5681) it grows with each success, and begins again at one when Segment throttles or
// is down. So after an outage Segment gets one batch from each environment, and then as many as it
// accepts. It is a policy without clock and I/O.
type concurrencyLimit struct {
	mu        sync.Mutex
	limit     float64
	threshold float64 // below it every success adds one; above it, as many successes as the limit add one
	most      float64
}

func newConcurrencyLimit(most int) *concurrencyLimit {
	return &concurrencyLimit{limit: float64(most), threshold: float64(most), most: float64(most)}
}

// grow is called after a batch that Segment accepted.
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

// cut sets the limit to one, and the threshold to half of the limit that was too high.
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
