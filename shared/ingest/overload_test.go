package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

func TestWhenTheQueueRefusesTheAnswerIs429(t *testing.T) {
	r := newRig(t, nil)
	r.queue.send = refuseAll
	status, code := r.post("/v1/batch", `{"batch":[`+track("1")+`]}`)
	want(t, "answer", []any{status, code}, []any{429, "queue_unavailable"})
	r.queue.send = func(context.Context, []message.Message) error {
		return &sqsclient.SendError{Failed: map[int]error{0: errAway}}
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

func TestWhileTheQueueIsAwayRequestsAreAnsweredAtOnce(t *testing.T) {
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
		want(t, "status when it is back", status, 200)
		status, _ = r.post("/v1/track", track("2"))
		want(t, "status of the next", status, 200)
		r.Close()
	})
}

func TestMemoryThatWaitsIsBounded(t *testing.T) {
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
				t.Errorf("%d bytes wait", n)
			}
		}
		shed := 0
		for _, status := range statuses {
			if status == 429 { // answered before anything was released
				shed++
			}
		}
		// Each holds the body, the spliced copy, and twice that for the call.
		if taken := len(statuses) - shed; taken < most/(6*len(body)) || taken > most/(4*len(body)) {
			t.Errorf("%d requests of %d bytes wait", taken, len(body))
		}
		close(release)
		requests.Wait()
		status, _ := r.post("/v1/batch", body)
		want(t, "status after", status, 200)
		want(t, "counted", r.counters.Totals().Shed, map[string]int{"overloaded": shed})
		r.Close()
	})
}

func TestRequestsUnderWayAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) {
			c.Limits.MaxInFlight = 3
			c.Health = func(context.Context) error { return nil }
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
		want(t, "answer to one more", []any{status, code}, []any{429, "overloaded"})
		want(t, "health", r.do("GET", "/health", "").Code, 200)
		close(release)
		requests.Wait()
		r.Close()
	})
}

func TestShutdownAnswersWhatIsUnderWayAndTakesNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.Linger = time.Second })
		release := make(chan struct{})
		r.queue.send = func(context.Context, []message.Message) error { <-release; return nil }
		var requests sync.WaitGroup
		for i := range 5 {
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
		want(t, "calls, without waiting for the window", len(r.committer.slots), 1)
		status, code := r.post("/v1/track", track("late"))
		want(t, "answer to a late one", []any{status, code}, []any{429, "shutting_down"})
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

func TestAPanicIsOneRequestsMisfortune(t *testing.T) {
	r := newRig(t, nil)
	r.queue.send = func(context.Context, []message.Message) error { panic("a bug") }
	status, code := r.post("/v1/track", track("1"))
	want(t, "answer", []any{status, code}, []any{500, "internal"})
	r.queue.send = nil
	status, _ = r.post("/v1/track", track("1"))
	want(t, "status of the next", status, 200)
}

func TestHealthSaysWhetherTheQueueCanBeReached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		var err error
		r := newRig(t, func(c *Config) { c.Health = func(context.Context) error { asked++; return err } })
		is := func(status, times int) {
			t.Helper()
			for _, method := range []string{"GET", "HEAD"} {
				want(t, "status", r.do(method, "/health", "").Code, status)
			}
			want(t, "asked", asked, times)
		}
		is(200, 1)
		err = errAway
		is(200, 1)
		time.Sleep(healthFor)
		is(503, 2)
		err = nil
		time.Sleep(healthFor / 2)
		is(503, 2)
		time.Sleep(healthFor / 2)
		is(200, 3)
	})
}

func TestAHealthCheckThatHangsIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.Health = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() } })
		start := time.Now()
		want(t, "status", r.do("GET", "/health", "").Code, 503)
		want(t, "waited", time.Since(start), healthTimeout)
	})
}

