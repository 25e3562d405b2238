package ingest

import (
	"bytes"
	"sync"
	"time"
	"unsafe"

	"github.com/klauspost/compress/gzip"

	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/rawjson"
)

const (
	// maxEvents is how many events a request may have. Segment takes 2,500 and drops the whole
	// batch above that without a word; we can make two of it. There must be some bound, because
	// half a megabyte can be 250,000 events, and each costs memory.
	maxEvents = 2 * event.MaxBatchEvents
	// eventCost is what an event takes besides its bytes: where its fields are, where it stands,
	// its places in a load and among the bad.
	eventCost = int(unsafe.Sizeof(event.Received{}) + unsafe.Sizeof(span{}) + unsafe.Sizeof([]byte{}) + unsafe.Sizeof(0))
	// insertCost is the most that is put into an event besides the User-Agent: type, messageId,
	// timestamp and an address.
	insertCost = 256
	// gzipCost is what decompressing takes: deflate's window and tables.
	gzipCost = 64 << 10
	// sendCost is how many bytes a byte that is sent takes on the way, in a message and in a call,
	// if it can't be compressed.
	sendCost = 2
	// maxUserAgent is how much of a User-Agent is put into events. Browsers' have up to 400 bytes.
	maxUserAgent = 512
)

// request is one request's work and the buffers for it, which the next one uses again.
type request struct {
	raw, unpacked []byte
	packed        bytes.Reader
	gzip          *gzip.Reader
	reserved      int

	content    content
	enrichment event.Enrichment
	enriched   []byte
	spans      []span
	parts      [2]part
	bad        []int // which events are
	summary    Summary
}

// size is how many bytes of memory the request holds.
func (q *request) size() int {
	n := cap(q.raw) + cap(q.unpacked) + cap(q.enriched) + cap(q.content.events)*int(unsafe.Sizeof(event.Received{})) +
		cap(q.spans)*int(unsafe.Sizeof(span{})) +
		(cap(q.parts[0].events)+cap(q.parts[1].events))*int(unsafe.Sizeof([]byte{})) + cap(q.bad)*int(unsafe.Sizeof(0))
	if q.gzip != nil {
		n += gzipCost
	}
	return n
}

// largest is what a request with a body of so many bytes may need at most. Buffers that are read
// into are doubled when they are full; the others grow by a quarter, once they are large (package
// append).
func largest(body int) int {
	spliced := body + maxEvents*(insertCost+2*maxUserAgent) // escaped
	return 2*2*body + gzipCost + (maxEvents*eventCost+spliced)*3/2 + sendCost*spliced
}

// piece is where an event stands in request.spliced.
type span struct{ from, to int }

// reset forgets a request, and gives buffers back to the collector that a large one has made larger
// than most need.
func (q *request) reset() {
	const keepBytes, keepEvents = 256 << 10, 512
	*q = request{
		raw: reuse(q.raw, keepBytes), unpacked: reuse(q.unpacked, keepBytes), enriched: reuse(q.enriched, keepBytes),
		gzip:  q.gzip,
		spans: reuse(q.spans, keepEvents), bad: reuse(q.bad, keepEvents),
		content: content{events: reuseCleared(q.content.events, keepEvents)},
		parts: [2]part{{events: reuseCleared(q.parts[0].events, keepEvents)},
			{events: reuseCleared(q.parts[1].events, keepEvents)}},
	}
}

// emptied is a slice to be used again, nil when it is larger than what is worth keeping.
func reuse[T any](s []T, keep int) []T {
	if cap(s) > keep {
		return nil
	}
	return s[:0]
}

// forgotten is emptied for elements that keep other memory alive.
func reuseCleared[T any](s []T, keep int) []T {
	clear(s)
	return reuse(s, keep)
}

// spares are the buffers of answered requests, for those to come. A sync.Pool would keep as many as
// there ever were at a time, and who sends many large requests once would have filled the memory.
// It may be used by several goroutines at the same time.
type requestPool struct {
	mu    sync.Mutex
	free  []*request
	bytes int
}

// maxSpare bounds spares, in bytes: those of 30 batches of 100 KB, or of a thousand single events.
const maxPooled = 8 << 20

func (s *requestPool) get() *request {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := len(s.free) - 1
	if last < 0 {
		return new(request)
	}
	q := s.free[last]
	s.free[last] = nil
	s.free = s.free[:last]
	s.bytes -= pooledCost(q)
	return q
}

func (s *requestPool) put(q *request) {
	cost := pooledCost(q)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bytes+cost <= maxPooled {
		s.free = append(s.free, q)
		s.bytes += cost
	}
}

func pooledCost(q *request) int { return q.size() + int(unsafe.Sizeof(request{})) }

// content is what a body says. All slices are of the body.
type content struct {
	scanner               rawjson.Scanner
	events                []event.Received
	writeKey              []byte // a JSON value
	sentAt                time.Time
	context, integrations []byte // objects, or nil
}

// parse reads a body as a route has it.
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

// next is room for another event.
func (c *content) next() *event.Received {
	c.events = append(c.events, event.Received{})
	return &c.events[len(c.events)-1]
}

// batch walks the top level. On duplicate keys the last one counts, and null is absent.
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
			clear(c.events) // what stands behind the end would outlive the request
			c.events = c.events[:0]
			if isBatch = s.Peek() == '['; !isBatch {
				s.Value()
				continue
			}
			s.Enter('[')
			for s.Elem() {
				if len(c.events) == maxEvents {
					return refusalTooManyEvents
				}
				if event.ScanReceived(s, body, "", c.next()) != nil {
					return refusalJSON
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
		return refusalJSON
	case !isBatch:
		return refusalNotBatch
	case len(c.events) == 0:
		return refusalEmptyBatch
	case !contextOK || !integrationsOK:
		return refusalContext
	}
	c.sentAt, _ = event.ParseTime(sentAt)
	return nil
}

// object reads what a batch says of all its events; null is nil. ok is false for what Segment would
// not read.
func object(s *rawjson.Scanner) (value []byte, ok bool) {
	s.TakeFlaws()
	outer := s.Depth()
	value = s.Value()
	flaws := s.TakeFlaws()
	if rawjson.IsNull(value) {
		return nil, true
	}
	return value, rawjson.IsObject(value) && !flaws.NotUTF8 && flaws.Depth-outer <= event.MaxDepth
}
