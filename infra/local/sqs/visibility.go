package sqs

import (
	"errors"
	"time"

	"github.com/spillwayhq/spillway/infra/local/sqs/store"
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
	q.returnExpired(now)
	m, f := q.index.find(h.place.sent, h.place.seq), q.flights.bySeq[h.place.seq]
	if m == nil || f != nil && f.moving {
		return errNotAvailable
	}
	if f == nil {
		return q.putInFlight(m, h, timeout, now)
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
	q.returnExpired(now)
	if q.flights.due() < soonest {
		q.waiters.wake(1)
	}
	return nil
}

// putInFlight puts a visible message in flight again, for timeout.
func (q *backlog) putInFlight(m *store.Message, h handle, timeout time.Duration, now int64) error {
	if timeout == 0 {
		return nil
	}
	if q.flights.len() >= q.s.inFlightLimit {
		return errOverLimit(q.s.inFlightLimit)
	}
	q.index.waiting.remove(m)
	soonest := q.flights.due()
	q.fly(&flight{
		message: m, place: placeOf(m), count: max(uint64(m.Count), h.count), // a restart may have forgotten the last receive
		first: m.First, received: now, deadline: now + timeout.Milliseconds(),
	}, now)
	if q.flights.due() < soonest {
		q.waiters.wake(1)
	}
	return nil
}

// returnChunk limits the messages that one batch makes visible.
const returnChunk = 1000

// returnExpired makes every message visible whose visibility timeout has ended. The caller holds
// mu.
func (q *backlog) returnExpired(now int64) {
	for q.flights.due() <= now {
		q.returnFirst(q.flights.ended(now, returnChunk), now)
	}
}

// returnFirst makes the n messages visible whose timeouts end first, with their receive counts, which
// are on disk within a second. The caller holds mu.
func (q *backlog) returnFirst(n int, now int64) {
	us := make([]store.Update, n)
	for i := range us {
		f := q.flights.byTime[0]
		q.land(f, now)
		us[i] = store.Update{Message: f.message, At: f.comesBackAt(now), First: f.first, Count: uint32(f.count)}
	}
	q.s.store.Update(us)
	for _, u := range us {
		q.index.waiting.add(u.Message)
	}
	q.waiters.wake(n)
}

// comesBackAt returns the time in the new place of a message that becomes visible again. As in a
// recorded run of SQS, it stands where it stood, before newer messages. But a client that returns
// messages at once must not starve the others: from the second time on they go to the end.
func (f *flight) comesBackAt(now int64) int64 {
	if f.atOnce && f.receives() > 1 {
		return now
	}
	return f.message.At
}
