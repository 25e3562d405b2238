// Package event is Segment's event: its rules, its limits, its identity, and what Spillway adds to
// it on the way.
//
// Segment answers 200 to nearly everything and drops what breaks its rules without a word. So the
// rules stand here, in Segment's own codes, and every entry (ingest, publisher, queue) applies the
// same ones.
//
// An event stays the bytes that came: decoding it into a type and encoding it again would lose
// fields and digits. [Scan] and [ScanReceived] look at it in one pass without an allocation, and
// what has to change is spliced in.
package event

import (
	"bytes"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/spillwayhq/spillway/shared/rawjson"
)

// A Problem is why an event can't be delivered. Codes without a "*" behind them in the list below
// are Segment's own, of its asynchronous rejections: it answers such events with 200 and drops
// them, so who wants to see them must look before sending.
type Problem struct {
	Code    string // for metrics and programs
	Message string // for people; holds nothing of the event
}

func (p *Problem) Error() string { return p.Code + ": " + p.Message }

// The problems that an event can have. Those marked * are Spillway's.
var (
	NoUserOrAnonymousID = &Problem{"no_user_anon_id", "an event needs a userId or an anonymousId"}
	EventNotDefined     = &Problem{"event_not_defined", "a track needs the name of its event"}
	EventNotString      = &Problem{"event_not_string", "the event's name must be a string"}
	PropertiesNotObject = &Problem{"properties_not_object", "properties must be an object"}
	TraitsNotObject     = &Problem{"traits_not_object", "traits must be an object"}
	NameNotString       = &Problem{"name_not_string", "the name of a page or screen must be a string"}
	CategoryNotString   = &Problem{"category_not_string", "the category of a page or screen must be a string"}
	IDRequired          = &Problem{"id_required", "a group needs a groupId, an alias needs a userId and a previousId"}
	IDNotString         = &Problem{"id_not_string",
		"a group's groupId and an alias's userId and previousId must be strings, other ids strings or numbers"}
	// *
	TypeUnknown = &Problem{"type_unknown", "type must be track, identify, page, screen, group or alias"}
	// *
	NotAnObject = &Problem{"not_an_object", "an event must be a JSON object"}
	// *
	NotUTF8 = &Problem{"not_utf8", "the event holds bytes that are not UTF-8"}
	// *
	TooDeep = &Problem{"too_deep", fmt.Sprintf("the event is nested deeper than %d levels", MaxDepth)}
	// *
	TooLarge = &Problem{"too_large",
		fmt.Sprintf("the event is larger than the %d bytes that Segment takes", MaxEventBytes)}
	// *
	MessageIDTooLong = &Problem{"message_id_too_long",
		fmt.Sprintf("the messageId is longer than %d characters", MaxMessageIDBytes)}
)

// An Event is one event as it came, and what a look at it found. It keeps no copy: Raw is a slice
// of the document it stood in.
type Event struct {
	Raw     []byte
	Problem *Problem // why Segment would not take it, nil if it would

	id, timestamp span // where the values stand in Raw; empty: the field is absent or null
}

// span is a piece of Raw. An event that is larger than 4 GB has been refused long before.
type span struct{ from, to uint32 }

// Identified reports whether the event has a messageId and a timestamp of its own.
func (e *Event) Identified() bool { return e.hasID() && e.hasTimestamp() }

func (e *Event) hasID() bool {
	v := e.at(e.id)
	return rawjson.IsString(v) && len(v) > 2
}

func (e *Event) hasTimestamp() bool { return !rawjson.IsNull(e.at(e.timestamp)) }

func (e *Event) at(s span) []byte { return e.Raw[s.from:s.to] }

// fields are the values that the rules look at. On duplicate keys the last one counts, as it does
// for Segment.
type fields struct {
	kind, event, userID, anonymousID, groupID, previousID, properties, traits, name, category, messageID, timestamp []byte
}

// Scan reads the value at which s stands as one event: one pass, no allocation. When the value is
// not JSON, the error is s's, and nothing behind it can be read either; everything else that is
// wrong with it is the event's own Problem.
func Scan(s *rawjson.Scanner, document []byte, e *Event) error {
	*e = Event{}
	s.TakeFlaws()
	if s.Peek() != '{' {
		e.Raw, e.Problem = s.Value(), NotAnObject
		return s.Err()
	}
	var f fields
	start := s.Offset()
	outer := s.Depth()
	s.Enter('{')
	for {
		key, ok := s.Field()
		if !ok {
			break
		}
		value := s.Value()
		switch string(key) {
		case "messageId":
			f.messageID = value
			e.id = span{uint32(s.Offset() - len(value) - start), uint32(s.Offset() - start)}
		case "timestamp":
			f.timestamp = value
			e.timestamp = span{uint32(s.Offset() - len(value) - start), uint32(s.Offset() - start)}
		default:
			f.set(key, value)
		}
	}
	if s.Err() != nil {
		return s.Err()
	}
	e.Raw = document[start:s.Offset()]
	e.Problem = problemOf(e.Raw, s.TakeFlaws(), outer, &f)
	return nil
}

// problemOf is the problem of an event at a nesting of outer, nil if it has none.
func problemOf(raw []byte, flaws rawjson.Flaws, outer int, f *fields) *Problem {
	switch {
	case len(raw) > MaxEventBytes:
		return TooLarge
	case flaws.NotUTF8:
		return NotUTF8
	case flaws.Depth-outer > MaxDepth:
		return TooDeep
	}
	return f.check()
}

