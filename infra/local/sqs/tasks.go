package sqs

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/google/uuid"
)

const (
	// maxMoveRate is SQS's limit in messages a second, and the rate of a task
	// that names none.
	maxMoveRate = 500
	// moveEvery is how often a task moves its share of a second.
	moveEvery = 100 * time.Millisecond
	// keptTasks is how many finished tasks of a queue are remembered: SQS
	// lists up to ten.
	keptTasks = 10
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
	Destination string `json:"destination"` // ARN; empty: where each message came from
	Rate        int    `json:"rate"`        // messages a second; 0: none was named
	Started     int64  `json:"started"`     // Unix milliseconds
	Status      string `json:"status"`
	Moved       int64  `json:"moved"`
	ToMove      int64  `json:"toMove"`
	Reason      string `json:"reason,omitempty"` // of a failure
}

func taskKey(id string) []byte { return append([]byte{kindTask}, id...) }

// tasks are the move tasks, running and finished.
type tasks struct {
	mu      sync.Mutex
	records map[string]*taskRecord
	cancel  map[string]context.CancelFunc // of the running ones
}

// saveTask needs tasks.mu.
func (s *Server) saveTask(t *taskRecord, o *pebble.WriteOptions) error {
	v, err := json.Marshal(t)
	if err != nil {
		return err
	}
	b := s.store.db.NewBatch()
	if err := b.Set(taskKey(t.ID), v, nil); err != nil {
		return err
	}
	if err := s.store.commit(b, o); err != nil {
		return fmt.Errorf("save move task: %w", err)
	}
	return nil
}

// resumeTasks reads the tasks and goes on with those that were running.
func (s *Server) resumeTasks() error {
	s.tasks.records = map[string]*taskRecord{}
	s.tasks.cancel = map[string]context.CancelFunc{}
	it, err := s.store.db.NewIter(&pebble.IterOptions{LowerBound: []byte{kindTask}, UpperBound: []byte{kindTask + 1}})
	if err != nil {
		return fmt.Errorf("read move tasks: %w", err)
	}
	defer it.Close()
	s.tasks.mu.Lock()
	defer s.tasks.mu.Unlock()
	for ok := it.First(); ok; ok = it.Next() {
		t := new(taskRecord)
		if err := json.Unmarshal(it.Value(), t); err != nil {
			return fmt.Errorf("read move task %q: %w", it.Key()[1:], err)
		}
		s.tasks.records[t.ID] = t
		if t.Status == statusRunning {
			s.launch(t)
		}
	}
	return it.Error()
}

// launch needs tasks.mu.
func (s *Server) launch(t *taskRecord) {
	ctx, cancel := context.WithCancel(s.ctx)
	s.tasks.cancel[t.ID] = cancel
	s.work.Go(func() {
		defer cancel()
		s.run(ctx, t)
	})
}

// startTask begins to move the messages of source.
func (s *Server) startTask(source *Queue, destination string, rate int) (*taskRecord, error) {
	s.tasks.mu.Lock()
	defer s.tasks.mu.Unlock()
	for _, t := range s.tasks.records {
		if t.Source == source.ARN() && t.Status == statusRunning {
			return nil, errUnsupported("There is already a task running. Only one active task is allowed for a source queue " +
				"arn at a given time.")
		}
	}
	st := source.Stats()
	t := &taskRecord{
		ID: uuid.NewString(), Source: source.ARN(), Destination: destination, Rate: rate,
		Started: time.Now().UnixMilli(), Status: statusRunning, ToMove: st.Visible,
	}
	if err := s.saveTask(t, pebble.Sync); err != nil {
		return nil, err
	}
	s.tasks.records[t.ID] = t
	s.forgetOldTasks(t.Source)
	s.launch(t)
	return t, nil
}

// forgetOldTasks needs tasks.mu.
func (s *Server) forgetOldTasks(source string) {
	ts := s.tasksOf(source)
	if len(ts) <= keptTasks {
		return
	}
	for _, t := range ts[keptTasks:] {
		b := s.store.db.NewBatch()
		if b.Delete(taskKey(t.ID), nil) == nil && s.store.commit(b, pebble.NoSync) == nil {
			delete(s.tasks.records, t.ID)
		}
	}
}

