package lambda

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// memQueue is a queue in memory with a visibility timeout. A timeout of 0 never shows a message
// again.
type memQueue struct {
	visibility time.Duration

	mu           sync.Mutex
	changed      chan struct{} // closed and replaced when a message is sent
	messages     []*memMessage // not deleted
	issued       int
	receives     []receiveCall
	deletes      [][]string
	failReceives int // the next ones fail
	failDeletes  int
	partDeletes  bool // a delete that fails has deleted its first message
	emptied      *sync.Cond
}

type memMessage struct {
	Message
	visibleAt time.Time
	receives  int
}

type receiveCall struct {
	at   time.Time
	max  int
	wait time.Duration
	got  int
}

func newMemQueue(visibility time.Duration) *memQueue {
	q := &memQueue{visibility: visibility, changed: make(chan struct{})}
	q.emptied = sync.NewCond(&q.mu)
	return q
}

// empty waits until all messages are deleted.
func (q *memQueue) empty() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.messages) > 0 {
		q.emptied.Wait()
	}
}

// send puts n messages in, with bodies that begin with their numbers.
func (q *memQueue) send(n, size int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for range n {
		q.issued++
		body := fmt.Sprintf("%d.", q.issued)
		body += strings.Repeat("x", max(0, size-len(body)))
		q.messages = append(q.messages, &memMessage{Message: Message{MessageID: fmt.Sprintf("m%d", q.issued), Body: body}})
	}
	close(q.changed)
	q.changed = make(chan struct{})
}

func (q *memQueue) Receive(ctx context.Context, most int, wait time.Duration) ([]Message, error) {
	call := receiveCall{at: time.Now(), max: most, wait: wait}
	defer func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.receives = append(q.receives, call)
	}()
	until := time.NewTimer(wait)
	defer until.Stop()
	for {
		q.mu.Lock()
		if q.failReceives > 0 {
			q.failReceives--
			q.mu.Unlock()
			return nil, fmt.Errorf("told to fail")
		}
		got, next := q.take(most)
		changed := q.changed
		q.mu.Unlock()
		call.got = len(got)
		if call.got > 0 {
			return got, nil
		}
		again := time.NewTimer(next)
		select {
		case <-changed:
		case <-again.C:
		case <-until.C:
			return nil, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		again.Stop()
	}
}

// take hands out what is visible, or says when something will be.
func (q *memQueue) take(most int) (got []Message, next time.Duration) {
	now := time.Now()
	next = time.Hour
	for _, m := range q.messages {
		if wait := m.visibleAt.Sub(now); wait > 0 {
			next = min(next, wait)
			continue
		}
		m.receives++
		m.ReceiptHandle = fmt.Sprintf("%s/%d", m.MessageID, m.receives)
		m.Attributes = map[string]string{"ApproximateReceiveCount": fmt.Sprint(m.receives)}
		m.visibleAt = now.Add(q.visibility)
		if q.visibility == 0 {
			m.visibleAt = now.Add(24 * time.Hour)
		}
		if got = append(got, m.Message); len(got) == most {
			break
		}
	}
	return got, next
}

func (q *memQueue) Delete(ctx context.Context, handles []string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.deletes = append(q.deletes, slices.Clone(handles))
	gone := handles
	var err error
	if q.failDeletes > 0 {
		q.failDeletes--
		gone, err = nil, fmt.Errorf("told to fail")
		if q.partDeletes {
			gone = handles[:1]
		}
	}
	q.messages = slices.DeleteFunc(q.messages, func(m *memMessage) bool { return slices.Contains(gone, m.ReceiptHandle) })
	if len(q.messages) == 0 {
		q.emptied.Broadcast()
	}
	return err
}

// left is the ids of the messages that were not deleted.
func (q *memQueue) left() []string {
	q.mu.Lock()
	defer q.mu.Unlock()
	ids := []string{}
	for _, m := range q.messages {
		ids = append(ids, m.MessageID)
	}
	return ids
}

// receiveCount is how often a message was handed out.
func (q *memQueue) receiveCount(id string) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, m := range q.messages {
		if m.MessageID == id {
			return m.receives
		}
	}
	return -1
}

func (q *memQueue) calls() []receiveCall {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Clone(q.receives)
}
