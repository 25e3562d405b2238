// Package event is the model of a Segment event: its rules, its limits, its identity, and what
// Spillway adds to it.
//
// Segment answers 200 to nearly everything and silently drops events that break its rules. So this
// package has the rules, with Segment's own codes, and ingest, deliver and the publisher apply the
// same ones.
//
// An event is passed on as the bytes that came: decoding it into a type and encoding it again would
// lose fields and digits. [Scan] and [ScanReceived] read it in one pass without an allocation, and
// enrichment edits its bytes only where a field is missing.
package event

import (
	"bytes"

	"github.com/spillwayhq/spillway/shared/rawjson"
)

// An Event is one event as it came, and what a scan found. Raw is a slice of the document that was
// scanned, not a copy.
type Event struct {
	Raw     []byte
	Problem *Problem // why Segment would reject it, nil if it would not

	id, timestamp, name, user span    // of the values in Raw; empty: the field is absent
	empty                     Omitted // OmittedName, OmittedCategory: the event is sent without them
	kind                      kind
}

// kind is a type of events that Segment knows; 0 is any other.
type kind uint8

const kindTrack kind = 1

// kinds are the types by their numbers. They are never written to.
var kinds = [...][]byte{nil, []byte("track"), []byte("identify"), []byte("page"), []byte("screen"),
	[]byte("group"), []byte("alias")}

// kindOf is the type of a JSON value.
func kindOf(value []byte) kind {
	if !rawjson.IsString(value) {
		return 0
	}
	name := rawjson.Unquote(nil, value)
	for i := range kinds {
		if bytes.Equal(kinds[i], name) {
			return kind(i)
		}
	}
	return 0
}

// span is a piece of Raw. No event is larger than 4 GB: MaxEventBytes is far less.
type span struct{ from, to uint32 }

// Scan reads the next value of s as one event and overwrites e. document is what s was Reset to. It
// does not allocate. It returns s's error if the value is not JSON, and then nothing after it can
// be read. Everything else that is wrong with the event is its Problem.
func Scan(s *rawjson.Scanner, document []byte, e *Event) error {
	*e = Event{}
	var v values
	return e.scan(s, document, "", &v, nil)
}

// Identified reports whether the event can be sent as it is: [Event.AppendIdentified] would not
// change it.
func (e *Event) Identified() bool { return e.hasID() && e.hasTimestamp() && e.empty == 0 }

// MessageID returns the event's messageId as a JSON value, nil if that is missing, empty or not a
// string.
func (e *Event) MessageID() []byte {
	if !e.hasID() {
		return nil
	}
	return e.at(e.id)
}

// Name is by what events are counted: the name of a track, and the type of every other event; empty
// if it has none that Segment knows. It is a part of Raw, unless it has escapes.
func (e *Event) Name() []byte {
	if e.kind != kindTrack {
		return kinds[e.kind]
	}
	return text(e.at(e.name))
}

// User is the event's userId; empty if it has none. It is a part of Raw, unless it has escapes.
func (e *Event) User() []byte { return text(e.at(e.user)) }

// Anonymous is the event's anonymousId; empty if it has none. Unlike everything else it is not known
// after the scan, but looked for in Raw, which takes as long again.
func (e *Event) Anonymous() []byte { return text(member(e.Raw, "anonymousId")) }

// text is what a JSON string or number says; empty for any other value.
func text(v []byte) []byte {
	switch {
	case rawjson.IsString(v):
		return rawjson.Unquote(nil, v)
	case len(v) > 0 && (v[0] == '-' || v[0] >= '0' && v[0] <= '9'):
		return v
	}
	return nil
}

func (e *Event) hasID() bool {
	v := e.at(e.id)
	return rawjson.IsString(v) && len(v) > 2
}

func (e *Event) hasTimestamp() bool { return isTimestamp(e.at(e.timestamp)) }

// isTimestamp reports whether a value says a time, or may do so to Segment: any number, and any
// string that is not blank.
func isTimestamp(v []byte) bool {
	switch {
	case rawjson.IsString(v):
		if c := v[1]; c >= '0' && c <= '9' {
			return true // as good as every one
		}
		return len(bytes.TrimSpace(rawjson.Unquote(nil, v))) > 0
	case rawjson.IsNull(v):
		return false
	}
	return v[0] == '-' || v[0] >= '0' && v[0] <= '9'
}

// withoutEmpty returns a copy of the event without the fields in e.empty.
func (e *Event) withoutEmpty() []byte {
	var s rawjson.Scanner
	s.Reset(e.Raw)
	ed := newEditor(make([]byte, 0, len(e.Raw)), e.Raw)
	s.Enter('{')
	for {
		before := s.Offset()
		key, ok := s.Field()
		if !ok {
			return ed.finish()
		}
		s.Value()
		if f := fieldOf(key); f == fieldName && e.empty&OmittedName != 0 ||
			f == fieldCategory && e.empty&OmittedCategory != 0 {
			ed.replace(span{uint32(before), uint32(s.Offset())})
		}
	}
}

func (e *Event) at(s span) []byte { return e.Raw[s.from:s.to] }
