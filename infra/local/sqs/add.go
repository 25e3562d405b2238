package sqs

import (
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// entry is a message that is being added to a queue.
type entry struct {
	storedMessage
	events     int64
	delay      time.Duration
	deadLetter bool // SQS moved it here by itself; it does not count as sent
	// The message has these already if it moves here from another queue; 0: it is sent now.
	sent  int64
	tally tally
	place place // set by reserve
}

// addition is a set of entries that is being written.
type addition struct {
	q       *backlog
	entries []*entry
	low     place // the first of their places
}

// add writes entries, and more in the same batch. Then it counts them, and they can be received.
func (q *backlog) add(entries []*entry, more func(*pebble.Batch) error, o *pebble.WriteOptions) error {
	q.adding.RLock()
	defer q.adding.RUnlock()
	a := &addition{q: q, entries: entries, low: place{at: never}}
	if err := a.reserve(); err != nil {
		return err
	}
	err := a.write(more, o)
	a.finish(err == nil)
	return err
}

// send adds new messages and returns when they are on disk.
func (q *backlog) send(es []*entry) error { return q.add(es, nil, pebble.Sync) }

// reserve gives the entries their places. Until finish no message from the first of them on can be
// received.
func (a *addition) reserve() error {
	q := a.q
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.gone {
		return errNoSuchQueue()
	}
	now := time.Now().UnixMilli()
	for _, e := range a.entries {
		if e.sent == 0 {
			e.sent = now
		}
		at := now
		if e.delay > 0 {
			at = roundUp(now+e.delay.Milliseconds(), delayStep)
		}
		e.visibleAt = at
		e.place = place{at: at, sent: e.sent, seq: q.s.seq.Add(1)}
		e.tally.events = e.events
		if e.place.compare(a.low) < 0 {
			a.low = e.place
		}
	}
	if q.pending == nil {
		q.pending = map[*addition]struct{}{}
	}
	q.pending[a] = struct{}{}
	return nil
}

func roundUp(n, step int64) int64 { return (n + step - 1) / step * step }

func (a *addition) write(more func(*pebble.Batch) error, o *pebble.WriteOptions) error {
	store := a.q.keys.store
	size := 0
	for _, e := range a.entries {
		size += len(e.body) + 512
	}
	store.disk.wrote(size)
	b := store.db.NewBatchWithSize(size)
	for _, e := range a.entries {
		if err := a.q.keys.set(b, e); err != nil {
			return err
		}
	}
	if more != nil {
		if err := more(b); err != nil {
			return err
		}
	}
	if err := store.commit(b, o); err != nil {
		return fmt.Errorf("add %d messages to %s: %w", len(a.entries), a.q.name, err)
	}
	return nil
}

// finish counts the entries if they were written, and wakes the polls that can receive them.
func (a *addition) finish(written bool) {
	q := a.q
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.pending, a)
	if !written {
		q.waiters.wake(1) // messages after this addition can be received now
		return
	}
	now := time.Now().UnixMilli()
	for _, e := range a.entries {
		q.added(e, now)
		if q.oldest.after(e.sent, e.place.seq) {
			q.oldest = oldestHint{e.sent, e.place.seq}
		}
	}
	q.visibleFrom(a.low)
	q.waiters.wake(len(a.entries))
}
