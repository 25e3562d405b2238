package sqs

import (
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// changeVisibility makes the message of h visible in timeout from now: 0 is at
// once. The 12 hours that SQS allows are counted from the receive.
func (q *Queue) changeVisibility(h handle, timeout time.Duration) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.gone {
		return errNoSuchQueue()
	}
	now := time.Now().UnixMilli()
	if err := q.returnExpired(now); err != nil {
		return err
	}
	f := q.flights.bySeq[h.place.seq]
	if f == nil || f.nonce != h.nonce {
		v, err := q.s.store.get(messageKey(q.id, h.place.sent, h.place.seq))
		if err != nil {
			return err
		}
		if v == nil {
			return errInvalidParameter("Value %s for parameter ReceiptHandle is invalid. Reason: Message does not exist or "+
				"is not available for visibility timeout change.", h)
		}
		return errNotInflight()
	}
	deadline := now + timeout.Milliseconds()
	if deadline > f.received+maxVisibility*1000 {
		return errInvalidParameter("Value %d for parameter VisibilityTimeout is invalid. Reason: Total VisibilityTimeout "+
			"for the message is beyond the limit [%d seconds].",
			int(timeout.Seconds()), maxVisibility)
	}
	soonest := q.flights.due()
	q.flights.postpone(f, deadline)
	if err := q.returnExpired(now); err != nil {
		return err
	}
	if q.flights.due() < soonest {
		q.wake(1)
	}
	return nil
}

// returnChunk bounds a batch of messages that come back.
const returnChunk = 1000

// returnExpired makes every message visible again whose timeout is over. It
// needs mu.
func (q *Queue) returnExpired(now int64) error {
	for q.flights.due() <= now {
		n := 0
		for _, f := range q.flights.byTime {
			if f.deadline <= now {
				n++
			}
			if n == returnChunk {
				break
			}
		}
		if err := q.returnFirst(n, now); err != nil {
			return err
		}
	}
	return nil
}

// returnFirst makes the n messages visible that would be next. It needs mu.
func (q *Queue) returnFirst(n int, now int64) error {
	fs := make([]*flight, n)
	for i := range fs {
		fs[i] = q.flights.byTime[0]
		q.flights.remove(fs[i])
	}
	if err := q.putBack(fs, now); err != nil {
		for _, f := range fs {
			q.flights.add(f)
		}
		return fmt.Errorf("return messages to %s: %w", q.name, err)
	}
	q.wake(n)
	return nil
}

// putBack writes the v keys of flights anew, at now, with their counts. It is
// not synced: what is lost, at most the last second, is where it was before. It
// needs mu.
func (q *Queue) putBack(fs []*flight, now int64) error {
	b := q.s.store.db.NewBatch()
	for _, f := range fs {
		p := place{at: now, sent: f.place.sent, seq: f.place.seq}
		if p != f.place {
			if err := b.Delete(visibleKey(q.id, f.place), nil); err != nil {
				return err
			}
		}
		t := tally{count: f.count, first: f.first, events: f.events}
		if err := b.Set(visibleKey(q.id, p), t.encode(), nil); err != nil {
			return err
		}
		if err := b.Set(returnedKey(q.id, p.seq), encodeReturned(now, f.count), nil); err != nil {
			return err
		}
	}
	if err := q.s.store.commit(b, pebble.NoSync); err != nil {
		return err
	}
	for _, f := range fs {
		q.visibleFrom(place{at: now, sent: f.place.sent, seq: f.place.seq})
	}
	return nil
}
