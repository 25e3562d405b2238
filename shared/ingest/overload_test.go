package ingest

import (
	"context"
	"io"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

func TestRequestsAreAnswered429WhenTheQueueRefusesTheirMessages(t *testing.T) {
	r := newRig(t, nil)
	r.queue.send = refuseAll
	status, code := r.post("/v1/batch", `{"batch":[`+track("1")+`]}`)
	want(t, "answer", []any{status, code}, []any{429, "queue_unavailable"})
	r.queue.send = func(context.Context, []message.Message) error {
		return &sqsclient.SendError{Failed: map[int]error{0: errQueueDown}}
	}
	status, _ = r.post("/v1/track", track("1"))
	want(t, "status when the message failed", status, 429)
	totals := r.counters.Totals()
	want(t, "shed", totals.Shed, map[string]int{"queue_unavailable": 2})
	want(t, "accepted", totals.Accepted, 0)
	r.queue.send = nil
	status, _ = r.post("/v1/track", track("1"))
	want(t, "status after", status, 200)
}

func TestRequestsAreRefusedAtOnceWhileTheQueueIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.queue.send = func(ctx context.Context, _ []message.Message) error { <-ctx.Done(); return ctx.Err() }
		status, _ := r.post("/v1/track", track("1"))
		want(t, "status", status, 429)
		start := time.Now()
		for range 100 {
			status, code := r.post("/v1/track", track("1"))
			want(t, "answer", []any{status, code}, []any{429, "queue_unavailable"})
		}
		want(t, "waited", time.Since(start), time.Duration(0))
		want(t, "calls", r.queue.calls, 1)
		time.Sleep(sqsclient.OpenFor)
		r.queue.send = nil
		status, _ = r.post("/v1/track", track("1"))
		want(t, "status when the queue is back", status, 200)
		status, _ = r.post("/v1/track", track("2"))
		want(t, "status of the next", status, 200)
		r.Close()
	})
}

func TestRequestsAreRefusedWhenTheMemoryBudgetIsUsedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most = 40 << 20
		r := newRig(t, func(c *Config) { c.Limits = Limits{MaxMemory: most, QueueTimeout: time.Minute} })
		release := make(chan struct{})
		r.queue.send = func(context.Context, []message.Message) error { <-release; return nil }
		events := strings.TrimSuffix(strings.Repeat(`{"type":"track","userId":"u","event":"e","properties":{"x":"`+strings.Repeat("x", 20_000)+`"}},`, 20), ",")
		body := `{"batch":[` + events + `]}`
		statuses := make([]int, 40)
		var requests sync.WaitGroup
		for i := range statuses {
			requests.Go(func() { statuses[i], _ = r.post("/v1/batch", body) })
			synctest.Wait()
			if n := r.memory.used.Load(); n > most {
				t.Errorf("%d bytes are reserved", n)
			}
		}
		shed := 0
		for _, status := range statuses {
			if status == 429 { // answered before anything was released
				shed++
			}
		}
		// Each holds the body, the enriched copy, and twice that for the call.
		if taken := len(statuses) - shed; taken < most/(6*len(body)) || taken > most/(4*len(body)) {
			t.Errorf("%d requests of %d bytes are in flight", taken, len(body))
		}
		close(release)
		requests.Wait()
		status, _ := r.post("/v1/batch", body)
		want(t, "status after", status, 200)
		want(t, "counted", r.counters.Totals().Shed, map[string]int{"overloaded": shed})
		r.Close()
	})
}

func TestRequestsAreRefusedWhenTooManyAreInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) {
			c.Limits.MaxInFlight = 3
		})
		release := make(chan struct{})
		r.queue.send = func(context.Context, []message.Message) error { <-release; return nil }
		var requests sync.WaitGroup
		for range 3 {
			requests.Go(func() {
				status, _ := r.post("/v1/track", track("1"))
				want(t, "status", status, 200)
			})
		}
		synctest.Wait()
		status, code := r.post("/v1/track", track("1"))
		want(t, "answer to another request", []any{status, code}, []any{429, "overloaded"})
		want(t, "health", r.do("GET", "/health", "").Code, 200)
		close(release)
		requests.Wait()
		r.Close()
	})
}

func TestASlowBodyIsNotInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.Limits.MaxInFlight = 3 })
		bodies, writers := make([]io.Reader, 100), make([]*io.PipeWriter, 100)
		var slow sync.WaitGroup
		for i := range bodies {
			bodies[i], writers[i] = io.Pipe()
			slow.Go(func() {
				request := httptest.NewRequest("POST", "/v1/b", bodies[i])
				request.ContentLength = 60_000
				w := httptest.NewRecorder()
				r.ServeHTTP(w, request)
				want(t, "status of a request whose body came after the shutdown", w.Code, 429)
			})
			if _, err := writers[i].Write([]byte("{")); err != nil {
				t.Error(err)
			}
		}
		synctest.Wait()
		if n := r.memory.used.Load(); n > 100*2*firstRead {
			t.Errorf("slow requests hold %d bytes", n)
		}
		status, _ := r.post("/v1/track", track("1"))
		want(t, "status of a request with a body", status, 200)
		if err := r.Close(); err != nil { // does not wait for them
			t.Error(err)
		}
		for _, w := range writers {
			w.Close()
		}
		slow.Wait()
	})
}
