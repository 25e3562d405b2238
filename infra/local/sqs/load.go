package sqs

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// loadQueues reads the queues and counts their messages.
func (s *Server) loadQueues() error {
	it, err := s.store.db.NewIter(&pebble.IterOptions{LowerBound: []byte{kindQueue}, UpperBound: []byte{kindQueue + 1}})
	if err != nil {
		return err
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		var r queueRecord
		if err := json.Unmarshal(it.Value(), &r); err != nil {
			return fmt.Errorf("read queue %q: %w", it.Key()[1:], err)
		}
		st, err := (*settings)(nil).apply(r.Attributes)
		if err != nil {
			return fmt.Errorf("read queue %q: %w", r.Name, err)
		}
		q := s.newQueue(r, st)
		if err := q.count(); err != nil {
			return fmt.Errorf("count the messages of %s: %w", r.Name, err)
		}
		s.queues[r.Name] = q
		// The process may have ended before it gave back what was deleted.
		s.store.garbage.add(q.id, reclaimQuietBytes)
		// Ids are not used twice while the process runs, and after it what
		// a deleted queue left behind is gone too.
		s.lastID = max(s.lastID, r.ID)
	}
	return it.Error()
}

// count rebuilds the counters from the v keys.
func (q *Queue) count() error {
	low, high := keyRange(kindVisible, q.id)
	it, err := q.s.store.db.NewIter(&pebble.IterOptions{LowerBound: low, UpperBound: high})
	if err != nil {
		return err
	}
	defer it.Close()
	now := time.Now().UnixMilli()
	last := q.s.seq.Load()
	for ok := it.First(); ok; ok = it.Next() {
		p, ok := parseVisibleKey(it.Key())
		if !ok {
			return errCorrupt
		}
		t, ok := parseTally(it.Value())
		if !ok {
			return errCorrupt
		}
		q.total++
		q.events += t.events
		q.due = min(q.due, p.at)
		if p.at > now {
			q.delayed.add(p.at, 1)
		}
		last = max(last, p.seq)
	}
	q.s.seq.Store(last)
	return it.Error()
}
