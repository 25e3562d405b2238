package sqs

import (
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// errNotAvailable is the error of changeVisibility for a message that is not there any more.
var errNotAvailable = errors.New("message does not exist or is not available for visibility timeout change")

// changeVisibility makes the message of h visible in timeout from now; 0 is at once. As in SQS, any
// handle of the message will do, and a message that is visible is in flight again. The limit is 12
// hours from the receive.
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
	f, table := q.inMemory(h.place.seq)
	if f == nil {
		var err error
		if f, err = q.stored(h); err != nil {
			return err
		}
	}
	if f == nil || f.moving {
		return errNotAvailable
	}
	if table != &q.flights {
		return q.putInFlight(f, table, timeout, now)
	}
	deadline := now + timeout.Milliseconds()
	if deadline > f.received+maxVisibility*1000 {
		return errInvalidParameter("Value %d for parameter VisibilityTimeout is invalid. Reason: Total VisibilityTimeout "+
			"for the message is beyond the limit [%d seconds]",
			int(timeout.Seconds()), maxVisibility)
	}
	f.atOnce = timeout == 0
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

// stored returns the visible message of a handle that memory does not have, nil if it was deleted.
func (q *backlog) stored(h handle) (*flight, error) {
	p, t, found, err := q.keys.find(h)
	if err != nil || !found.ok {
		return nil, err
	}
	f := &flight{place: p, tally: t, storedCount: t.count}
	f.tally.count = max(t.count, h.count) // a restart may have forgotten the last receive
	return f, nil
}

// putInFlight puts a visible message in flight again, for timeout. table is the one that has it, if
// any.
func (q *backlog) putInFlight(f *flight, table *flights, timeout time.Duration, now int64) error {
	if timeout == 0 {
		return nil
	}
	if q.flights.len() >= q.s.inFlightLimit {
		return errOverLimit(q.s.inFlightLimit)
	}
	if table != nil {
		table.remove(f)
	}
	f.received, f.deadline, f.atOnce = now, now+timeout.Milliseconds(), false
	soonest := q.flights.due()
	q.flights.add(f)
	if q.flights.due() < soonest {
		q.waiters.wake(1)
	}
	return nil
}

// returnChunk limits the messages that one batch makes visible.
const returnChunk = 1000

// returnExpired makes every message visible whose visibility timeout has ended. The caller holds
// mu.
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

// returnFirst makes the n messages visible whose timeouts end first, with their receive counts. It
// is not synced: if the process ends, messages of the last second are where they were before. The
// caller holds mu.
func (q *backlog) returnFirst(n int, now int64) (err error) {
	fs := make([]*flight, n)
	for i := range fs {
		fs[i] = q.flights.first()
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
		if err := q.keys.putBack(b, f, f.comesBackAt(now)); err != nil {
			return err
		}
	}
	if err := q.keys.store.commit(b, pebble.NoSync); err != nil {
		return err
	}
	for _, f := range fs {
		f.storedCount = f.tally.count
		if at := f.comesBackAt(now); at == f.place.at {
			q.putInPlace(f)
		} else {
			q.visibleFrom(place{at: at, sent: f.place.sent, seq: f.place.seq})
		}
	}
	q.waiters.wake(n)
	return nil
}

// comesBackAt returns the time in the new place of a message that becomes visible again. As in a
// recorded run of SQS, it stands where it stood, before newer messages. But a client that returns
// messages at once must not starve the others: from the second time on they go to the end.
func (f *flight) comesBackAt(now int64) int64 {
	if f.atOnce && f.tally.receives() > 1 {
		return now
	}
	return f.place.at
}
