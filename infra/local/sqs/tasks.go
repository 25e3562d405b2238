package sqs

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
)

const (
	// maxMoveRate is SQS's limit in messages a second, and the rate of a task that names none.
	maxMoveRate = 500
	// moveEvery is how often a task moves messages.
	moveEvery = 100 * time.Millisecond
	// maxListedTasks is how many tasks of a queue are stored: SQS lists up to ten.
	maxListedTasks = 10
)

// Statuses of a task.
const (
	statusRunning   = "RUNNING"
	statusCompleted = "COMPLETED"
	statusCancelled = "CANCELLED"
	statusFailed    = "FAILED"
)

// taskRecord is a move task as it is stored.
type taskRecord struct {
	ID          string `json:"id"`
	Source      string `json:"source"`      // ARN
	Destination string `json:"destination"` // ARN; empty: the source queue of each message
	Rate        int    `json:"rate"`        // messages a second; 0: maxMoveRate
	Started     int64  `json:"started"`     // Unix milliseconds
	Status      string `json:"status"`
	Moved       int64  `json:"moved"`
	ToMove      int64  `json:"toMove"`
	Reason      string `json:"reason,omitempty"` // of a failure
}

func taskKey(id string) string { return taskPrefix + id }

// moveTasks are the running and finished move tasks of a server. They are safe for concurrent use.
type moveTasks struct {
	s       *Server
	mu      sync.Mutex
	records map[string]*taskRecord
	cancels map[string]context.CancelFunc // of the running ones
}

// save needs mu.
func (ts *moveTasks) save(t *taskRecord, durable bool) error {
	v, err := json.Marshal(t)
	if err != nil {
		return err
	}
	if err := ts.s.store.Set(taskKey(t.ID), v, durable); err != nil {
		return fmt.Errorf("save move task: %w", storeError(err))
	}
	return nil
}

// resume reads the tasks and continues those that were running.
func (ts *moveTasks) resume(state map[string][]byte) error {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	for key, value := range state {
		if !strings.HasPrefix(key, taskPrefix) {
			continue
		}
		t := new(taskRecord)
		if err := json.Unmarshal(value, t); err != nil {
			return fmt.Errorf("read move %s: %w", key, err)
		}
		ts.records[t.ID] = t
		if t.Status == statusRunning {
			ts.launch(t)
		}
	}
	return nil
}

// launch needs mu.
func (ts *moveTasks) launch(t *taskRecord) {
	ctx, cancel := context.WithCancel(ts.s.ctx)
	ts.cancels[t.ID] = cancel
	ts.s.work.Go(func() {
		defer cancel()
		ts.run(ctx, t)
	})
}

// start begins to move the messages of source.
func (ts *moveTasks) start(source *Queue, destination string, rate int) (*taskRecord, error) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	for _, t := range ts.records {
		if t.Source == source.ARN() && t.Status == statusRunning {
			return nil, errInvalidParameter("There is already a task running. Only one active task is allowed for a source " +
				"queue arn at a given time.")
		}
	}
	st := source.Stats()
	t := &taskRecord{
		ID: uuid.NewString(), Source: source.ARN(), Destination: destination, Rate: rate,
		Started: time.Now().UnixMilli(), Status: statusRunning, ToMove: st.Visible,
	}
	if err := ts.save(t, true); err != nil {
		return nil, err
	}
	ts.records[t.ID] = t
	ts.deleteOld(t.Source)
	ts.launch(t)
	return t, nil
}

// deleteOld deletes the tasks of a source beyond maxListedTasks. The caller holds mu.
func (ts *moveTasks) deleteOld(source string) {
	all := ts.of(source)
	if len(all) <= maxListedTasks {
		return
	}
	for _, t := range all[maxListedTasks:] {
		if ts.s.store.Set(taskKey(t.ID), nil, false) == nil {
			delete(ts.records, t.ID)
		}
	}
}

// of returns the tasks of a source, the newest first. The caller holds mu.
func (ts *moveTasks) of(source string) []*taskRecord {
	var all []*taskRecord
	for _, t := range ts.records {
		if t.Source == source {
			all = append(all, t)
		}
	}
	slices.SortFunc(all, func(a, b *taskRecord) int { return int(b.Started - a.Started) })
	return all
}

