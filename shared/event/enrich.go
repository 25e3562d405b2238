package event

import (
	"bytes"
	"math"
	"time"

	"github.com/spillwayhq/spillway/shared/rawjson"
)

// TimeFormat is RFC 3339 with milliseconds, the precision that Segment's SDKs send. In UTC it is
// always 24 bytes.
const TimeFormat = "2006-01-02T15:04:05.000Z07:00"

// Keys as the editor writes them.
const (
	keyMessageID = `"messageId":`
	keyTimestamp = `"timestamp":`
	keyIP        = `"ip":`
	keyUserAgent = `"userAgent":`
)

// AppendIdentified appends the event to dst with messageId and timestamp set where they are
// missing, and returns the extended dst. A messageId that is null, empty or not a string counts as
// missing, and so does a timestamp that is null, blank, or neither a string nor a number. An empty
// name or category of a page or screen is left out. All other bytes are copied unchanged, and so is
// an event that is not an object. messageID must need no escaping in JSON.
//
// What is set does not lift an event over [MaxEventBytes]: what has no room is left out. omitted
// says what.
//
// The identity is set before the first attempt, so that Segment, which deduplicates by messageId,
// recognises the event in a second one.
func (e *Event) AppendIdentified(dst []byte, messageID string, timestamp time.Time) (out []byte, omitted Omitted) {
	if !rawjson.IsObject(e.Raw) {
		return append(dst, e.Raw...), 0
	}
	if e.empty != 0 {
		var s rawjson.Scanner
		var rest Event
		var v values
		raw := e.withoutEmpty()
		s.Reset(raw)
		_ = rest.scan(&s, raw, "", &v, nil) // was valid before
		rest.empty = 0
		out, omitted = rest.AppendIdentified(dst, messageID, timestamp)
		return out, omitted | e.empty
	}
	var missing Omitted
	if !e.hasID() {
		missing |= OmittedMessageID
	}
	if !e.hasTimestamp() {
		missing |= OmittedTimestamp
	}
	return appendFitting(dst, len(e.Raw), missing, func(dst []byte, omit Omitted) []byte {
		return e.appendIdentified(dst, messageID, timestamp, missing&^omit)
	})
}

func (e *Event) appendIdentified(dst []byte, messageID string, timestamp time.Time, set Omitted) []byte {
	var buffer [2]setting
	settings := buffer[:0]
	if set&OmittedMessageID != 0 {
		settings = append(settings, setting{keyMessageID, e.id})
	}
	if set&OmittedTimestamp != 0 {
		settings = append(settings, setting{keyTimestamp, e.timestamp})
	}
	ed := newEditor(dst, e.Raw)
	ed.set(0, settings, func(dst []byte, key string) []byte {
		if key == keyMessageID {
			return appendPlain(dst, messageID)
		}
		return appendTime(dst, timestamp)
	})
	return ed.finish()
}

// appendFitting calls add, which appends an event of size bytes with what is added to it. If that
// lifts the event over MaxEventBytes, it calls add again and leaves out one optional addition after
// the other. An event that does not fit even so gets all of them: it becomes a dead letter.
func appendFitting(dst []byte, size int, optional Omitted,
	add func(dst []byte, omit Omitted) []byte) (out []byte, omitted Omitted) {
	from := len(dst)
	out = add(dst, 0)
	if len(out)-from <= MaxEventBytes || size > MaxEventBytes {
		return out, 0
	}
	for omit := Omitted(0); optional != 0; optional &= optional - 1 {
		omit |= optional & -optional // the lowest bit
		if out = add(out[:from], omit); len(out)-from <= MaxEventBytes {
			return out, omit
		}
	}
	return add(out[:from], 0), 0
}

// An Enrichment is what the ingest endpoint knows about the events of a request and may add to
// them. It is safe for concurrent use if AppendID is.
type Enrichment struct {
	PathType   string    // the type that the request's path names: every event gets it; empty: it keeps its own
	ReceivedAt time.Time // when the request came
	SentAt     time.Time // the batch's, by the client's clock; zero: unknown
	WriteKey   string    // the request's; an event's own is removed when it is equal, because the message carries it

	// Client, IP and UserAgent are for events that a client sent itself: SDKs for servers send
	// their users' addresses or none, and never their own.
	Client    bool   // the path is one for clients; an event or its batch may say so as well
	IP        string // must need no escaping in JSON; empty: unknown
	UserAgent string // for events without an SDK, which would have named itself and this; empty: unknown
	// AnyUserAgent says that events with an SDK get it as well.
	AnyUserAgent bool
	Shared       SharedContext

	// AppendID appends a new messageId, which must need no escaping in JSON.
	AppendID func(dst []byte) []byte
}

