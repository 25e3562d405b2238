package publisher

import (
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/segmentio/analytics-go/v3"
)

// item is an event that waits in memory.
type item struct {
	json    []byte
	raw     bool              // it is a Raw
	name    place             // see prepared
	message analytics.Message // for the callback; nil: none
	pub     *publication      // the call of Publish that waits for it; nil: enqueued
	index   int               // in pub
}

const (
	// itemBytes is what an event takes beside its JSON.
	itemBytes = 64
	// messageFactor is how much memory a message for the callback takes, in multiples of its JSON:
	// maps are large.
	messageFactor = 3
)

func (i *item) bytes() int64 {
	n := int64(len(i.json) + itemBytes)
	if i.message != nil {
		n += int64(messageFactor * len(i.json))
	}
	return n
}

// chunk is a run of events that are taken together. Their JSON shares one piece of memory, so that
// a waiting event costs the garbage collector nothing.
type chunk struct {
	data  []byte // never grown: items are slices of it
	items []item
	bytes int64
	since time.Time // when the first event was added
}

// published reports whether a caller of Publish waits for the events of a chunk. They are then all
// of one call.
func (c *chunk) published() bool { return len(c.items) > 0 && c.items[0].pub != nil }

// chunkBytes is how much JSON a chunk holds: four of the largest events, a quarter of a batch.
const chunkBytes = 128 << 10

// maxShards bounds the memory of half-filled chunks: each send that waits for SQS may hold as many.
const maxShards = 8

// buffer holds events in memory until they are sent, bounded in bytes. Each shard has a lock of its
// own, so that goroutines on several processors do not wait for each other.
type buffer struct {
	max       int64
	enough    int64        // waiting bytes that are sent before the interval is over
	high      int64        // waiting bytes from which on events go to disk and do not wait for a sender
	held      atomic.Int64 // bytes that wait or are being sent
	waiting   atomic.Int64 // of these, bytes that wait
	events    atomic.Int64 // held
	published atomic.Int64 // chunks that wait and are published
	wake      chan struct{}
	shards    []shard
	chunks    sync.Pool

	mu     sync.Mutex
	full   []*chunk // in the order in which they became full
	closed bool
}

type shard struct {
	mu     sync.Mutex
	open   *chunk
	closed bool
	_      [64]byte // gives each shard a cache line of its own
}

func newBuffer(maxBytes int64) *buffer {
	b := &buffer{max: maxBytes, enough: min(1<<20, maxBytes/8), high: maxBytes / 4, wake: make(chan struct{}, 1)}
	b.shards = make([]shard, min(runtime.GOMAXPROCS(0), maxShards))
	b.chunks.New = func() any { return &chunk{data: make([]byte, 0, chunkBytes), items: make([]item, 0, chunkBytes/512)} }
	return b
}

// add copies an event into a shard.
func (b *buffer) add(shard int, json []byte, p prepared) error {
	it := item{json: json, raw: p.raw, name: p.name, message: p.message}
	n := it.bytes()
	if b.held.Add(n) > b.max {
		b.held.Add(-n)
		return ErrFull
	}
	s := &b.shards[shard%len(b.shards)]
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		b.held.Add(-n)
		return ErrClosed
	}
	// The event is counted under the lock before it is there: when all shards are closed and
	// nothing is counted, nothing is left.
	waiting := b.waiting.Add(n)
	b.events.Add(1)
	c := s.open
	if c != nil && len(c.data)+len(json) > cap(c.data) {
		b.push(c)
		c = nil
	}
	if c == nil {
		c = b.chunks.Get().(*chunk)
		c.since = time.Now()
		s.open = c
	}
	from := len(c.data)
	c.data = append(c.data, json...)
	it.json = c.data[from:len(c.data):len(c.data)]
	c.items = append(c.items, it)
	c.bytes += n
	s.mu.Unlock()
	if before := waiting - n; before == 0 || before < b.enough && waiting >= b.enough ||
		before < b.high && waiting >= b.high {
		b.signal()
	}
	return nil
}

