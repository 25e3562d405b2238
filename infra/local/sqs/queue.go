package sqs

import (
	"context"
	"fmt"
	"maps"
	"strconv"
	"time"
)

// Queue is one queue of a Server. It is safe for concurrent use. After the queue was deleted, its
// methods fail with QueueDoesNotExist.
type Queue struct {
	backlog
	created int64 // Unix seconds

	// What mu of the backlog guards too:
	modified int64 // Unix seconds
	tags     map[string]string
	purged   time.Time // the last purge
}

// Stats counts what a queue contains, and what happened to it since the server was opened.
type Stats struct {
	Visible, InFlight, Delayed int64 // messages; their sum is the backlog
	// Events is how many events the backlog's messages have: the sum of Options.CountAttribute.
	Events int64
	// Sent, Received and Deleted count messages since Open. Sent does not include what Open found or
	// automatic moves of dead letters, as in SQS's NumberOfMessagesSent. Received counts every
	// receive. Deleted does not include purges, expiry and moves.
	Sent, Received, Deleted   int64
	SentEvents, DeletedEvents int64
	// Expired messages were deleted because the retention of the queue had ended; Lost ones because
	// they are damaged on disk.
	Expired, ExpiredEvents, Lost int64
	OldestSent                   time.Time // zero if the queue is empty
	// NoisyGroups is how many groups wait for the others, see Fairness; NoisyVisible and NoisyInFlight
	// are their messages.
	NoisyGroups, NoisyVisible, NoisyInFlight int64
}

// Name is the queue's name, the last part of its URL.
func (q *Queue) Name() string { return q.name }

// ARN is the queue's Amazon Resource Name.
func (q *Queue) ARN() string { return q.s.arnPrefix + q.name }

// Stats returns the counters, which are exact. After Close it returns the last counts.
func (q *Queue) Stats() Stats {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now().UnixMilli()
	if q.s.enter() == nil {
		defer q.s.exit()
		q.returnExpired(now)
	}
	visible, inFlight, delayed := q.counts(now, q.flights.len())
	st := Stats{
		Visible: visible, InFlight: inFlight, Delayed: delayed, Events: q.events,
		Sent: q.sent, Received: q.received, Deleted: q.deleted,
		SentEvents: q.sentEvents, DeletedEvents: q.deletedEvents,
		Expired: q.expired, ExpiredEvents: q.expiredEvents, Lost: q.lost,
	}
	st.NoisyGroups = int64(len(q.index.waiting.noisy))
	st.NoisyVisible, st.NoisyInFlight = q.index.waiting.noisyMessages()
	if m, ok := q.index.bySent.Min(); ok {
		st.OldestSent = time.UnixMilli(m.Sent)
	}
	return st
}

// Receive waits up to wait for messages and returns 1 to max (1 to 10) of them, for the queue's
// visibility timeout. It returns none and no error when none came, and ctx's error when ctx ends
// first, which loses no message. With about 120,000 messages in flight it returns none, and OverLimit
// if wait is 0.
func (q *Queue) Receive(ctx context.Context, max int, wait time.Duration) ([]Message, error) {
	if max < 1 || max > 10 {
		return nil, fmt.Errorf("receive from %s: max must be 1 to 10, is %d", q.name, max)
	}
	if err := q.s.enter(); err != nil {
		return nil, fmt.Errorf("receive from %s: %w", q.name, err)
	}
	defer q.s.exit()
	got, err := q.receive(ctx, max, wait, -1)
	if err != nil {
		return nil, fmt.Errorf("receive from %s: %w", q.name, err)
	}
	ms := make([]Message, len(got))
	for i := range got {
		ms[i] = got[i].message(q)
	}
	return ms, nil
}

// Delete deletes the messages of these receipt handles; any number is allowed. An expired handle
// still deletes its message unless the message was received again; then Delete ignores it. A string
// that is not a handle of this queue is an error, and the others are deleted all the same.
func (q *Queue) Delete(ctx context.Context, receiptHandles []string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := q.s.enter(); err != nil {
		return fmt.Errorf("delete from %s: %w", q.name, err)
	}
	defer q.s.exit()
	hs := make([]handle, 0, len(receiptHandles))
	var bad error
	for _, s := range receiptHandles {
		h, err := parseHandle(s, q.id)
		if err != nil {
			bad = err
			continue
		}
		hs = append(hs, h)
	}
	if err := q.remove(hs); err != nil {
		return fmt.Errorf("delete from %s: %w", q.name, err)
	}
	return bad
}

// deadLetterQueue returns the queue for dead letters and after how many receives a message is one.
// It returns nil and 0 if there is none: then messages are retained, however often they are received.
func (q *Queue) deadLetterQueue() (*Queue, uint64) {
	r := q.settings.Load().redrive
	if r == nil {
		return nil, 0
	}
	d, ok := q.s.Queue(arnName(r.Target))
	if !ok || d == q {
		return nil, 0
	}
	return d, r.Max
}

// queueRecord is a queue as it is stored.
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

// setAttributes returns when the attributes are on disk.
func (q *Queue) setAttributes(attributes map[string]string) error {
	return q.changeAttributes(func(*settings) (map[string]string, error) { return attributes, nil })
}

// changeAttributes sets the attributes that change returns for the current ones, and returns when
// they are on disk.
func (q *Queue) changeAttributes(change func(*settings) (map[string]string, error)) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.gone {
		return errNoSuchQueue()
	}
	attributes, err := change(q.settings.Load())
	if err != nil {
		return err
	}
	next, err := q.settings.Load().apply(attributes)
	if err != nil {
		return err
	}
	if _, set := attributes["RedrivePolicy"]; set {
		if err := q.s.queues.checkRedriveTarget(q.name, next); err != nil {
			return err
		}
	}
	if maps.Equal(next.raw, q.settings.Load().raw) {
		return nil // also on a full disk
	}
	r := q.record()
	r.Attributes, r.Modified = next.raw, time.Now().Unix()
	if err := q.s.queues.save(r); err != nil {
		return fmt.Errorf("set attributes of %s: %w", q.name, err)
	}
	q.modified = r.Modified
	q.settings.Store(next)
	q.waiters.wake(len(q.waiters)) // the retention or the dead-letter queue may have changed
	return nil
}

// setTags changes a copy of the tags and returns when it is on disk.
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
	if err := q.s.queues.save(r); err != nil {
		return fmt.Errorf("set tags of %s: %w", q.name, err)
	}
	q.tags = tags
	return nil
}

// attributes returns all attributes of GetQueueAttributes.
func (q *Queue) attributes() map[string]string {
	vs := q.settings.Load().values()
	q.mu.Lock()
	now := time.Now().UnixMilli()
	q.returnExpired(now)
	visible, inFlight, delayed := q.counts(now, q.flights.len())
	modified := q.modified
	q.mu.Unlock()
	vs["QueueArn"] = q.ARN()
	vs["CreatedTimestamp"] = strconv.FormatInt(q.created, 10)
	vs["LastModifiedTimestamp"] = strconv.FormatInt(modified, 10)
	vs["ApproximateNumberOfMessages"] = strconv.FormatInt(visible, 10)
	vs["ApproximateNumberOfMessagesNotVisible"] = strconv.FormatInt(inFlight, 10)
	vs["ApproximateNumberOfMessagesDelayed"] = strconv.FormatInt(delayed, 10)
	return vs
}

const purgeEvery = 60 * time.Second

// purge deletes every message that was sent before.
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
	if err := q.clear(""); err != nil {
		return fmt.Errorf("purge %s: %w", q.name, err)
	}
	q.purged = now
	return nil
}
