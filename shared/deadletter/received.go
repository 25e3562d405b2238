package deadletter

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

// Received is a dead letter as SQS returned it. Fields that its own attributes lack are taken from
// SQS's attributes.
type Received struct {
	message.DeadLetter
	Attributes map[string]message.Attribute
	raw        map[string]types.MessageAttributeValue // the same as SQS returned them

	MessageID string    // SQS's
	Sent      time.Time // when it was sent to its queue; of one that SQS moved, to the events queue
}

// parse never fails: a listing must show everything in the queue.
func parse(m *types.Message) *Received {
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

// A Filter selects dead letters. The zero value selects all of them.
type Filter struct {
	Reasons   []string      // empty: all
	OlderThan time.Duration // by the time since their events came in; 0: no bound
	NewerThan time.Duration // 0: no bound
	// WriteKey selects dead letters by their write key; nil: all. It is not asked about those whose
	// body can't be read, which it does not select.
	WriteKey func(writeKey string) bool
}

func (f *Filter) match(l *Received, now time.Time, r *Reader) bool {
	age := l.age(now)
	if len(f.Reasons) > 0 && !slices.Contains(f.Reasons, l.Reason) ||
		f.OlderThan != 0 && age <= f.OlderThan || f.NewerThan != 0 && age >= f.NewerThan {
		return false
	}
	if f.WriteKey == nil {
		return true
	}
	m, err := r.Read(l)
	return err == nil && f.WriteKey(m.WriteKey)
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
	e := Entry{ID: l.ID, Reason: l.Reason, WriteKey: unreadableKey, Events: max(1, l.Count), FirstSeen: l.FirstSeen,
		LastSeen: l.LastSeen, Receives: l.Receives, Detail: l.Detail}
	m, err := r.Read(l)
	if err == nil {
		e.WriteKey, e.Events = name(m.WriteKey), len(m.Events)
	}
	return e, m, err
}
