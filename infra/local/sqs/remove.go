package sqs

import (
	"time"

	"github.com/spillwayhq/spillway/infra/local/sqs/store"
)

// remove deletes the messages of handles. It ignores a handle whose message was deleted or received
// again. The deletion is on disk within a second.
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
	ms := make([]*store.Message, 0, len(hs))
	for _, h := range hs {
		m := q.deletable(h)
		if m == nil {
			continue
		}
		if f := q.flights.bySeq[m.Seq]; f != nil {
			q.land(f, now)
		}
		q.index.remove(m)
		q.removed(m, now)
		q.deleted++
		q.deletedEvents += int64(m.Events)
		ms = append(ms, m)
	}
	q.s.store.Delete(ms)
	return nil
}

// deletable returns the message that a handle deletes, or nil. The caller holds mu.
func (q *backlog) deletable(h handle) *store.Message {
	if f := q.flights.bySeq[h.place.seq]; f != nil {
		if !f.receivedBy(h) {
			return nil // received again: only the newer handle counts
		}
		return f.message
	}
	m := q.index.find(h.place.sent, h.place.seq)
	// After a restart the last receive is not in the count.
	if m == nil || m.Count > 0 && uint64(m.Count) != h.count && uint64(m.Count)+1 != h.count {
		return nil
	}
	return m
}
