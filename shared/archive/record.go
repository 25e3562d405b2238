package archive

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/rawjson"
)

// Outcomes of an event.
const (
	Delivered    = "delivered"     // Segment has accepted it
	DeadLettered = "dead_lettered" // it is a dead letter: Reason says why
)

// A Record is what the archive knows of one event, or of one message that could not be read.
type Record struct {
	Time       time.Time // when the outcome was known, to the millisecond
	Outcome    string    // Delivered or DeadLettered; a newer version may write others
	Reason     string    // of a dead letter: one of package message's reasons
	Detail     string    // of a dead letter, for people
	WriteKey   string    // empty: the configured default
	Replay     string    // the ID of the replay that sent it; empty: none
	ReceivedAt time.Time // when the ingest endpoint received it; zero: unknown
	Origin     event.Origin
	Receives   int // of its message; 0: unknown

	// The JSON objects of the batch's header, which Segment merges into the event; nil: none.
	// What is not valid JSON is not written. A line break in them is written as a space.
	Context, Integrations []byte

	// Event is the event's own bytes as Segment got them, or a message's body that could not be
	// read. Any bytes are kept as they are.
	Event []byte
	// Scanned says that Event, Context and Integrations are valid JSON, as event.Scan leaves them.
	// AppendRecord then does not check them: it is for speed, and is not written.
	Scanned bool

	// A record that is too large for a frame is several lines, each of which has a part of the
	// record's own line. Parts is how many; 0: it is whole. Such a Record has Time and Outcome
	// besides; a [Joiner] makes the whole record of them.
	Part, Parts int    // Part is from 1
	Whole       string // the same for all parts of a record, and for no other record
	data        []byte // of the part
}

// AppendRecord appends a record's line, with the line break at its end. The event is the last
// field, as it came, or in base64 if it is not valid JSON in UTF-8, has a line break, or white
// space around it, which a reader could not know from ours.
func AppendRecord(dst []byte, r *Record) []byte {
	dst = append(dst, '{')
	dst = appendTime(dst, `"time":`, r.Time)
	dst = appendText(dst, `"outcome":`, r.Outcome)
	if r.Parts > 0 {
		dst = appendNumber(dst, `"part":`, r.Part)
		dst = appendNumber(dst, `"parts":`, r.Parts)
		dst = appendText(dst, `"whole":`, r.Whole)
		return appendBase64(dst, `"record_base64":"`, r.data)
	}
	dst = appendText(dst, `"reason":`, r.Reason)
	dst = appendText(dst, `"detail":`, r.Detail)
	dst = appendText(dst, `"write_key":`, r.WriteKey)
	dst = appendText(dst, `"replay":`, r.Replay)
	dst = appendTime(dst, `"received_at":`, r.ReceivedAt)
	dst = appendText(dst, `"origin":`, r.Origin.String())
	if r.Receives > 1 {
		dst = appendNumber(dst, `"receives":`, r.Receives)
	}
	dst = appendObject(dst, `"context":`, r.Context, r.Scanned)
	dst = appendObject(dst, `"integrations":`, r.Integrations, r.Scanned)
	if !oneLine(r.Event) || !r.Scanned && !rawjson.Valid(r.Event) {
		return appendBase64(dst, `"event_base64":"`, r.Event)
	}
	dst = append(dst, `"event":`...)
	dst = append(dst, r.Event...)
	return append(dst, "}\n"...)
}

// oneLine reports whether JSON can stand in a line as it is. Hadoop's readers, and so Athena's, end
// a line at a carriage return too.
func oneLine(json []byte) bool {
	const space = ' '
	return len(json) > 0 && json[0] > space && json[len(json)-1] > space &&
		bytes.IndexByte(json, '\n') < 0 && bytes.IndexByte(json, '\r') < 0 && utf8.Valid(json)
}

func appendText(dst []byte, key, text string) []byte {
	if text == "" {
		return dst
	}
	return append(rawjson.AppendQuoted(append(dst, key...), text), ',')
}

// appendTime leaves out what RFC 3339 can't say.
func appendTime(dst []byte, key string, t time.Time) []byte {
	if t = t.UTC(); t.IsZero() || t.Year() < 1 || t.Year() > 9999 {
		return dst
	}
	return append(t.AppendFormat(append(append(dst, key...), '"'), event.TimeFormat), '"', ',')
}

func appendNumber(dst []byte, key string, n int) []byte {
	return append(strconv.AppendInt(append(dst, key...), int64(n), 10), ',')
}

