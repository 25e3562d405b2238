package sqs

import (
	"context"
	"encoding/hex"
	"strconv"
	"time"

	"github.com/spillwayhq/spillway/infra/local/sqs/store"
)

// received is a message in flight with its content.
type received struct {
	flight *flight
	stored storedMessage
}

// poll is one receive, short or long.
type poll struct {
	q          *Queue
	max        int
	wait       time.Duration
	visibility time.Duration
	deadline   time.Time // when the wait ends
}

// receive is Receive; a visibility below 0 means the queue's own.
func (q *Queue) receive(ctx context.Context, max int, wait, visibility time.Duration) ([]received, error) {
	if visibility < 0 {
		visibility = q.settings.Load().visibility
	}
	p := &poll{q: q, max: max, wait: wait, visibility: visibility, deadline: time.Now().Add(wait)}
	// A poll that ends wakes another: this one may have been the one to wake when the next message
	// is due, or may have put a message in flight that is due soon.
	defer func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.waiters.wake(1)
	}()
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		got, again, err := p.try(ctx)
		if err != nil || !again {
			return got, err
		}
	}
}

// try takes messages, or waits until there may be some and returns again = true.
func (p *poll) try(ctx context.Context) (got []received, again bool, err error) {
	dlq, maxReceives := p.q.deadLetterQueue()
	t, w, err := p.take(maxReceives)
	if err != nil {
		return nil, false, err
	}
	if len(t.dead) > 0 {
		// On a full disk they can't be moved. The others can be received all the same.
		if err := moveDeadLetters(p.q, dlq, t.dead); err != nil && len(t.flights) == 0 {
			return nil, false, err
		}
	}
	switch {
	case len(t.flights) > 0:
		got, err := p.q.load(t.flights)
		return got, err == nil && len(got) == 0, err
	case len(t.dead) > 0:
		return nil, true, nil
	case w != nil:
		return nil, true, p.await(ctx, w, t.due)
	case t.full && p.wait <= 0:
		return nil, false, errOverLimit(p.q.s.inFlightLimit)
	}
	return nil, false, nil
}

// take takes messages. If there are none and the wait is not over, it returns a waiter.
func (p *poll) take(maxReceives uint64) (taken, *waiter, error) {
	q := p.q
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.gone {
		return taken{}, nil, errNoSuchQueue()
	}
	now := time.Now()
	t := q.take(now.UnixMilli(),
		wanted{limit: p.max, visibility: p.visibility.Milliseconds(), maxReceives: maxReceives})
	if len(t.flights) == 0 && len(t.dead) == 0 && now.Before(p.deadline) {
		return t, q.waiters.add(), nil
	}
	return t, nil, nil
}

// await returns when there may be a message, or the wait is over.
func (p *poll) await(ctx context.Context, w *waiter, due int64) error {
	until := p.deadline
	if due != never {
		if t := time.UnixMilli(due); t.Before(until) {
			until = t
		}
	}
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	// It wakes no other poll: one that went on to wait would wake this one, and so on without end.
	defer func() {
		p.q.mu.Lock()
		defer p.q.mu.Unlock()
		p.q.waiters.remove(w)
	}()
	select {
	case <-w.wake:
	case <-timer.C:
	case <-ctx.Done():
		return ctx.Err()
	case <-p.q.s.closing:
		return errClosed()
	}
	return nil
}

// taken is what a walk has put in flight.
type taken struct {
	flights []*flight // for the client
	dead    []*flight // received too often: to be moved to the dead-letter queue
	full    bool      // the limit of messages in flight is reached
	due     int64     // no more messages become visible before then
}

// wanted is what to take from a queue.
type wanted struct {
	limit       int
	visibility  int64  // milliseconds
	maxReceives uint64 // a message that was received this often is a dead letter; 0: no limit
	moving      bool   // the messages are to be moved, and do not count as received
}

