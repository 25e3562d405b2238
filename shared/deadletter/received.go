package deadletter

import (
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/rawjson"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

// Received is a dead letter as SQS returned it. Fields that its own attributes lack are taken from
// SQS's attributes.
type Received struct {
	message.DeadLetter
	Attributes map[string]message.Attribute
	raw        map[string]types.MessageAttributeValue // the same as SQS returned them

	group     string    // of its write key, once its body was read for a redrive
	MessageID string    // SQS's
	Sent      time.Time // when it was sent to its queue; of one that SQS moved, to the events queue
}

// Parse reads a message of the dead-letter queue with all its attributes. It never fails: a listing
// must show everything in the queue.
func Parse(m *types.Message) *Received {
	l := &Received{MessageID: aws.ToString(m.MessageId), Attributes: sqsclient.ParseAttributes(m.MessageAttributes),
		raw: m.MessageAttributes}
	l.DeadLetter = message.ReadDeadLetter(message.Message{Body: aws.ToString(m.Body), Attributes: l.Attributes})
	if ms, err := strconv.ParseInt(m.Attributes["SentTimestamp"], 10, 64); err == nil {
		l.Sent = time.UnixMilli(ms)
	}
	if l.ID == "" {
		l.ID = l.MessageID
	}
	if l.FirstSeen.IsZero() {
		l.FirstSeen = l.Sent
	}
	// A dead letter that was redriven may still have the attributes of its first time; who moved
	// it last is what counts. Its receives include those by people who looked at it.
	if m.Attributes["DeadLetterQueueSourceArn"] != "" {
		receives, _ := strconv.Atoi(m.Attributes["ApproximateReceiveCount"])
		l.Reason, l.LastSeen, l.Receives = message.ReasonMovedBySQS, time.Time{}, max(0, receives)
		l.Detail = "the function received it and never finished: it could not start, was killed, or ran out of time"
	}
	return l
}

// age returns the time since its events came in.
func (l *Received) age(now time.Time) time.Duration { return max(0, now.Sub(l.FirstSeen)) }

// EventID returns the messageId of the dead letter's event with an index: its own, or the one that
// it gets when it is sent again.
func (l *Received) EventID(e *event.Event, i int) []byte {
	if id := e.MessageID(); id != nil {
		return rawjson.Unquote(nil, id)
	}
	return []byte(message.EventID(message.StableID(l.ID), i))
}

// A Reader reads the bodies of dead letters. It is not safe for concurrent use.
type Reader struct {
	decoder *message.Decoder
	message message.Content
}

// NewReader returns a Reader, which [Reader.Close] must release.
func NewReader() (*Reader, error) {
	d, err := message.NewDecoder()
	if err != nil {
		return nil, err
	}
	return &Reader{decoder: d}, nil
}

// Close releases the Reader.
func (r *Reader) Close() { r.decoder.Close() }

// Read returns what the dead letter holds, which is valid until the next Read, or an error for a
// body that can't be read. A panic while reading is an error too: a dead letter with the reason
// "panic" made the deliver function panic.
func (r *Reader) Read(l *Received) (m *message.Content, err error) {
	defer func() {
		if p := recover(); p != nil {
			m, err = nil, fmt.Errorf("reading the body of dead letter %s panicked: %v", l.ID, p)
		}
	}()
	if err := r.decoder.Decode(l.Body, &r.message); err != nil {
		return nil, err
	}
	if !r.message.HasOrigin {
		r.message.Origin = l.Header.Origin
	}
	return &r.message, nil
}

// Entry returns the dead letter's entry in a listing, and what [Reader.Read] returns. name returns
// what may be shown of a write key. A body that can't be read counts as the number of events that
// the dead letter's attribute says, or one.
func (r *Reader) Entry(l *Received, name func(writeKey string) string) (Entry, *message.Content, error) {
	e := Entry{ID: l.ID, Reason: l.Reason, WriteKey: UnreadableKey, Events: max(1, l.Count), FirstSeen: l.FirstSeen,
		LastSeen: l.LastSeen, Receives: l.Receives, Detail: l.Detail}
	m, err := r.Read(l)
	if err == nil {
		e.WriteKey, e.Events = name(m.WriteKey), len(m.Events)
	}
	return e, m, err
}
