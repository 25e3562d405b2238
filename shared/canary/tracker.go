package canary

import (
	"net/http"
	"sync"
	"time"
)

// A Tracker records which canaries were accepted and delivered. It is safe for concurrent use.
type Tracker struct {
	mu        sync.Mutex
	began     time.Time
	delivered int64
	status    Status
}

// Status describes the canaries since the Tracker was made.
type Status struct {
	At      time.Time     // when the last one was delivered; zero: none was
	Latency time.Duration // of that one, from the ingest endpoint to its delivery
	Missing bool          // none was delivered for longer than MissingAfter
	Failure error         // why the last one was not accepted; nil: it was
	// Sent were accepted by the ingest endpoint, and Pending are those of them that were not
	// delivered yet. Throttled were answered 429, and Refused another error status. A count of what
	// users send must leave them out.
	Sent, Pending, Throttled, Refused int64
}

// NewTracker returns a Tracker. The time without a canary counts from now.
func NewTracker() *Tracker { return &Tracker{began: time.Now()} }

// RecordSent records the answer of the ingest endpoint.
func (t *Tracker) RecordSent(r Result) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.status.Failure = r.Err
	switch {
	case r.Err == nil:
		t.status.Sent++
	case r.Status == http.StatusTooManyRequests:
		t.status.Throttled++
	case r.Status >= http.StatusBadRequest:
		t.status.Refused++
	}
}

// RecordDelivered records delivered canaries by their latencies (deliver's Report.CanaryAges).
func (t *Tracker) RecordDelivered(latencies []time.Duration) {
	if len(latencies) == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.delivered += int64(len(latencies))
	t.status.At, t.status.Latency = time.Now(), latencies[len(latencies)-1]
}

// Status returns the status now.
func (t *Tracker) Status() Status {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.status
	s.Pending = max(0, s.Sent-t.delivered)
	since := t.began
	if s.At.After(since) {
		since = s.At
	}
	s.Missing = time.Since(since) > MissingAfter
	return s
}
