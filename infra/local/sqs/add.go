package sqs

import (
	"fmt"
	"time"

	"github.com/spillwayhq/spillway/infra/local/sqs/store"
)

// entry is a message that is being added to a queue.
type entry struct {
	storedMessage
	events     int64
	delay      time.Duration
	deadLetter bool // SQS moved it here by itself; it does not count as sent
	// The message has these already if it moves here from another queue; 0: it is sent now.
	sent, first int64
	count       uint64
	before      uint64  // of count, in other queues
	moved       *flight // deleted from its queue by the same write; nil: none
}

// add writes entries. Then it counts them, and they can be received. With durable it returns when they
// are on disk, otherwise they are within a second.
func (q *backlog) add(entries []*entry, durable bool) error {
	q.adding.RLock()
	defer q.adding.RUnlock()
	if q.isGone() {
		return errNoSuchQueue()
	}
	now := time.Now().UnixMilli()
	as := make([]store.Addition, len(entries))
	size := 0
	for i, e := range entries {
		as[i] = e.addition(q, now)
		size += len(as[i].Content) + 512
	}
	q.s.disk.wrote(size)
	if err := q.s.store.Put(as, durable); err != nil {
		return fmt.Errorf("add %d messages to %s: %w", len(entries), q.name, storeError(err))
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	now = time.Now().UnixMilli()
	for i, e := range entries {
		m := as[i].Message
		q.index.add(m)
		q.added(m, e.deadLetter, now)
	}
	q.waiters.wake(len(entries))
	return nil
}

// send adds new messages and returns when they are on disk.
func (q *backlog) send(es []*entry) error { return q.add(es, true) }

func (q *backlog) isGone() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.gone
}

func (e *entry) addition(q *backlog, now int64) store.Addition {
	at := now
	if e.delay > 0 {
		at = roundUp(now+e.delay.Milliseconds(), delayStep)
	}
	a := store.Addition{
		Message: &store.Message{
			Queue: q.id, At: at, Sent: orDefault(e.sent, now), First: e.first, Seq: q.s.seq.Add(1),
			Count: uint32(e.count), Before: uint32(e.before), Events: uint32(e.events),
			Group: groupOf(e.group),
		},
		Content: e.encode(),
	}
	if e.moved != nil {
		a.Replaces = e.moved.message
	}
	return a
}

func roundUp(n, step int64) int64 { return (n + step - 1) / step * step }
