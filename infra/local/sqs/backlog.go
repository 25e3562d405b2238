package sqs

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// backlog holds the messages of a queue, those in flight, and the long polls that wait for
// messages. It is safe for concurrent use.
//
// Operations with several phases have types of their own: addition (add.go), poll and walk
// (receive.go), removal (remove.go), sweep (retention.go), move (move.go).
type backlog struct {
	s        *Server
	name     string // of the queue, for errors
	keys     keyspace
	settings atomic.Pointer[settings]

	// adding is held for reading while messages are being added, so that a purge, which holds it
	// for writing, knows what it removes.
	adding sync.RWMutex

	mu      sync.Mutex // guards what follows
	gone    bool       // the queue was deleted
	oldest  oldestHint
	flights flights
	// returned are the messages that have become visible again in the places that they had. The
	// walk takes them first: the cursor is after them. Messages from the cursor on are taken only
	// if there are none, so that flights and returned together are not more than the limit for
	// flights.
	returned flights
	waiters  waiters
	counters
	order
}

// oldestHint is a place in the order of m keys before which there are no messages.
type oldestHint struct {
	sent int64
	seq  uint64
}

func (h oldestHint) after(sent int64, seq uint64) bool {
	return h.sent > sent || h.sent == sent && h.seq > seq
}

// counters count a queue's messages.
type counters struct {
	total   int64 // on disk
	events  int64
	delayed delayed

	sent, received, deleted   int64 // since the server was opened
	sentEvents, deletedEvents int64
}

// counts returns how many messages are visible, in flight and delayed. inFlight is how many of them
// are in flight.
func (c *counters) counts(now int64, inFlight int) (visible, flying, delayed int64) {
	delayed = c.delayed.advance(now)
	return max(0, c.total-int64(inFlight)-delayed), int64(inFlight), delayed
}

func (c *counters) added(e *entry, now int64) {
	c.total++
	c.events += e.events
	if e.place.at > now {
		c.delayed.add(e.place.at, 1)
	}
	if !e.deadLetter {
		c.sent++
		c.sentEvents += e.events
	}
}

func (c *counters) removed(p place, events, now int64) {
	c.total--
	c.events -= events
	if p.at > now {
		c.delayed.remove(p.at)
	}
}

// order is how far the walk over the v keys has come.
type order struct {
	cursor  place                  // no visible message is before it
	due     int64                  // no message from the cursor on is visible before then
	pending map[*addition]struct{} // being written, not yet to be received
}

// visibleFrom makes the walk look at p again.
func (o *order) visibleFrom(p place) {
	if p.compare(o.cursor) < 0 {
		o.cursor = p
	}
	o.due = min(o.due, p.at)
}

// horizon returns the first place that is being written: no message from there on may be received.
func (o *order) horizon() place {
	h := place{at: never}
	for a := range o.pending {
		if a.low.compare(h) < 0 {
			h = a.low
		}
	}
	return h
}

// waiter is a long poll that found nothing.
type waiter struct{ wake chan struct{} }

// waiters are the long polls of a queue, the oldest first.
type waiters []*waiter

func (ws *waiters) add() *waiter {
	w := &waiter{wake: make(chan struct{}, 1)}
	*ws = append(*ws, w)
	return w
}

func (ws *waiters) remove(w *waiter) {
	for i, o := range *ws {
		if o == w {
			*ws = append((*ws)[:i], (*ws)[i+1:]...)
			return
		}
	}
}

// wake ends the wait of up to n long polls, the oldest first.
func (ws *waiters) wake(n int) {
	n = min(n, len(*ws))
	for _, w := range (*ws)[:n] {
		w.wake <- struct{}{} // never blocks: a waiter is woken once
	}
	*ws = append((*ws)[:0], (*ws)[n:]...)
}

// clear deletes every message, and writes more in the same batch. The caller holds adding and mu.
func (q *backlog) clear(more func(*pebble.Batch) error) error {
	b := q.keys.store.db.NewBatch()
	if err := q.keys.deleteAll(b); err != nil {
		return err
	}
	if more != nil {
		if err := more(b); err != nil {
			return err
		}
	}
	if err := q.keys.store.commit(b, pebble.Sync); err != nil {
		return err
	}
	q.keys.store.deleted.add(q.keys.id, reclaimBytes) // the real size is not known
	q.total, q.events = 0, 0
	q.flights.clear()
	q.returned.clear()
	q.delayed.clear()
	q.due = never
	return nil
}

// load reads the messages that were taken, without those that were deleted meanwhile. After an
// error none of them is in flight.
func (q *backlog) load(fs []*flight) ([]received, error) {
	got, deleted, err := q.keys.read(fs)
	if err != nil {
		q.release(fs)
		return nil, fmt.Errorf("read messages of %s: %w", q.name, err)
	}
	if len(deleted) > 0 {
		q.mu.Lock()
		defer q.mu.Unlock()
		for _, f := range deleted {
			if q.flights.has(f) {
				q.flights.remove(f)
			}
		}
	}
	return got, nil
}

// release makes messages visible again that no client has received, as if they had not been taken.
func (q *backlog) release(fs []*flight) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, f := range fs {
		if !q.flights.has(f) {
			continue
		}
		q.flights.remove(f)
		if !f.moving {
			q.received--
		}
		f.tally.count, f.nonce, f.moving = f.storedCount, 0, false
		if f.storedCount == 0 {
			f.tally.first = 0
		}
		q.putInPlace(f)
	}
	q.waiters.wake(len(fs))
}

// putInPlace makes a message visible in the place that it has. The caller holds mu.
func (q *backlog) putInPlace(f *flight) {
	f.deadline = f.place.at
	q.returned.add(f)
}

// inMemory returns what memory has of a message that is in flight or visible again, and the table
// with it. It returns nil for other messages. The caller holds mu.
func (q *backlog) inMemory(seq uint64) (*flight, *flights) {
	for _, fs := range [...]*flights{&q.flights, &q.returned} {
		if f := fs.bySeq[seq]; f != nil {
			return f, fs
		}
	}
	return nil, nil
}

// returnAll makes everything in flight visible, with its receive count.
func (q *backlog) returnAll() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now().UnixMilli()
	for q.flights.len() > 0 && q.keys.store.failure() == nil {
		if err := q.returnFirst(min(q.flights.len(), returnChunk), now); err != nil {
			return err
		}
	}
	return nil
}