// AppendEnriched appends the event to dst as Spillway sends it on, and returns the extended dst. An
// event that is not an object is copied unchanged. These fields change, where null counts as
// absent; all other bytes are copied unchanged:
//   - type, where it is not the one that the path names;
//   - messageId, where it is missing, empty or no string;
//   - timestamp: Segment computes receivedAt − (sentAt − timestamp), which would add the time in
//     the queue. So it is computed here, and the event's own sentAt is removed. A missing timestamp
//     becomes ReceivedAt (see [Event.AppendIdentified]); without a sentAt, or when it is not an RFC
//     3339 time, it is left as it is;
//   - context.ip and context.userAgent, where a client's event has none;
//   - writeKey, where it is the request's;
//   - name and category of a page or screen, where they are empty: they are left out.
//
// What is added does not lift an event over [MaxEventBytes]: what has no room is left out, but not
// the type, without which Segment would drop it. omitted says what.
func (e *Received) AppendEnriched(dst []byte, en *Enrichment) (out []byte, omitted Omitted) {
	if !rawjson.IsObject(e.Raw) {
		return append(dst, e.Raw...), 0
	}
	if e.empty != 0 {
		var s rawjson.Scanner
		var rest Received
		raw := e.withoutEmpty()
		s.Reset(raw)
		_ = ScanReceived(&s, raw, en.PathType, &rest) // was valid before
		rest.empty = 0
		out, omitted = rest.AppendEnriched(dst, en)
		return out, omitted | e.empty
	}
	from := len(dst)
	dst = e.appendEnriched(dst, en, 0)
	if len(dst)-from <= MaxEventBytes || len(e.Raw) > MaxEventBytes { // almost every event
		return dst, 0
	}
	return appendFitting(dst[:from], len(e.Raw), e.optional(en), func(dst []byte, omit Omitted) []byte {
		return e.appendEnriched(dst, en, omit)
	})
}

// optional returns what enrichment adds to the event and can leave out.
func (e *Received) optional(en *Enrichment) (added Omitted) {
	if context := e.value(fieldContext); e.SentByClient(en) && (rawjson.IsNull(context) || rawjson.IsObject(context)) {
		ip, agent := e.missing(en, 0)
		if agent {
			added |= OmittedUserAgent
		}
		if ip {
			added |= OmittedIP
		}
	}
	if _, ok := rebase(e.value(fieldTimestamp), e.sentAt(en), en.ReceivedAt); ok {
		added |= OmittedTimestamp
	}
	if !e.hasID() {
		added |= OmittedMessageID
	}
	return added
}

// appendEnriched enriches the event without the fields in omit.
func (e *Received) appendEnriched(dst []byte, en *Enrichment, omit Omitted) []byte {
	ed := newEditor(dst, e.Raw)
	client := e.SentByClient(en)
	e.insertAbsent(&ed, en, client, omit)
	sameKey := rawjson.IsString(e.WriteKey) && string(rawjson.Unquote(nil, e.WriteKey)) == en.WriteKey
	for i := range e.places.n {
		p := &e.places.list[i]
		switch p.field {
		case fieldType:
			if kind := typeValue(en.PathType); kind != nil && !bytes.Equal(e.at(p.span), kind) {
				ed.replace(p.span)
				ed.dst = append(ed.dst, kind...)
			}
		case fieldMessageID:
			if !e.hasID() && omit&OmittedMessageID == 0 {
				ed.replace(p.span)
				ed.dst = en.appendNewID(ed.dst)
			}
		case fieldTimestamp:
			if omit&OmittedTimestamp != 0 {
				break
			}
			if t, ok := rebase(e.at(p.span), e.sentAt(en), en.ReceivedAt); ok {
				ed.replace(p.span)
				ed.dst = appendTime(ed.dst, t)
			}
		case fieldContext:
			if client {
				e.editContext(&ed, en, p.span, omit)
			}
		case fieldSentAt:
			ed.remove(p)
		case fieldWriteKey:
			if sameKey { // earlier duplicates go too
				ed.remove(p)
			}
		}
	}
	return ed.finish()
}