func appendObject(dst []byte, key string, object []byte, scanned bool) []byte {
	object = bytes.Trim(object, " \t\r\n")
	if len(object) == 0 || !scanned && !(rawjson.IsObject(object) && utf8.Valid(object) && rawjson.Valid(object)) {
		return dst
	}
	dst = append(dst, key...)
	start := len(dst)
	dst = append(dst, object...)
	for i, c := range dst[start:] {
		if c == '\n' || c == '\r' { // white space: a string can't have it
			dst[start+i] = ' '
		}
	}
	return append(dst, ',')
}

func appendBase64(dst []byte, key string, data []byte) []byte {
	dst = base64.StdEncoding.AppendEncode(append(dst, key...), data)
	return append(dst, "\"}\n"...)
}

var errNoEvent = errors.New("it has neither event nor event_base64")

// ParseRecord reads a line, with or without its line break, whatever is in it. Fields that it does
// not know are ignored: a newer version may write more. Slices of the record are parts of the line,
// unless they were in base64.
func ParseRecord(line []byte) (Record, error) {
	r, err := parseRecord(line)
	if err != nil {
		return Record{}, fmt.Errorf("read a record of the archive: %w", err)
	}
	return r, nil
}

func parseRecord(line []byte) (Record, error) {
	r := Record{Scanned: true}
	var s rawjson.Scanner
	s.Reset(line)
	s.Enter('{')
	for {
		key, ok := s.Field()
		if !ok {
			break
		}
		value := s.Value()
		if s.Err() != nil || rawjson.IsNull(value) && string(key) != "event" { // a batch may hold a null
			continue
		}
		if err := r.set(string(key), value); err != nil {
			return r, fmt.Errorf("%s: %w", key, err)
		}
	}
	switch err := s.End(); {
	case err != nil:
		return r, err
	case r.Outcome == "":
		return r, errors.New("it has no outcome")
	case r.Time.IsZero():
		return r, errors.New("it has no time")
	case r.Parts > 0 && (r.Part < 1 || r.Part > r.Parts || r.Parts > maxParts || r.Whole == "" || len(r.data) == 0):
		return r, fmt.Errorf("part %d of %d, of %q: it is not a part of a record", r.Part, r.Parts, r.Whole)
	case r.Parts == 0 && r.Event == nil:
		return r, errNoEvent
	}
	return r, nil
}

var (
	errNotText   = errors.New("it must be a string")
	errNotNumber = errors.New("it must be a number from 0")
	errNotTime   = errors.New("it must be a time in RFC 3339")
	errNotObject = errors.New("it must be an object")
)

func (r *Record) set(key string, value []byte) (err error) {
	switch key {
	case "time":
		r.Time, err = parseTime(value)
	case "outcome":
		r.Outcome, err = parseText(value)
	case "reason":
		r.Reason, err = parseText(value)
	case "detail":
		r.Detail, err = parseText(value)
	case "write_key":
		r.WriteKey, err = parseText(value)
	case "replay":
		r.Replay, err = parseText(value)
	case "received_at":
		r.ReceivedAt, err = parseTime(value)
	case "origin":
		var text string
		text, err = parseText(value)
		r.Origin, _ = event.ParseOrigin(text)
	case "receives":
		r.Receives, err = parseNumber(value)
	case "context":
		r.Context, err = parseObject(value)
	case "integrations":
		r.Integrations, err = parseObject(value)
	case "part":
		r.Part, err = parseNumber(value)
	case "parts":
		r.Parts, err = parseNumber(value)
	case "whole":
		r.Whole, err = parseText(value)
	case "record_base64":
		r.data, err = parseBase64(value)
	case "event_base64":
		r.Event, err = parseBase64(value)
		r.Scanned = false
	case "event":
		r.Event = value
	}
	return err
}

func parseText(value []byte) (string, error) {
	if !rawjson.IsString(value) {
		return "", errNotText
	}
	switch text := rawjson.Unquote(nil, value); string(text) { // without an allocation
	case Delivered:
		return Delivered, nil
	case DeadLettered:
		return DeadLettered, nil
	default:
		return string(text), nil
	}
}

func parseTime(value []byte) (time.Time, error) {
	t, ok := event.ParseTime(value)
	if t = t.UTC(); !ok || t.Year() < 1 || t.Year() > 9999 { // by its offset
		return time.Time{}, errNotTime
	}
	return t, nil
}

func parseNumber(value []byte) (int, error) {
	n, err := strconv.ParseUint(string(value), 10, 31)
	if err != nil {
		return 0, errNotNumber
	}
	return int(n), nil
}

func parseObject(value []byte) ([]byte, error) {
	if !rawjson.IsObject(value) {
		return nil, errNotObject
	}
	return value, nil
}

// parseBase64 never returns nil without an error: an empty body is a body.
func parseBase64(value []byte) ([]byte, error) {
	if !rawjson.IsString(value) {
		return nil, errNotText
	}
	text := rawjson.Unquote(nil, value)
	data := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Decode(data, text)
	return data[:n], err
}
