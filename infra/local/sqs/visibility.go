package sqs

import (
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// changeVisibility makes the message of h visible in timeout from now; 0 is at once. As in SQS, the
// limit is 12 hours from the receive.
func (q *backlog) changeVisibility(h handle, timeout time.Duration) error {
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
		v, err := q.keys.store.get(messageKey(q.keys.id, h.place.sent, h.place.seq))
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
		q.waiters.wake(1)
	}
	return nil
}

// returnChunk limits the messages that one batch makes visible.
const returnChunk = 1000

// returnExpired makes every message visible whose visibility timeout has ended. The caller holds mu.
func (q *backlog) returnExpired(now int64) error {
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

// returnFirst makes the n messages visible whose timeouts end first, with their receive counts. It is
// not synced: if the process ends, messages of the last second are where they were before. The
// caller holds mu.
func (q *backlog) returnFirst(n int, now int64) (err error) {
	fs := make([]*flight, n)
	for i := range fs {
		fs[i] = q.flights.byTime[0]
		q.flights.remove(fs[i])
	}
	defer func() {
		if err != nil {
			for _, f := range fs {
				q.flights.add(f)
			}
			err = fmt.Errorf("return messages to %s: %w", q.name, err)
		}
	}()
	b := q.keys.store.db.NewBatch()
	for _, f := range fs {
		if err := q.keys.putBack(b, f, now); err != nil {
			return err
		}
	}
	if err := q.keys.store.commit(b, pebble.NoSync); err != nil {
		return err
	}
	for _, f := range fs {
		q.visibleFrom(place{at: now, sent: f.place.sent, seq: f.place.seq})
	}
	q.waiters.wake(n)
	return nil
}