// set takes a field's value over if the rules look at it and nothing else does.
func (f *fields) set(key, value []byte) {
	switch string(key) {
	case "type":
		f.kind = value
	case "event":
		f.event = value
	case "userId":
		f.userID = value
	case "anonymousId":
		f.anonymousID = value
	case "groupId":
		f.groupID = value
	case "previousId":
		f.previousID = value
	case "properties":
		f.properties = value
	case "traits":
		f.traits = value
	case "name":
		f.name = value
	case "category":
		f.category = value
	}
}

// check holds the fields against Segment's rejections.
func (f *fields) check() *Problem {
	// Bytes are never fewer than characters, so only a long one is counted out.
	if id := f.messageID; rawjson.IsString(id) && len(id)-2 > MaxMessageIDBytes &&
		utf8.RuneCount(rawjson.Unquote(nil, id)) > MaxMessageIDBytes {
		return MessageIDTooLong
	}
	for _, id := range [...][]byte{f.userID, f.anonymousID} {
		if !rawjson.IsNull(id) && !isID(id) {
			return IDNotString
		}
	}
	for _, id := range [...][]byte{f.groupID, f.previousID} {
		if !rawjson.IsNull(id) && !rawjson.IsString(id) {
			return IDNotString
		}
	}
	someone := present(f.userID) || present(f.anonymousID)
	if !rawjson.IsString(f.kind) {
		return TypeUnknown
	}
	switch string(rawjson.Unquote(nil, f.kind)) {
	case "track":
		switch {
		case !someone:
			return NoUserOrAnonymousID
		case rawjson.IsNull(f.event) || len(f.event) == 2 && rawjson.IsString(f.event):
			return EventNotDefined
		case !rawjson.IsString(f.event):
			return EventNotString
		}
		return object(f.properties, PropertiesNotObject)
	case "page", "screen":
		switch {
		case !someone:
			return NoUserOrAnonymousID
		case !rawjson.IsNull(f.name) && !rawjson.IsString(f.name):
			return NameNotString
		case !rawjson.IsNull(f.category) && !rawjson.IsString(f.category):
			return CategoryNotString
		}
		return object(f.properties, PropertiesNotObject)
	case "identify":
		if !someone {
			return NoUserOrAnonymousID
		}
		return object(f.traits, TraitsNotObject)
	case "group":
		switch {
		case !present(f.groupID):
			return IDRequired
		case !someone:
			return NoUserOrAnonymousID
		}
		return object(f.traits, TraitsNotObject)
	case "alias":
		switch {
		case !present(f.userID) || !present(f.previousID):
			return IDRequired
		case !rawjson.IsString(f.userID):
			return IDNotString
		}
		return nil
	}
	return TypeUnknown
}

// isID: a number is taken for the id of a user, because older SDKs send the key of a database row
// as it is.
func isID(v []byte) bool {
	return rawjson.IsString(v) || v[0] == '-' || v[0] >= '0' && v[0] <= '9'
}

func present(v []byte) bool { return !rawjson.IsNull(v) && !(rawjson.IsString(v) && len(v) == 2) }

func object(v []byte, otherwise *Problem) *Problem {
	if rawjson.IsNull(v) || rawjson.IsObject(v) {
		return nil
	}
	return otherwise
}

// TimeFormat is RFC 3339 with milliseconds, the precision that Segment's SDKs send. In UTC it is
// always 24 bytes.
const TimeFormat = "2006-01-02T15:04:05.000Z07:00"

// AppendIdentified appends the event to dst with messageId and timestamp set where they are missing
// (a messageId that is no string or an empty one counts as missing), and returns the extended dst.
// What is no object is appended as it is. All other bytes stay as they came. Identity is fixed
// before the first attempt so that a second one is the same event to Segment, which dedupes on
// messageId. messageID must need no escaping in JSON.
func (e *Event) AppendIdentified(dst []byte, messageID string, timestamp time.Time) []byte {
	if !rawjson.IsObject(e.Raw) {
		return append(dst, e.Raw...)
	}
	type edit struct {
		at  span
		key string
	}
	var missing [2]edit
	edits := missing[:0]
	if !e.hasID() {
		edits = append(edits, edit{e.id, "messageId"})
	}
	if !e.hasTimestamp() {
		edits = append(edits, edit{e.timestamp, "timestamp"})
	}
	value := func(dst []byte, key string) []byte {
		dst = append(dst, '"')
		if key == "messageId" {
			dst = append(dst, messageID...)
		} else {
			dst = timestamp.UTC().AppendFormat(dst, TimeFormat)
		}
		return append(dst, '"')
	}
	// What is absent goes in front, where no later duplicate of its key follows; what is there as
	// null or "" is replaced where it stands, the last one of its kind.
	dst = append(dst, '{')
	for _, d := range edits {
		if d.at.to == 0 {
			dst = append(dst, '"')
			dst = append(dst, d.key...)
			dst = append(dst, `":`...)
			dst = value(dst, d.key)
			dst = append(dst, ',')
		}
	}
	if len(edits) == 2 && edits[0].at.from > edits[1].at.from {
		edits[0], edits[1] = edits[1], edits[0]
	}
	if rest := bytes.TrimLeft(e.Raw[1:], " \t\r\n"); rest[0] == '}' {
		dst = bytes.TrimSuffix(dst, []byte(","))
	}
	from := uint32(1)
	for _, d := range edits {
		if d.at.to != 0 {
			dst = append(dst, e.Raw[from:d.at.from]...)
			dst = value(dst, d.key)
			from = d.at.to
		}
	}
	return append(dst, e.Raw[from:]...)
}
