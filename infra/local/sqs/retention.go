package sqs

import (
	"context"
	"time"

	"github.com/spillwayhq/spillway/infra/local/sqs/store"
)

// sweepEvery is how often every queue is searched for messages past their retention. In between, a
// receive deletes those that it finds.
const sweepEvery = 30 * time.Second

// sweepChunk limits the deletes while a queue's lock is held.
const sweepChunk = 1000

// expire deletes messages past their retention, in flight or not, and counts them. The caller holds
// mu.
func (q *backlog) expire(ms []*store.Message) {
	now := time.Now().UnixMilli()
	var events int64
	for _, m := range ms {
		if f := q.flights.bySeq[m.Seq]; f != nil {
			q.land(f, now)
		}
		q.index.remove(m)
		q.removed(m, now)
		events += int64(m.Events)
	}
	q.s.store.Delete(ms)
	q.expired += int64(len(ms))
	q.expiredEvents += events
	q.s.log.Warn("messages were deleted because they were older than their queue's retention period", "queue", q.name,
		"messages", len(ms), "events", events, "retention", q.settings.Load().retention.String())
}

// startGrace is how long messages are retained whose retention ended while the server did not run: a
// machine that was off delivers them first.
const startGrace = time.Hour

// expiry is when a message is past its queue's retention. Both are in milliseconds.
func (q *backlog) expiry(m *store.Message, retention int64) int64 {
	at := m.Sent + retention
	if at <= q.s.opened {
		return q.s.opened + startGrace.Milliseconds()
	}
	return at
}

// sweep expires up to sweepChunk messages and reports whether there may be more.
func (q *backlog) sweep(now int64) (more bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	retention := q.settings.Load().retention.Milliseconds()
	var expired []*store.Message
	q.index.bySent.Scan(func(m *store.Message) bool {
		if q.expiry(m, retention) > now || len(expired) == sweepChunk {
			return false
		}
		expired = append(expired, m)
		return true
	})
	if len(expired) > 0 {
		q.expire(expired)
	}
	return len(expired) == sweepChunk
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
			for ctx.Err() == nil && q.sweep(time.Now().UnixMilli()) {
				continue
			}
		}
	}
}
