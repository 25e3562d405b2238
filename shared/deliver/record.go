package deliver

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/rawjson"
)

// record is one message as Lambda hands it over.
type record struct {
	messageID string
	receipt   []byte // as it stands in the payload: only messages that stay need it
	body      []byte // the JSON string as it stands in the payload, nil when there is none
	sent      time.Time
	receives  int
	queue     []byte // its ARN, as it stands in the payload
	origin    string // the attribute's word
	events    int    // how many, by the attribute's word; 1 without one

	// Of a message that has been a dead letter, by its attributes: what it was called and when its
	// events came in.
	redriven  string
	firstSeen time.Time
}

// maxSent is the end of the year 9999 in milliseconds: the last time that RFC 3339 can write.
const maxSent = 253402300800000

// eachRecord calls f for every record of an SQS event, in order. The record is valid during the
// call; its body and receipt as long as the payload.
//
// It reads the payload by hand because that is where a delivery's CPU would go: encoding/json
// passes over a payload of 6 MB twice and copies every body of it. BenchmarkPayload shows both.
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
			return errors.New("its Records are no array")
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
		return errors.New("it has no Records")
	}
	return nil
}

func readRecord(s *rawjson.Scanner, rec *record) error {
	*rec = record{receives: 1, events: 1}
	var body, attributes, messageAttributes []byte
	s.Enter('{')
	for {
		key, ok := s.Field()
		if !ok {
			break
		}
		value := s.Value()
		switch string(key) {
		case "messageId":
			rec.messageID = text(value)
		case "receiptHandle":
			rec.receipt = value
		case "body":
			body = value
		case "attributes":
			attributes = value
		case "messageAttributes":
			messageAttributes = value
		case "eventSourceARN":
			rec.queue = value
		}
	}
	if s.Err() != nil {
		return s.Err()
	}
	if rec.messageID == "" {
		return errors.New("it has no messageId")
	}
	switch {
	case rawjson.IsString(body):
		rec.body = body
	case !rawjson.IsNull(body):
		return errors.New("its body is not a string: a message's JSON stands in the body as text")
	}
	eachField(attributes, func(key, value []byte) {
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
	})
	eachField(messageAttributes, func(key, value []byte) {
		switch string(key) {
		case message.AttrOrigin:
			rec.origin = text(stringValue(value))
		case message.AttrEventCount:
			if n, err := strconv.Atoi(text(stringValue(value))); err == nil && 0 < n && n <= message.MaxRawBytes {
				rec.events = n
			}
		case message.AttrDeadLetterID:
			rec.redriven = text(stringValue(value))
		case message.AttrFirstSeen:
			if t, ok := event.ParseTime(stringValue(value)); ok {
				rec.firstSeen = t
			}
		}
	})
	return nil
}

// eachField walks an object that has been scanned before; anything else has no fields.
func eachField(object []byte, f func(key, value []byte)) {
	if !rawjson.IsObject(object) {
		return
	}
	var s rawjson.Scanner
	s.Reset(object)
	for s.Enter('{'); ; {
		key, ok := s.Field()
		if !ok {
			return
		}
		f(key, s.Value())
	}
}

// stringValue is that of a message attribute.
func stringValue(attribute []byte) (value []byte) {
	eachField(attribute, func(key, v []byte) {
		if string(key) == "stringValue" {
			value = v
		}
	})
	return value
}

// inside is the text of a JSON string, and nothing of any other value.
func inside(value []byte) []byte {
	if !rawjson.IsString(value) {
		return nil
	}
	return rawjson.Unquote(nil, value)
}

func text(value []byte) string { return string(inside(value)) }
