package sqs

import (
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// Queue is one queue of a Server. It may be used by many goroutines at once.
// After the queue was deleted its methods fail with QueueDoesNotExist.
type Queue struct {
	s        *Server
	id       uint32
	name     string
	created  int64 // Unix seconds
	settings atomic.Pointer[settings]

	// adding is held for reading while messages are being added, so that a
	// purge, which holds it for writing, knows what it removes.
	adding sync.RWMutex

	mu       sync.Mutex
	gone     bool
	modified int64 // Unix seconds
	tags     map[string]string
	purged   time.Time // the last purge

	// What is on disk.
	total  int64
	events int64
	oldest oldestHint
	// The walk over the v keys: below cursor there is nothing to hand out;
	// nothing will be before due.
	cursor  place
	due     int64
	pending map[*addition]struct{} // being written, not to be handed out

	flights flights
	delayed delayed
	waiters []*waiter

	sent, received, deleted   int64
	sentEvents, deletedEvents int64
}

// oldestHint is a message key's order below which there are no messages.
type oldestHint struct {
	sent int64
	seq  uint64
}

func (h oldestHint) after(sent int64, seq uint64) bool {
	return h.sent > sent || h.sent == sent && h.seq > seq
}

// Stats says what a queue holds and what it did since the server was opened.
type Stats struct {
	Visible, InFlight, Delayed int64 // messages; their sum is the backlog
	// Events in the backlog: the sum of Options.CountAttribute.
	Events int64
	// Messages since Open. Sent counts neither what Open found nor automatic
	// moves of dead letters, as SQS's NumberOfMessagesSent; Received counts
	// every receive; Deleted leaves out purges, expiry and moves.
	Sent, Received, Deleted   int64
	SentEvents, DeletedEvents int64
	OldestSent                time.Time // zero where the queue is empty
}

// Name is the queue's name, the last part of its URL.
func (q *Queue) Name() string { return q.name }

// ARN is the queue's Amazon Resource Name.
func (q *Queue) ARN() string { return q.s.arnPrefix + q.name }

// Stats reads the counters, which are exact. It costs one seek in the
// store. After Close it is what was counted last, without OldestSent.
func (q *Queue) Stats() Stats {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now().UnixMilli()
	open := q.s.enter() == nil
	if open {
		defer q.s.exit()
		// What could not be returned stays in flight; the store says why.
		_ = q.returnExpired(now)
	}
	visible, inFlight, delayed := q.counts(now)
	st := Stats{
		Visible: visible, InFlight: inFlight, Delayed: delayed, Events: q.events,
		Sent: q.sent, Received: q.received, Deleted: q.deleted,
		SentEvents: q.sentEvents, DeletedEvents: q.deletedEvents,
	}
	if open {
		if sent, ok := q.oldestSent(); ok {
			st.OldestSent = time.UnixMilli(sent)
		}
	}
	return st
}

// counts needs mu.
func (q *Queue) counts(now int64) (visible, inFlight, delayed int64) {
	inFlight = int64(q.flights.len())
	delayed = q.delayed.advance(now)
	return max(0, q.total-inFlight-delayed), inFlight, delayed
}

// oldestSent needs mu.
func (q *Queue) oldestSent() (int64, bool) {
	if q.total == 0 || q.gone {
		return 0, false
	}
	_, high := keyRange(kindMessage, q.id)
	it, err := q.s.store.db.NewIter(&pebble.IterOptions{
		LowerBound: messageKey(q.id, q.oldest.sent, q.oldest.seq), UpperBound: high,
	})
	if err != nil {
		return 0, false
	}
	defer it.Close()
	if !it.First() {
		return 0, false
	}
	sent, seq, ok := parseMessageKey(it.Key())
	if ok && len(q.pending) == 0 {
		q.oldest = oldestHint{sent, seq}
	}
	return sent, ok
}

// deadLetters is the queue that dead letters go to, nil where there is none:
// then a message stays, however often it is received.
func (q *Queue) deadLetterQueue() (*Queue, uint64) {
	r := q.settings.Load().redrive
	if r == nil {
		return nil, 0
	}
	d, ok := q.s.Queue(arnName(r.target))
	if !ok || d == q {
		return nil, 0
	}
	return d, r.max
}

// queueRecord is how a queue itself is stored.
type queueRecord struct {
	ID         uint32            `json:"id"`
	Name       string            `json:"name"`
	Created    int64             `json:"created"`
	Modified   int64             `json:"modified"`
	Attributes map[string]string `json:"attributes,omitempty"`
	Tags       map[string]string `json:"tags,omitempty"`
}

// record needs mu.
func (q *Queue) record() queueRecord {
	return queueRecord{
		ID: q.id, Name: q.name, Created: q.created, Modified: q.modified,
		Attributes: q.settings.Load().raw, Tags: q.tags,
	}
}

// setAttributes answers after they are on disk.
func (q *Queue) setAttributes(attributes map[string]string) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.gone {
		return errNoSuchQueue()
	}
	next, err := q.settings.Load().apply(attributes)
	if err != nil {
		return err
	}
	if err := q.s.checkRedriveTarget(q.name, next); err != nil {
		return err
	}
	r := q.record()
	r.Attributes, r.Modified = next.raw, time.Now().Unix()
	if err := q.s.saveQueue(r); err != nil {
		return fmt.Errorf("set attributes of %s: %w", q.name, err)
	}
	q.modified = r.Modified
	q.settings.Store(next)
	q.wake(len(q.waiters)) // the retention or the dead-letter queue may be another
	return nil
}

// setTags replaces all tags with what change makes of a copy of them.
func (q *Queue) setTags(change func(map[string]string) error) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.gone {
		return errNoSuchQueue()
	}
	tags := map[string]string{}
	maps.Copy(tags, q.tags)
	if err := change(tags); err != nil {
		return err
	}
	r := q.record()
	r.Tags = tags
	if err := q.s.saveQueue(r); err != nil {
		return fmt.Errorf("set tags of %s: %w", q.name, err)
	}
	q.tags = tags
	return nil
}

// clear removes every message from the store and forgets them. It holds adding
// and mu. more is written with it.
func (q *Queue) clear(more func(*pebble.Batch) error) error {
	b := q.s.store.db.NewBatch()
	for _, kind := range [...]byte{kindMessage, kindVisible, kindReturned} {
		low, high := keyRange(kind, q.id)
		if err := b.DeleteRange(low, high, nil); err != nil {
			return err
		}
	}
	if more != nil {
		if err := more(b); err != nil {
			return err
		}
	}
	if err := q.s.store.commit(b, pebble.Sync); err != nil {
		return err
	}
	q.s.store.garbage.add(q.id, reclaimBytes) // how much it was is not known
	q.total, q.events = 0, 0
	q.flights.clear()
	q.delayed.clear()
	q.due = never
	return nil
}

const purgeEvery = 60 * time.Second

// purge removes every message that was sent before.
func (q *Queue) purge() error {
	q.adding.Lock()
	defer q.adding.Unlock()
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.gone {
		return errNoSuchQueue()
	}
	now := time.Now()
	if !q.purged.IsZero() && now.Sub(q.purged) < purgeEvery {
		return errPurgeInProgress(q.name)
	}
	if err := q.clear(nil); err != nil {
		return fmt.Errorf("purge %s: %w", q.name, err)
	}
	q.purged = now
	return nil
}