// take puts messages in flight that are visible now: up to the limit, and the dead letters that it
// finds. The caller holds mu.
func (q *backlog) take(now int64, want wanted) taken {
	q.returnExpired(now)
	soonest := q.flights.due()
	room := q.s.inFlightLimit - q.flights.len()
	if room <= 0 {
		return taken{full: true, due: soonest}
	}
	want.limit = min(want.limit, room)
	w := &walk{q: q, now: now, want: want, retention: q.settings.Load().retention.Milliseconds()}
	w.run()
	t := w.taken
	if !want.moving {
		q.received += int64(len(t.flights))
	}
	t.due = min(q.index.due(now), q.flights.due())
	if q.flights.due() < soonest {
		q.waiters.wake(1) // its timer is too late now
	}
	if len(w.expired) > 0 {
		q.expire(w.expired)
	}
	return t
}

// maxWalk limits the dead and expired messages of one walk, so that it does not hold the queue's
// lock for long.
const maxWalk = 1000

// walk goes over the messages that are not in flight, in the order in which they are received.
type walk struct {
	q         *backlog
	now       int64
	want      wanted
	retention int64

	taken   taken
	expired []*store.Message
}

func (w *walk) run() {
	for !w.full() {
		m := w.q.index.waiting.next(w.now)
		if m == nil {
			return
		}
		w.visit(m)
	}
}

func (w *walk) full() bool {
	return len(w.taken.flights) == w.want.limit || len(w.taken.dead)+len(w.expired) >= maxWalk
}

// visit decides about one message: expired, dead letter, or for the client.
func (w *walk) visit(m *store.Message) {
	if w.q.expiry(m, w.retention) <= w.now {
		w.expired = append(w.expired, m)
		return
	}
	f := &flight{
		message: m, place: placeOf(m), count: uint64(m.Count), first: m.First, moving: w.want.moving,
		atOnce: w.want.visibility == 0,
		nonce:  w.q.s.seq.Add(1), received: w.now, deadline: w.now + w.want.visibility,
	}
	if w.want.maxReceives > 0 && f.receives() >= w.want.maxReceives {
		// In flight without an end until it is moved.
		f.moving, f.deadline = true, never
		w.q.fly(f, w.now)
		w.taken.dead = append(w.taken.dead, f)
		return
	}
	f.count++
	if f.first == 0 {
		f.first = w.now
	}
	w.q.fly(f, w.now)
	w.taken.flights = append(w.taken.flights, f)
}

// message returns a received message with all its attributes.
func (r *received) message(q *Queue) Message {
	m := Message{
		MessageID:              r.stored.id.String(),
		ReceiptHandle:          r.flight.handle(q.id).String(),
		Body:                   r.stored.body,
		MD5OfBody:              hex.EncodeToString(r.stored.bodyMD5[:]),
		MD5OfMessageAttributes: attributesMD5(r.stored.attributes),
		Attributes:             make(map[string]string, 4),
	}
	r.systemAttributes(q.s.account, func(name, value string) { m.Attributes[name] = value })
	m.MessageAttributes = r.stored.messageAttributes()
	return m
}

// messageAttributes returns the attributes that the sender set, or nil.
func (m *storedMessage) messageAttributes() map[string]MessageAttribute {
	if len(m.attributes) == 0 {
		return nil
	}
	as := make(map[string]MessageAttribute, len(m.attributes))
	for _, a := range m.attributes {
		as[a.name] = a.MessageAttribute
	}
	return as
}

// systemAttributes yields the system attributes of a received message.
func (r *received) systemAttributes(account string, yield func(name, value string)) {
	yield("SenderId", account)
	yield("SentTimestamp", strconv.FormatInt(r.flight.message.Sent, 10))
	yield("ApproximateReceiveCount", strconv.FormatUint(r.flight.count, 10))
	yield("ApproximateFirstReceiveTimestamp", strconv.FormatInt(r.flight.first, 10))
	r.stored.systemAttributes(yield)
}

// systemAttributes yields those system attributes that are stored with the content.
func (m *storedMessage) systemAttributes(yield func(name, value string)) {
	if m.group != "" {
		yield("MessageGroupId", m.group)
	}
	if m.trace != "" {
		yield("AWSTraceHeader", m.trace)
	}
	if m.source != "" {
		yield("DeadLetterQueueSourceArn", m.source)
	}
}
