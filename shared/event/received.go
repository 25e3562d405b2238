package event

import (
	"bytes"

	"github.com/spillwayhq/spillway/shared/rawjson"
)

// Received is an event as an SDK sent it: what [Scan] finds, and where the fields stand that change
// at the door. It is of one size, whatever the event has, so that who holds many knows what they
// take. The zero value is ready.
type Received struct {
	Event
	WriteKey []byte // the value of the event's own writeKey, JSON; nil: none
	Direct   bool   // context.direct is true: a client sent it, be the path a server's

	places  [maxPlaces]place // the fields that may change, in the order in which they stand
	n       int8             // how many there are
	last    [numFields]int8
	context contextPlaces
}

// maxPlaces is one for each field and some for duplicates of those that go. Of the others the last
// one is enough.
const maxPlaces = int(numFields) + 6

// TooManyDuplicates is the problem of an event that repeats sentAt or writeKey more often than
// there is room for. Only who wants to see what happens sends that.
var TooManyDuplicates = &Problem{"too_many_duplicates", "the event has its sentAt or its writeKey many times"}

// fieldName is a field that ingest may change.
type fieldName uint8

const (
	fieldType fieldName = iota
	fieldMessageID
	fieldTimestamp
	fieldSentAt
	fieldContext
	fieldWriteKey
	numFields
)

// place is where a field stands in Raw: field is the end of what stands before it, the brace or the
// value of the field in front.
type place struct {
	name     fieldName
	field    uint32
	from, to uint32 // the value
}

// none is the place of a field that the event does not have.
const none = -1

// ScanReceived reads the value at which s stands as one event, as [Scan] does. kind is the type
// that an event without one has, by the path it came to; it is empty where there is none.
func ScanReceived(s *rawjson.Scanner, document []byte, kind string, e *Received) error {
	*e = Received{last: [numFields]int8{none, none, none, none, none, none}}
	s.TakeFlaws()
	if s.Peek() != '{' {
		e.Raw, e.Problem = s.Value(), NotAnObject
		return s.Err()
	}
	var f fields
	roomy := true
	start := s.Offset()
	outer := s.Depth()
	s.Enter('{')
	for {
		before := s.Offset()
		key, ok := s.Field()
		if !ok {
			break
		}
		value := s.Value()
		var d fieldName
		switch string(key) {
		case "type":
			d, f.kind = fieldType, value
		case "messageId":
			d, f.messageID = fieldMessageID, value
		case "timestamp":
			d = fieldTimestamp
		case "sentAt":
			d = fieldSentAt
		case "context":
			d = fieldContext
		case "writeKey":
			d, e.WriteKey = fieldWriteKey, value
		default:
			f.set(key, value)
			continue
		}
		roomy = e.add(place{d, uint32(before - start), uint32(s.Offset() - len(value) - start),
			uint32(s.Offset() - start)}) && roomy
	}
	if s.Err() != nil {
		return s.Err()
	}
	e.Raw = document[start:s.Offset()]
	if rawjson.IsNull(f.kind) && kind != "" {
		f.kind = kindValue(kind)
	}
	if e.Problem = problemOf(e.Raw, s.TakeFlaws(), outer, &f); e.Problem == nil && !roomy {
		e.Problem = TooManyDuplicates
	}
	e.id, e.timestamp = e.span(fieldMessageID), e.span(fieldTimestamp)
	if c := e.field(fieldContext); rawjson.IsObject(c) {
		// Hardly an event has it, and what a name without escapes is not in needs no second look.
		if bytes.Contains(c, []byte("direct")) || bytes.IndexByte(c, '\\') >= 0 {
			e.scanContext()
			e.Direct = e.context.direct
		}
	}
	return nil
}

// kindValue is the JSON of a type, without an allocation for Segment's.
func kindValue(kind string) []byte {
	switch kind {
	case "track":
		return []byte(`"track"`)
	case "identify":
		return []byte(`"identify"`)
	case "page":
		return []byte(`"page"`)
	case "screen":
		return []byte(`"screen"`)
	case "group":
		return []byte(`"group"`)
	case "alias":
		return []byte(`"alias"`)
	}
	return nil
}

// add notes where a field stands; false when there is no room. Of a field that may stay, an earlier
// duplicate is forgotten: the last one counts.
func (e *Received) add(p place) (ok bool) {
	if earlier := e.last[p.name]; earlier != none && p.name != fieldSentAt && p.name != fieldWriteKey {
		copy(e.places[earlier:], e.places[earlier+1:e.n])
		e.n--
		for d := range e.last {
			if e.last[d] > earlier {
				e.last[d]--
			}
		}
		e.last[p.name] = none
	}
	if int(e.n) == maxPlaces {
		return false
	}
	e.last[p.name] = e.n
	e.places[e.n] = p
	e.n++
	return true
}

// field is the last value of a field, nil when there is none.
func (e *Received) field(d fieldName) []byte {
	if e.last[d] == none {
		return nil
	}
	p := e.places[e.last[d]]
	return e.Raw[p.from:p.to]
}

func (e *Received) span(d fieldName) span {
	if e.last[d] == none {
		return span{}
	}
	p := e.places[e.last[d]]
	return span{p.from, p.to}
}

// contextPlaces is what matters of an event's context, offsets in it.
type contextPlaces struct {
	scanned, direct, library bool
	ip, userAgent            contextPlace
}

// contextPlace is a field of the context: absent, null (then the place of the null) or there.
type contextPlace struct {
	there bool
	null  span
}

// scanContext looks into a context that is an object.
func (e *Received) scanContext() {
	if e.context.scanned {
		return
	}
	e.context = scanContext(e.field(fieldContext))
}

func scanContext(value []byte) contextPlaces {
	var s rawjson.Scanner
	s.Reset(value)
	c := contextPlaces{scanned: true}
	s.Enter('{')
	for {
		key, ok := s.Field()
		if !ok {
			return c
		}
		v := s.Value()
		at := contextPlace{there: !rawjson.IsNull(v)}
		if !at.there {
			at.null = span{uint32(s.Offset() - len(v)), uint32(s.Offset())}
		}
		switch string(key) {
		case "direct":
			c.direct = string(v) == "true"
		case "library":
			c.library = at.there
		case "ip":
			c.ip = at
		case "userAgent":
			c.userAgent = at
		}
	}
}

// A SharedContext is what a batch's context says for all of its events, which Segment merges it
// into.
type SharedContext struct {
	Direct                 bool // its direct is true
	ip, userAgent, library bool
}

// ScanContext reads a batch's context: JSON that was found valid, or nil for none.
func ScanContext(context []byte) SharedContext {
	if !rawjson.IsObject(context) {
		return SharedContext{}
	}
	c := scanContext(context)
	return SharedContext{Direct: c.direct, ip: c.ip.there, userAgent: c.userAgent.there, library: c.library}
}
