package sqs

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// queueTable is the queues of a server. It is safe for concurrent use.
type queueTable struct {
	s      *Server
	mu     sync.RWMutex // guards byName; may be taken while a backlog's mu is held, not the other way round
	byName map[string]*Queue
	lastID uint32
	create sync.Mutex // one createQueue or remove at a time; guards lastID
}

func (t *queueTable) get(name string) (*Queue, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	q, ok := t.byName[name]
	return q, ok
}

// list returns the queues whose names begin with prefix, by name.
func (t *queueTable) list(prefix string) []*Queue {
	t.mu.RLock()
	defer t.mu.RUnlock()
	var qs []*Queue
	for name, q := range t.byName {
		if strings.HasPrefix(name, prefix) {
			qs = append(qs, q)
		}
	}
	slices.SortFunc(qs, func(a, b *Queue) int { return strings.Compare(a.name, b.name) })
	return qs
}

// sourcesOf returns the queues that have q as their dead-letter queue.
func (t *queueTable) sourcesOf(q *Queue) []*Queue {
	return slices.DeleteFunc(t.list(""), func(o *Queue) bool {
		r := o.settings.Load().redrive
		return r == nil || r.Target != q.ARN()
	})
}

// createQueue creates a queue durably, or returns the one of that name and created = false.
func (t *queueTable) createQueue(name string, attributes, tags map[string]string) (q *Queue, created bool, err error) {
	if err := checkName(name, attributes); err != nil {
		return nil, false, err
	}
	st, err := (*settings)(nil).apply(attributes)
	if err != nil {
		return nil, false, err
	}
	t.create.Lock()
	defer t.create.Unlock()
	if q, ok := t.get(name); ok {
		return q, false, nil
	}
	if err := t.checkRedriveTarget(name, st); err != nil {
		return nil, false, err
	}
	now := time.Now().Unix()
	r := queueRecord{ID: t.lastID + 1, Name: name, Created: now, Modified: now, Attributes: st.raw, Tags: tags}
	if err := t.save(r); err != nil {
		return nil, false, err
	}
	t.lastID++
	q = t.newQueue(r, st)
	t.mu.Lock()
	t.byName[name] = q
	t.mu.Unlock()
	return q, true, nil
}

func (t *queueTable) newQueue(r queueRecord, st *settings) *Queue {
	q := &Queue{created: r.Created, modified: r.Modified, tags: maps.Clone(r.Tags)}
	q.s, q.name, q.keys, q.due = t.s, r.Name, keyspace{t.s.store, r.ID}, never
	q.settings.Store(st)
	return q
}

// checkRedriveTarget refuses a dead-letter queue that does not exist, or whose RedriveAllowPolicy
// does not permit this queue. As in SQS, a queue may be its own dead-letter queue.
func (t *queueTable) checkRedriveTarget(name string, st *settings) error {
	if st.redrive == nil {
		return nil
	}
	policy := st.raw["RedrivePolicy"]
	d, ok := t.get(arnName(st.redrive.Target))
	if !ok || d.ARN() != st.redrive.Target {
		return errRedrive(policy, "Dead letter target does not exist.")
	}
	allow := d.settings.Load().allow
	if d.name == name {
		allow = st.allow
	}
	if !allow.permits(t.s.arnPrefix + name) {
		return errRedrive(policy, "The RedriveAllowPolicy of the dead letter target does not permit this queue.")
	}
	return nil
}

// remove deletes a queue and its messages durably.
func (t *queueTable) remove(q *Queue) error {
	t.create.Lock()
	defer t.create.Unlock()
	q.adding.Lock()
	defer q.adding.Unlock()
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.gone {
		return errNoSuchQueue()
	}
	err := q.clear(func(b *pebble.Batch) error { return b.Delete(queueKey(q.name), nil) })
	if err != nil {
		return fmt.Errorf("delete queue %s: %w", q.name, err)
	}
	q.gone = true
	q.waiters.wake(len(q.waiters))
	t.mu.Lock()
	delete(t.byName, q.name)
	t.mu.Unlock()
	return nil
}

func queueKey(name string) []byte { return append([]byte{kindQueue}, name...) }

// save writes a queue's record durably.
func (t *queueTable) save(r queueRecord) error {
	v, err := json.Marshal(r)
	if err != nil {
		return err
	}
	b := t.s.store.db.NewBatch()
	if err := b.Set(queueKey(r.Name), v, nil); err != nil {
		return err
	}
	return t.s.store.commit(b, pebble.Sync)
}

// load reads the queues and counts their messages.
func (t *queueTable) load() error {
	it, err := t.s.store.db.NewIter(&pebble.IterOptions{LowerBound: []byte{kindQueue}, UpperBound: []byte{kindQueue + 1}})
	if err != nil {
		return err
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		var r queueRecord
		if err := json.Unmarshal(it.Value(), &r); err != nil {
			return fmt.Errorf("read queue %q: %w", it.Key()[1:], err)
		}
		// Not apply: what an earlier version has accepted must not keep the server from starting.
		st, err := parseSettings(r.Attributes)
		if err != nil {
			return fmt.Errorf("read queue %q: %w", r.Name, err)
		}
		q := t.newQueue(r, st)
		if err := countMessages(q); err != nil {
			return fmt.Errorf("count the messages of %s: %w", r.Name, err)
		}
		t.byName[r.Name] = q
		// The last process may have ended before it reclaimed the space of deleted messages.
		t.s.store.deleted.add(r.ID, reclaimQuietBytes)
		// The process never reuses an id. After a restart it can, because the messages of a deleted
		// queue are gone with it.
		t.lastID = max(t.lastID, r.ID)
	}
	return it.Error()
}

// countMessages sets the counters from the v keys.
func countMessages(q *Queue) error {
	now := time.Now().UnixMilli()
	last := q.s.seq.Load()
	err := q.keys.each(func(p place, t tally) {
		q.total++
		q.events += t.events
		q.due = min(q.due, p.at)
		if p.at > now {
			q.delayed.add(p.at, 1)
		}
		last = max(last, p.seq)
	})
	q.s.seq.Store(last)
	return err
}
