package ingest

import (
	"time"

	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/rawjson"
)

// maxEvents is how many events a request may have. Segment accepts 2,500 and silently drops larger
// batches; Spillway splits them. A bound is needed because 500 KB can hold 250,000 events, each of
// which takes memory.
const maxEvents = 2 * event.MaxBatchEvents

// content is a parsed body. All slices are parts of the body.
type content struct {
	scanner               rawjson.Scanner
	events                []event.Received
	writeKey              []byte // a JSON value
	sentAt                time.Time
	context, integrations []byte        // objects, or nil
	omitted               event.Omitted // of the two: what Segment could not read
}

// parse reads a body as the route defines it.
func (c *content) parse(body []byte, rt route) *refusal {
	c.scanner.Reset(body)
	c.events = c.events[:0]
	switch c.scanner.Peek() {
	case '{':
	case 0:
		return refusalJSON
	default:
		c.scanner.Value()
		if c.scanner.End() != nil {
			return refusalJSON
		}
		if rt.kind == routeBatch {
			return refusalNotBatch
		}
		return refusalNotObject
	}
	if rt.kind == routeBatch {
		return c.parseBatch(body)
	}
	if event.ScanReceived(&c.scanner, body, rt.event, c.next()) != nil || c.scanner.End() != nil {
		return refusalJSON
	}
	c.writeKey = c.events[0].WriteKey
	return nil
}

// next returns room for another event.
func (c *content) next() *event.Received {
	c.events = append(c.events, event.Received{})
	return &c.events[len(c.events)-1]
}

// parseBatch reads the top level of a batch. Of duplicate keys the last one counts, and null is
// absent. A context or integrations that Segment could not read are left out: they never cost the
// events.
func (c *content) parseBatch(body []byte) *refusal {
	s := &c.scanner
	s.Enter('{')
	isBatch, contextOK, integrationsOK := false, true, true
	var sentAt []byte
	for {
		key, ok := s.Field()
		if !ok {
			break
		}
		switch string(key) {
		case "batch":
			var refused *refusal
			if isBatch, refused = c.parseEvents(body); refused != nil {
				return refused
			}
		case "writeKey":
			c.writeKey = s.Value()
		case "sentAt":
			sentAt = s.Value()
		case "context":
			c.context, contextOK = sharedObject(s)
		case "integrations":
			c.integrations, integrationsOK = sharedObject(s)
		default:
			s.Value()
		}
	}
	switch {
	case s.End() != nil:
		return refusalJSON
	case !isBatch:
		return refusalNotBatch
	case len(c.events) == 0:
		return refusalEmptyBatch
	}
	if !contextOK {
		c.omitted |= event.OmittedBatchContext
	}
	if !integrationsOK {
		c.omitted |= event.OmittedBatchIntegrations
	}
	c.sentAt, _ = event.ParseTime(sentAt)
	return nil
}

// parseEvents reads the value of "batch". isBatch is false when it is not an array.
func (c *content) parseEvents(body []byte) (isBatch bool, refused *refusal) {
	s := &c.scanner
	clear(c.events) // what lies behind the end would outlive the request
	c.events = c.events[:0]
	if s.Peek() != '[' {
		s.Value()
		return false, nil
	}
	s.Enter('[')
	for s.Elem() {
		if len(c.events) == maxEvents {
			return true, refusalTooManyEvents
		}
		if event.ScanReceived(s, body, "", c.next()) != nil {
			return true, refusalJSON
		}
	}
	return true, nil
}

// sharedObject reads a batch's context or integrations; null is nil, and so is what Segment would not
// read: ok is false then.
func sharedObject(s *rawjson.Scanner) (value []byte, ok bool) {
	s.TakeFlaws()
	outer := s.Depth()
	value = s.Value()
	flaws := s.TakeFlaws()
	if rawjson.IsNull(value) {
		return nil, true
	}
	if !rawjson.IsObject(value) || flaws.NotUTF8 || flaws.Depth-outer > event.MaxDepth {
		return nil, false
	}
	return value, true
}
