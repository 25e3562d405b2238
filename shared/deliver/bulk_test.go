package deliver

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/segment"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

// newBulkRig is a rig with a bulk queue, whose fake is returned beside it.
func newBulkRig(t testing.TB, answer func(context.Context, *event.Batch) error) (*rig, *fakeQueue) {
	t.Helper()
	r, bulk := newRig(t, answer), &fakeQueue{timeouts: map[string]time.Duration{}}
	r.Handler = r.handler(Config{Segment: r.segment, WriteKey: keyA, BulkQueue: bulk, BulkQueueName: bulkQueue})
	return r, bulk
}

func throttled(context.Context, *event.Batch) error { return &segment.Error{Class: segment.Throttled} }

// oneOf is one(id) in a queue.
func oneOf(queue, id string) in {
	m := one(id)
	m.queue = queue
	return m
}

func TestVisibilityIsChangedInTheQueueThatTheMessageIsOf(t *testing.T) {
	r, bulk := newBulkRig(t, throttled)
	r.invoke(t.Context(), one("fresh"), oneOf(bulkQueue, "old"), oneOf("not-"+bulkQueue, "other"))
	if got := r.queue.timeouts; len(got) != 2 || got["r-fresh"] == 0 || got["r-other"] == 0 {
		t.Errorf("in the events queue: %v", got)
	}
	if got := bulk.timeouts; len(got) != 1 || got["r-old"] == 0 {
		t.Errorf("in the bulk queue: %v", got)
	}
}

func TestAQueueWhoseVisibilityCanNotBeChangedDoesNotStopTheOther(t *testing.T) {
	r, bulk := newBulkRig(t, throttled)
	r.queue.changeVisibility = func(context.Context, []sqsclient.VisibilityChange) error { return errors.New("no") }
	r.invoke(t.Context(), one("fresh"), oneOf(bulkQueue, "old"))
	if bulk.timeouts["r-old"] == 0 || r.last.VisibilityErrors != 1 {
		t.Errorf("%v, %d errors", bulk.timeouts, r.last.VisibilityErrors)
	}
}

func TestABulkQueueNeedsItsName(t *testing.T) {
	for _, c := range []Config{{BulkQueue: &fakeQueue{}}, {BulkQueueName: bulkQueue}} {
		c.Segment, c.Queue, c.DeadLetters = &fakeSegment{}, &fakeQueue{}, &fakeQueue{}
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), "BulkQueueName") {
			t.Errorf("got %v", err)
		}
	}
}