func TestAQuotaAdmitsByDebt(t *testing.T) {
	now := time.Unix(1000, 0)
	var b bucket
	for i, c := range []struct {
		after time.Duration
		n     int
		wait  time.Duration
		ok    bool
	}{
		{0, 10, 0, true}, // a burst of 100: 90 are left
		{0, 500, 0, true},
		{0, 1, 41100 * time.Millisecond, false}, // 410 are owed at 10 a second, and one must be there
		{41 * time.Second, 1, 100 * time.Millisecond, false},
		{time.Second, 1, 0, true},
		{time.Hour, 100, 0, true}, // no more than the burst comes together
		{0, 1, 100 * time.Millisecond, false},
		{0, 1, 100 * time.Millisecond, false}, // being refused costs nothing
		{200 * time.Millisecond, 10_000, 0, true},
		{0, 1, maxRetryAfter, false},
		{-time.Hour, 1, maxRetryAfter, false}, // a clock that goes back
		{time.Hour, 1, maxRetryAfter, false},  // and forth earns nothing
	} {
		now = now.Add(c.after)
		wait, ok := b.take(c.n, 10, 100, now)
		if ok != c.ok || (wait-c.wait).Abs() > time.Microsecond {
			t.Errorf("step %d: %v, %v; want %v, %v", i, wait, ok, c.wait, c.ok)
		}
	}
}

func TestTheQuotaOfAKeyIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set := &changingKeys{keySet(t, map[string]Key{keyA: {Name: "a", Quota: 10, Burst: 5}, keyB: {Name: "b"}})}
		r := newRig(t, func(c *Config) { c.Keys = set })
		batch := `{"batch":[` + strings.TrimSuffix(strings.Repeat(track("1")+",", 25), ",") + `]}`
		status, _ := r.post("/v1/batch", batch)
		want(t, "a batch larger than the burst", status, 200)
		w := r.do("POST", "/v1/track", track("1"), basic()...)
		status, code := r.understood(w)
		want(t, "answer", []any{status, code, w.Header().Get("Retry-After")}, []any{429, "quota_exceeded", "3"})
		for range 20 {
			status, _ := r.understood(r.do("POST", "/v1/track", track("1"), "Authorization", "Bearer "+keyB))
			want(t, "status of another key", status, 200)
		}
		set.KeySet = keySet(t, map[string]Key{keyA: {Name: "a", Quota: 10, Burst: 5}})
		status, _ = r.post("/v1/track", track("1"))
		want(t, "status after a reload", status, 429)
		time.Sleep(3 * time.Second)
		r.queue.send = refuseAll
		for range 2 { // what is not accepted is not counted
			status, code = r.post("/v1/batch", batch)
			want(t, "answer", []any{status, code}, []any{429, "queue_unavailable"})
		}
		r.queue.send = nil
		status, _ = r.post("/v1/batch", batch)
		want(t, "status then", status, 200)
		status, _ = r.post("/v1/track", track("1"))
		want(t, "status after that", status, 429)
	})
}

func TestConfigurationsThatCannotWorkAreRefused(t *testing.T) {
	q := new(taken)
	for text, c := range map[string]Config{
		"Queue":        {DeadLetters: q},
		"public URL":   {Queue: q, DeadLetters: q, PublicURL: "events.example.com"},
		"public UR":    {Queue: q, DeadLetters: q, PublicURL: "https://events.example.com/v1"},
		"linger":       {Queue: q, DeadLetters: q, Linger: -1},
		"MaxBody":      {Queue: q, DeadLetters: q, Limits: Limits{MaxBody: -1}},
		"MaxMemory":    {Queue: q, DeadLetters: q, Limits: Limits{MaxMemory: 1000}},
		"QueueTimeout": {Queue: q, DeadLetters: q, Limits: Limits{QueueTimeout: -1}},
	} {
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestThatAnyKeyIsTakenIsLogged(t *testing.T) {
	r := newRig(t, nil)
	if !strings.Contains(r.log.String(), "any well-formed write key") {
		t.Errorf("the log says %q", r.log.String())
	}
}

func TestMetricsSayTheTotals(t *testing.T) {
	r := newRig(t, nil)
	for range 150 {
		r.post("/v1/batch", `{"batch":[`+track("1")+`,{"type":"foo"}]}`)
	}
	r.post("/v1/track", `x`)
	r.queue.send = refuseAll
	r.post("/v1/track", track("1"))
	totals := r.counters.Take()
	got := map[string]float64{}
	for _, m := range totals.Metrics() {
		for _, v := range m.Values {
			if m.Name == "AcceptLatency" {
				v = 1
			}
			got[m.Name+" "+m.Value] += v
		}
	}
	want(t, "metrics", got, map[string]float64{
		"EventsAccepted ": 150, "EventsRejected type_unknown": 150, "RequestsRefused invalid_json": 1,
		"RequestsShed queue_unavailable": 1,
		"Requests 200":                   150, "Requests 400": 1, "Requests 429": 1, "AcceptLatency ": maxLatencies, "DeadLetterErrors ": 0,
		"GzipAbsent ": 0, "GzipUnannounced ": 0,
	})
	want(t, "what is left", r.counters.Totals().Accepted, 0)
}

func TestOverSocketsManyClientsAreServedAtOnce(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Linger = time.Millisecond; c.ClientIP = nil })
	server := httptest.NewServer(r)
	defer server.Close()
	var clients sync.WaitGroup
	for i := range 8 {
		clients.Go(func() {
			for k := range 25 {
				id := fmt.Sprintf("%d-%d", i, k)
				request, err := http.NewRequestWithContext(t.Context(), "POST", server.URL+"/v1/t",
					strings.NewReader(`{"writeKey":"`+keyA+`",`+track(id)[1:]))
				if err != nil {
					t.Error(err)
					return
				}
				answer, err := server.Client().Do(request)
				if err != nil {
					t.Error(err)
					return
				}
				body, err := io.ReadAll(answer.Body)
				answer.Body.Close()
				if err != nil || answer.StatusCode != 200 || string(body) != `{"success":true}` ||
					answer.Header.Get("Content-Type") != "application/json" {
					t.Errorf("%d %s: %v", answer.StatusCode, body, err)
				}
			}
		})
	}
	clients.Wait()
	seen := map[string]bool{}
	for _, e := range events(t, &r.queue) {
		if !strings.Contains(e, `"ip":"127.0.0.1"`) {
			t.Errorf("no address in %s", e)
		}
		seen[e] = true
	}
	want(t, "events", len(seen), 200)
}

