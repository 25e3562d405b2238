package deliver

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/rawjson"
)

// record is one message as Lambda passes it.
type record struct {
	messageID string
	receipt   []byte // JSON, a part of the payload: only retained messages need it
	body      []byte // its text, a part of the payload or in buffer; nil when there is none
	sent      time.Time
	receives  int
	queue     []byte // its ARN as JSON, a part of the payload
	bulk      bool   // it is of the bulk queue
	origin    string // as the attribute says
	events    int    // how many, as the attribute says; 1 without one
	buffer    []byte

	replay string // the ID of the replay that sent it, empty if none did

	// Of a redriven message, as its attributes say: the dead letter's ID, and when its events came
	// in.
	redriven  string
	firstSeen time.Time
}

// id names the message in messageIds and dead letters. A redriven message has the name that it had
// before, not SQS's new message id, so that its events have the same messageIds.
func (rec *record) id() string { return message.StableID(cmp.Or(rec.redriven, rec.messageID)) }

// backlogged is since when a message counts to the backlog: since it was seen, or not at all (the
// zero time) if it is of the bulk queue or was redriven. Who redrives old events knows that they
// are old.
func (rec *record) backlogged(seen time.Time) time.Time {
	if rec.bulk || rec.redriven != "" || !rec.firstSeen.IsZero() {
		return time.Time{}
	}
	return seen
}

// maxSent is the end of the year 9999 in milliseconds: RFC 3339 can't express a later time.
const maxSent = 253402300800000

// eachRecord calls f for every record of an SQS event, in order. The record is valid during the
// call, and its buffer too unless f replaces it by another; what is a part of the payload is valid
// as long as that.
//
// It does not use encoding/json, which reads the 6 MB twice and copies every body: that took most
// of an invocation's CPU time. BenchmarkPayload compares both.
func eachRecord(payload []byte, f func(*record)) error {
	var s rawjson.Scanner
	var rec record
	s.Reset(payload)
	found := false
	s.Enter('{')
	for {
		key, ok := s.Field()
		if !ok {
			break
		}
		if string(key) != "Records" {
			s.Value()
			continue
		}
		if s.Peek() != '[' {
			return errors.New("the field Records must be an array")
		}
		found = true
		s.Enter('[')
		for n := 0; s.Elem(); n++ {
			if err := readRecord(&s, &rec); err != nil {
				return fmt.Errorf("record %d: %w", n, err)
			}
			f(&rec)
		}
	}
	if err := s.End(); err != nil {
		return err
	}
	if !found {
		return errors.New("the field Records is missing")
	}
	return nil
}

func readRecord(s *rawjson.Scanner, rec *record) error {
	*rec = record{receives: 1, events: 1, buffer: rec.buffer}
	noText := false
	s.Enter('{')
	for {
		key, ok := s.Field()
		if !ok {
			break
		}
		switch string(key) {
		case "messageId":
			rec.messageID = text(s.Value())
		case "receiptHandle":
			rec.receipt = s.Value()
		case "body":
			if rec.body, noText = nil, s.Peek() != '"'; noText {
				noText = !rawjson.IsNull(s.Value())
			} else {
				rec.body, rec.buffer = s.Text(rec.buffer)
			}
		case "attributes":
			fields(s, rec.setAttribute)
		case "messageAttributes":
			rec.setMessageAttributes(s)
		case "eventSourceARN":
			rec.queue = s.Value()
		default:
			s.Value()
		}
	}
	switch {
	case s.Err() != nil:
		return s.Err()
	case rec.messageID == "":
		return errors.New("messageId is missing")
	case noText:
		return errors.New("body must be a string that holds the message's JSON")
	}
	return nil
}

// fields reads a value and calls f for each of its fields. Only an object has any.
func fields(s *rawjson.Scanner, f func(key, value []byte)) {
	if s.Peek() != '{' {
		s.Value()
		return
	}
	for s.Enter('{'); ; {
		key, ok := s.Field()
		if !ok {
			return
		}
		f(key, s.Value())
	}
}

// setAttribute reads one of the attributes that SQS sets. An invalid value counts as none.
func (rec *record) setAttribute(key, value []byte) {
	switch string(key) {
	case "SentTimestamp":
		if ms, err := strconv.ParseInt(string(inside(value)), 10, 64); err == nil && ms > 0 && ms < maxSent {
			rec.sent = time.UnixMilli(ms)
		}
	case "ApproximateReceiveCount":
		if n, err := strconv.Atoi(string(inside(value))); err == nil && n > 0 {
			rec.receives = n
		}
	}
}

// setMessageAttributes reads the attributes that the sender set. An invalid value counts as none.
func (rec *record) setMessageAttributes(s *rawjson.Scanner) {
	if s.Peek() != '{' {
		s.Value()
		return
	}
	for s.Enter('{'); ; {
		key, ok := s.Field()
		if !ok {
			return
		}
		var value []byte
		fields(s, func(key, v []byte) {
			if string(key) == "stringValue" {
				value = v
			}
		})
		rec.setMessageAttribute(key, value)
	}
}

func (rec *record) setMessageAttribute(key, value []byte) {
	switch string(key) {
	case message.AttrOrigin:
		rec.origin = text(value)
	case message.AttrEventCount:
		if n, err := strconv.Atoi(text(value)); err == nil && 0 < n && n <= message.MaxRawBytes {
			rec.events = n
		}
	case message.AttrDeadLetterID:
		rec.redriven = text(value)
	case message.AttrReplayID:
		rec.replay = text(value)
	case message.AttrFirstSeen:
		if t, ok := event.ParseTime(value); ok {
			rec.firstSeen = t
		}
	}
}

// eachField calls f for each field of a value that has been scanned before.
func eachField(value []byte, f func(key, value []byte)) {
	if rawjson.IsObject(value) {
		var s rawjson.Scanner
		s.Reset(value)
		fields(&s, f)
	}
}

// inside is the text of a JSON string, nil for any other value.
func inside(value []byte) []byte {
	if !rawjson.IsString(value) {
		return nil
	}
	return rawjson.Unquote(nil, value)
}

func text(value []byte) string { return string(inside(value)) }
