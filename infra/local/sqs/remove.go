package sqs

import (
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// removal deletes messages by their handles, in one batch.
type removal struct {
	q     *backlog
	batch *pebble.Batch
	gone  map[uint64]deletion // by seq: a request may have a handle twice
}

type deletion struct {
	place  place
	events int64
	flight *flight // nil: memory did not have it
}

// remove deletes the messages of handles. It ignores a handle whose message was deleted or received
// again. The deletion is not synced (see syncWithin).
func (q *backlog) remove(hs []handle) error {
	if len(hs) == 0 {
		return nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.gone {
		return errNoSuchQueue()
	}
	now := time.Now().UnixMilli()
	r := &removal{q: q, batch: q.keys.store.db.NewBatch(), gone: make(map[uint64]deletion, len(hs))}
	for _, h := range hs {
		if err := r.add(h); err != nil {
			return err
		}
	}
	if err := q.keys.store.commit(r.batch, pebble.NoSync); err != nil {
		return err
	}
	r.count(now)
	return nil
}

func (r *removal) add(h handle) error {
	if _, twice := r.gone[h.place.seq]; twice {
		return nil
	}
	d := deletion{place: h.place}
	returned := false
	if f, _ := r.q.inMemory(h.place.seq); f != nil {
		if !f.receivedBy(h) {
			return nil // received again: only the newer handle counts
		}
		d.place, d.events, d.flight = f.place, f.tally.events, f
		returned = f.storedCount > 0
	} else {
		p, t, found, err := r.q.keys.find(h)
		// After a restart the last receive is not in the count.
		if err != nil || !found.ok || found.returned && t.count != h.count && t.count+1 != h.count {
			return err
		}
		d.place, d.events, returned = p, t.events, found.returned
	}
	if err := r.q.keys.delete(r.batch, d.place, returned); err != nil {
		return err
	}
	r.gone[h.place.seq] = d
	return nil
}

func (r *removal) count(now int64) {
	q := r.q
	var bytes int64
	for _, d := range r.gone {
		bytes += d.flight.bytes()
		if f, table := q.inMemory(d.place.seq); f != nil {
			table.remove(f)
		}
		q.removed(d.place, d.events, now)
		q.deleted++
		q.deletedEvents += d.events
	}
	q.keys.store.deleted.add(q.keys.id, bytes)
}
