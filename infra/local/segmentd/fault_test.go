package segmentd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// statuses posts n times and returns the answers.
func statuses(t *testing.T, s *Server, n int) string {
	t.Helper()
	var got []string
	for range n {
		got = append(got, fmt.Sprint(post(t, s, "/v1/batch", tracks(1)).status))
	}
	return strings.Join(got, " ")
}

func TestStatusesAreAnsweredOnceEachAndThenTheAnswerIsNormal(t *testing.T) {
	s := New(Options{})
	setScript(t, s, Rule{Statuses: []int{500, 429, 200, 400}})
	if got := statuses(t, s, 6); got != "500 429 200 400 200 200" {
		t.Errorf("answers %s", got)
	}
	if got := s.Stats(); got.Received != 3 || got.ByStatus[200] != 3 || got.ByStatus[500] != 1 || len(got.Refused) != 0 {
		t.Errorf("stats %+v", got)
	}
}

func TestAStatusOf200MeansSegmentsNormalAnswer(t *testing.T) {
	s := New(Options{})
	setScript(t, s, Rule{Statuses: []int{200}})
	wantStatus(t, post(t, s, "/v1/batch", "broken"), 400)
	if s.Stats().Refused["invalid_json"] != 1 {
		t.Errorf("stats %+v", s.Stats())
	}
}

func TestAPoisonEventFailsEveryBatchThatContainsIt(t *testing.T) {
	s := New(Options{})
	setScript(t, s, Rule{Match: Match{MessageID: "poison"}, Status: 400})
	wantStatus(t, post(t, s, "/v1/batch", batchOf(track("a"), track("poison"))), 400)
	wantStatus(t, post(t, s, "/v1/batch", batchOf(track("poison"))), 400)
	wantStatus(t, post(t, s, "/v1/batch", batchOf(track("a"), track("poison-2"))), 200)
	wantReceived(t, s, 2)
}

func TestRulesMatchPathAndWriteKey(t *testing.T) {
	s := New(Options{})
	setScript(t, s, Rule{Match: Match{Path: "/v1/b"}, Status: 501}, Rule{Match: Match{WriteKey: "k2"}, Status: 502},
		Rule{Match: Match{Path: "/v1/t", WriteKey: "key"}, Status: 503})
	noKey := func(r *http.Request) { r.Header.Del("Authorization") }
	wantStatus(t, post(t, s, "/v1/b/", tracks(1)), 501)
	wantStatus(t, post(t, s, "/v1/batch", tracks(1)), 200)
	wantStatus(t, post(t, s, "/v1/t", track("a")), 503)
	wantStatus(t, post(t, s, "/v1/batch", `{"writeKey":"k2","batch":[]}`, noKey), 502)
	wantStatus(t, post(t, s, "/v1/batch", `{"batch":[{"writeKey":"k1"},{"writeKey":"k2"}]}`, noKey), 502)
	wantStatus(t, post(t, s, "/v1/batch", `{"batch":[{"writeKey":"k2"}]}`), 200) // the header's key is the request's
}

func TestTheFirstRuleThatDecidesWinsAndLatenciesAddUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{Latency: time.Second})
		setScript(t, s, Rule{Latency: Duration(2 * time.Second)},
			Rule{Status: 503, Latency: Duration(4 * time.Second), Times: 1},
			Rule{Status: 500, Latency: Duration(8 * time.Second)})
		for _, want := range []struct {
			status int
			took   time.Duration
		}{{503, 7 * time.Second}, {500, 11 * time.Second}} {
			start := time.Now()
			wantStatus(t, post(t, s, "/v1/batch", tracks(1)), want.status)
			if took := time.Since(start); took != want.took {
				t.Errorf("took %v, want %v", took, want.took)
			}
		}
	})
}

func TestJitterVariesWithinItsBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{})
		setScript(t, s, Rule{Latency: Duration(time.Second), Jitter: Duration(time.Second)})
		seen := map[time.Duration]bool{}
		for range 20 {
			start := time.Now()
			wantStatus(t, post(t, s, "/v1/batch", tracks(1)), 200)
			took := time.Since(start)
			seen[took] = true
			if took < time.Second || took > 2*time.Second {
				t.Errorf("took %v", took)
			}
		}
		if len(seen) < 10 {
			t.Errorf("only %d different latencies of 20", len(seen))
		}
	})
}

