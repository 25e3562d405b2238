package publisher

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/segmentio/analytics-go/v3"

	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/rawjson"
)

// A Raw is an event that is JSON already. Enqueue and Publish accept it like any other message, and
// its bytes go to Segment unchanged: decoding them into analytics-go's types would lose the members
// that those types lack. No context is added to it. Make one with [NewRaw].
type Raw struct{ json []byte }

// NewRaw checks and copies one event: a JSON object of at most 32 KB, and not a batch. An event
// without messageId or timestamp gets one, so that Segment recognises a repetition, unless it is so
// large that there is no room: Segment counts what is added. NewRaw does not check Segment's rules:
// an event that breaks them becomes a dead letter.
func NewRaw(raw []byte) (Raw, error) {
	raw = bytes.TrimSpace(bytes.TrimPrefix(bytes.TrimSpace(raw), []byte("\xef\xbb\xbf"))) // a byte order mark
	if len(raw) > event.MaxEventBytes {
		return Raw{}, &EventError{TooLarge, fmt.Errorf("it is larger than the %d bytes that Segment takes",
			event.MaxEventBytes)}
	}
	if err := checkEvent(raw); err != nil {
		return Raw{}, &EventError{Unencodable, err}
	}
	var s rawjson.Scanner
	var e event.Event
	s.Reset(raw)
	if event.Scan(&s, raw, &e) != nil || e.Identified() {
		return Raw{bytes.Clone(raw)}, nil
	}
	identified, _ := e.AppendIdentified(nil, uuid.NewString(), time.Now()) // deliver counts what has no room
	return Raw{identified}, nil
}

// Encode returns what Enqueue and Publish send for a message, with their errors. Tests use it; a
// client does not need it.
func Encode(message analytics.Message) (Raw, error) {
	var e encoder
	if _, err := e.encode(message, now(), false); err != nil {
		return Raw{}, err
	}
	return Raw{e.buf}, nil
}

// JSON returns the event as it is sent. It must not be changed.
func (r Raw) JSON() []byte { return r.json }

// Message decodes the event into the type of analytics-go that its "type" names, such as
// analytics.Track, or returns the Raw itself when it does not fit that type. Numbers in maps are
// float64, as encoding/json decodes them.
func (r Raw) Message() analytics.Message {
	var kind struct{ Type string }
	_ = json.Unmarshal(r.json, &kind) // without a type it is a Raw
	switch kind.Type {
	case "track":
		return decode[analytics.Track](r)
	case "identify":
		return decode[analytics.Identify](r)
	case "page":
		return decode[analytics.Page](r)
	case "screen":
		return decode[analytics.Screen](r)
	case "group":
		return decode[analytics.Group](r)
	case "alias":
		return decode[analytics.Alias](r)
	}
	return r
}

func decode[T analytics.Message](r Raw) analytics.Message {
	var m T
	if json.Unmarshal(r.json, &m) != nil {
		return r
	}
	return m
}

// Validate makes Raw an analytics.Message. A Raw from NewRaw is valid.
func (r Raw) Validate() error {
	if r.json == nil {
		return &EventError{Unencodable, errors.New("the Raw is empty: make it with NewRaw")}
	}
	return nil
}

// checkEvent says why JSON can't be sent as an event. Invalid JSON would make the whole message
// unreadable.
func checkEvent(raw []byte) error {
	var s rawjson.Scanner
	s.Reset(raw)
	if s.Peek() != '{' {
		s.Value()
		if err := s.End(); err != nil {
			return fmt.Errorf("it is not JSON: %w", err)
		}
		return errors.New("it is not a JSON object")
	}
	s.Enter('{')
	batch := false
	for {
		key, ok := s.Field()
		if !ok {
			break
		}
		batch = batch || string(key) == "batch" && s.Peek() == '['
		s.Value()
	}
	if err := s.End(); err != nil {
		return fmt.Errorf("it is not JSON: %w", err)
	}
	if batch {
		return errors.New("it is a batch: make a Raw of each of its events")
	}
	return nil
}
