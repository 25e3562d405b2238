package deliver

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/heavy"
	"github.com/spillwayhq/spillway/shared/rollout"
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

// metric are the values of a metric of the last invocation, in whole units.
func (r *rig) metric(name string) (values []float64) {
	for _, m := range r.last.Metrics() {
		if m.Name == name || m.Name+" "+m.Value == name {
			for _, v := range m.Values {
				values = append(values, math.Floor(v))
			}
		}
	}
	return values
}

func TestTheMetricsOfFreshEventsLeaveOutTheBulkQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var answer error
		r, _ := newBulkRig(t, func(context.Context, *event.Batch) error { return answer })
		senders := heavy.NewCounter("spillway", heavy.PartDeliver)
		r.Handler = r.handler(Config{Segment: r.segment, WriteKey: keyA, Senders: senders, CanaryWriteKey: keyB, CanaryEndsHere: true,
			BulkQueue: &fakeQueue{timeouts: map[string]time.Duration{}}, BulkQueueName: bulkQueue})
		hourOld := func(id string) in {
			m := oneOf(bulkQueue, id)
			m.sent = time.Now().Add(-time.Hour)
			return m
		}

		redriven := hourOld("redriven")
		redriven.deadLetterID = "d"
		r.invoke(t.Context(), redriven)
		want(t, "delivered", r.last.Delivered, 1)
		want(t, "EventAge", r.metric("EventAge"), nil)
		want(t, "BulkEventAge", r.metric("BulkEventAge"), []float64{3600})
		want(t, "FlushLatency", r.metric("FlushLatency"), nil)
		want(t, "answers", r.metric("SegmentResponses delivered"), nil)

		answer = status(429)
		r.invoke(t.Context(), hourOld("throttled"))
		want(t, "throttled", r.metric("EventsRetried throttled"), nil)
		want(t, "paced", r.metric("EventsRetried paced"), []float64{1})
		want(t, "failures of a version", r.metric(rollout.FailuresMetric), nil)
		want(t, "causes", len(r.last.Causes), 0)
		time.Sleep(time.Hour)

		answer = status(503)
		for range breakAfter + 1 { // read, and then unread
			r.invoke(t.Context(), hourOld("failing"))
			want(t, "EventAge", r.metric("EventAge"), nil)
			want(t, "BulkEventAge", r.metric("BulkEventAge"), []float64{3600})
		}
		want(t, "failing", r.metric("EventsRetried transient"), []float64{1})
		time.Sleep(time.Minute)
		r.invoke(t.Context(), canary("c"))
		want(t, "the backlog while it waits", r.last.Waiting, 0)
		want(t, "senders", counted(senders), "")
	})
}

func TestABulkQueueNeedsItsName(t *testing.T) {
	for _, c := range []Config{{BulkQueue: &fakeQueue{}}, {BulkQueueName: bulkQueue}} {
		c.Segment, c.Queue, c.DeadLetters = &fakeSegment{}, &fakeQueue{}, &fakeQueue{}
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), "BulkQueueName") {
			t.Errorf("got %v", err)
		}
	}
}
