package ingest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillwayhq/spillway/shared/message"
)

func TestShutdownAnswersRequestsInFlightAndRefusesNewOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.Linger = time.Second })
		release := make(chan struct{})
		r.queue.send = func(context.Context, []message.Message) error { <-release; return nil }
		var requests sync.WaitGroup
		for i := range 5 { // the first is sent at once, the others linger together
			requests.Go(func() {
				status, _ := r.post("/v1/track", track(fmt.Sprint(i)))
				want(t, "status", status, 200)
			})
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second/2)
		defer cancel()
		if err := r.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Shutdown while a call hangs: %v", err)
		}
		want(t, "calls in progress, without lingering", len(r.committer.slots), 2)
		status, code := r.post("/v1/track", track("late"))
		want(t, "answer to a late request", []any{status, code}, []any{429, "shutting_down"})
		want(t, "health", r.do("GET", "/health", "").Code, 503)
		close(release)
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		requests.Wait()
		want(t, "events", len(events(t, &r.queue)), 5)
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestInvalidConfigurationsAreRefused(t *testing.T) {
	q := new(acceptingQueue)
	for text, c := range map[string]Config{
		"Queue":        {DeadLetters: q},
		"public URL":   {Queue: withBreaker(q), DeadLetters: q, PublicURL: "events.example.com"},
		"public UR":    {Queue: withBreaker(q), DeadLetters: q, PublicURL: "https://events.example.com/v1"},
		"linger":       {Queue: withBreaker(q), DeadLetters: q, Linger: -1},
		"MaxBody":      {Queue: withBreaker(q), DeadLetters: q, Limits: Limits{MaxBody: -1}},
		"MaxMemory":    {Queue: withBreaker(q), DeadLetters: q, Limits: Limits{MaxMemory: 1000}},
		"QueueTimeout": {Queue: withBreaker(q), DeadLetters: q, Limits: Limits{QueueTimeout: -1}},
	} {
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestTheLogSaysThatAnyWriteKeyIsAccepted(t *testing.T) {
	r := newRig(t, nil)
	if !strings.Contains(r.log.String(), "any well-formed write key") {
		t.Errorf("the log says %q", r.log.String())
	}
}
