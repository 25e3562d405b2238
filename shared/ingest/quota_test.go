package ingest

import (
	"io"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

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
		{0, 1, 41100 * time.Millisecond, false}, // the debt is 410 at 10 a second, and one token is needed
		{41 * time.Second, 1, 100 * time.Millisecond, false},
		{time.Second, 1, 0, true},
		{time.Hour, 100, 0, true}, // the balance never exceeds the burst
		{0, 1, 100 * time.Millisecond, false},
		{0, 1, 100 * time.Millisecond, false}, // a refusal costs nothing
		{200 * time.Millisecond, 10_000, 0, true},
		{0, 1, maxRetryAfter, false},
		{-time.Hour, 1, maxRetryAfter, false}, // a clock that goes back
		{time.Hour, 1, maxRetryAfter, false},  // and forth adds nothing
	} {
		now = now.Add(c.after)
		wait, ok := b.take(c.n, 10, 100, now)
		if ok != c.ok || (wait-c.wait).Abs() > time.Microsecond {
			t.Errorf("step %d: %v, %v; want %v, %v", i, wait, ok, c.wait, c.ok)
		}
	}
}

func TestAKeyOverItsQuotaIsRefused(t *testing.T) {
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
		for range 2 { // a request that is not accepted is not counted
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

func TestASlowBodyDoesNotRefillTheQuotaTwice(t *testing.T) {
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
		for _, w := range writers { // between the slow ones, requests that start now
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
