package deliver

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/spillwayhq/spillway/integration/testutil"
	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/segment"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

func TestMain(m *testing.M) {
	testutil.CollectLess(200) // as usual, a third of the CPU would be the collector's
	goleak.VerifyTestMain(m)
}

// roundTrip is a transport made of a function.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(req *http.Request) (*http.Response, error) {
	defer req.Body.Close()
	return f(req)
}

func answerWith(code int, header http.Header, text string) *http.Response {
	return &http.Response{StatusCode: code, Header: header, Body: io.NopCloser(strings.NewReader(text))}
}

func TestEachAnswerLeadsToItsDisposition(t *testing.T) {
	type row struct {
		name    string
		code    int // 0: no answer but err
		err     error
		header  http.Header
		retried string // class, empty: it is not retained
		dead    string // reason of the dead letter
		tries   int
		pauses  bool
		backoff time.Duration // without jitter, at the first receive
	}
	rows := []row{
		{name: "200", code: 200, tries: 1},
		{name: "204", code: 204, tries: 1},
		{name: "302 is not followed", code: 302, header: http.Header{"Location": {"https://login.example/"}},
			retried: "misconfigured", tries: 1, pauses: true, backoff: 30 * time.Second},
		{name: "400", code: 400, dead: "rejected", tries: 1},
		{name: "413", code: 413, dead: "rejected", tries: 1},
		{name: "401", code: 401, retried: "misconfigured", tries: 1, pauses: true, backoff: 30 * time.Second},
		{name: "403", code: 403, retried: "misconfigured", tries: 1, pauses: true, backoff: 30 * time.Second},
		{name: "404", code: 404, retried: "misconfigured", tries: 1, pauses: true, backoff: 30 * time.Second},
		{name: "418", code: 418, retried: "misconfigured", tries: 1, pauses: true, backoff: 30 * time.Second},
		{name: "429 without Retry-After", code: 429, retried: "throttled", tries: 1, pauses: true, backoff: 30 * time.Second},
		{name: "429 with Retry-After", code: 429, header: http.Header{"Retry-After": {"120"}}, retried: "throttled", tries: 1,
			pauses: true, backoff: 2 * time.Minute},
		{name: "408", code: 408, retried: "transient", tries: maxTries, backoff: 30 * time.Second},
		{name: "500", code: 500, retried: "transient", tries: maxTries, backoff: 30 * time.Second},
		{name: "503 with Retry-After", code: 503, header: http.Header{"Retry-After": {"7"}}, retried: "transient", tries: 1,
			backoff: 7 * time.Second},
		{name: "599", code: 599, retried: "transient", tries: maxTries, backoff: 30 * time.Second},
		{name: "no status of HTTP", code: 700, retried: "misconfigured", tries: 1, pauses: true, backoff: 30 * time.Second},
		{name: "reset", err: errors.New("connection reset by peer"), retried: "transient", tries: maxTries,
			backoff: 30 * time.Second},
	}
	for _, c := range rows {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				calls := map[string]int{}
				client, err := segment.NewClient(segment.Config{Endpoint: "http://segment.test",
					Transport: roundTrip(func(req *http.Request) (*http.Response, error) {
						key, _, _ := req.BasicAuth()
						io.Copy(io.Discard, req.Body)
						mu.Lock()
						calls[key]++
						mu.Unlock()
						if key == keyB {
							return answerWith(200, nil, `{"success":true}`), nil
						}
						return answerWith(c.code, c.header, marker), c.err
					})})
				if err != nil {
					t.Fatal(err)
				}
				r := newRig(t, nil)
				r.Handler = r.handler(Config{Segment: client})
				a := in{id: "a", body: body(keyA, track("a", 300)), sent: time.Now()}
				b := in{id: "b", body: body(keyB, track("b", 300)), sent: time.Now()}

				retained := r.invoke(t.Context(), a, b)
				want(t, "tries", calls[keyA], c.tries)
				want(t, "flushes", len(r.last.Flushes), c.tries+1)
				delivered, retried, dead := 2, map[string]int{}, map[string]int{}
				wantRetained := []string{}
				switch {
				case c.retried != "":
					delivered, retried[c.retried], wantRetained = 1, 1, []string{"a"}
				case c.dead != "":
					delivered, dead[c.dead] = 1, 1
				}
				want(t, "messages retained", retained, wantRetained)
				want(t, "delivered", r.last.Delivered, delivered)
				want(t, "retried", r.last.Retried, retried)
				want(t, "dead letters", r.last.DeadLettered, dead)
				want(t, "dead letters written", len(r.queue.deadLetters), len(dead))
				want(t, "visibility changes", len(r.queue.timeouts), len(retried))
				if got := r.queue.timeouts["r-a"]; got < c.backoff*9/10 || got > c.backoff*11/10 {
					t.Errorf("invisible for %v, want %v ±10 %%", got, c.backoff)
				}
				want(t, "misconfigured keys", len(r.last.Misconfigured) == 1, c.retried == "misconfigured")

				// Again at once: a paused key costs no call, and the other key works all the same.
				calls = map[string]int{}
				r.invoke(t.Context(), a, b)
				if c.pauses {
					want(t, "calls for a paused key", calls[keyA], 0)
					want(t, "class while paused", r.last.Retried, map[string]int{c.retried: 1})
				} else {
					want(t, "calls for a key that is not paused", calls[keyA], c.tries)
				}
				want(t, "calls for the other key", calls[keyB], 1)

				time.Sleep(c.backoff*11/10 + time.Second)
				calls = map[string]int{}
				r.invoke(t.Context(), a, b)
				want(t, "calls when the pause is over", calls[keyA], c.tries)
			})
		})
	}
}

