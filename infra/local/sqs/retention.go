package sqs

import (
	"context"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// sweepEvery is how often every queue is searched for messages past their retention. In between, a
// receive deletes those that it finds.
const sweepEvery = 30 * time.Second

// sweepChunk limits the deletes while a queue's lock is held.
const sweepChunk = 1000

// dueMessage is a message past its retention.
type dueMessage struct {
	place place
	tally tally
	size  int64 // bytes of the message; 0: not known
}

// expire deletes messages past their retention. The caller holds mu.
func (q *backlog) expire(ms []dueMessage) error {
	b := q.keys.store.db.NewBatch()
	for _, m := range ms {
		if err := q.keys.delete(b, m.place, m.tally.count > 0); err != nil {
			return err
		}
	}
	if err := q.keys.store.commit(b, pebble.NoSync); err != nil {
		return fmt.Errorf("remove expired messages from %s: %w", q.name, err)
	}
	now := time.Now().UnixMilli()
	var bytes int64
	for _, m := range ms {
		bytes += max(m.size, unknownBytes)
		if f, table := q.inMemory(m.place.seq); f != nil {
			table.remove(f)
		}
		q.removed(m.place, m.tally.events, now)
	}
	q.keys.store.deleted.add(q.keys.id, bytes)
	return nil
}

// sweep looks for the messages of a queue whose retention has ended, in flight or not.
type sweep struct{ q *backlog }

// run deletes up to sweepChunk messages and reports whether there may be more.
func (s sweep) run(now int64) (more bool, err error) {
	q := s.q
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.gone || q.total == 0 {
		return false, nil
	}
	expired, err := s.find(now - q.settings.Load().retention.Milliseconds())
	if err != nil {
		return false, fmt.Errorf("look for expired messages in %s: %w", q.name, err)
	}
	if len(expired) == 0 {
		return false, nil
	}
	return len(expired) == sweepChunk, q.expire(expired)
}

// find returns up to sweepChunk messages that were sent at before or earlier. The caller holds mu.
func (s sweep) find(before int64) ([]dueMessage, error) {
	q, id := s.q, s.q.keys.id
	it, err := q.keys.iterate(messageKey(id, q.oldest.sent, q.oldest.seq), messageKey(id, max(before, 0)+1, 0))
	if err != nil {
		return nil, err
	}
	defer it.Close()
	var expired []dueMessage
	for ok := it.First(); ok && len(expired) < sweepChunk; ok = it.Next() {
		sent, seq, ok := parseMessageKey(it.Key())
		if !ok {
			return nil, errCorrupt
		}
		m, ok, err := s.locate(sent, seq, it.Value())
		if err != nil {
			return nil, err
		}
		if ok {
			expired = append(expired, m)
		}
	}
	return expired, it.Error()
}

// locate finds the v key of a stored message; value is that of its m key. It returns false for a
// message that is being added. The caller holds mu.
func (s sweep) locate(sent int64, seq uint64, value []byte) (dueMessage, bool, error) {
	q := s.q
	if f, _ := q.inMemory(seq); f != nil {
		return dueMessage{f.place, tally{count: f.storedCount, events: f.tally.events}, int64(len(value))}, true, nil
	}
	p, err := q.keys.placeOf(sent, seq, value)
	if err != nil {
		return dueMessage{}, false, err
	}
	v, err := q.keys.store.get(visibleKey(q.keys.id, p))
	if err != nil || v == nil {
		return dueMessage{}, false, err // it is being added
	}
	t, ok := parseTally(v)
	if !ok || p.compare(q.horizon()) >= 0 {
		return dueMessage{}, false, nil
	}
	return dueMessage{p, t, int64(len(value))}, true, nil
}

// sweeper deletes expired messages until ctx ends.
func (s *Server) sweeper(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, q := range s.queues.list("") {
			for more := true; more && ctx.Err() == nil; {
				var err error
				if more, err = (sweep{&q.backlog}).run(time.Now().UnixMilli()); err != nil {
					s.log.Error("can't delete expired messages", "queue", q.name, "error", err)
					break
				}
			}
		}
	}
}
