package sqs

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// Receive waits up to wait for messages and hands out 1 to max (1 to 10) of
// them, for the queue's visibility timeout. It returns none and no error when
// none came, and ctx's error when ctx ends first: no message is lost by that.
// At about 120,000 messages in flight it hands out nothing, and a call without
// wait fails with OverLimit.
func (q *Queue) Receive(ctx context.Context, max int, wait time.Duration) ([]Message, error) {
	if max < 1 || max > 10 {
		return nil, fmt.Errorf("receive from %s: max must be 1 to 10, not %d", q.name, max)
	}
	if err := q.s.enter(); err != nil {
		return nil, fmt.Errorf("receive from %s: %w", q.name, err)
	}
	defer q.s.exit()
	got, err := q.receive(ctx, max, wait, -1)
	if err != nil {
		return nil, fmt.Errorf("receive from %s: %w", q.name, err)
	}
	ms := make([]Message, len(got))
	for i := range got {
		ms[i] = q.message(&got[i])
	}
	return ms, nil
}

// receipt is a message that was taken, with its content.
type received struct {
	flight  *flight
	message storedMessage
}

// waiter is a long poll that found nothing.
type waiter struct{ wake chan struct{} }

// receive is Receive; a visibility below 0 stands for the queue's own.
func (q *Queue) receive(ctx context.Context, max int, wait, visibility time.Duration) ([]received, error) {
	deadline := time.Now().Add(wait)
	// Whoever ends wakes another: it may have been the one that was to be woken
	// when the next message is due, or have put one in flight that is due soon.
	defer func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.wake(1)
	}()
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if visibility < 0 {
			visibility = q.settings.Load().visibility
		}
		dlq, maxReceives := q.deadLetterQueue()
		q.mu.Lock()
		if q.gone {
			q.mu.Unlock()
			return nil, errNoSuchQueue()
		}
		now := time.Now()
		t, err := q.take(now.UnixMilli(), max, visibility.Milliseconds(), dlq != nil, maxReceives)
		var w *waiter
		if err == nil && len(t.flights) == 0 && len(t.dead) == 0 && now.Before(deadline) {
			w = &waiter{wake: make(chan struct{}, 1)}
			q.waiters = append(q.waiters, w)
		}
		q.mu.Unlock()
		if err != nil {
			return nil, err
		}
		if len(t.dead) > 0 {
			if err := q.moveDeadLetters(t.dead, dlq); err != nil {
				return nil, err
			}
		}
		if len(t.flights) > 0 {
			got, err := q.load(t.flights)
			if err != nil || len(got) > 0 {
				return got, err
			}
			continue
		}
		if len(t.dead) > 0 {
			continue
		}
		if w == nil {
			if t.full && wait <= 0 {
				return nil, errOverLimit(q.s.inFlightLimit)
			}
			return nil, nil
		}
		if err := q.await(ctx, w, deadline, t.due); err != nil {
			return nil, err
		}
	}
}

// await returns when there may be a message, or the wait is over.
func (q *Queue) await(ctx context.Context, w *waiter, deadline time.Time, due int64) error {
	until := deadline
	if due != never {
		if t := time.UnixMilli(due); t.Before(until) {
			until = t
		}
	}
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	defer q.leave(w)
	select {
	case <-w.wake:
	case <-timer.C:
	case <-ctx.Done():
		return ctx.Err()
	case <-q.s.closing:
		return errClosed()
	}
	return nil
}

// leave ends a wait. It wakes nobody: one that goes on to wait would be woken
// by the one that it woke, and so on without end.
func (q *Queue) leave(w *waiter) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, o := range q.waiters {
		if o == w {
			q.waiters = append(q.waiters[:i], q.waiters[i+1:]...)
			return
		}
	}
}

// wake ends the wait of up to n long polls, the oldest first. It needs mu.
func (q *Queue) wake(n int) {
	n = min(n, len(q.waiters))
	for _, w := range q.waiters[:n] {
		w.wake <- struct{}{} // has room: a waiter is woken once
	}
	q.waiters = append(q.waiters[:0], q.waiters[n:]...)
}

// taken is what a walk found.
type taken struct {
	flights []*flight // to hand out
	dead    []*flight // received too often: to be moved to the dead-letter queue
	full    bool      // at the limit of messages in flight
	due     int64     // nothing before then
}

