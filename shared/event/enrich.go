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
// missing. All other bytes are copied unchanged, and so is an event that is not an object.
// messageID must need no escaping in JSON.
//
// The identity is set before the first attempt, so that Segment, which deduplicates by messageId,
// recognises the event in a second one.
func (e *Event) AppendIdentified(dst []byte, messageID string, timestamp time.Time) []byte {
	if !rawjson.IsObject(e.Raw) {
		return append(dst, e.Raw...)
	}
	var buffer [2]setting
	settings := buffer[:0]
	if !e.hasID() {
		settings = append(settings, setting{keyMessageID, e.id})
	}
	if !e.hasTimestamp() {
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
	Shared    SharedContext

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
//     becomes ReceivedAt; without a sentAt, or when it is not an RFC 3339 time, it is left as it is;
//   - context.ip and context.userAgent, where a client's event has none;
//   - writeKey, where it is the request's.
func (e *Received) AppendEnriched(dst []byte, en *Enrichment) []byte {
	if !rawjson.IsObject(e.Raw) {
		return append(dst, e.Raw...)
	}
	ed := newEditor(dst, e.Raw)
	client := e.SentByClient(en)
	e.insertAbsent(&ed, en, client)
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
			if !e.hasID() {
				ed.replace(p.span)
				ed.dst = en.appendNewID(ed.dst)
			}
		case fieldTimestamp:
			if t, ok := rebase(e.at(p.span), e.sentAt(en), en.ReceivedAt); ok {
				ed.replace(p.span)
				ed.dst = appendTime(ed.dst, t)
			}
		case fieldContext:
			if client {
				e.editContext(&ed, en, p.span)
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
func (e *Received) insertAbsent(ed *editor, en *Enrichment, client bool) {
	if !e.has(fieldType) && en.PathType != "" {
		ed.insert(`"type":`)
		ed.dst = append(ed.dst, typeValue(en.PathType)...)
	}
	if !e.has(fieldMessageID) {
		ed.insert(keyMessageID)
		ed.dst = en.appendNewID(ed.dst)
	}
	if !e.has(fieldTimestamp) {
		ed.insert(keyTimestamp)
		ed.dst = appendTime(ed.dst, en.ReceivedAt)
	}
	if client && !e.has(fieldContext) {
		if ip, agent := e.missing(en); ip || agent {
			ed.insert(`"context":`)
			ed.dst = en.appendContext(ed.dst, ip, agent)
		}
	}
}

// editContext changes a context that is an object or null, and no other.
func (e *Received) editContext(ed *editor, en *Enrichment, at span) {
	value := e.at(at)
	isObject := rawjson.IsObject(value)
	if isObject && !e.context.scanned {
		e.context = scanContext(value)
	}
	ip, agent := e.missing(en)
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

// missing reports which fields the event's context will get.
func (e *Received) missing(en *Enrichment) (ip, agent bool) {
	own, shared := &e.context, &en.Shared
	ip = en.IP != "" && !own.ip.present && !shared.ip
	agent = en.UserAgent != "" && !own.userAgent.present && !own.library && !shared.userAgent && !shared.library
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
	if rawjson.IsNull(timestamp) {
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
