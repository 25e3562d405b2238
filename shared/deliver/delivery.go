package deliver

import (
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/message"
)

// delivery is the state of one message while it is delivered.
type delivery struct {
	record
	content message.Content
	ownKey  string // the write key that the body carries; a dead letter carries no other
	canary  bool
	taken   time.Time // when the invocation came to it

	// The events that may go to Segment, identified, with their places in the message and their
	// dispositions.
	events       [][]byte
	index        []int
	dispositions []Disposition

	deadLetters []message.DeadLetter // to be written when all other events are final
	problems    []*event.Problem     // of the events in the first dead letters
	omitted     event.Omissions      // fields that were left out of the events and their batch
	failure     *failure             // why the message is retained, nil if it is not
	parts       int                  // that are not settled

	spliced []byte // a buffer
}

// read decodes a record. Whatever is wrong with it becomes a dead letter; no body can stop the
// delivery of the others. It reports whether it panicked.
func (m *delivery) read(rec *record, d *message.Decoder, defaultKey string, p *packer) (panicked bool) {
	defer func() {
		if p := recover(); p != nil {
			panicked = true
			m.content.Events = m.content.Events[:0]
			m.events, m.index, m.dispositions = m.events[:0], m.index[:0], m.dispositions[:0]
			m.deadLetters = m.deadLetters[:0]
			m.putWhole(message.ReasonPanic, fmt.Sprintf("%v\n%s", p, debug.Stack()))
		}
	}()
	m.reset(rec)
	if err := d.Decode(m.body, &m.content); err != nil {
		reason := message.ReasonUndecodable
		if undecodable, ok := errors.AsType[*message.DecodeError](err); ok {
			reason = undecodable.Reason
		}
		m.content.Events = m.content.Events[:0]
		m.putWhole(reason, err.Error())
		return false
	}
	c := &m.content
	if origin, ok := event.ParseOrigin(m.origin); ok && !c.HasOrigin {
		c.Origin = origin
	}
	m.ownKey = c.WriteKey
	switch {
	case c.WriteKey == "":
		c.WriteKey = defaultKey
	case !event.ValidWriteKey(c.WriteKey): // Segment would answer 200 and drop the events
		m.putWhole(message.ReasonInvalid, event.InvalidWriteKey.Error())
		return false
	}
	if c.WriteKey == "" {
		m.failure = newFailure(reasonNoWriteKey, nil)
		return false
	}
	m.omitted.Add(c.Omitted)
	if p.roomFor(&c.Header) == 0 {
		m.omitted.Add(c.LeaveRoom())
	}
	m.identify()
	return false
}

// reset begins the delivery of a record, and takes its buffer in exchange for the delivery's own.
func (m *delivery) reset(rec *record) {
	spare := m.buffer
	*m = delivery{record: *rec, content: m.content, events: m.events[:0], index: m.index[:0],
		dispositions: m.dispositions[:0], deadLetters: m.deadLetters[:0], problems: m.problems[:0],
		spliced: m.spliced[:0]}
	rec.buffer = spare
}

// identify gives each event a messageId and a timestamp where it has none, the same at every
// receive, and separates the events that Segment would not take.
func (m *delivery) identify() {
	at := m.cameIn()
	if at.IsZero() {
		at = time.Now()
	}
	id := m.id()
	// The buffer must not move once events are slices of it. While it is written, an event may be
	// longer than in the end.
	need := 0
	for i := range m.content.Events {
		if e := &m.content.Events[i]; !e.Identified() {
			need += len(e.Raw) + len(`"messageId":"","timestamp":"",`) + len(id) + 6 + len(event.TimeFormat)
		}
	}
	if cap(m.spliced) < need {
		m.spliced = make([]byte, 0, need)
	}
	for i := range m.content.Events {
		e := &m.content.Events[i]
		raw, problem := e.Raw, e.Problem
		if !e.Identified() {
			from := len(m.spliced)
			var omitted event.Omitted
			m.spliced, omitted = e.AppendIdentified(m.spliced, message.EventID(id, i), at)
			m.omitted.Add(omitted)
			raw = m.spliced[from:len(m.spliced):len(m.spliced)]
		}
		if problem != nil {
			m.putInvalid(i, raw, problem)
			continue
		}
		m.events = append(m.events, raw)
		m.index = append(m.index, i)
		m.dispositions = append(m.dispositions, Retried)
	}
}

// settle records the disposition of an event.
func (m *delivery) settle(i int, d Disposition, f *failure) {
	switch d {
	case Retried:
		// A message with an event that was not tried does not expire.
		if m.failure == nil || m.failure.reason != reasonNoTime {
			m.failure = f
		}
		return
	case DeadLettered:
		m.putRejected(i, f)
	case Delivered:
	}
	m.dispositions[i] = d
}

// cameIn is when the events came in for the first time, even if they have been a dead letter since.
func (m *delivery) cameIn() time.Time {
	switch {
	case !m.content.ReceivedAt.IsZero():
		return m.content.ReceivedAt
	case !m.firstSeen.IsZero():
		return m.firstSeen
	}
	return m.sent
}

// seen is when the events came in: at the ingest endpoint, or when SQS got them. A redriven message
// counts from its redrive.
func (m *delivery) seen() time.Time {
	if m.redriven != "" || m.content.ReceivedAt.IsZero() {
		return m.sent
	}
	return m.content.ReceivedAt
}

// scheduled is the minute for which the i-th delivered canary was sent. That is its timestamp,
// rounded, because ingest has converted it to its own clock. Without one that a canary can have it
// is the present minute.
func (m *delivery) scheduled(i int, now time.Time) time.Time {
	minute := now.Truncate(time.Minute)
	for j, raw := range m.events {
		if m.dispositions[j] != Delivered {
			continue
		}
		if i--; i >= 0 {
			continue
		}
		eachField(raw, func(key, value []byte) {
			if string(key) != "timestamp" {
				return
			}
			if at, ok := event.ParseTime(value); ok && at.Sub(now) < time.Minute && now.Sub(at) < MaxAge {
				minute = at.Round(time.Minute)
			}
		})
		break
	}
	return minute
}

// count is the number of events, one for a message that could not be read.
func (m *delivery) count() int { return max(1, len(m.content.Events)) }

// since is the time from seen to now; 0 when seen is unknown or, by another clock, later than now.
func since(seen, now time.Time) time.Duration {
	if seen.IsZero() {
		return 0
	}
	return max(0, now.Sub(seen))
}
