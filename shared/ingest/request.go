package ingest

import (
	"bytes"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/spillwayhq/spillway/shared/rawjson"
	"github.com/spillwayhq/spillway/shared/segment"
)

const (
	// maxEvents is how many events a request may have. Segment takes 2,500 and drops the whole batch above that without a word; we
	// can make two of it. There must be some bound, because half a megabyte can be 250,000 events, and each costs memory.
	maxEvents = 2 * segment.MaxBatchEvents
	// eventCost is what an event takes besides its bytes: where its fields are, and what is put in.
	eventCost = 400
	// maxUserAgent is how much of a User-Agent is put into events. Browsers' have up to 400 bytes.
	maxUserAgent = 512
)

// request is one request's work and the buffers for it, which the next one uses again.
type request struct {
	raw, unpacked []byte
	packed        bytes.Reader
	gzip          *gzip.Reader
	reserved      int

	content content
	stamp   segment.Stamp
	spliced []byte
	pieces  []piece
	loads   [2]load
	bad     []int // which events are
	summary Summary
}

// piece is where an event stands in request.spliced.
type piece struct{ from, to int }

// reset forgets a request, and gives buffers back to the collector that a large one has made larger than most need.
func (q *request) reset() {
	const keep = 64 << 10
	drop := func(buf []byte) []byte {
		if cap(buf) > 4*keep {
			return nil
		}
		return buf[:0]
	}
	events := q.content.events
	for i := range events {
		events[i].Reset()
	}
	if cap(events) > segment.MaxBatchEvents {
		events = nil
	}
	*q = request{
		raw: drop(q.raw), unpacked: drop(q.unpacked), gzip: q.gzip, spliced: drop(q.spliced), pieces: q.pieces[:0], bad: q.bad[:0],
		content: content{scanner: q.content.scanner, events: events[:0]},
		loads:   [2]load{{events: q.loads[0].events[:0]}, {events: q.loads[1].events[:0]}},
	}
}

// content is what a body says. All slices are of the body.
type content struct {
	scanner               rawjson.Scanner
	events                []segment.Received
	writeKey              []byte // a JSON value
	sentAt                time.Time
	context, integrations []byte // objects, or nil
}

// parse reads a body as a route has it.
func (c *content) parse(body []byte, rt route) *fault {
	c.scanner.Reset(body)
	c.events = c.events[:0]
	switch c.scanner.Peek() {
	case '{':
	case 0:
		return faultJSON
	default:
		c.scanner.Value()
		if c.scanner.End() != nil {
			return faultJSON
		}
		if rt.kind == batch {
			return faultBatch
		}
		return faultObject
	}
	if rt.kind == batch {
		return c.batch(body)
	}
	if segment.ScanReceived(&c.scanner, body, rt.event, c.next()) != nil || c.scanner.End() != nil {
		return faultJSON
	}
	c.writeKey = c.events[0].WriteKey
	return nil
}

// next is room for another event. It grows in place, because each event keeps memory of its own.
func (c *content) next() *segment.Received {
	if len(c.events) < cap(c.events) {
		c.events = c.events[:len(c.events)+1]
	} else {
		c.events = append(c.events, segment.Received{})
	}
	return &c.events[len(c.events)-1]
}

// batch walks the top level. On duplicate keys the last one counts, and null is absent.
func (c *content) batch(body []byte) *fault {
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
			c.events = c.events[:0]
			if isBatch = s.Peek() == '['; !isBatch {
				s.Value()
				continue
			}
			s.Enter('[')
			for s.Elem() {
				if len(c.events) == maxEvents {
					return faultMany
				}
				if segment.ScanReceived(s, body, "", c.next()) != nil {
					return faultJSON
				}
			}
		case "writeKey":
			c.writeKey = s.Value()
		case "sentAt":
			sentAt = s.Value()
		case "context":
			c.context, contextOK = object(s)
		case "integrations":
			c.integrations, integrationsOK = object(s)
		default:
			s.Value()
		}
	}
	switch {
	case s.End() != nil:
		return faultJSON
	case !isBatch:
		return faultBatch
	case len(c.events) == 0:
		return faultEmpty
	case !contextOK || !integrationsOK:
		return faultShared
	}
	c.sentAt, _ = segment.ParseTime(sentAt)
	return nil
}

// object reads what a batch says of all its events; null is nil. ok is false for what Segment would not read.
func object(s *rawjson.Scanner) (value []byte, ok bool) {
	s.TakeFlaws()
	outer := s.Depth()
	value = s.Value()
	flaws := s.TakeFlaws()
	if rawjson.IsNull(value) {
		return nil, true
	}
	return value, rawjson.IsObject(value) && !flaws.NotUTF8 && flaws.Depth-outer <= segment.MaxDepth
}
