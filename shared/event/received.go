package event

import (
	"bytes"

	"github.com/spillwayhq/spillway/shared/rawjson"
)

// Received is an event as an SDK sent it: what [Scan] finds, and the places of the fields that
// [Received.AppendEnriched] may change. Its size does not depend on the event, so that the memory
// for many of them is known. The zero value is ready for [ScanReceived].
type Received struct {
	Event
	WriteKey []byte // the event's own writeKey as a JSON value; nil: none
	Direct   bool   // context.direct is true: a client sent it, even to a path for servers

	places  places
	context contextFields
}

// ScanReceived is [Scan] for an event at the ingest endpoint. pathType is the type that the
// request's path names: it counts whatever the event says, as Segment does it. Empty: the event's
// own counts.
func ScanReceived(s *rawjson.Scanner, document []byte, pathType string, e *Received) error {
	*e = Received{places: places{last: [numEditable]int8{none, none, none, none, none, none}}}
	var v values
	if err := e.scan(s, document, pathType, &v, &e.places); err != nil {
		return err
	}
	if e.Problem == nil && e.places.overflow {
		e.Problem = TooManyDuplicates
	}
	e.WriteKey = v[fieldWriteKey]
	if c := v[fieldContext]; rawjson.IsObject(c) {
		// Few events have it. A context without the name and without escapes needs no second look.
		if bytes.Contains(c, []byte("direct")) || bytes.IndexByte(c, '\\') >= 0 {
			e.context = scanContext(c)
			e.Direct = e.context.direct
		}
	}
	return nil
}

// SentByClient reports whether a client sent the event itself: by the request's path, or by
// context.direct of the event or its batch.
func (e *Received) SentByClient(en *Enrichment) bool {
	return en.Client || e.Direct || en.Shared.Direct
}

// maxPlaces is one for each field and some for duplicates of sentAt and writeKey, all of which must
// be removed. Of the other fields the last one is enough.
const maxPlaces = int(numEditable) + 6

// none is the index of a field that the event does not have.
const none = -1

// places are the fields of an event that enrichment may change, in the order of the event.
type places struct {
	list     [maxPlaces]place
	n        int8
	last     [numEditable]int8 // index in list of each field's last place; none: it is absent
	overflow bool              // there were more
}

// place is where a field is in Raw.
type place struct {
	field  field
	before uint32 // the end of what stands before it: the opening brace or another field's value
	span          // the value
}

// add records a place. Only the last duplicate counts, except for fields that are removed.
func (p *places) add(at place) {
	if earlier := p.last[at.field]; earlier != none && at.field != fieldSentAt && at.field != fieldWriteKey {
		copy(p.list[earlier:], p.list[earlier+1:p.n])
		p.n--
		for f := range p.last {
			if p.last[f] > earlier {
				p.last[f]--
			}
		}
		p.last[at.field] = none
	}
	if int(p.n) == maxPlaces {
		p.overflow = true
		return
	}
	p.last[at.field] = p.n
	p.list[p.n] = at
	p.n++
}

func (e *Received) has(f field) bool { return e.places.last[f] != none }

// value is the last value of a field, nil when it is absent.
func (e *Received) value(f field) []byte {
	if !e.has(f) {
		return nil
	}
	return e.at(e.places.list[e.places.last[f]].span)
}

// contextFields are the fields of an event's context that enrichment looks at.
type contextFields struct {
	scanned, direct, library bool
	ip, userAgent            contextField
}

// contextField is a field of the context: absent, null, or present.
type contextField struct {
	present bool
	null    span // where the null stands in the context; empty: the field is not null
}

// scanContext reads a context that is an object.
func scanContext(value []byte) contextFields {
	var s rawjson.Scanner
	s.Reset(value)
	c := contextFields{scanned: true}
	s.Enter('{')
	for {
		key, ok := s.Field()
		if !ok {
			return c
		}
		v := s.Value()
		f := contextField{present: !rawjson.IsNull(v)}
		if !f.present {
			f.null = span{uint32(s.Offset() - len(v)), uint32(s.Offset())}
		}
		switch string(key) {
		case "direct":
			c.direct = string(v) == "true"
		case "library":
			c.library = f.present
		case "ip":
			c.ip = f
		case "userAgent":
			c.userAgent = f
		}
	}
}

// A SharedContext says which fields a batch's context sets for all of its events: Segment merges it
// into each.
type SharedContext struct {
	Direct                 bool   // its direct is true
	ip, userAgent, library bool   // it has the field
	consent                []byte // the field's value; nil: it has none
	device                 []byte // the same, if the rules refuse it
}

// ScanContext reads a batch's context: valid JSON, or nil for none. A context that is not an object
// sets nothing.
func ScanContext(context []byte) SharedContext {
	if !rawjson.IsObject(context) {
		return SharedContext{}
	}
	c := scanContext(context)
	shared := SharedContext{Direct: c.direct, ip: c.ip.present, userAgent: c.userAgent.present, library: c.library}
	// Few contexts have these. One without the names and without escapes needs no second look.
	escapes := bytes.IndexByte(context, '\\') >= 0
	if escapes || bytes.Contains(context, []byte("consent")) {
		if consent := member(context, "consent"); !rawjson.IsNull(consent) {
			shared.consent = consent
		}
	}
	if escapes || bytes.Contains(context, []byte("device")) {
		if device := member(context, "device"); !isStringOrNull(member(device, "advertisingId")) {
			shared.device = device
		}
	}
	return shared
}