func TestAShortFailureIsRetriedInTheSameInvocation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		r := newRig(t, func(context.Context, *event.Batch) error {
			if n++; n < maxTries {
				return status(503)
			}
			return nil
		})
		want(t, "retained", r.invoke(t.Context(), in{id: "a", body: body(keyA, track("a", 300))}), []string{})
		want(t, "tries", len(r.segment.attempts), maxTries)
		want(t, "delivered", r.last.Delivered, 1)
	})
}

func TestAThrottledKeyPausesLongerEachTimeUntilSegmentTakesABatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		code := 429
		r := newRig(t, func(context.Context, *event.Batch) error {
			if code == 200 {
				return nil
			}
			return status(code)
		})
		a := in{id: "a", body: body(keyA, track("a", 300))}
		pausedFor := func() time.Duration {
			if f := r.keys.paused(keyA, time.Now()); f != nil {
				return f.wait
			}
			return 0
		}
		for times := 1; times <= 8; times++ {
			r.invoke(t.Context(), a)
			least, most := Backoff(times, 0, 0, 0), Backoff(times, 0, 0, 1)
			if p := pausedFor(); p < least || p > most {
				t.Fatalf("pause %d lasts %v, want between %v and %v", times, p, least, most)
			}
			time.Sleep(pausedFor())
		}
		code = 200
		want(t, "retained", r.invoke(t.Context(), a), []string{})
		code = 429
		r.invoke(t.Context(), a)
		if p := pausedFor(); p > Backoff(1, 0, 0, 1) {
			t.Errorf("after a success the first pause lasts %v", p)
		}
	})
}

func TestAMessageOfAPausedKeyIsRetriedWhenThePauseEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(context.Context, *event.Batch) error {
			err := status(429)
			err.RetryAfter = 10 * time.Minute
			return err
		})
		r.invoke(t.Context(), in{id: "a", body: body(keyA, track("a", 300))})
		time.Sleep(r.keys.paused(keyA, time.Now()).wait - 100*time.Second)
		r.invoke(t.Context(), in{id: "b", body: body(keyA, track("b", 300))})
		want(t, "attempts", len(r.segment.attempts), 1)
		if got := r.queue.timeouts["r-b"]; got < 90*time.Second || got > 110*time.Second {
			t.Errorf("invisible for %v, the pause lasts 100 s more", got)
		}
	})
}

