package sqs

import (
	"context"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// sweepEvery is how often messages past their retention are looked for. In
// between, a receive deletes those that it comes by.
const sweepEvery = 30 * time.Second

// sweepChunk bounds what one hold of a queue's lock deletes.
const sweepChunk = 1000

// dueMessage is a message that is to be removed.
type dueMessage struct {
	place place
	tally tally
	size  int64 // bytes of the message; 0: not known
}

// expire removes messages that are past their retention. It needs mu.
func (q *Queue) expire(ms []dueMessage) error {
	b := q.s.store.db.NewBatch()
	for _, m := range ms {
		if err := q.deleteKeys(b, m.place, m.tally.count > 0); err != nil {
			return err
		}
	}
	if err := q.s.store.commit(b, pebble.NoSync); err != nil {
		return fmt.Errorf("remove expired messages from %s: %w", q.name, err)
	}
	now := time.Now().UnixMilli()
	var bytes int64
	for _, m := range ms {
		bytes += max(m.size, unknownBytes)
		if f := q.flights.bySeq[m.place.seq]; f != nil {
			q.flights.remove(f)
		}
		q.forget(m.place, m.tally.events, now)
	}
	q.s.store.garbage.add(q.id, bytes)
	return nil
}

// sweep removes up to sweepChunk of the messages whose retention is over,
// in flight or not, and reports whether there may be more.
func (q *Queue) sweep(now int64) (bool, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.gone || q.total == 0 {
		return false, nil
	}
	before := now - q.settings.Load().retention.Milliseconds()
	it, err := q.s.store.db.NewIter(&pebble.IterOptions{
		LowerBound: messageKey(q.id, q.oldest.sent, q.oldest.seq),
		UpperBound: messageKey(q.id, max(before, 0)+1, 0),
	})
	if err != nil {
		return false, fmt.Errorf("look for expired messages in %s: %w", q.name, err)
	}
	defer it.Close()
	var expired []dueMessage
	for ok := it.First(); ok && len(expired) < sweepChunk; ok = it.Next() {
		sent, seq, ok := parseMessageKey(it.Key())
		if !ok {
			return false, errCorrupt
		}
		m, ok, err := q.locate(sent, seq, it.Value())
		if err != nil {
			return false, err
		}
		if ok {
			expired = append(expired, m)
		}
	}
	if err := it.Error(); err != nil {
		return false, fmt.Errorf("look for expired messages in %s: %w", q.name, err)
	}
	if len(expired) == 0 {
		return false, nil
	}
	return len(expired) == sweepChunk, q.expire(expired)
}

// locate finds the v key of a stored message. It needs mu.
func (q *Queue) locate(sent int64, seq uint64, value []byte) (dueMessage, bool, error) {
	if f := q.flights.bySeq[seq]; f != nil {
		return dueMessage{f.place, tally{count: f.stored, events: f.events}, int64(len(value))}, true, nil
	}
	h := handle{place: place{sent: sent, seq: seq}}
	v, err := q.s.store.get(returnedKey(q.id, seq))
	if err != nil {
		return dueMessage{}, false, err
	}
	if v != nil {
		at, _, ok := parseReturned(v)
		if !ok {
			return dueMessage{}, false, errCorrupt
		}
		h.place.at = at
	} else {
		l, err := decodeStoredMessage(value)
		if err != nil {
			return dueMessage{}, false, err
		}
		h.place.at = l.visibleAt
	}
	v, err = q.s.store.get(visibleKey(q.id, h.place))
	if err != nil || v == nil {
		return dueMessage{}, false, err // it is being added
	}
	t, ok := parseTally(v)
	if !ok || h.place.compare(q.horizon()) >= 0 {
		return dueMessage{}, false, nil
	}
	return dueMessage{h.place, t, int64(len(value))}, true, nil
}

// sweeper removes expired messages until ctx ends.
func (s *Server) sweeper(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, q := range s.queueList("") {
			for more := true; more && ctx.Err() == nil; {
				var err error
				if more, err = q.sweep(time.Now().UnixMilli()); err != nil {
					s.log.Error("can't remove expired messages", "queue", q.name, "error", err)
					break
				}
			}
		}
	}
}
