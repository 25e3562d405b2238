package deliver

import (
	"math"
	"sync"

	"github.com/spillwayhq/spillway/shared/event"
)

// leastShare is what the smallest batch counts, as a part of a full one. With a thousand write keys
// that send little, each batch has one event: eight of these at a time would take longer than a
// thousand events take to come in.
const leastShare = 1.0 / 8

// shareOf is what a batch of so many bytes of events counts: 1 when it is full, and else a multiple
// of leastShare, so that sums are exact.
func shareOf(size int) float64 {
	return min(1, leastShare*max(1, math.Ceil(float64(size)/(leastShare*event.MaxBatchBytes))))
}

// concurrencyLimit is how many full batches an environment may have under way, or up to eight times
// as many small ones: they take as much memory. Like TCP's congestion window (RFC 5681) it grows
// with each success, and begins again at one batch when Segment throttles or is down. So after an
// outage Segment gets one batch from each environment, and then as many as it accepts. It is a
// policy without clock and I/O.
type concurrencyLimit struct {
	mu        sync.Mutex
	limit     float64
	threshold float64 // below it every success adds its share; above it, as many as the limit add one
	most      float64
}

func newConcurrencyLimit(most int) *concurrencyLimit {
	return &concurrencyLimit{limit: float64(most), threshold: float64(most), most: float64(most)}
}

// grow is called after a batch of that share that Segment accepted.
func (l *concurrencyLimit) grow(share float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.limit < l.threshold {
		l.limit += share
	} else {
		l.limit += share / max(1, l.limit)
	}
	l.limit = min(l.limit, l.most)
}

// cut sets the limit to one batch, however small, and the threshold to half of the limit that was
// too high.
func (l *concurrencyLimit) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.threshold = max(leastShare, l.limit/2)
	l.limit = leastShare
}

// allows reports whether one more batch may be under way beside some that count so much.
func (l *concurrencyLimit) allows(underWay float64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return underWay < l.limit
}
