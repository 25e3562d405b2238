package sqs

import (
	"time"

	"github.com/spillwayhq/spillway/infra/local/sqs/store"
)

// blindAfter is how often a message is received until SQS's metric of the oldest message leaves it
// out: it is moved to the back of the queue (SQS developer guide, "Available CloudWatch metrics").
const blindAfter = 3

// ageChunk is how many messages are looked at in one go, so that the queue's lock is not held for
// long: about a millisecond.
const ageChunk = 10_000

// OldestInMetric returns when the message was sent whose age SQS reports as
// ApproximateAgeOfOldestMessage: the oldest that was received less than three times. It is zero if
// there is none, although the queue may be full of older ones.
//
// It looks at the messages from the oldest on, so it takes longer the more of them it leaves out:
// about 0.1 s for a million. Call it once a minute.
func (q *Queue) OldestInMetric() time.Time {
	var from *store.Message
	for {
		found, next := q.oldestInChunk(from)
		if found != nil {
			return time.UnixMilli(found.Sent)
		}
		if next == nil {
			return time.Time{}
		}
		from = next
	}
}

// oldestInChunk looks at the messages from one on, nil is the oldest. It returns the one that was
// found, or the one to go on with, or neither.
func (q *backlog) oldestInChunk(from *store.Message) (found, next *store.Message) {
	q.mu.Lock()
	defer q.mu.Unlock()
	left := ageChunk
	visit := func(m *store.Message) bool {
		if left == 0 {
			next = m
			return false
		}
		left--
		if q.receives(m) < blindAfter {
			found = m
			return false
		}
		return true
	}
	if from == nil {
		q.index.bySent.Scan(visit)
	} else {
		q.index.bySent.Ascend(from, visit)
	}
	return found, next
}

// receives is how often a message was received in this queue. The caller holds mu.
func (q *backlog) receives(m *store.Message) uint64 {
	if f, ok := q.flights.bySeq[m.Seq]; ok {
		return f.receives()
	}
	return uint64(m.Count - min(m.Before, m.Count))
}