// insertAbsent inserts the fields that the event lacks before its first field.
func (e *Received) insertAbsent(ed *editor, en *Enrichment, client bool, omit Omitted) {
	if !e.has(fieldType) && en.PathType != "" {
		ed.insert(`"type":`)
		ed.dst = append(ed.dst, typeValue(en.PathType)...)
	}
	if !e.has(fieldMessageID) && omit&OmittedMessageID == 0 {
		ed.insert(keyMessageID)
		ed.dst = en.appendNewID(ed.dst)
	}
	if !e.has(fieldTimestamp) && omit&OmittedTimestamp == 0 {
		ed.insert(keyTimestamp)
		ed.dst = appendTime(ed.dst, en.ReceivedAt)
	}
	if client && !e.has(fieldContext) {
		if ip, agent := e.missing(en, omit); ip || agent {
			ed.insert(`"context":`)
			ed.dst = en.appendContext(ed.dst, ip, agent)
		}
	}
}

// editContext changes a context that is an object or null, and no other.
func (e *Received) editContext(ed *editor, en *Enrichment, at span, omit Omitted) {
	value := e.at(at)
	isObject := rawjson.IsObject(value)
	if isObject && !e.context.scanned {
		e.context = scanContext(value)
	}
	ip, agent := e.missing(en, omit)
	switch {
	case !ip && !agent:
	case rawjson.IsNull(value):
		ed.replace(at)
		ed.dst = en.appendContext(ed.dst, ip, agent)
	case isObject:
		var buffer [2]setting
		settings := buffer[:0]
		if ip {
			settings = append(settings, setting{keyIP, e.context.ip.null})
		}
		if agent {
			settings = append(settings, setting{keyUserAgent, e.context.userAgent.null})
		}
		ed.enter(at.from)
		ed.set(at.from, settings, func(dst []byte, key string) []byte {
			if key == keyIP {
				return appendPlain(dst, en.IP)
			}
			return rawjson.AppendQuoted(dst, en.UserAgent)
		})
	}
}

// missing reports which fields the event's context will get, without those in omit.
func (e *Received) missing(en *Enrichment, omit Omitted) (ip, agent bool) {
	own, shared := &e.context, &en.Shared
	ip = omit&OmittedIP == 0 && en.IP != "" && !own.ip.present && !shared.ip
	agent = omit&OmittedUserAgent == 0 && en.UserAgent != "" && !own.userAgent.present && !shared.userAgent &&
		(en.AnyUserAgent || !own.library && !shared.library)
	return ip, agent
}

// sentAt is when the client sent the event, by its clock; zero: unknown.
func (e *Received) sentAt(en *Enrichment) time.Time {
	if t, ok := ParseTime(e.value(fieldSentAt)); ok {
		return t
	}
	return en.SentAt
}

// rebase converts a timestamp from the client's clock to ours; ok is false where it
// does not change.
func rebase(timestamp []byte, sentAt, receivedAt time.Time) (t time.Time, ok bool) {
	if !isTimestamp(timestamp) {
		return receivedAt, true
	}
	if t, ok = ParseTime(timestamp); !ok || sentAt.IsZero() {
		return t, false
	}
	age := sentAt.Sub(t)
	if age == math.MaxInt64 || age == math.MinInt64 { // centuries: no clock is that wrong
		return t, false
	}
	return receivedAt.Add(-age), true
}

// ParseTime reads a JSON value as a time in RFC 3339, or with an offset without a colon, as older
// SDKs write it. A time without a zone is refused, because its zone is unknown.
func ParseTime(value []byte) (t time.Time, ok bool) {
	if !rawjson.IsString(value) || len(value) > 64 {
		return time.Time{}, false
	}
	text := rawjson.Unquote(nil, value)
	if t.UnmarshalText(text) == nil {
		return t, true
	}
	t, err := time.Parse("2006-01-02T15:04:05Z0700", string(text))
	return t, err == nil
}

func appendTime(dst []byte, t time.Time) []byte {
	return append(t.UTC().AppendFormat(append(dst, '"'), TimeFormat), '"')
}

// appendPlain appends a JSON string of a text that needs no escaping.
func appendPlain(dst []byte, text string) []byte {
	return append(append(append(dst, '"'), text...), '"')
}

func (en *Enrichment) appendNewID(dst []byte) []byte {
	return append(en.AppendID(append(dst, '"')), '"')
}

// appendContext appends a context with one of the two fields or both.
func (en *Enrichment) appendContext(dst []byte, ip, agent bool) []byte {
	dst = append(dst, '{')
	if ip {
		dst = appendPlain(append(dst, keyIP...), en.IP)
	}
	if ip && agent {
		dst = append(dst, ',')
	}
	if agent {
		dst = rawjson.AppendQuoted(append(dst, keyUserAgent...), en.UserAgent)
	}
	return append(dst, '}')
}