func TestBatchesThatWereUnderWayWhenAPauseBeganDoNotLengthenIt(t *testing.T) {
	var p pausedKeys
	now := time.Now()
	p.pause(keyA, failureOf(status(401)), now)
	first := p.paused(keyA, now).wait
	for range 5 {
		p.pause(keyA, failureOf(status(401)), now)
	}
	want(t, "pause", p.paused(keyA, now).wait, first)
	want(t, "times in a row", p.keys[keyA].times, 1)
}

func TestABatchThatWasUnderWayWhenAPauseBeganDoesNotEndIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		throttled := status(429)
		throttled.RetryAfter = time.Minute
		r := newRig(t, func(_ context.Context, b *event.Batch) error {
			if strings.Contains(string(b.Events[0]), "slow-") {
				time.Sleep(time.Second)
				return nil
			}
			time.Sleep(time.Millisecond) // both are under way
			return throttled
		})
		retained := r.invoke(t.Context(),
			in{id: "slow", body: zipped(t, body(keyA, tracks("slow-", 440, 1060)...))},
			in{id: "fast", body: zipped(t, body(keyA, tracks("fast-", 440, 1060)...))})
		want(t, "retained", retained, []string{"fast"})
		if f := r.keys.paused(keyA, time.Now()); f == nil || f.wait < 50*time.Second {
			t.Errorf("the key is paused because of %+v, Segment asked for a minute one second ago", f)
		}
		time.Sleep(2 * time.Minute)
		r.segment.answer = nil
		want(t, "retained", r.invoke(t.Context(), in{id: "fast", body: body(keyA, track("f", 300))}), []string{})
		want(t, "remembered keys", len(r.keys.keys), 0)
	})
}

func TestInvokeIsSafeForConcurrentUse(t *testing.T) {
	s := &fakeSegment{answer: refusing(track("p", 300))}
	queue := &fakeQueue{}
	var mu sync.Mutex
	events, dead := 0, 0
	h, err := New(Config{Segment: s, Queue: &fakeQueue{}, DeadLetters: queue, Report: func(_ context.Context, s Report) {
		mu.Lock()
		defer mu.Unlock()
		events += s.Delivered
		dead += s.DeadLettered["rejected"]
	}})
	if err != nil {
		t.Fatal(err)
	}
	doc := payload(t, in{id: "a", body: zipped(t, body(keyA, tracks("a", 20, 300)...))},
		in{id: "b", body: body(keyA, track("p", 300), track("b", 300))})
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 20 {
				if out, err := h.Invoke(t.Context(), doc); err != nil || string(out) != `{"batchItemFailures":[]}` {
					t.Errorf("%s, %v", out, err)
				}
			}
		})
	}
	all.Wait()
	want(t, "events delivered and rejected", []int{events, dead, len(queue.deadLetters)}, []int{160 * 21, 160, 160})
}

func TestPausedKeysAreBounded(t *testing.T) {
	var p pausedKeys
	now := time.Now()
	for i := range 3 * maxPausedKeys {
		p.pause(string(rune('a'+i%26))+strings.Repeat("k", i/26), failureOf(status(401)), now)
	}
	if len(p.keys) > maxPausedKeys {
		t.Errorf("%d keys are remembered, at most %d may be", len(p.keys), maxPausedKeys)
	}
}