// publish adds the events of a call of Publish as one chunk, which does not wait for the interval.
func (b *buffer) publish(items []item) error {
	c := &chunk{items: items, since: time.Now()}
	for i := range items {
		c.bytes += items[i].bytes()
	}
	if b.held.Add(c.bytes) > b.max {
		b.held.Add(-c.bytes)
		return ErrFull
	}
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		b.held.Add(-c.bytes)
		return ErrClosed
	}
	b.waiting.Add(c.bytes)
	b.events.Add(int64(len(items)))
	b.published.Add(1)
	b.full = append(b.full, c)
	b.mu.Unlock()
	b.signal()
	return nil
}

func (b *buffer) push(c *chunk) {
	b.mu.Lock()
	b.full = append(b.full, c)
	b.mu.Unlock()
}

func (b *buffer) signal() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// close makes add and publish return ErrClosed.
func (b *buffer) close() {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	for i := range b.shards {
		s := &b.shards[i]
		s.mu.Lock()
		s.closed = true
		s.mu.Unlock()
	}
}

// take removes up to about most bytes of the events that have waited longest.
func (b *buffer) take(most int64) []*chunk {
	var taken []*chunk
	var bytes int64
	b.mu.Lock()
	for len(b.full) > 0 && (len(taken) == 0 || bytes+b.full[0].bytes <= most) {
		c := b.full[0]
		b.full[0] = nil
		b.full = b.full[1:]
		taken = append(taken, c)
		bytes += c.bytes
	}
	more := len(b.full) > 0
	b.mu.Unlock()
	for i := range b.shards {
		s := &b.shards[i]
		if more || bytes >= most {
			break
		}
		s.mu.Lock()
		c := s.open
		s.open = nil
		s.mu.Unlock()
		if c != nil {
			taken = append(taken, c)
			bytes += c.bytes
		}
	}
	for _, c := range taken {
		if c.published() {
			b.published.Add(-1)
		}
	}
	b.waiting.Add(-bytes)
	return taken
}

// takePublished removes the published events only.
func (b *buffer) takePublished() (taken []*chunk) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.full = slices.DeleteFunc(b.full, func(c *chunk) bool {
		if !c.published() {
			return false
		}
		taken = append(taken, c)
		b.published.Add(-1)
		b.waiting.Add(-c.bytes)
		return true
	})
	return taken
}

// release gives back the memory of a chunk whose events are all settled.
func (b *buffer) release(c *chunk) {
	b.held.Add(-c.bytes)
	b.events.Add(-int64(len(c.items)))
	if cap(c.data) == 0 {
		return
	}
	clear(c.items)
	c.data, c.items, c.bytes = c.data[:0], c.items[:0], 0
	b.chunks.Put(c)
}

// oldest returns when the oldest waiting event was added; zero: none waits.
func (b *buffer) oldest() (at time.Time) {
	look := func(c *chunk) {
		if c != nil && (at.IsZero() || c.since.Before(at)) {
			at = c.since
		}
	}
	b.mu.Lock()
	if len(b.full) > 0 {
		look(b.full[0])
	}
	b.mu.Unlock()
	for i := range b.shards {
		s := &b.shards[i]
		s.mu.Lock()
		look(s.open)
		s.mu.Unlock()
	}
	return at
}

// ready blocks until there is something to send: enough bytes, an event that has waited for the
// interval, or a published one. After closing it does not wait; false means that nothing is left.
func (b *buffer) ready(interval time.Duration, closing <-chan struct{}) bool {
	var over <-chan time.Time
	var timer *time.Timer
	defer func() {
		if timer != nil {
			timer.Stop()
		}
	}()
	ended := false
	for {
		waiting := b.waiting.Load()
		switch {
		case waiting > 0 && (ended || waiting >= b.enough || b.published.Load() > 0):
			return true
		case waiting == 0 && ended:
			return false
		case waiting > 0 && timer == nil:
			timer = time.NewTimer(interval)
			over = timer.C
		}
		select {
		case <-b.wake:
		case <-over:
			return true
		case <-closing:
			ended, closing = true, nil
		}
	}
}
