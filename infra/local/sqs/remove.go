package sqs

import (
	"context"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// Delete deletes the messages of these handles, any number of them. A handle
// that has expired still deletes its message if that was not received again;
// otherwise it is passed over, and that is no error. A string that is no
// handle of this queue is one, but the others are deleted all the same.
func (q *Queue) Delete(ctx context.Context, receiptHandles []string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := q.s.enter(); err != nil {
		return fmt.Errorf("delete from %s: %w", q.name, err)
	}
	defer q.s.exit()
	hs := make([]handle, 0, len(receiptHandles))
	var bad error
	for _, s := range receiptHandles {
		h, err := q.parseHandle(s)
		if err != nil {
			bad = err
			continue
		}
		hs = append(hs, h)
	}
	if err := q.remove(hs); err != nil {
		return fmt.Errorf("delete from %s: %w", q.name, err)
	}
	return bad
}

func (q *Queue) parseHandle(s string) (handle, error) {
	h, ok := parseHandle(s)
	if !ok || h.queue != q.id {
		return handle{}, errReceiptHandle(s)
	}
	return h, nil
}

// remove deletes messages in one batch.
func (q *Queue) remove(hs []handle) error {
	if len(hs) == 0 {
		return nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.gone {
		return errNoSuchQueue()
	}
	now := time.Now().UnixMilli()
	b := q.s.store.db.NewBatch()
	type deletion struct {
		place  place
		events int64
		flight *flight
	}
	gone := make(map[uint64]deletion, len(hs)) // a batch may hold a handle twice
	for _, h := range hs {
		if _, twice := gone[h.place.seq]; twice {
			continue
		}
		d := deletion{place: h.place}
		returned := false
		if f := q.flights.bySeq[h.place.seq]; f != nil {
			if f.nonce != h.nonce {
				continue // received again: that consumer's handle counts
			}
			d.place, d.events, d.flight = f.place, f.events, f
			returned = f.stored > 0
		} else {
			p, t, r, err := q.find(h)
			if err != nil {
				return err
			}
			if !r.ok {
				continue
			}
			d.place, d.events, returned = p, t.events, r.returned
		}
		if err := q.deleteKeys(b, d.place, returned); err != nil {
			return err
		}
		gone[h.place.seq] = d
	}
	if err := q.s.store.commit(b, pebble.NoSync); err != nil {
		return err
	}
	var bytes int64
	for _, d := range gone {
		bytes += d.flight.bytes()
		if d.flight != nil {
			q.flights.remove(d.flight)
		}
		q.forget(d.place, d.events, now)
		q.deleted++
		q.deletedEvents += d.events
	}
	q.s.store.garbage.add(q.id, bytes)
	return nil
}

type found struct{ ok, returned bool }

// find looks for the message of a handle that is not in flight. It needs mu.
func (q *Queue) find(h handle) (place, tally, found, error) {
	p := h.place
	v, err := q.s.store.get(returnedKey(q.id, p.seq))
	if err != nil {
		return p, tally{}, found{}, err
	}
	returned := v != nil
	if returned {
		at, count, ok := parseReturned(v)
		if !ok {
			return p, tally{}, found{}, errCorrupt
		}
		// After a restart the last receive is not in the count.
		if count != h.count && count+1 != h.count {
			return p, tally{}, found{}, nil
		}
		p.at = at
	}
	v, err = q.s.store.get(visibleKey(q.id, p))
	if err != nil || v == nil {
		return p, tally{}, found{}, err
	}
	t, ok := parseTally(v)
	if !ok {
		return p, tally{}, found{}, errCorrupt
	}
	return p, t, found{true, returned}, nil
}

// deleteKeys adds the removal of a message to b.
func (q *Queue) deleteKeys(b *pebble.Batch, p place, returned bool) error {
	if err := b.Delete(messageKey(q.id, p.sent, p.seq), nil); err != nil {
		return err
	}
	if returned {
		if err := b.Delete(returnedKey(q.id, p.seq), nil); err != nil {
			return err
		}
	}
	return b.Delete(visibleKey(q.id, p), nil)
}

// forget takes a message out of the counters. It needs mu.
func (q *Queue) forget(p place, events, now int64) {
	q.total--
	q.events -= events
	if p.at > now {
		q.delayed.remove(p.at)
	}
}