func TestMessagesWithoutAWriteKeyAreRetriedWhileNoneIsConfigured(t *testing.T) {
	r := newRig(t, nil)
	r.Handler = r.handler(Config{Segment: r.segment})
	noKey := in{id: "a", body: `{"batch":[` + track("a", 300) + `,` + track("b", 300) + `]}`, sent: time.Now()}
	want(t, "retained", r.invoke(t.Context(), noKey), []string{"a"})
	want(t, "retried", r.last.Retried, map[string]int{"misconfigured": 2})
	want(t, "keys", r.last.Misconfigured, []string{"none"})
	want(t, "attempts", len(r.segment.attempts), 0)

	r.Handler = r.handler(Config{Segment: r.segment, WriteKey: keyB})
	want(t, "retained", r.invoke(t.Context(), noKey), []string{})
	want(t, "key", r.segment.attempts[0].WriteKey, keyB)
}

func TestThroughARealClientAndServer(t *testing.T) {
	var mu sync.Mutex // the halves of a rejected batch come at the same time
	var got []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		text, _ := io.ReadAll(req.Body)
		mu.Lock()
		got = append(got, req.URL.Path, string(text))
		mu.Unlock()
		if strings.Contains(string(text), "poison") {
			w.WriteHeader(400)
			io.WriteString(w, `{"success":false,"message":"`+marker+`"}`)
		}
	}))
	defer server.Close()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client, err := segment.NewClient(segment.Config{Endpoint: server.URL, Transport: transport})
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, nil)
	r.Handler = r.handler(Config{Segment: client})
	want(t, "retained", r.invoke(t.Context(),
		in{id: "a", body: body(keyA, track("good-1", 300), track("poison", 300), track("good-2", 300)), origin: "client"}),
		[]string{})
	want(t, "delivered", r.last.Delivered, 2)
	want(t, "dead letter", deadLetterEvents(t, r.queue.deadLetters[0]), []string{track("poison", 300)})
	want(t, "path", got[0], "/v1/b")
	if !strings.Contains(got[1], `"batch":[`+track("good-1", 300)+","+track("poison", 300)) {
		t.Errorf("Segment got %s", got[1])
	}
}

func TestAnAttemptThatPanicsFailsAloneAndLogsNothingOfAnEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(_ context.Context, b *event.Batch) error {
			if b.WriteKey == keyA {
				panic("while sending " + string(b.Events[0]))
			}
			return nil
		})
		retained := r.invoke(t.Context(), in{id: "a", body: body(keyA, track("a", 300))},
			in{id: "b", body: body(keyB, track("b", 300))})
		want(t, "retained", retained, []string{"a"})
		want(t, "retried", r.last.Retried, map[string]int{"transient": 1})
		want(t, "by version", r.byVersion(), map[string]float64{"EventsDelivered": 1, "Failures": 1, "Panics": maxTries})
		if !strings.Contains(r.log.String(), `"panic":"string"`) || !strings.Contains(r.log.String(), "sending_test.go") {
			t.Errorf("the log does not say where it panicked:\n%s", r.log.String())
		}
	})
}

func TestAnErrorThatIsNotSegmentsIsTransient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(context.Context, *event.Batch) error { return errors.New(marker) })
		want(t, "retained", r.invoke(t.Context(), in{id: "a", body: body(keyA, track("a", 300))}), []string{"a"})
		want(t, "retried", r.last.Retried, map[string]int{"transient": 1})
	})
}

func TestAFailedVisibilityChangeIsCountedAndChangesNoResponse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(context.Context, *event.Batch) error { return status(401) })
		r.queue.changeVisibility = func(context.Context,
			[]sqsclient.VisibilityChange) error {
			return errors.New("SQS is away")
		}
		want(t, "retained", r.invoke(t.Context(), in{id: "a", body: body(keyA, track("a", 300))}), []string{"a"})
		want(t, "visibility errors", r.last.VisibilityErrors, 1)
	})
}

