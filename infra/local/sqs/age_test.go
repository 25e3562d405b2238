package sqs

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillwayhq/spillway/infra/local/sqs/store"
)

// In an outage of the destination every message is received again and again, and the metric that
// ought to show the backlog's age goes blind.
func TestTheMetricOfTheOldestMessageLeavesOutWhatWasReceivedThreeTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, Options{})
		q := queue(t, s, "events", map[string]string{"VisibilityTimeout": "30"})
		if got := q.OldestInMetric(); !got.IsZero() {
			t.Errorf("of an empty queue: %v", got)
		}
		start := time.Now()
		sendBodies(t, q, "old")
		receive := func(want int) {
			t.Helper()
			ms, err := q.Receive(t.Context(), 10, 0)
			if err != nil || len(ms) != want {
				t.Fatalf("%d messages, %v", len(ms), err)
			}
		}
		for n := 1; n <= 2; n++ {
			receive(1)
			if got := q.OldestInMetric(); !got.Equal(start) {
				t.Errorf("received %d times, in flight: %v, want when it was sent", n, got.Sub(start))
			}
			time.Sleep(31 * time.Second)
			if got := q.OldestInMetric(); !got.Equal(start) {
				t.Errorf("received %d times, visible again: %v, want when it was sent", n, got.Sub(start))
			}
		}
		sent := time.Now()
		sendBodies(t, q, "new")
		receive(2)
		if got := q.OldestInMetric(); !got.Equal(sent) {
			t.Errorf("received three times: %v, want the newer message's", got.Sub(start))
		}
		if got := q.Stats().OldestSent; !got.Equal(start) {
			t.Errorf("the oldest of all is %v, want the old message's", got.Sub(start))
		}
	})
}

func TestTheMetricOfTheOldestMessageLooksAtAllMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, Options{})
		q := queue(t, s, "events", nil)
		for range 2*ageChunk + 5 {
			q.index.add(q.testMessage(blindAfter))
		}
		if got := q.OldestInMetric(); !got.IsZero() {
			t.Errorf("all were received three times: %v", got)
		}
		time.Sleep(time.Second)
		last := time.Now()
		q.index.add(q.testMessage(blindAfter - 1))
		if got := q.OldestInMetric(); !got.Equal(last) {
			t.Errorf("%v, want the last message's %v", got, last)
		}
		q.index = newIndex(s.fairness) // they are not on disk
	})
}

// testMessage is one of the queue that was received so often; it is not stored.
func (q *Queue) testMessage(received uint32) *store.Message {
	return &store.Message{Sent: time.Now().UnixMilli(), Seq: q.s.seq.Add(1), Count: received}
}
