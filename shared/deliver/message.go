package deliver

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/rawjson"
	"github.com/spillwayhq/spillway/shared/segment"
)

// delivery is a queue message on its way: its events, and what is known of their fates.
type delivery struct {
	record
	text    []byte // the body without the payload's escapes
	content message.Content
	ownKey  string // the write key that the body carries; a dead letter carries no other

	// The events that may go to Segment, identified, with their places in the message and what
	// became of each.
	events [][]byte
	index  []int
	fates  []fate

	letters []refusal      // of events that can't be delivered, to be written when the others are final
	waits   *segment.Error // why some of it stays in the queue, nil if nothing does
	parts   int            // under way

	unescaped, spliced []byte // buffers
}

// fate is what became of an event that may go to Segment.
type fate uint8

const (
	waiting   fate = iota // it was not tried, or failed for now
	delivered             // Segment has it
	inLetter              // it is to be written as a dead letter
)

// errNoWriteKey holds back messages that carry no write key while none is configured: their events
// are all right.
var errNoWriteKey = &segment.Error{Class: segment.Misconfigured,
	Err: errors.New("the message has no write key and none is configured")}

// read takes a record apart. Whatever is wrong with it becomes a letter; nothing that stands in a
// body can stop the others.
func (m *delivery) read(rec *record, d *message.Decoder, defaultKey string, p *packer) {
	defer func() {
		if p := recover(); p != nil {
			m.content.Events = m.content.Events[:0]
			m.events, m.index, m.fates = m.events[:0], m.index[:0], m.fates[:0]
			m.letters = append(m.letters[:0], m.whole(message.ReasonPanic, fmt.Sprintf("%v\n%s", p, debug.Stack())))
		}
	}()
	*m = delivery{record: *rec, content: m.content, events: m.events[:0], index: m.index[:0], fates: m.fates[:0],
		letters:   m.letters[:0],
		unescaped: m.unescaped[:0], spliced: m.spliced[:0]}
	m.unwrap()
	if err := d.Decode(m.text, &m.content); err != nil {
		var unreadable *message.DecodeError
		reason := message.ReasonUndecodable
		if errors.As(err, &unreadable) {
			reason = unreadable.Reason
		}
		m.content.Events = m.content.Events[:0]
		m.letters = append(m.letters, m.whole(reason, err.Error()))
		return
	}
	c := &m.content
	if origin, ok := event.ParseOrigin(m.origin); ok && !c.HasOrigin {
		c.Origin = origin
	}
	m.ownKey = c.WriteKey
	if c.WriteKey == "" {
		c.WriteKey = defaultKey
	}
	if c.WriteKey == "" {
		m.waits = errNoWriteKey
		return
	}
	if p.roomFor(&c.Header) == 0 {
		m.letters = append(m.letters,
			m.whole(message.ReasonTooLarge, "the batch's context and integrations leave no room for its events"))
		return
	}
	m.identify()
}

// unwrap takes the body out of the payload's JSON string.
func (m *delivery) unwrap() {
	if len(m.body) == 0 {
		return
	}
	m.text = m.body[1 : len(m.body)-1]
	if bytes.IndexByte(m.text, '\\') >= 0 {
		m.unescaped = rawjson.AppendUnescaped(m.unescaped[:0], m.text)
		m.text = m.unescaped
	}
}

// identify gives each event a messageId and a timestamp where it has none, the same at every
// receive, and sorts out what Segment would not take.
func (m *delivery) identify() {
	sent := m.sent
	if !m.firstSeen.IsZero() {
		sent = m.firstSeen
	}
	if sent.IsZero() {
		sent = time.Now()
	}
	id := m.id()
	// The buffer must not move once events are slices of it.
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
			m.spliced = e.AppendIdentified(m.spliced, message.EventID(id, i), sent)
			raw = m.spliced[from:len(m.spliced):len(m.spliced)]
			if problem == nil && len(raw) > event.MaxEventBytes {
				problem = event.TooLarge
			}
		}
		if problem != nil {
			m.refuse(i, raw, problem)
			continue
		}
		m.events = append(m.events, raw)
		m.index = append(m.index, i)
		m.fates = append(m.fates, waiting)
	}
}

// id names the message in messageIds and letters. One that is sent again after it was a dead letter
// keeps its name, for SQS gives it another, and its events are to be the same however often that
// happens.
func (m *delivery) id() string { return message.StableID(cmp.Or(m.redriven, m.messageID)) }

// cameIn is when the events came in for the first time, also if they have been a dead letter since.
func (m *delivery) cameIn() time.Time {
	switch {
	case !m.content.ReceivedAt.IsZero():
		return m.content.ReceivedAt
	case !m.firstSeen.IsZero():
		return m.firstSeen
	}
	return m.sent
}

// seen is when the events came in: at Spillway's door, or when SQS got them. What was a dead letter
// is as young as when it was sent again: an old one is no backlog.
func (m *delivery) seen() time.Time {
	if m.redriven != "" || m.content.ReceivedAt.IsZero() {
		return m.sent
	}
	return m.content.ReceivedAt
}

// age is how long ago the events came in; 0 when nothing says.
func (m *delivery) age(now time.Time) time.Duration {
	if m.seen().IsZero() {
		return 0
	}
	return since(m.seen(), now)
}

// since is the time from seen to now; 0 when the clock that said when it was seen is ahead of ours.
func since(seen, now time.Time) time.Duration { return max(0, now.Sub(seen)) }

// count is the number of events, one for a message that could not be read.
func (m *delivery) count() int { return max(1, len(m.content.Events)) }
