package ingest

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

func TestHealthIsWhatTheLastMinutesSendsDid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		is := func(when string, status int) {
			t.Helper()
			for _, method := range []string{"GET", "HEAD"} {
				want(t, when, r.do(method, "/health", "").Code, status)
			}
		}
		post := func(status int) {
			t.Helper()
			got, _ := r.post("/v1/track", track("1"))
			want(t, "answer to an event", got, status)
		}
		is("nothing was sent", 200)
		r.queue.send = refuseAll
		is("the queue is down, and nothing was sent", 200)
		post(429)
		is("the only send failed", 503)
		time.Sleep(healthSpan)
		is("nothing was sent for a minute", 200)

		r.queue.send = nil
		post(200)
		r.queue.send = refuseAll
		time.Sleep(healthSpan / 2)
		post(429)
		is("one of two sends was accepted", 200)
		time.Sleep(healthSpan / 2)
		is("the accepted one is over a minute old", 503)
		r.queue.send = nil
		time.Sleep(healthSpan / 4)
		post(200)
		is("the last send was accepted", 200)
		want(t, "calls", r.queue.calls, 4)
	})
}

// A server may start with a clock that is ahead, until it is set.
func TestHealthForgetsWhatWasBeforeTheClockWasSetBack(t *testing.T) {
	ahead := time.Date(2026, 1, 31, 13, 0, 0, 0, time.UTC)
	now := ahead.Add(-time.Hour)
	var s sends
	s.note(ahead, 1, nil)
	s.noteFailure(now)
	want(t, "a failure after the clock was set back is a failure", s.failing(now.Add(time.Second)), true)

	s = sends{}
	s.noteFailure(ahead)
	want(t, "an hour-long failure", s.failing(now), false)
	s.note(now.Add(time.Millisecond), 1, nil)
	s.noteFailure(now)
	want(t, "another request was a millisecond later", s.failing(now), false)
}

// A server's disk may use the circuit breaker's probes up, so that no request gets to a queue.
func TestHealthCountsRequestsThatAreRefusedBeforeASend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.Queue = refusingQueue{} })
		for range 5 {
			status, code := r.post("/v1/track", track("1"))
			want(t, "answer to an event", []any{status, code}, []any{429, "queue_unavailable"})
			want(t, "health", r.do("GET", "/health", "").Code, 503)
			time.Sleep(healthSpan)
			want(t, "health without requests", r.do("GET", "/health", "").Code, 200)
		}
	})
}

// refusingQueue takes nothing, and is never called.
type refusingQueue struct{}

func (refusingQueue) Refusing(time.Time) bool { return true }

func (refusingQueue) Send(context.Context, []message.Message) error { panic("it is called") }

// A load balancer, or anyone, may ask as often as it likes.
func TestHealthSendsNothing(t *testing.T) {
	r := newRig(t, nil)
	for range 100 {
		r.do("GET", "/health", "")
	}
	want(t, "calls to the queue", r.queue.calls+r.deadLetters.calls, 0)
}

func TestOnlyAQueueThatFailsIsUnhealthy(t *testing.T) {
	fail := func(errs ...error) func(context.Context, []message.Message) error {
		return func(context.Context, []message.Message) error {
			failed := map[int]error{}
			for i, err := range errs {
				if err != nil {
					failed[i] = err
				}
			}
			return &sqsclient.SendError{Failed: failed}
		}
	}
	for name, c := range map[string]struct {
		send   func(context.Context, []message.Message) error
		health int
	}{
		"the call fails":            {refuseAll, 503},
		"SQS fails for the message": {fail(&sqsclient.RefusedError{Code: "InternalError"}), 503},
		"SQS refuses the message": {fail(&sqsclient.RefusedError{Code: "InvalidMessageContents",
			SenderFault: true}), 200},
		"no queue was called":                {fail(sqsclient.ErrNoQueue), 503},
		"another queue failed for all of it": {fail(errQueueDown), 503},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil)
			r.queue.send = c.send
			status, _ := r.post("/v1/track", track("1"))
			want(t, "answer to the event", status, 429)
			want(t, "health", r.do("GET", "/health", "").Code, c.health)
		})
	}
}

func TestOneAcceptedMessageOfACallIsHealthy(t *testing.T) {
	var s sends
	now := time.Now()
	s.note(now, 2, map[int]error{1: errQueueDown})
	want(t, "failing", s.failing(now), false)
}
