package message

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/spillwayhq/spillway/shared/event"
)

// Message attributes of a dead letter. "Letter-Id" should be "Dead-Letter-Id", but keeps its name:
// queues retain dead letters for 14 days, and older and newer versions must read them.
const (
	AttrDeadLetterID = "Letter-Id"  // String: [DeadLetter.ID]
	AttrReason       = "Reason"     // String: one of the reasons
	AttrDetail       = "Detail"     // String: for people, at most MaxDetail bytes
	AttrFirstSeen    = "First-Seen" // String: RFC 3339, absent when unknown
	AttrLastSeen     = "Last-Seen"  // String: RFC 3339
	AttrReceives     = "Receives"   // Number
)

const (
	// MaxDetail bounds the Detail that is written, in bytes.
	MaxDetail = 1000
	// maxPlainDeadLetter is the largest body in bytes that is not compressed, so that a person can
	// read in the SQS console; larger ones are compressed.
	maxPlainDeadLetter = 256 << 10
	// maxReplayID bounds the ID of a replay, which somebody else may have written, in bytes.
	maxReplayID = 64
)

// A DeadLetter is a message, or some events of one, that could not be delivered, and the reason.
// Events that failed for the same reason share a dead letter, so that 2,500 wrong events are not
// 2,500 messages. [DeadLetter.Messages] writes it, [ReadDeadLetter] reads it.
type DeadLetter struct {
	// ID is deterministic, so that a dead letter that was written twice is recognised: two with
	// the same ID and the same events are one.
	ID     string
	Reason string // one of the reasons of this package
	Detail string // for people: what is wrong, or the beginning of Segment's answer; may quote an event

	// To write: either Events, which get a body with Header, or Body as it came. To read: Body,
	// and Header.Origin as the attribute says it; [Decoder.Decode] reads the rest out of Body.
	Header Header
	Events [][]byte // nil: Body is written
	Body   []byte
	Count  int // events in it; not used where Events is set; 0: unknown

	FirstSeen time.Time // when its events came in; zero: unknown
	LastSeen  time.Time // when it was last tried; zero: unknown
	Receives  int       // receives of its message before it became a dead letter; 0: it was never in the events queue
	Replay    string    // the ID of the replay that sent it, which a redrive says again; empty: none
}

// Messages returns the queue messages of the dead letter: one, unless it is larger than SQS takes.
// Further ones have their number, from 1, at the end of the ID.
func (l *DeadLetter) Messages(c *Compressor) []Message {
	if l.Events == nil {
		return l.appendMessages(nil, c, l.Body, l.Count)
	}
	var messages []Message
	overhead := len(AppendJSON(nil, l.Header))
	for rest := l.Events; len(rest) > 0; {
		n, size := 1, overhead+len(rest[0])
		for n < len(rest) && size+1+len(rest[n]) <= MaxIncompressible {
			size += 1 + len(rest[n])
			n++
		}
		messages = l.appendMessages(messages, c, AppendJSON(nil, l.Header, rest[:n]...), n)
		rest = rest[n:]
	}
	return messages
}

// appendMessages appends the message of a body, or several with a part of it each if SQS would not
// take it whole.
func (l *DeadLetter) appendMessages(messages []Message, c *Compressor, body []byte, count int) []Message {
	whole := l.message(len(messages), c, body, count, l.Detail)
	if whole.Size() <= MaxBytes {
		return append(messages, whole)
	}
	parts := slices.Collect(slices.Chunk(body, MaxIncompressible))
	for i, part := range parts {
		detail := fmt.Sprintf("part %d of %d of a body that is too large for one message; join the parts to read it: %s",
			i+1, len(parts), l.Detail)
		messages = append(messages, l.message(len(messages), c, part, count, detail))
		count = 0 // the events are counted once
	}
	return messages
}

// message is the nth message of the dead letter, from 0.
func (l *DeadLetter) message(n int, c *Compressor, body []byte, count int, detail string) Message {
	id := l.ID
	if n > 0 {
		id += "." + strconv.Itoa(n)
	}
	m := Message{Attributes: map[string]Attribute{
		AttrDeadLetterID: StringAttribute(id),
		AttrReason:       StringAttribute(l.Reason),
		AttrDetail:       StringAttribute(LegalDetail(detail)),
		AttrLastSeen:     StringAttribute(l.LastSeen.UTC().Format(event.TimeFormat)),
		AttrReceives:     NumberAttribute(int64(l.Receives)),
		AttrEventCount:   NumberAttribute(int64(count)),
		AttrOrigin:       StringAttribute(l.Header.Origin.String()),
	}}
	if !l.FirstSeen.IsZero() {
		m.Attributes[AttrFirstSeen] = StringAttribute(l.FirstSeen.UTC().Format(event.TimeFormat))
	}
	if l.Replay != "" { // the tenth attribute, with which SQS's limit is reached
		m.Attributes[AttrReplayID] = StringAttribute(LegalText(Shorten(l.Replay, maxReplayID)))
	}
	if len(body) == 0 {
		m.Body = " " // as empty to a reader; SQS takes no empty body
		return m
	}
	var compressed bool
	if m.Body, compressed = c.body(body, maxPlainDeadLetter, isLegal(body)); compressed {
		m.Attributes[AttrContentEncoding] = StringAttribute(EncodingZstd)
	}
	return m
}

// ReadDeadLetter reads a message of the dead-letter queue. It never fails: a listing must show
// everything in the queue. An attribute that is absent or can't be read leaves its field zero, and
// Reason is then [ReasonNotGiven]. Count is at most [event.MaxBatchEvents]. Times are in UTC.
func ReadDeadLetter(m Message) DeadLetter {
	text := func(name string) string { return m.Attributes[name].Text }
	number := func(name string) int {
		n, _ := strconv.Atoi(text(name))
		return max(0, n)
	}
	moment := func(name string) time.Time {
		t, err := time.Parse(time.RFC3339, text(name))
		if err != nil {
			return time.Time{}
		}
		if t = t.UTC(); t.Year() < 1 || t.Year() > 9999 { // by its offset; JSON has no such year
			return time.Time{}
		}
		return t
	}
	l := DeadLetter{
		ID: text(AttrDeadLetterID), Reason: text(AttrReason), Detail: text(AttrDetail), Body: []byte(m.Body),
		Count:     min(number(AttrEventCount), event.MaxBatchEvents),
		FirstSeen: moment(AttrFirstSeen), LastSeen: moment(AttrLastSeen), Receives: number(AttrReceives),
		Replay: text(AttrReplayID),
	}
	l.Header.Origin, _ = event.ParseOrigin(text(AttrOrigin))
	if l.Reason == "" {
		l.Reason = ReasonNotGiven
	}
	return l
}
