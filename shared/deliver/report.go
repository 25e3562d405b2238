package deliver

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"slices"
	"time"

	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/rawjson"
	"github.com/spillwayhq/spillway/shared/segment"
)

// A Report is the result of one invocation. Every event is counted once: Events + CanaryEvents =
// Delivered + len(CanaryAges) + CanariesDropped + the sum of Retried + the sum of DeadLettered. A
// body that can't be read counts as one event; one that was not read because the breaker is open
// counts as many as its attribute Event-Count says, or one.
type Report struct {
	Messages, Events int
	Delivered        int
	Retried          map[string]int // of messages that are retained, by segment.Class, Paused, Paced or NotArchived
	Causes           map[string]int // those that are neither paused nor paced, by the cause for people; quotes no event
	DeadLettered     map[string]int // by reason
	Omitted          map[string]int // fields that were left out, by event.Omissions' names; of messages that are done

	// Where the records of the events that have ended went, if there is an archive: into it; to the
	// bulk queue, in archive-only messages; or neither, so that their messages are retained and the
	// events are among Retried, unless their records would be too large (maxRepeated). Those of
	// archive-only messages are counted too, but in nothing else.
	Archived, ArchiveDeferred, NotArchived int

	// Ages are those of the messages that were delivered or are retained, since their events came
	// in. A redriven message has none, and neither has one that waits, or has waited until lately,
	// for its write key to be corrected or resumed: they are no backlog.
	Ages []time.Duration
	// BulkAges are those of the bulk queue's messages that were delivered or are retained, since
	// they were sent to that queue. None of them is in Ages, Waiting or a count of senders.
	BulkAges         []time.Duration
	Waiting          time.Duration // age of the oldest message that an earlier invocation retained and that is not due yet
	Flushes          []Flush       // attempts, in the order of their ends
	DeadLetterErrors int           // times that dead letters could not be written
	VisibilityErrors int           // times that visibility could not be changed
	Panics           int           // that were caught: of decoding a message, or of an attempt
	BreakerOpen      bool          // Segment is considered down when the invocation ends
	Misconfigured    []string      // the write keys, by event.KeyID, that Segment or the configuration refuses
	Paused           []Pause       // that last when the invocation ends, in no order
	Duration         time.Duration

	// Events and Delivered do not include canaries, because canaries alone must not look like
	// traffic. Retried and DeadLettered include them, because what stops a canary stops other
	// events too.
	CanaryEvents int             // that came in
	CanaryAges   []time.Duration // of each that was delivered: since it came in, 0 when that is unknown
	CanaryTimes  []time.Time     // of the same: the minute for which it was sent, which is its timestamp
	// CanariesDropped are those that Config.DropCanary chose.
	CanariesDropped int
}

// A Flush is one attempt to send a batch.
type Flush struct {
	Events  int
	Latency time.Duration
	Class   segment.Class
	Bulk    bool // all of them are of the bulk queue
}

func newReport() Report {
	return Report{Retried: map[string]int{}, DeadLettered: map[string]int{}}
}

func (r *Report) received(events int) {
	r.Messages++
	r.Events += events
}

// aged counts a message to the backlog of its queue, unless it does not count or it is unknown when
// it came in.
func (r *Report) aged(rec *record, seen, now time.Time) {
	switch {
	case rec.bulk && !rec.sent.IsZero():
		r.BulkAges = append(r.BulkAges, since(rec.sent, now))
	case !seen.IsZero():
		r.Ages = append(r.Ages, since(seen, now))
	}
}

func (r *Report) omitted(n *event.Omissions) {
	for field, count := range n.ByField() {
		if r.Omitted == nil {
			r.Omitted = map[string]int{}
		}
		r.Omitted[field] += count
	}
}

func (r *Report) attempted(events int, bulk bool, latency time.Duration, f *failure) {
	class := segment.Delivered
	if f != nil {
		class = f.class
	}
	r.Flushes = append(r.Flushes, Flush{Events: events, Latency: latency, Class: class, Bulk: bulk})
}

func (r *Report) retained(m *retained) {
	if m.archiveOnly {
		return
	}
	as := m.failure.counted(m.bulk)
	r.Retried[as] += m.events
	if as == Paused || as == Paced {
		return
	}
	if r.Causes == nil {
		r.Causes = map[string]int{}
	}
	r.Causes[m.failure.summary()] += m.events
	if as != segment.Misconfigured.String() {
		return
	}
	if id := event.KeyID(m.writeKey); !slices.Contains(r.Misconfigured, id) {
		r.Misconfigured = append(r.Misconfigured, id)
	}
}

// log writes a line for the invocation, with counts and times only.
func (r *Report) log(ctx context.Context, to *slog.Logger) {
	level, oldest, slowest := slog.LevelInfo, r.Waiting, time.Duration(0)
	for _, age := range r.Ages {
		oldest = max(oldest, age)
	}
	for _, f := range r.Flushes {
		slowest = max(slowest, f.Latency)
	}
	breaker := "closed"
	if r.BreakerOpen {
		breaker = "open"
	}
	if len(r.Retried) > 0 || len(r.DeadLettered) > 0 || r.DeadLetterErrors > 0 || r.VisibilityErrors > 0 ||
		r.ArchiveDeferred > 0 || r.NotArchived > 0 {
		level = slog.LevelWarn
	}
	to.Log(ctx, level, "delivered", "messages", r.Messages, "events", r.Events,
		"delivered", r.Delivered, "canaries_delivered", len(r.CanaryAges), "canaries_dropped", r.CanariesDropped,
		"retried", r.Retried, "dead_lettered", r.DeadLettered, "fields_omitted", r.Omitted, "flushes", len(r.Flushes),
		"slowest_flush_ms",
		slowest.Milliseconds(),
		"oldest_ms", oldest.Milliseconds(), "duration_ms", r.Duration.Milliseconds(), "breaker", breaker,
		"misconfigured_keys", r.Misconfigured,
		"archived", r.Archived, "archive_deferred", r.ArchiveDeferred, "not_archived", r.NotArchived)
}

// response is the partial batch response that tells Lambda which messages to leave in the queue.
func response(messages []retained) []byte {
	response := []byte(`{"batchItemFailures":[`)
	for i := range messages {
		if i > 0 {
			response = append(response, ',')
		}
		response = append(response, `{"itemIdentifier":`...)
		response = rawjson.AppendQuoted(response, messages[i].messageID)
		response = append(response, '}')
	}
	return append(response, "]}"...)
}

// digest is the first n bytes of the text's SHA-256, in hexadecimal digits.
func digest(text string, n int) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:n])
}