// run moves messages until there are none left or the task is cancelled. If the server closes, the
// task continues when the server is opened again.
func (ts *moveTasks) run(ctx context.Context, t *taskRecord) {
	share := max(1, orDefault(t.Rate, maxMoveRate)*int(moveEvery)/int(time.Second))
	every := time.Second * time.Duration(share) / time.Duration(orDefault(t.Rate, maxMoveRate))
	tick := time.NewTicker(every)
	defer tick.Stop()
	for ctx.Err() == nil {
		n, reason := ts.moveSome(t, share)
		ts.mu.Lock()
		t.Moved += int64(n)
		switch {
		case t.Status != statusRunning: // cancelled
		case reason != "":
			t.Status, t.Reason = statusFailed, reason
		case n == 0:
			t.Status = statusCompleted
		}
		done := t.Status != statusRunning
		if err := ts.save(t, false); err != nil {
			ts.s.log.ErrorContext(ctx, "can't save the state of a move task", "task", t.ID, "error", err)
		}
		ts.mu.Unlock()
		if done {
			return
		}
		select {
		case <-ctx.Done():
			return // cancelled, or still running at the next start
		case <-tick.C:
		}
	}
}

// moveSome moves up to n messages. It returns how many, and why the task has to fail.
func (ts *moveTasks) moveSome(t *taskRecord, n int) (moved int, reason string) {
	q, ok := ts.s.Queue(arnName(t.Source))
	if !ok {
		return 0, "AWS.SimpleQueueService.NonExistentQueue"
	}
	if ts.s.room() != nil {
		return 0, "ServiceUnavailable"
	}
	got, err := q.load(takeForMove(q, n))
	if err != nil {
		return 0, ts.failed(t, err)
	}
	byDestination, unmoved, reason := ts.destinations(t, got)
	for d, rs := range byDestination {
		if err := move(q, d, rs, redriven(rs), true); err != nil {
			for _, r := range rs {
				unmoved = append(unmoved, r.flight)
			}
			reason = ts.failed(t, err)
			continue
		}
		moved += len(rs)
	}
	q.release(unmoved)
	return moved, reason
}

// takeForMove takes up to n messages to be moved.
func takeForMove(q *Queue, n int) []*flight {
	q.mu.Lock()
	defer q.mu.Unlock()
	// A walk may find expired messages only; then there can be more.
	for again := !q.gone; again; {
		now := time.Now().UnixMilli()
		t := q.take(now, wanted{limit: n, visibility: never / 2, moving: true})
		if len(t.flights) > 0 {
			return t.flights
		}
		again = !t.full && t.due <= now
	}
	return nil
}

// destinations groups messages by the queue they go to: one batch moves each group. It returns the
// messages without a queue, and why.
func (ts *moveTasks) destinations(t *taskRecord, got []received) (
	groups map[*Queue][]received, unmoved []*flight, reason string) {
	groups = map[*Queue][]received{}
	for _, r := range got {
		arn := orDefault(t.Destination, r.stored.source)
		d, ok := ts.s.Queue(arnName(arn))
		if ok {
			groups[d] = append(groups[d], r)
			continue
		}
		unmoved = append(unmoved, r.flight)
		reason = "CouldNotDetermineMessageSource"
		if arn != "" {
			reason = "AWS.SimpleQueueService.NonExistentQueue"
		}
	}
	return groups, unmoved, reason
}

// failed logs an error and returns its code.
func (ts *moveTasks) failed(t *taskRecord, err error) string {
	ts.s.log.Error("a move task has failed", "task", t.ID, "source", t.Source, "error", err)
	return asAPIError(err).code
}

// cancel stops a running task and returns how many messages it has moved.
func (ts *moveTasks) cancel(id string) (int64, error) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	t, ok := ts.records[id]
	if !ok {
		return 0, errNotFound("Task does not exist.")
	}
	if t.Status != statusRunning {
		return 0, errUnsupported("Only active tasks can be cancelled. This task is %s.", t.Status)
	}
	t.Status = statusCancelled
	if err := ts.save(t, true); err != nil {
		t.Status = statusRunning
		return 0, err
	}
	ts.cancels[id]()
	delete(ts.cancels, id)
	return t.Moved, nil
}
