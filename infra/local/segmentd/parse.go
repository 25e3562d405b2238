package segmentd

import (
	"fmt"
	"unsafe"
)

// batch is a request's content as substrings of its body. It is valid only as long as the body is.
type batch struct {
	writeKey, sentAt      string
	context, integrations string // objects as written, or ""
	events                []event
	rejected              string // a code for the batch as a whole, or ""
	rejectedEvents        int    // how many events that code rejects
}

// event is one event of a batch as substrings of the body.
type event struct {
	raw                         string
	messageID, writeKey, sentAt string
	code                        string  // why Segment would reject it later, or ""
	consent                     *fields // of an event that changes consent, until the batch's context is known
}

func (b *batch) reset() {
	clear(b.events) // no part may outlive the body
	*b = batch{events: b.events[:0]}
}

// parse reads body, which must not change while b is in use. A refusal means that Segment would
// answer 400; b then has no events.
func (b *batch) parse(body []byte, rt route) *refusal {
	b.reset()
	s := scanner{in: unsafe.String(unsafe.SliceData(body), len(body))}
	var refused *refusal
	var ok bool
	if s.next() == '{' {
		if rt.batch {
			refused, ok = b.parseBatch(&s)
		} else {
			ok = b.parseSingle(&s, rt.typ)
		}
		ok = ok && s.atEnd()
	}
	switch {
	case ok && refused == nil:
		return nil
	case ok:
	case s.tooDeep():
		refused = &refusal{"too_deep", fmt.Sprintf("the body nests deeper than %d levels", maxDepth)}
	default:
		refused = &refusal{"invalid_json", fmt.Sprintf("the body must be a JSON object: the first error is at byte %d", s.i)}
	}
	b.reset()
	return refused
}

// parseSingle reads one event. Its type is that of the path, whatever the event says.
func (b *batch) parseSingle(s *scanner, typ string) bool {
	e, f, ok := scanEvent(s)
	b.writeKey, b.sentAt = e.writeKey, e.sentAt
	if e.code = f.check(typ); e.code == "" && f.isConsent(typ) {
		e.code = f.checkConsent("")
	}
	b.events = append(b.events, e)
	return ok
}

// parseBatch reads the body in one pass. The last of duplicate keys counts.
func (b *batch) parseBatch(s *scanner) (refused *refusal, ok bool) {
	n := 0
	ok = s.object(func(quoted string) bool {
		key := unquote(quoted)
		if key == "batch" {
			b.events, n, refused = b.events[:0], 0, nil
			if s.next() != '[' {
				return s.value()
			}
			return s.array(func() bool {
				n++
				size, ok := b.parseElement(s, n > maxBatchEvents)
				if size > maxEventBytes && refused == nil {
					refused = &refusal{"event_too_large",
						fmt.Sprintf("event %d of the batch is larger than %d bytes", n-1, maxEventBytes)}
				}
				return ok
			})
		}
		v, ok := scanValue(s)
		switch key {
		case "writeKey":
			b.writeKey = v.text()
		case "sentAt":
			b.sentAt = v.text()
		case "context":
			b.context = v.object()
		case "integrations":
			b.integrations = v.object()
		}
		return ok
	})
	for i := range b.events {
		if e := &b.events[i]; e.consent != nil {
			e.code = e.consent.checkConsent(b.context)
		}
	}
	switch {
	case n == 0:
		b.rejected = codeEmptyBatch
	case n > maxBatchEvents:
		b.rejected, b.rejectedEvents = codeTooManyEvents, n
	}
	return refused, ok
}

// parseElement reads one element of the batch and returns its size. Those over the limit are only
// counted.
func (b *batch) parseElement(s *scanner, over bool) (size int, ok bool) {
	if over || s.next() != '{' {
		v, ok := scanValue(s)
		if !over {
			b.events = append(b.events, event{raw: string(v), code: codeNotObject})
		}
		return len(v), ok
	}
	e, f, ok := scanEvent(s)
	typ := f.typ.text()
	if e.code = f.check(typ); e.code == "" && f.isConsent(typ) {
		own := f
		e.consent = &own
	}
	b.events = append(b.events, e)
	return len(e.raw), ok
}

// scanEvent reads an event in one pass; the caller sets its code. The last of duplicate keys counts.
func scanEvent(s *scanner) (e event, f fields, ok bool) {
	start := s.i
	ok = s.object(func(quoted string) bool {
		v, ok := scanValue(s)
		f.set(unquote(quoted), v)
		return ok
	})
	e.raw = s.in[start:s.i]
	if ok {
		e.messageID, e.writeKey, e.sentAt = f.messageID.text(), f.writeKey.text(), f.sentAt.text()
	}
	return e, f, ok
}

func scanValue(s *scanner) (value, bool) {
	s.next()
	start := s.i
	ok := s.value()
	if !ok {
		return "", false
	}
	return value(s.in[start:s.i]), true
}

// value is a valid JSON value as written; "" means absent.
type value string

func (v value) first() byte {
	if v == "" {
		return 'n'
	}
	return v[0]
}

// null reports whether v is null or absent, which is the same to Segment: browsers send "userId":
// null.
func (v value) null() bool     { return v.first() == 'n' }
func (v value) isString() bool { return v.first() == '"' }
func (v value) isObject() bool { return v.first() == '{' }
func (v value) isNumber() bool { return v.first() == '-' || '0' <= v.first() && v.first() <= '9' }
func (v value) isEmpty() bool  { return v.null() || v == `""` }

// isID reports whether v may be an id, or is absent. Numbers may: SDKs of untyped languages send
// them, and Segment makes strings of them.
func (v value) isID() bool { return v.null() || v.isString() || v.isNumber() }

// text returns a string's value, and "" for anything else.
func (v value) text() string {
	if !v.isString() {
		return ""
	}
	return unquote(string(v))
}

// member returns the last value of a member of an object, "" if there is none or v is no object.
func (v value) member(name string) (of value) {
	if !v.isObject() {
		return ""
	}
	s := scanner{in: string(v)}
	s.object(func(quoted string) bool {
		m, ok := scanValue(&s)
		if unquote(quoted) == name {
			of = m
		}
		return ok
	})
	return of
}

// object returns an object as written, and "" for anything else.
func (v value) object() string {
	if !v.isObject() {
		return ""
	}
	return string(v)
}