func TestWhoOnlyAnnouncesABodyTakesNobodysPlace(t *testing.T) {
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
				want(t, "status of one whose body came after the end", w.Code, 429)
			})
			if _, err := writers[i].Write([]byte("{")); err != nil {
				t.Error(err)
			}
		}
		synctest.Wait()
		if n := r.memory.used.Load(); n > 100*2*firstRead {
			t.Errorf("they hold %d bytes", n)
		}
		status, _ := r.post("/v1/track", track("1"))
		want(t, "status of one with a body", status, 200)
		if err := r.Close(); err != nil { // does not wait for them
			t.Error(err)
		}
		for _, w := range writers {
			w.Close()
		}
		slow.Wait()
	})
}

func TestAPanicIsLoggedWithoutWhatItQuotes(t *testing.T) {
	r := newRig(t, nil)
	r.queue.send = func(context.Context, []message.Message) error { panic(marker) }
	status, _ := r.post("/v1/track", track("1"))
	want(t, "status", status, 500)
	r.queue.send = func(_ context.Context, m []message.Message) error { _ = m[len(m)]; return nil }
	status, _ = r.post("/v1/track", track("1"))
	want(t, "status", status, 500)
	for _, text := range []string{"type=string", "index out of range", "overload_test.go"} {
		if !strings.Contains(r.log.String(), text) {
			t.Errorf("%q is not in the log: %s", text, r.log.String())
		}
	}
}

func TestASlowBodyDoesNotEarnItsKeyAQuotaTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.Keys = keySet(t, map[string]Key{keyA: {Name: "a", Quota: 1, Burst: 1}}) })
		const n = 20
		var slow sync.WaitGroup
		writers := make([]*io.PipeWriter, n)
		accepted := 0
		for i := range writers {
			body, w := io.Pipe()
			writers[i] = w
			slow.Go(func() {
				request := httptest.NewRequest("POST", "/v1/track", body)
				request.Header.Set("Authorization", "Bearer "+keyA)
				answer := httptest.NewRecorder()
				r.ServeHTTP(answer, request)
				if answer.Code == 200 {
					accepted++
				}
			})
		}
		synctest.Wait()
		time.Sleep(20 * time.Second)
		for _, w := range writers { // between them, requests whose header comes now
			status, _ := r.post("/v1/track", track("now"))
			if status == 200 {
				accepted++
			}
			io.WriteString(w, track("slow"))
			w.Close()
			synctest.Wait()
		}
		slow.Wait()
		want(t, "accepted at once", accepted, 1)
	})
}
