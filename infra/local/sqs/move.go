package sqs

import (
	"fmt"
	"time"

	"github.com/google/uuid"
)

// moveDeadLetters moves messages that were received too often from q to its dead-letter queue. They
// retain their id, the time they were sent, and their receive count, which does not count towards
// the limit of the dead-letter queue's own policy.
func moveDeadLetters(q, dlq *Queue, dead []*flight) error {
	for len(dead) > 0 {
		n := min(len(dead), moveChunk)
		if err := moveChunkOf(q, dlq, dead[:n]); err != nil {
			q.release(dead)
			q.sayUnmoved(err)
			return fmt.Errorf("move dead letters: %w", err)
		}
		dead = dead[n:]
	}
	return nil
}

// sayUnmoved logs at most once a second that dead letters can't be moved.
func (q *Queue) sayUnmoved(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if now := time.Now(); now.Sub(q.unmoved) >= time.Second {
		q.unmoved = now
		q.s.log.Error("dead letters can't be moved, retrying", "queue", q.name, "error", err)
	}
}

// moveChunk bounds the messages in memory, of up to 1 MiB each.
const moveChunk = 50

func moveChunkOf(q, dlq *Queue, dead []*flight) error {
	got, err := q.load(dead)
	if err != nil || len(got) == 0 {
		return err
	}
	es := make([]*entry, len(got))
	for i := range got {
		f := got[i].flight
		es[i] = &entry{
			storedMessage: got[i].stored, events: int64(f.message.Events), sent: f.message.Sent, deadLetter: true,
			count: uint64(f.message.Count), before: uint64(f.message.Count), first: f.first,
		}
		es[i].source = q.ARN()
	}
	// Not durable at once: each is moved by one write, so that a power cut at worst undoes the moves of
	// the last second.
	return move(q, dlq, got, es, false)
}

// move adds es, made of got, to another queue and deletes got from its own: each in one write.
func move(from, to *Queue, got []received, es []*entry, durable bool) error {
	for i := range es {
		es[i].moved = got[i].flight
	}
	if err := to.add(es, durable); err != nil {
		return err
	}
	from.mu.Lock()
	defer from.mu.Unlock()
	now := time.Now().UnixMilli()
	for _, r := range got {
		// After a purge it is not there any more.
		if from.flights.has(r.flight) {
			from.land(r.flight, now)
			from.index.remove(r.flight.message)
			from.removed(r.flight.message, now)
		}
	}
	return nil
}

// redriven makes new messages of dead letters, as SQS does on redrive: with a new id, send time and
// retention, and a receive count of 0.
func redriven(got []received) []*entry {
	es := make([]*entry, len(got))
	for i := range got {
		es[i] = &entry{storedMessage: got[i].stored, events: int64(got[i].flight.message.Events)}
		es[i].id = uuid.New()
		es[i].source = ""
	}
	return es
}
