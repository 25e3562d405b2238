package segmentd

import (
	"maps"
	"strings"
	"sync"
	"time"
)

// Stats are the counts of a Server since New or the last POST /_segmentd/reset.
type Stats struct {
	// Requests to the Tracking API that were answered or aborted. Those under way are in InFlight.
	Requests int64 `json:"requests"`
	// ByStatus are the answers by status, without aborted requests.
	ByStatus map[int]int64 `json:"byStatus"`
	// Aborted are requests that got no whole answer: reset, hung, or half answered.
	Aborted int64 `json:"aborted"`

	// Received are the accepted events: Distinct + Duplicates + WithoutMessageID.
	Received int64 `json:"received"`
	// Distinct are events whose messageId was not among the last 500,000 to 1,000,000 distinct
	// ones.
	Distinct         int64 `json:"distinct"`
	Duplicates       int64 `json:"duplicates"`
	WithoutMessageID int64 `json:"withoutMessageId"`

	// Rejected are events (an empty batch counts 1) answered 200 and not accepted, by code.
	Rejected map[string]int64 `json:"rejected"`
	// Refused are requests answered 400 by Segment's rules, not by the script, by code.
	Refused map[string]int64 `json:"refused"`

	// WireBytes are the bytes of bodies as sent, BodyBytes those after decompression. Headers are
	// not counted.
	WireBytes int64 `json:"wireBytes"`
	BodyBytes int64 `json:"bodyBytes"`

	// Connections are those opened, counted where Serve or ConnState sees them.
	Connections  int64 `json:"connections"`
	InFlight     int64 `json:"inFlight"`
	PeakInFlight int64 `json:"peakInFlight"`
}

// recorder stores the received events and the counts. It is safe for concurrent use.
type recorder struct {
	onEvent   func(Received)
	onEventMu sync.Mutex // one call at a time; never taken while mu is held

	mu    sync.Mutex
	stats Stats
	ids   idSet
	ring  ring
}

func newRecorder(limit int, onEvent func(Received)) *recorder {
	return &recorder{onEvent: onEvent, stats: newStats(), ids: newIDSet(idGeneration), ring: ring{limit: limit}}
}

func newStats() Stats {
	return Stats{ByStatus: map[int]int64{}, Rejected: map[string]int64{}, Refused: map[string]int64{}}
}

// accept counts the batch's events and records those that are not rejected.
func (r *recorder) accept(b *batch, known map[string]bool, path string, now time.Time) {
	if b.rejected != "" {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.stats.Rejected[b.rejected] += int64(max(b.rejectedEvents, 1))
		return
	}
	for i := range b.events {
		e := &b.events[i]
		if b.writeKey != "" {
			e.writeKey = b.writeKey
		}
		switch {
		case e.writeKey == "":
			e.code = codeNoWriteKey
		case known != nil && !known[e.writeKey], !canBeWriteKey(e.writeKey):
			e.code = codeUnknownWriteKey
		}
	}
	shared := &origin{
		path:         path, // not a substring of the body
		writeKey:     strings.Clone(b.writeKey),
		sentAt:       strings.Clone(b.sentAt),
		context:      strings.Clone(b.context),
		integrations: strings.Clone(b.integrations),
	}
	r.record(b, shared, now)
	if r.onEvent != nil {
		r.tell(b, shared, now)
	}
}

// record takes the lock once for a batch, not once for an event.
func (r *recorder) record(b *batch, shared *origin, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range b.events {
		e := &b.events[i]
		if e.code != "" {
			r.stats.Rejected[e.code]++
			continue
		}
		r.stats.Received++
		switch {
		case e.messageID == "":
			r.stats.WithoutMessageID++
		case r.ids.add(e.messageID):
			r.stats.Distinct++
		default:
			r.stats.Duplicates++
		}
		r.ring.add(e, shared, now)
	}
}

// tell calls the callback with copies of the events, which it may retain.
func (r *recorder) tell(b *batch, shared *origin, now time.Time) {
	r.onEventMu.Lock()
	defer r.onEventMu.Unlock()
	for i := range b.events {
		if e := &b.events[i]; e.code == "" {
			r.onEvent(shared.received(e.raw, e.messageID, e.writeKey, e.sentAt, now))
		}
	}
}

func (r *recorder) begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stats.InFlight++
	r.stats.PeakInFlight = max(r.stats.PeakInFlight, r.stats.InFlight)
}

// end counts a request's answer; status 0 means that the client got no whole answer.
func (r *recorder) end(status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stats.InFlight--
	r.stats.Requests++
	if status == 0 {
		r.stats.Aborted++
		return
	}
	r.stats.ByStatus[status]++
}

func (r *recorder) bytes(wire, body int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stats.WireBytes += int64(wire)
	r.stats.BodyBytes += int64(body)
}

func (r *recorder) refused(code string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stats.Refused[code]++
}

func (r *recorder) opened() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stats.Connections++
}

func (r *recorder) snapshot() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.stats
	s.ByStatus, s.Rejected, s.Refused = maps.Clone(s.ByStatus), maps.Clone(s.Rejected), maps.Clone(s.Refused)
	return s
}

func (r *recorder) events(q Query) []Received {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ring.find(q)
}

func (r *recorder) reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	inFlight := r.stats.InFlight
	r.stats = newStats()
	r.stats.InFlight, r.stats.PeakInFlight = inFlight, inFlight
	r.ids = newIDSet(idGeneration)
	r.ring = ring{limit: r.ring.limit}
}
