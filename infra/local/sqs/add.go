package sqs

import (
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// entry is a message on its way into a queue.
type entry struct {
	storedMessage
	events int64
	delay  time.Duration
	// A message that moves in brings these along; 0: it is sent now.
	sent  int64
	tally tally
	place place // set by reserve
}

// addition is a set of entries that is being written.
type addition struct {
	entries []*entry
	low     place // the first of their places
}

// add writes entries, and what more puts into the same batch, and then counts
// them and lets them be received.
func (q *Queue) add(entries []*entry, more func(*pebble.Batch) error, o *pebble.WriteOptions) error {
	q.adding.RLock()
	defer q.adding.RUnlock()
	a, err := q.reserve(entries)
	if err != nil {
		return err
	}
	err = q.write(a, more, o)
	q.settle(a, err == nil)
	return err
}

// reserve gives entries their places. Until settle nothing from the first of
// them on is handed out.
func (q *Queue) reserve(entries []*entry) (*addition, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.gone {
		return nil, errNoSuchQueue()
	}
	now := time.Now().UnixMilli()
	a := &addition{entries: entries, low: place{at: never}}
	for _, e := range entries {
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
	return a, nil
}

func roundUp(n, step int64) int64 { return (n + step - 1) / step * step }

func (q *Queue) write(a *addition, more func(*pebble.Batch) error, o *pebble.WriteOptions) error {
	size := 0
	for _, e := range a.entries {
		size += len(e.body) + 512
	}
	q.s.store.disk.wrote(size)
	b := q.s.store.db.NewBatchWithSize(size)
	for _, e := range a.entries {
		if err := b.Set(messageKey(q.id, e.sent, e.place.seq), e.encode(), nil); err != nil {
			return err
		}
		if err := b.Set(visibleKey(q.id, e.place), e.tally.encode(), nil); err != nil {
			return err
		}
		if e.tally.count > 0 {
			if err := b.Set(returnedKey(q.id, e.place.seq), encodeReturned(e.place.at, e.tally.count), nil); err != nil {
				return err
			}
		}
	}
	if more != nil {
		if err := more(b); err != nil {
			return err
		}
	}
	if err := q.s.store.commit(b, o); err != nil {
		return fmt.Errorf("add %d messages to %s: %w", len(a.entries), q.name, err)
	}
	return nil
}

func (q *Queue) settle(a *addition, written bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.pending, a)
	if !written {
		q.wake(1) // others may have waited for this addition
		return
	}
	now := time.Now().UnixMilli()
	for _, e := range a.entries {
		q.total++
		q.events += e.events
		if e.place.at > now {
			q.delayed.add(e.place.at, 1)
		}
		if q.oldest.after(e.sent, e.place.seq) {
			q.oldest = oldestHint{e.sent, e.place.seq}
		}
	}
	q.visibleFrom(a.low)
	q.wake(len(a.entries))
}

// visibleFrom makes the walk look at p again. It needs mu.
func (q *Queue) visibleFrom(p place) {
	if p.compare(q.cursor) < 0 {
		q.cursor = p
	}
	q.due = min(q.due, p.at)
}

// horizon is the first place that is being written; nothing from there on may
// be handed out yet. It needs mu.
func (q *Queue) horizon() place {
	h := place{at: never}
	for a := range q.pending {
		if a.low.compare(h) < 0 {
			h = a.low
		}
	}
	return h
}
