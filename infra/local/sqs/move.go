package sqs

import (
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/google/uuid"
)

// bury moves messages that were received too often to the dead-letter queue.
// They keep their id, the time they were sent and their counts.
func (q *Queue) moveDeadLetters(dead []*flight, dlq *Queue) error {
	got, err := q.load(dead)
	if err != nil {
		return err
	}
	if len(got) == 0 {
		return nil
	}
	es := make([]*entry, len(got))
	for i := range got {
		f := got[i].flight
		es[i] = &entry{
			storedMessage: got[i].message, events: f.events, sent: f.place.sent,
			tally: tally{count: f.stored, first: f.first},
		}
		es[i].source = q.ARN()
	}
	// Not synced: one batch moves them, so that a process that is killed at
	// worst undoes the moves of its last second.
	if err := q.moveTo(dlq, got, es, pebble.NoSync); err != nil {
		q.release(dead)
		return fmt.Errorf("move dead letters: %w", err)
	}
	return nil
}

// moveTo writes es, made of got, to another queue and removes got from q, in
// one batch.
func (q *Queue) moveTo(to *Queue, got []received, es []*entry, o *pebble.WriteOptions) error {
	err := to.add(es, func(b *pebble.Batch) error {
		for _, r := range got {
			if err := q.deleteKeys(b, r.flight.place, r.flight.stored > 0); err != nil {
				return err
			}
		}
		return nil
	}, o)
	if err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	var bytes int64
	for _, r := range got {
		bytes += r.flight.bytes()
		// A purge may have forgotten it before.
		if q.flights.has(r.flight) {
			q.flights.remove(r.flight)
			q.total--
			q.events -= r.flight.events
		}
	}
	q.s.store.garbage.add(q.id, bytes)
	return nil
}

// redriven makes new messages of dead letters, as SQS does on redrive: with a
// new id, send time and retention, and never received.
func redriven(got []received) []*entry {
	es := make([]*entry, len(got))
	for i := range got {
		es[i] = &entry{storedMessage: got[i].message, events: got[i].flight.events}
		es[i].id = uuid.New()
		es[i].source = ""
	}
	return es
}
