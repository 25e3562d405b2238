// Package event is the model of a Segment event: its rules, its limits, its identity, and what
// Spillway adds to it.
//
// Segment answers 200 to nearly everything and drops what breaks its rules without a word. So the
// rules stand here, with Segment's own codes, and every entry applies the same ones.
//
// An event stays the bytes that came: decoding it into a type and encoding it again would lose
// fields and digits. [Scan] and [ScanReceived] read it in one pass without an allocation, and
// enrichment edits its bytes only where a field is missing.
package event

import "github.com/spillwayhq/spillway/shared/rawjson"

// An Event is one event as it came, and what a scan found. Raw is a slice of the document that was
// scanned, not a copy.
type Event struct {
	Raw     []byte
	Problem *Problem // why Segment would not take it, nil if it would

	id, timestamp span // of the values in Raw; empty: the field is absent
}

// span is a piece of Raw. An event that is larger than 4 GB has been refused long before.
type span struct{ from, to uint32 }

// Scan reads the value at which s stands as one event, and overwrites e. document is what s reads.
// It makes no allocation. The error is that of s, when the value is not JSON: nothing after it can
// be read then. Everything else that is wrong with the event is its Problem.
func Scan(s *rawjson.Scanner, document []byte, e *Event) error {
	*e = Event{}
	var v values
	return e.scan(s, document, "", &v, nil)
}

// Identified reports whether the event has a messageId and a timestamp of its own.
func (e *Event) Identified() bool { return e.hasID() && e.hasTimestamp() }

func (e *Event) hasID() bool {
	v := e.at(e.id)
	return rawjson.IsString(v) && len(v) > 2
}

func (e *Event) hasTimestamp() bool { return !rawjson.IsNull(e.at(e.timestamp)) }

func (e *Event) at(s span) []byte { return e.Raw[s.from:s.to] }
