package deadletter

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

// Reasons of letters that do not say any.
const (
	// Moved is of those that SQS itself moved, because a function took them and never said that it
	// was done: it could not start, or was killed each time.
	Moved = "moved by SQS"
	// NotGiven is of those that somebody made by hand.
	NotGiven = "not given"
)

// A Letter is a dead letter as it was received. What it does not say of itself is taken from what
// SQS says of it.
type Letter struct {
	ID        string // its Letter-Id, or SQS's message id; two letters with the same one are one that was written twice
	Reason    string
	Detail    string    // for a person; may quote an event
	FirstSeen time.Time // when its events came in
	LastSeen  time.Time // when it was last tried; zero: unknown
	// how often its message had been received when it became a letter; of one that was Moved, looks
	// at it count as well
	Receives int
	Count    int // of events, by its attribute, at most as many as a message holds; 0: it does not say

	MessageID  string    // SQS's
	Sent       time.Time // when it was sent to the queue that it is in; of one that was Moved, to the events queue
	Body       string
	Attributes map[string]message.Attribute
}

// read never fails: whatever stands in a dead-letter queue is a letter that a person must see.
func read(m *types.Message) *Letter {
	l := &Letter{MessageID: aws.ToString(m.MessageId), Body: aws.ToString(m.Body),
		Attributes: sqsclient.ParseAttributes(m.MessageAttributes)}
	text := func(name string) string { return aws.ToString(m.MessageAttributes[name].StringValue) }
	number := func(text string) int {
		n, _ := strconv.Atoi(text)
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
	if ms, err := strconv.ParseInt(m.Attributes["SentTimestamp"], 10, 64); err == nil {
		l.Sent = time.UnixMilli(ms)
	}
	l.ID, l.Reason, l.Detail, l.Count = text(message.AttrDeadLetterID), text(message.AttrReason), text(message.AttrDetail),
		min(number(text(message.AttrEventCount)), event.MaxBatchEvents)
	l.FirstSeen, l.LastSeen, l.Receives = moment(message.AttrFirstSeen), moment(message.AttrLastSeen),
		number(text(message.AttrReceives))
	if l.ID == "" {
		l.ID = l.MessageID
	}
	if l.FirstSeen.IsZero() {
		l.FirstSeen = l.Sent
	}
	// A letter that was sent again may have kept the attributes of its first time; who moved it
	// last is what counts.
	if m.Attributes["DeadLetterQueueSourceArn"] != "" {
		l.Reason, l.LastSeen, l.Receives = Moved, time.Time{}, number(m.Attributes["ApproximateReceiveCount"])
		l.Detail = "the function took it and never said that it was done: it could not start, was killed, or ran out of time"
	}
	if l.Reason == "" {
		l.Reason = NotGiven
	}
	return l
}

// Age is how long ago its events came in.
func (l *Letter) Age(now time.Time) time.Duration { return max(0, now.Sub(l.FirstSeen)) }

// A Filter says which letters a work is about. The zero value is all of them.
type Filter struct {
	Reasons   []string      // none: all
	OlderThan time.Duration // by the time since their events came in; 0: no bound
	NewerThan time.Duration // 0: no bound
}

// Match reports whether the letter is meant.
func (f *Filter) Match(l *Letter, now time.Time) bool {
	age := l.Age(now)
	return (len(f.Reasons) == 0 || slices.Contains(f.Reasons, l.Reason)) &&
		(f.OlderThan == 0 || age > f.OlderThan) && (f.NewerThan == 0 || age < f.NewerThan)
}

// Reader takes letters' bodies apart. It may not be used by two goroutines at the same time.
type Reader struct {
	decoder *message.Decoder
	message message.Content
}

// NewReader makes a Reader. [Reader.Close] gives its memory back.
func NewReader() (*Reader, error) {
	d, err := message.NewDecoder()
	if err != nil {
		return nil, err
	}
	return &Reader{decoder: d}, nil
}

// Close releases the Reader.
func (r *Reader) Close() { r.decoder.Close() }

// Read returns what the letter holds, which is valid until the next Read; an error for a body that
// can't be read. A letter with the reason "panic" is one that a program died of: an error, and not
// the end of this one.
func (r *Reader) Read(l *Letter) (m *message.Content, err error) {
	defer func() {
		if p := recover(); p != nil {
			m, err = nil, fmt.Errorf("reading the body of letter %s panicked: %v", l.ID, p)
		}
	}()
	if err := r.decoder.Decode([]byte(l.Body), &r.message); err != nil {
		return nil, err
	}
	if origin, ok := event.ParseOrigin(l.Attributes[message.AttrOrigin].Text); ok && !r.message.HasOrigin {
		r.message.Origin = origin
	}
	return &r.message, nil
}
