package ingest

import (
	"bytes"
	"sync"
	"unsafe"

	"github.com/klauspost/compress/gzip"

	"github.com/spillwayhq/spillway/shared/event"
)

// request is the state of one request, with buffers that the next request reuses.
type request struct {
	budget   *memoryBudget
	reserved int // bytes of the budget
	inFlight bool
	expected *arrivals // until the first bytes of the body have come, which are often all
	arrivals *arrivals // while more of the body is arriving; nil otherwise
	arrival  arrival

	raw, unpacked []byte
	queryKey      string // the write key in a pixel's query; "": none
	packed        bytes.Reader
	gzip          *gzip.Reader

	content    content
	enrichment event.Enrichment
	enriched   []byte // all events, one after the other
	spans      []span // of the events in enriched
	parts      [2]part
	invalid    []int // indexes of events
	omitted    event.Omissions
	summary    Summary
	sender     sender // known when the events have been read
}

// span is where an event is in request.enriched.
type span struct{ from, to int }

// reserve takes from the budget what the request holds, plus more bytes that it will need. If the
// budget is too small it takes nothing and returns false.
func (q *request) reserve(more int) bool {
	n := q.size() + more - q.reserved
	if q.arrivals != nil {
		if !q.arrivals.grow(&q.arrival, n) {
			return false
		}
	} else if !q.budget.take(n) {
		return false
	}
	q.reserved += n
	return true
}

// arriving says that more of the body has to come than has come at first.
func (q *request) arriving() {
	if q.expected != nil {
		q.arrivals, q.expected = q.expected, nil
		q.arrivals.enter(&q.arrival)
	}
}

// arrived says that nothing more of the body arrives.
func (q *request) arrived() {
	q.expected = nil
	if q.arrivals != nil {
		q.reserved -= q.arrivals.leave(&q.arrival)
		q.arrivals = nil
	}
}

// size is how many bytes of memory the request holds.
func (q *request) size() int {
	n := cap(q.raw) + cap(q.unpacked) + cap(q.enriched) + cap(q.content.events)*int(unsafe.Sizeof(event.Received{})) +
		cap(q.spans)*int(unsafe.Sizeof(span{})) +
		(cap(q.parts[0].events)+cap(q.parts[1].events))*int(unsafe.Sizeof([]byte{})) + cap(q.invalid)*int(unsafe.Sizeof(0))
	if q.gzip != nil {
		n += gzipCost
	}
	return n
}

// reset empties the request for reuse. Buffers that a large request has grown beyond what most need
// are left to the garbage collector.
func (q *request) reset() {
	const reusableBytes, reusableEvents = 256 << 10, 512
	*q = request{
		raw: reuse(q.raw, reusableBytes), unpacked: reuse(q.unpacked, reusableBytes),
		enriched: reuse(q.enriched, reusableBytes), gzip: q.gzip,
		spans: reuse(q.spans, reusableEvents), invalid: reuse(q.invalid, reusableEvents),
		content: content{events: reuseCleared(q.content.events, reusableEvents)},
		parts: [2]part{{events: reuseCleared(q.parts[0].events, reusableEvents)},
			{events: reuseCleared(q.parts[1].events, reusableEvents)}},
	}
}

// reuse returns s emptied, or nil if its capacity exceeds most.
func reuse[T any](s []T, most int) []T {
	if cap(s) > most {
		return nil
	}
	return s[:0]
}

// reuseCleared is reuse for elements that refer to other memory.
func reuseCleared[T any](s []T, most int) []T {
	clear(s)
	return reuse(s, most)
}

// requestPool holds the buffers of answered requests for reuse. A sync.Pool would hold as many as
// were ever in use at a time, so one burst of large requests could fill the memory. It is safe for
// concurrent use.
type requestPool struct {
	mu    sync.Mutex
	free  []*request
	bytes int
}

// maxPooled bounds a requestPool, in bytes: 30 batches of 100 KB, or a thousand single events.
const maxPooled = 8 << 20

func (p *requestPool) get() *request {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := len(p.free) - 1
	if last < 0 {
		return new(request)
	}
	q := p.free[last]
	p.free[last] = nil
	p.free = p.free[:last]
	p.bytes -= pooledCost(q)
	return q
}

func (p *requestPool) put(q *request) {
	cost := pooledCost(q)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bytes+cost <= maxPooled {
		p.free = append(p.free, q)
		p.bytes += cost
	}
}

func pooledCost(q *request) int { return q.size() + int(unsafe.Sizeof(request{})) }