// take walks from the cursor to now and puts what it finds in flight. It needs
// mu.
func (q *Queue) take(now int64, limit int, visibility int64, bury bool, maxReceives uint64) (taken, error) {
	var t taken
	if err := q.returnExpired(now); err != nil {
		return t, err
	}
	room := q.s.inFlightLimit - q.flights.len()
	if room <= 0 {
		t.full, t.due = true, q.flights.due()
		return t, nil
	}
	if now < q.due {
		t.due = min(q.due, q.flights.due())
		return t, nil
	}
	limit = min(limit, room)
	horizon := q.horizon()
	_, high := keyRange(kindVisible, q.id)
	it, err := q.s.store.db.NewIter(&pebble.IterOptions{LowerBound: visibleKey(q.id, q.cursor), UpperBound: high})
	if err != nil {
		return t, fmt.Errorf("walk %s: %w", q.name, err)
	}
	defer it.Close()
	retention := q.settings.Load().retention.Milliseconds()
	soonest := q.flights.due()
	var expired []dueMessage
	due := int64(never)
	for ok := it.First(); ok; ok = it.Next() {
		p, ok := parseVisibleKey(it.Key())
		if !ok {
			return t, errCorrupt
		}
		if p.at > now || p.compare(horizon) >= 0 {
			due = p.at
			break
		}
		if len(t.flights) == limit || len(t.dead)+len(expired) >= maxWalk {
			due = p.at
			break
		}
		q.cursor = p.next()
		if _, inFlight := q.flights.bySeq[p.seq]; inFlight {
			continue
		}
		tl, ok := parseTally(it.Value())
		if !ok {
			return t, errCorrupt
		}
		if p.sent+retention <= now {
			expired = append(expired, dueMessage{place: p, tally: tl})
			continue
		}
		f := &flight{
			place: p, stored: tl.count, count: tl.count + 1, first: tl.first, events: tl.events,
			nonce: q.s.seq.Add(1), received: now, deadline: now + visibility,
		}
		if bury && tl.count >= maxReceives {
			// In flight without an end until it is moved.
			f.count, f.deadline = tl.count, never
			q.flights.add(f)
			t.dead = append(t.dead, f)
			continue
		}
		if f.first == 0 {
			f.first = now
		}
		q.flights.add(f)
		t.flights = append(t.flights, f)
	}
	if err := it.Error(); err != nil {
		return t, fmt.Errorf("walk %s: %w", q.name, err)
	}
	q.due = due
	q.received += int64(len(t.flights))
	t.due = min(q.due, q.flights.due())
	if q.flights.due() < soonest {
		q.wake(1) // its timer is too late now
	}
	if len(expired) > 0 {
		if err := q.expire(expired); err != nil {
			return t, err
		}
		if len(t.flights) == 0 && len(t.dead) == 0 {
			t.due = now // there may be more behind those
		}
	}
	return t, nil
}

// maxWalk bounds the dead and expired messages that one walk takes care of, so
// that it does not hold the queue for long.
const maxWalk = 1000

// load reads what was taken. A message that was deleted meanwhile is left out.
// One iterator reads them all, because messages that are taken together mostly
// stand in one block.
func (q *Queue) load(fs []*flight) ([]received, error) {
	got, err := q.read(fs)
	if err != nil {
		q.release(fs)
		return nil, fmt.Errorf("read messages of %s: %w", q.name, err)
	}
	return got, nil
}

func (q *Queue) read(fs []*flight) ([]received, error) {
	low, high := keyRange(kindMessage, q.id)
	it, err := q.s.store.db.NewIter(&pebble.IterOptions{LowerBound: low, UpperBound: high})
	if err != nil {
		return nil, err
	}
	defer it.Close()
	got := make([]received, 0, len(fs))
	for _, f := range fs {
		key := messageKey(q.id, f.place.sent, f.place.seq)
		// Mostly it is the next one.
		if !(it.Valid() && it.Next() && bytes.Equal(it.Key(), key)) &&
			!(it.SeekGE(key) && bytes.Equal(it.Key(), key)) {
			if err := it.Error(); err != nil {
				return nil, err
			}
			q.drop(f)
			continue
		}
		v, err := it.ValueAndErr()
		if err != nil {
			return nil, err
		}
		l, err := decodeStoredMessage(v)
		if err != nil {
			return nil, err
		}
		f.size.Store(int64(len(v)))
		got = append(got, received{f, l})
	}
	return got, nil
}

// drop forgets a flight whose message is gone.
func (q *Queue) drop(f *flight) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.flights.has(f) {
		q.flights.remove(f)
	}
}

// release puts back what nobody has seen, as if it had not been received.
func (q *Queue) release(fs []*flight) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, f := range fs {
		if q.flights.has(f) {
			q.flights.remove(f)
			q.visibleFrom(f.place)
			q.received--
		}
	}
	q.wake(len(fs))
}

// message is a receipt with everything in it.
func (q *Queue) message(r *received) Message {
	m := Message{
		MessageID:              r.message.id.String(),
		ReceiptHandle:          r.flight.handle(q.id).String(),
		Body:                   r.message.body,
		MD5OfBody:              hex.EncodeToString(r.message.bodyMD5[:]),
		MD5OfMessageAttributes: attributesMD5(r.message.attributes),
		Attributes:             make(map[string]string, 4),
	}
	q.systemAttributes(r, func(name, value string) { m.Attributes[name] = value })
	if len(r.message.attributes) > 0 {
		m.MessageAttributes = make(map[string]MessageAttribute, len(r.message.attributes))
		for _, a := range r.message.attributes {
			m.MessageAttributes[a.name] = a.MessageAttribute
		}
	}
	return m
}

// systemAttributes yields the system attributes of a received message.
func (q *Queue) systemAttributes(r *received, yield func(name, value string)) {
	yield("SenderId", q.s.account)
	yield("SentTimestamp", strconv.FormatInt(r.flight.place.sent, 10))
	yield("ApproximateReceiveCount", strconv.FormatUint(r.flight.count, 10))
	yield("ApproximateFirstReceiveTimestamp", strconv.FormatInt(r.flight.first, 10))
	if r.message.group != "" {
		yield("MessageGroupId", r.message.group)
	}
	if r.message.trace != "" {
		yield("AWSTraceHeader", r.message.trace)
	}
	if r.message.source != "" {
		yield("DeadLetterQueueSourceArn", r.message.source)
	}
}