// tasksOf returns the tasks of a source, the newest first. It needs tasks.mu.
func (s *Server) tasksOf(source string) []*taskRecord {
	var ts []*taskRecord
	for _, t := range s.tasks.records {
		if t.Source == source {
			ts = append(ts, t)
		}
	}
	slices.SortFunc(ts, func(a, b *taskRecord) int { return int(b.Started - a.Started) })
	return ts
}

// run moves messages until there are none, the task is cancelled, or the
// server closes: then it goes on at the next start.
func (s *Server) run(ctx context.Context, t *taskRecord) {
	share := max(1, orDefault(t.Rate, maxMoveRate)*int(moveEvery)/int(time.Second))
	every := time.Second * time.Duration(share) / time.Duration(orDefault(t.Rate, maxMoveRate))
	tick := time.NewTicker(every)
	defer tick.Stop()
	for ctx.Err() == nil {
		n, reason := s.moveSome(t, share)
		s.tasks.mu.Lock()
		t.Moved += int64(n)
		switch {
		case t.Status != statusRunning: // cancelled
		case reason != "":
			t.Status, t.Reason = statusFailed, reason
		case n == 0:
			t.Status = statusCompleted
		}
		done := t.Status != statusRunning
		if err := s.saveTask(t, pebble.NoSync); err != nil {
			s.log.Error("can't save the state of a move task", "task", t.ID, "error", err)
		}
		s.tasks.mu.Unlock()
		if done {
			return
		}
		select {
		case <-ctx.Done():
			return // the status stands: cancelled, or running until the next start
		case <-tick.C:
		}
	}
}

// moveSome moves up to n messages and returns how many, and why it can't go on.
func (s *Server) moveSome(t *taskRecord, n int) (moved int, reason string) {
	q, ok := s.Queue(arnName(t.Source))
	if !ok {
		return 0, "AWS.SimpleQueueService.NonExistentQueue"
	}
	if s.store.disk.room() != nil {
		return 0, "ServiceUnavailable"
	}
	q.mu.Lock()
	got := taken{}
	var err error
	// A walk may come by expired messages only; then there can be more.
	for again := !q.gone; again; {
		now := time.Now().UnixMilli()
		got, err = q.take(now, n, never/2, false, 0)
		again = err == nil && len(got.flights) == 0 && !got.full && got.due <= now
		q.received -= int64(len(got.flights)) // a move is no receive
	}
	q.mu.Unlock()
	if err != nil {
		return 0, s.moveFailed(t, err)
	}
	rs, err := q.load(got.flights)
	if err != nil {
		return 0, s.moveFailed(t, err)
	}
	// Where there are several destinations, each gets a batch.
	groups := map[*Queue][]received{}
	var stay []*flight
	for _, r := range rs {
		arn := orDefault(t.Destination, r.message.source)
		d, ok := s.Queue(arnName(arn))
		if !ok {
			stay = append(stay, r.flight)
			reason = "CouldNotDetermineMessageSource"
			if arn != "" {
				reason = "AWS.SimpleQueueService.NonExistentQueue"
			}
			continue
		}
		groups[d] = append(groups[d], r)
	}
	for d, rs := range groups {
		es := redriven(rs)
		if err := q.moveTo(d, rs, es, pebble.Sync); err != nil {
			for _, r := range rs {
				stay = append(stay, r.flight)
			}
			reason = s.moveFailed(t, err)
			continue
		}
		moved += len(rs)
		d.countSent(es)
	}
	if len(stay) > 0 {
		q.mu.Lock()
		q.received += int64(len(stay)) // release takes them off
		q.mu.Unlock()
		q.release(stay)
	}
	return moved, reason
}

func (s *Server) moveFailed(t *taskRecord, err error) string {
	s.log.Error("a move task has failed", "task", t.ID, "source", t.Source, "error", err)
	return asAPIError(err).code
}

// cancelTask stops a running task and returns how many it has moved.
func (s *Server) cancelTask(id string) (int64, error) {
	s.tasks.mu.Lock()
	defer s.tasks.mu.Unlock()
	t, ok := s.tasks.records[id]
	if !ok {
		return 0, errResourceNotFound("TaskHandle")
	}
	if t.Status != statusRunning {
		return 0, errUnsupported("Only active tasks can be cancelled. This task is %s.", t.Status)
	}
	t.Status = statusCancelled
	if err := s.saveTask(t, pebble.Sync); err != nil {
		t.Status = statusRunning
		return 0, err
	}
	s.tasks.cancel[id]()
	delete(s.tasks.cancel, id)
	return t.Moved, nil
}
