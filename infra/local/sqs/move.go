package sqs

import (
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/google/uuid"
)

// moveDeadLetters moves messages that were received too often from q to its dead-letter queue. They
// retain their id, the time they were sent, and their receive count, which does not count towards
// the limit of the dead-letter queue's own policy.
func moveDeadLetters(q, dlq *Queue, dead []*flight) error {
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
			storedMessage: got[i].stored, events: f.tally.events, sent: f.place.sent, deadLetter: true,
			tally: tally{count: f.storedCount, first: f.tally.first, before: f.storedCount},
		}
		es[i].source = q.ARN()
	}
	// Not synced: one batch moves them, so that the end of the process at worst undoes the moves of
	// the last second.
	if err := move(q, dlq, got, es, pebble.NoSync); err != nil {
		q.release(dead)
		return fmt.Errorf("move dead letters: %w", err)
	}
	return nil
}

// move adds es, made of got, to another queue and deletes got from its own, in one batch.
func move(from, to *Queue, got []received, es []*entry, o *pebble.WriteOptions) error {
	err := to.add(es, func(b *pebble.Batch) error {
		for _, r := range got {
			if err := from.keys.delete(b, r.flight.place, r.flight.storedCount > 0); err != nil {
				return err
			}
		}
		return nil
	}, o)
	if err != nil {
		return err
	}
	from.mu.Lock()
	defer from.mu.Unlock()
	var bytes int64
	for _, r := range got {
		bytes += r.flight.bytes()
		// After a purge it is not there any more.
		if from.flights.has(r.flight) {
			from.flights.remove(r.flight)
			from.total--
			from.events -= r.flight.tally.events
		}
	}
	from.keys.store.deleted.add(from.keys.id, bytes)
	return nil
}

// redriven makes new messages of dead letters, as SQS does on redrive: with a new id, send time and
// retention, and a receive count of 0.
func redriven(got []received) []*entry {
	es := make([]*entry, len(got))
	for i := range got {
		es[i] = &entry{storedMessage: got[i].stored, events: got[i].flight.tally.events}
		es[i].id = uuid.New()
		es[i].source = ""
	}
	return es
}