func TestNewSaysWhatTheConfigurationLacks(t *testing.T) {
	full := Config{Segment: &fakeSegment{}, Queue: &fakeQueue{}, DeadLetters: &fakeQueue{}}
	for name, change := range map[string]func(*Config){
		"Segment":     func(c *Config) { c.Segment = nil },
		"Queue":       func(c *Config) { c.Queue = nil },
		"DeadLetters": func(c *Config) { c.DeadLetters = nil },
		"-1":          func(c *Config) { c.ConcurrencyLimit = -1 },
	} {
		c := full
		change(&c)
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("without %s: %v", name, err)
		}
	}
	h, err := New(full)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := h.Invoke(t.Context(), []byte(`{"Records":[]}`)); err != nil ||
		string(out) != `{"batchItemFailures":[]}` {
		t.Errorf("a Handler of a minimal configuration answers %s, %v", out, err)
	}
}

// By way of the queue a throttled batch is received again and again only to find its key paused.
func TestAThrottledBatchIsTriedAgainWhereItIsUntilPatienceEnds(t *testing.T) {
	for _, c := range []struct {
		name        string
		events      int
		retryAfter  time.Duration
		until       int // calls that are throttled
		least, most time.Duration
		calls       int // 0: as many as there is patience for
		retained    bool
	}{
		{"once", 100, time.Second, 1, 900 * time.Millisecond, 1100 * time.Millisecond, 2, false},
		{"a large batch", event.MaxBatchEvents, time.Second, 1, 900 * time.Millisecond, 1100 * time.Millisecond, 2, false},
		{"no end", 1, time.Second, 99, patience/3 - 1100*time.Millisecond, patience, 0, true},
		{"a long wait", 1, patience * 10 / 9, 99, 0, 0, 1, true},
		{"Segment does not say how long", 1, 0, 99, 0, 0, 1, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				calls := 0
				r := newRig(t, func(context.Context, *event.Batch) error {
					if calls++; calls > c.until {
						return nil
					}
					throttled := status(429)
					throttled.RetryAfter = c.retryAfter
					return throttled
				})
				start := time.Now()
				retained := r.invoke(t.Context(), in{id: "a", body: body(keyA, tracks("a", c.events, 100)...)})
				if took := time.Since(start); took < c.least || took > c.most {
					t.Errorf("took %v, want %v to %v", took, c.least, c.most)
				}
				if c.calls == 0 {
					c.calls = min(max(calls, 2), int(patience/(900*time.Millisecond))+1)
				}
				want(t, "calls", calls, c.calls)
				want(t, "retained", len(retained) == 1, c.retained)
				want(t, "paused", r.keys.paused(keyA, time.Now()) != nil, c.retained)
			})
		})
	}
}

func TestBatchesThatHaveWaitedAreSentOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, underWay, refused := time.Now(), 0, 0
		r := newRig(t, func(context.Context, *event.Batch) error {
			if time.Since(began) > time.Second {
				underWay++
				want(t, "batches under way", underWay, 1)
				time.Sleep(50 * time.Millisecond)
				underWay--
				return nil
			}
			refused++
			throttled := status(429)
			throttled.RetryAfter = 1200 * time.Millisecond
			return throttled
		})
		r.limit.cut()
		want(t, "retained", r.invoke(t.Context(), in{id: "a", body: body(keyA, tracks("a", event.MaxBatchEvents, 100)...)},
			in{id: "b", body: body(keyA, tracks("b", event.MaxBatchEvents, 100)...)},
			in{id: "c", body: body(keyA, tracks("c", event.MaxBatchEvents, 100)...)}), []string{})
		want(t, "calls that Segment throttled", refused, 1)
	})
}

func TestABatchThatWaitsForSegmentsRetryAfterIsInNobodysWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var order []string
		first := true
		r := newRig(t, func(_ context.Context, b *event.Batch) error {
			order = append(order, b.WriteKey)
			if b.WriteKey == keyA && first {
				first = false
				throttled := status(429)
				throttled.RetryAfter = time.Second
				return throttled
			}
			return nil
		})
		r.limit.cut()
		want(t, "retained", r.invoke(t.Context(), in{id: "a", body: body(keyA, track("a", 300))},
			in{id: "b", body: body(keyB, track("b", 300))}), []string{})
		want(t, "calls", order, []string{keyA, keyB, keyA})
	})
}
