package deliver

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"slices"
	"time"

	"github.com/spillwayhq/spillway/shared/segment"
)

// A Report is what became of one invocation. Every event is counted once: Events + CanaryEvents =
// Delivered + len(CanaryAges) + the sum of Retried + the sum of DeadLettered. A body that can't be
// read counts as one event; one that was not read because the breaker is open counts as many as its
// message's attribute says, or one.
type Report struct {
	Messages, Events int
	Delivered        int
	Retried          map[string]int  // by segment.Class: events of messages that stay in the queue
	DeadLettered     map[string]int  // by reason
	Ages             []time.Duration // of each message: since its events came in
	Flushes          []Flush         // attempts, in the order of their ends
	DeadLetterErrors int             // times that dead letters could not be written
	VisibilityErrors int             // times that messages could not be hidden
	AllFailed        bool            // not one message is done, but for those that Segment was not to get
	BreakerOpen      bool            // Segment is taken to be down when the invocation ends
	Misconfigured    []string        // the write keys, by KeyID, that Segment or the configuration refuses
	Duration         time.Duration

	// Canaries are not in Events and Delivered, so that they never make a standstill look alive. In
	// Retried and DeadLettered they are: what stops a canary stops what people send.
	CanaryEvents int             // that came in
	CanaryAges   []time.Duration // of each that was delivered: since it came in, 0 when nothing says when that was

	failures int
	endHere  int // messages that Segment was not to get
}

// A Flush is one attempt.
type Flush struct {
	Events  int
	Latency time.Duration
	Class   segment.Class
}

func newSummary() Report {
	return Report{Retried: map[string]int{}, DeadLettered: map[string]int{}}
}

func (s *Report) took(events int, seen, now time.Time) {
	s.Messages++
	s.Events += events
	if !seen.IsZero() {
		s.Ages = append(s.Ages, since(seen, now))
	}
}

func (s *Report) flushed(events int, latency time.Duration, err *segment.Error) {
	class := segment.Delivered
	if err != nil {
		class = err.Class
	}
	s.Flushes = append(s.Flushes, Flush{Events: events, Latency: latency, Class: class})
}

func (s *Report) stays(m *stay) {
	s.Retried[m.why.Class.String()] += m.events
	s.failures++
	s.AllFailed = s.failures == s.Messages-s.endHere
	if m.why.Class != segment.Misconfigured {
		return
	}
	if id := KeyID(m.writeKey); !slices.Contains(s.Misconfigured, id) {
		s.Misconfigured = append(s.Misconfigured, id)
	}
}

// KeyID names a write key in logs without giving it away: the beginning of its SHA-256, "none" for
// no key.
func KeyID(writeKey string) string {
	if writeKey == "" {
		return "none"
	}
	return digest(writeKey, 4)
}

// digest is the first n bytes of the text's SHA-256, in hexadecimal digits.
func digest(text string, n int) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:n])
}

// log writes a line for the invocation: counts and times, nothing of an event.
func (h *Handler) log(s *Report) {
	level, oldest, slowest := slog.LevelInfo, time.Duration(0), time.Duration(0)
	for _, age := range s.Ages {
		oldest = max(oldest, age)
	}
	for _, f := range s.Flushes {
		slowest = max(slowest, f.Latency)
	}
	state := breakerClosed
	if s.BreakerOpen {
		state = breakerOpen
	}
	if len(s.Retried) > 0 || len(s.DeadLettered) > 0 || s.DeadLetterErrors > 0 || s.VisibilityErrors > 0 {
		level = slog.LevelWarn
	}
	h.Logger.Log(context.Background(), level, "delivered", "messages", s.Messages, "events", s.Events, "delivered",
		s.Delivered, "canaries_delivered", len(s.CanaryAges), "retried", s.Retried,
		"dead_lettered", s.DeadLettered, "flushes", len(s.Flushes), "slowest_flush_ms", slowest.Milliseconds(),
		"oldest_ms", oldest.Milliseconds(), "duration_ms", s.Duration.Milliseconds(), "breaker", state, "misconfigured_keys",
		s.Misconfigured)
}
