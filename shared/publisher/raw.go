package publisher

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/rawjson"
)

// Raw is an event that somebody else wrote as JSON. Enqueue and Publish take it as any other
// message, and its bytes go to Segment as they are: decoding them into analytics-go's types would
// lose what those do not know. No context is added to it. Make one with [NewRaw].
type Raw struct{ json []byte }

// NewRaw checks and copies one event: it must be a JSON object of no more than 32 KB, and no batch.
// It gets a messageId and a timestamp where it has none, so that sent twice it is the same event
// twice. Segment's rules are not asked: an event against them becomes a dead letter, where it can
// be looked at.
func NewRaw(raw []byte) (Raw, error) {
	raw = bytes.TrimSpace(raw)
	if len(raw) > event.MaxEventBytes {
		return Raw{}, &EventError{TooLarge,
			fmt.Errorf("it is larger than the %d bytes that Segment takes", event.MaxEventBytes)}
	}
	if err := notAnEvent(raw); err != nil {
		return Raw{}, &EventError{Unencodable, err}
	}
	var s rawjson.Scanner
	var e event.Event
	s.Reset(raw)
	if event.Scan(&s, raw, &e) != nil || e.Identified() {
		return Raw{bytes.Clone(raw)}, nil
	}
	identified := e.AppendIdentified(nil, uuid.NewString(), time.Now())
	if len(identified) > event.MaxEventBytes {
		return Raw{}, &EventError{TooLarge,
			fmt.Errorf("with a messageId and a timestamp it is larger than the %d bytes that Segment takes",
				event.MaxEventBytes)}
	}
	return Raw{identified}, nil
}

// JSON is the event as it is sent. It must not be changed.
func (r Raw) JSON() []byte { return r.json }

// Validate is for analytics.Message. What NewRaw made is valid.
func (r Raw) Validate() error {
	if r.json == nil {
		return &EventError{Unencodable, errors.New("the Raw is empty: make it with NewRaw")}
	}
	return nil
}

// notAnEvent says why JSON can't be sent as an event. What is no JSON would take its neighbours in
// the message along.
func notAnEvent(event []byte) error {
	var s rawjson.Scanner
	s.Reset(event)
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
		return errors.New("it is a batch: give each of its events for itself")
	}
	return nil
}
