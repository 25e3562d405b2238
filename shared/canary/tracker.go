package canary

import (
	"net/http"
	"sync"
	"time"
)

// A Watch knows when the canary was last heard of. It may be used by several goroutines at the same
// time.
type Tracker struct {
	mu        sync.Mutex
	began     time.Time
	sent      int64 // accepted by the door
	shed      int64 // answered 429
	refused   int64 // answered otherwise
	delivered int64
	last      Status
	failure   error
}

// Heard is what is known of the canary.
type Status struct {
	At      time.Time     // when the last one came through; zero: none has
	Latency time.Duration // of that one, from the door to the end
	Missing bool          // none for longer than Silence
	Failure error         // why the last one was not accepted; nil: it was
	// Sent were accepted by the door, and UnderWay are those of them that have not come through;
	// Shed were answered 429, and Refused with another status. Who counts what people do subtracts
	// them.
	Sent, UnderWay, Throttled, Refused int64
}

// NewWatch begins to watch.
func NewTracker() *Tracker { return &Tracker{began: time.Now()} }

// Sent notes what the door said.
func (w *Tracker) RecordSent(r Result) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failure = r.Err
	switch {
	case r.Err == nil:
		w.sent++
	case r.Status == http.StatusTooManyRequests:
		w.shed++
	case r.Status >= http.StatusBadRequest:
		w.refused++
	}
}

// Delivered notes canaries that came through, by how long each took: deliver.Summary.Canary.
func (w *Tracker) RecordDelivered(latencies []time.Duration) {
	if len(latencies) == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.delivered += int64(len(latencies))
	w.last.At, w.last.Latency = time.Now(), latencies[len(latencies)-1]
}

// Heard is how it stands.
func (w *Tracker) Status() Status {
	w.mu.Lock()
	defer w.mu.Unlock()
	h := w.last
	h.Failure, h.Sent, h.UnderWay, h.Throttled, h.Refused = w.failure, w.sent, max(0, w.sent-w.delivered), w.shed, w.refused
	since := w.began
	if h.At.After(since) {
		since = h.At
	}
	h.Missing = time.Since(since) > MissingAfter
	return h
}
