package canary

import (
	"sync"
	"time"
)

// A Watch knows when the canary was last heard of. It may be used by several goroutines at the same time.
type Watch struct {
	mu        sync.Mutex
	began     time.Time
	sent      int64 // accepted by the door
	delivered int64
	last      Heard
	failure   error
}

// Heard is what is known of the canary.
type Heard struct {
	At      time.Time     // when the last one came through; zero: none has
	Latency time.Duration // of that one, from the door to the end
	Silent  bool          // none for longer than Silence
	Failure error         // why the last one was not accepted; nil: it was
	// UnderWay are those that were accepted and have not come through. Who counts what people sent subtracts Sent, and UnderWay from
	// what waits.
	Sent, UnderWay int64
}

// NewWatch begins to watch.
func NewWatch() *Watch { return &Watch{began: time.Now()} }

// Sent notes what the door said.
func (w *Watch) Sent(r Result) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failure = r.Err
	if r.Err == nil {
		w.sent++
	}
}

// Delivered notes canaries that came through, by how long each took: deliver.Summary.Canary.
func (w *Watch) Delivered(latencies []time.Duration) {
	if len(latencies) == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.delivered += int64(len(latencies))
	w.last.At, w.last.Latency = time.Now(), latencies[len(latencies)-1]
}

// Heard is how it stands.
func (w *Watch) Heard() Heard {
	w.mu.Lock()
	defer w.mu.Unlock()
	h := w.last
	h.Failure, h.Sent, h.UnderWay = w.failure, w.sent, max(0, w.sent-w.delivered)
	since := w.began
	if h.At.After(since) {
		since = h.At
	}
	h.Silent = time.Since(since) > Silence
	return h
}
