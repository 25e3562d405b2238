package sqs

import (
	"encoding/json"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spillwayhq/spillway/infra/local/sqs/store"
)

// queueTable is the queues of a server. It is safe for concurrent use.
type queueTable struct {
	s      *Server
	mu     sync.RWMutex // guards byName; may be taken while a backlog's mu is held, not the other way round
	byName map[string]*Queue
	// orphans are the messages of queues whose record is damaged, by queue id; create guards it.
	orphans map[uint32][]*store.Message
	create  sync.Mutex // one createQueue or remove at a time
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
	r := queueRecord{ID: t.newID(name), Name: name, Created: now, Modified: now, Attributes: st.raw, Tags: tags}
	if err := t.save(r); err != nil {
		return nil, false, err
	}
	q = t.newQueue(r, st)
	q.adopt(t.orphans[r.ID])
	delete(t.orphans, r.ID)
	t.mu.Lock()
	t.byName[name] = q
	t.mu.Unlock()
	return q, true, nil
}

func (t *queueTable) newQueue(r queueRecord, st *settings) *Queue {
	q := &Queue{created: r.Created, modified: r.Modified, tags: maps.Clone(r.Tags)}
	q.s, q.name, q.id, q.index = t.s, r.Name, r.ID, newIndex(t.s.fairness)
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
	if err := q.clear(queueKey(q.name)); err != nil {
		return fmt.Errorf("delete queue %s: %w", q.name, err)
	}
	q.gone = true
	q.waiters.wake(len(q.waiters))
	t.mu.Lock()
	delete(t.byName, q.name)
	t.mu.Unlock()
	return nil
}

// The state of the store has the queues and the move tasks under keys with these prefixes.
const (
	queuePrefix = "queue "
	taskPrefix  = "task "
)

func queueKey(name string) string { return queuePrefix + name }

// newID is the id of a new queue. It follows from the name, so that a queue whose record is lost
// finds its messages again when it is created again. The caller holds create.
func (t *queueTable) newID(name string) uint32 {
	used := map[uint32]bool{}
	for _, q := range t.list("") {
		used[q.id] = true
	}
	id := crc32.ChecksumIEEE([]byte(name))
	for used[id] {
		id++
	}
	return id
}

// save writes a queue's record durably.
func (t *queueTable) save(r queueRecord) error {
	v, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return storeError(t.s.store.Set(queueKey(r.Name), v, true))
}

// load reads the queues and their messages.
func (t *queueTable) load(state map[string][]byte) error {
	byID := map[uint32]*Queue{}
	for key, value := range state {
		if !strings.HasPrefix(key, queuePrefix) {
			continue
		}
		var r queueRecord
		if err := json.Unmarshal(value, &r); err != nil {
			return fmt.Errorf("read %s: %w", key, err)
		}
		// Not apply: what an earlier version has accepted must not keep the server from starting.
		st, err := parseSettings(r.Attributes)
		if err != nil {
			return fmt.Errorf("read %s: %w", key, err)
		}
		q := t.newQueue(r, st)
		t.byName[r.Name] = q
		byID[r.ID] = q
	}
	last := t.s.seq.Load()
	messages := map[uint32][]*store.Message{}
	t.s.store.Each(func(m *store.Message) {
		last = max(last, m.Seq)
		messages[m.Queue] = append(messages[m.Queue], m)
	})
	t.s.seq.Store(last)
	for id, ms := range messages {
		if q := byID[id]; q != nil {
			q.adopt(ms)
			continue
		}
		t.orphans[id] = ms
		t.s.log.Error("messages belong to a queue whose record is lost: create the queue again, and it has them",
			"messages", len(ms))
	}
	return nil
}

// adopt takes messages that are in the store already.
func (q *Queue) adopt(ms []*store.Message) {
	now := time.Now().UnixMilli()
	ahead, most := 0, int64(0)
	for _, m := range ms {
		if m.Sent > now {
			ahead++
			most = max(most, m.Sent-now)
			m.At = now + min(max(0, m.At-m.Sent), maxDelay*1000)
		}
		q.index.add(m)
		q.found(m, now)
	}
	if ahead > 0 {
		q.s.log.Warn("messages were sent when this machine's clock was ahead: they are delivered now", "queue", q.name,
			"messages", ahead, "ahead", (time.Duration(most) * time.Millisecond).String())
	}
}