func TestAnOutageBeginsAndEndsAtItsTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := func(d time.Duration) (relative, absolute Moment) {
			return Moment{After: d}, Moment{At: time.Now().Add(d)}
		}
		for _, name := range []string{"relative", "absolute"} {
			from, fromAt := in(10 * time.Second)
			until, untilAt := in(40 * time.Second)
			if name == "absolute" {
				from, until = fromAt, untilAt
			}
			s := New(Options{})
			setScript(t, s, Rule{From: from, Until: until, Status: 503})
			got := ""
			for range 5 {
				got += fmt.Sprint(post(t, s, "/v1/batch", tracks(1)).status, " ")
				time.Sleep(10 * time.Second)
			}
			if want := "200 503 503 503 200 "; got != want {
				t.Errorf("%s: %s, want %s", name, got, want)
			}
		}
	})
}

func TestPercentFailsAShareOfRequestsThatTheSeedDetermines(t *testing.T) {
	run := func(seed uint64) string {
		s := New(Options{})
		if err := s.SetScript(Script{Seed: seed, Rules: []Rule{{Percent: 25, Status: 500}}}); err != nil {
			t.Fatal(err)
		}
		return statuses(t, s, 400)
	}
	first := run(1)
	if n := strings.Count(first, "500"); n < 60 || n > 140 {
		t.Errorf("%d of 400 failed, want about 100", n)
	}
	if run(1) != first {
		t.Error("the same seed gave other failures")
	}
	if run(2) == first {
		t.Error("another seed gave the same failures")
	}
}

func TestRetryAfterIsSecondsOrADate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{})
		setScript(t, s, Rule{Times: 1, Status: 429, RetryAfter: Duration(90 * time.Second)},
			Rule{Status: 503, RetryAfter: Duration(90 * time.Second), RetryAfterDate: true})
		r := post(t, s, "/v1/batch", tracks(1))
		if r.header.Get("Retry-After") != "90" || r.header.Get("X-RateLimit-Reset") != "90" {
			t.Errorf("headers %v", r.header)
		}
		r = post(t, s, "/v1/batch", tracks(1))
		at, err := http.ParseTime(r.header.Get("Retry-After"))
		if err != nil || time.Until(at) != 90*time.Second || r.header.Get("X-RateLimit-Reset") != "" {
			t.Errorf("headers %v: %v", r.header, err)
		}
	})
}

func TestARateAboveTheLimitIsAnswered429WithTheTimeToWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{})
		setScript(t, s, Rule{EventsPerSecond: 100})
		wantStatus(t, post(t, s, "/v1/batch", tracks(60)), 200)
		wantStatus(t, post(t, s, "/v1/batch", tracks(40)), 200)
		r := post(t, s, "/v1/batch", tracks(50))
		wantStatus(t, r, 429)
		if r.header.Get("Retry-After") != "1" || r.header.Get("X-RateLimit-Reset") != "1" {
			t.Errorf("headers %v", r.header)
		}
		wantReceived(t, s, 100)
		time.Sleep(500 * time.Millisecond)
		wantStatus(t, post(t, s, "/v1/batch", tracks(50)), 200)
		time.Sleep(time.Second)
		wantStatus(t, post(t, s, "/v1/batch", tracks(1000)), 200) // more than a second's worth, of a full bucket
		r = post(t, s, "/v1/batch", tracks(100))
		if r.status != 429 || r.header.Get("Retry-After") != "10" {
			t.Errorf("%d %v, want 10 s of debt", r.status, r.header)
		}
		time.Sleep(10 * time.Second)
		wantStatus(t, post(t, s, "/v1/batch", tracks(100)), 200)
	})
}

func TestAResetIsAConnectionResetError(t *testing.T) {
	s := New(Options{})
	setScript(t, s, Rule{Fault: FaultReset})
	_, err := try(t.Context(), s, "/v1/batch", tracks(1))
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("error %v", err)
	}
	if got := s.Stats(); got.Aborted != 1 || got.Received != 0 || got.InFlight != 0 || len(got.ByStatus) != 0 {
		t.Errorf("stats %+v", got)
	}
}

func TestAHangLastsUntilTheClientGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{})
		setScript(t, s, Rule{Fault: FaultHang})
		ctx, cancel := context.WithTimeout(t.Context(), 7*time.Second)
		defer cancel()
		start := time.Now()
		_, err := try(ctx, s, "/v1/batch", tracks(1))
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 7*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		if got := s.Stats(); got.Aborted != 1 || got.InFlight != 0 || got.PeakInFlight != 1 {
			t.Errorf("stats %+v", got)
		}
	})
}

func TestTheClientsOwnTimeoutEndsALatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{Latency: time.Minute})
		client := s.HTTPClient()
		client.Timeout = 3 * time.Second
		start := time.Now()
		_, err := client.Post("http://segment/v1/batch", "application/json",
			strings.NewReader(`{"writeKey":"k","batch":[`+track("a")+`]}`))
		var timeout interface{ Timeout() bool }
		if !errors.As(err, &timeout) || !timeout.Timeout() || time.Since(start) != 3*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		wantReceived(t, s, 1) // Segment has it all the same
	})
}

func TestASlowBodyTakesItsTimeAndIsComplete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{})
		setScript(t, s, Rule{Fault: FaultSlowBody, Over: Duration(16 * time.Second)})
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://segment/v1/batch",
			strings.NewReader(tracks(1)))
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		resp, err := s.HTTPClient().Do(req)
		if err != nil || resp.StatusCode != 200 || time.Since(start) != 0 {
			t.Fatalf("%v after %v, want the header at once", err, time.Since(start))
		}
		body, err := io.ReadAll(resp.Body)
		if string(body) != successBody || joinClose(err, resp.Body) != nil || time.Since(start) != 16*time.Second {
			t.Errorf("%q, %v after %v", body, err, time.Since(start))
		}
	})
}

func TestClosingASlowBodyEndsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{})
		setScript(t, s, Rule{Fault: FaultSlowBody, Over: Duration(time.Hour), Status: 503})
		resp, err := s.HTTPClient().Post("http://segment/v1/batch", "application/json", strings.NewReader(tracks(1)))
		if err != nil || resp.StatusCode != 503 {
			t.Fatal(resp, err)
		}
		start := time.Now()
		if err := resp.Body.Close(); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if got := s.Stats(); got.InFlight != 0 || got.Aborted != 1 || time.Since(start) != 0 {
			t.Errorf("stats %+v after %v", got, time.Since(start))
		}
	})
}

func TestHalfAnAnswerEndsWithUnexpectedEOFAfterTheEventsWereAccepted(t *testing.T) {
	s := New(Options{})
	setScript(t, s, Rule{Fault: FaultHalfAnswer})
	r, err := try(t.Context(), s, "/v1/batch", tracks(1))
	if !errors.Is(err, io.ErrUnexpectedEOF) || r.body != successBody[:len(successBody)/2] || r.status != 200 {
		t.Errorf("%+v, %v", r, err)
	}
	wantReceived(t, s, 1)
}

func TestARedirectIsA302ToALoginPageThatAnswers200(t *testing.T) {
	s := New(Options{})
	setScript(t, s, Rule{Fault: FaultRedirect})
	r := post(t, s, "/v1/batch", tracks(1))
	wantStatus(t, r, 302)
	resp, err := s.HTTPClient().Get("http://segment" + r.header.Get("Location"))
	if err != nil || resp.StatusCode != 200 || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") {
		t.Errorf("%+v, %v", resp, err)
	}
	if err := drain(resp); err != nil {
		t.Error(err)
	}
	wantReceived(t, s, 0)
}

func TestALoginPageIs200AndAcceptsNoEvent(t *testing.T) {
	s := New(Options{})
	setScript(t, s, Rule{Fault: FaultLoginPage})
	r := post(t, s, "/v1/batch", tracks(1))
	if r.status != 200 || !strings.HasPrefix(r.header.Get("Content-Type"), "text/html") ||
		!strings.Contains(r.body, "<form") {
		t.Errorf("answer %+v", r)
	}
	wantReceived(t, s, 0)
}

func TestAcceptTakesEventsAlthoughTheAnswerIsAnError(t *testing.T) {
	for _, rule := range []Rule{{Status: 503, Accept: true}, {Fault: FaultReset, Accept: true}, {Status: 204}} {
		s := New(Options{})
		setScript(t, s, rule)
		_, err := try(t.Context(), s, "/v1/batch", tracks(2))
		if (err != nil) != (rule.Fault == FaultReset) {
			t.Errorf("%+v: %v", rule, err)
		}
		wantReceived(t, s, 2)
	}
}

func TestTheTokenBucketAllowsItsRateAndNoMore(t *testing.T) {
	now := time.Unix(0, 0)
	b := bucket{rate: 10, tokens: 10, at: now}
	given := 0
	for range 1000 { // 10 s in steps of 10 ms
		now = now.Add(10 * time.Millisecond)
		if _, ok := b.take(now, 1); ok {
			given++
		}
	}
	if given < 109 || given > 110 {
		t.Errorf("gave %d in 10 s, want 10 at once and 10 a second", given)
	}
}
