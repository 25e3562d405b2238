package deliver

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillwayhq/spillway/shared/segment"
)

// always makes Segment give one answer.
func always(err error) func(context.Context, *segment.Batch) error {
	return func(context.Context, *segment.Batch) error { return err }
}

// one is a message of one event that came in just now.
func one(id string) in { return in{id: id, body: body(keyA, track(id, 300)), sent: time.Now()} }

// calls are how many attempts f makes.
func (r *rig) calls(f func()) int {
	before := len(r.segment.attempts)
	f()
	return len(r.segment.attempts) - before
}

// breaks lets the rig's Segment fail until the breaker is open.
func (r *rig) breaks(t *testing.T) {
	t.Helper()
	r.segment.answer = always(status(503))
	for range 2 {
		r.invoke(t.Context(), one("m"))
	}
	if !r.last.BreakerOpen {
		t.Fatal("the breaker is not open")
	}
}

func TestSegmentIsNotCalledOnceFiveAttemptsInARowHaveFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, always(status(503)))
		want(t, "calls of the first invocation", r.calls(func() { r.invoke(t.Context(), one("m")) }), 3)
		want(t, "open", r.last.BreakerOpen, false)
		want(t, "calls of the second", r.calls(func() { r.invoke(t.Context(), one("m")) }), 2)
		want(t, "open", r.last.BreakerOpen, true)
		want(t, "calls of the third", r.calls(func() { want(t, "stay", r.invoke(t.Context(), one("m"), one("n")), []string{"m", "n"}) }), 0)
		want(t, "retried", r.last.Retried, map[string]int{"transient": 2})
		if log := r.log.String(); !strings.Contains(log, `"breaker":"closed"`) || !strings.Contains(log, `"breaker":"open"`) {
			t.Errorf("the log does not say it:\n%s", log)
		}
		for _, m := range r.last.Metrics() {
			if m.Name == "BreakerOpen" {
				want(t, "BreakerOpen", m.Values, []float64{1})
				return
			}
		}
		t.Error("there is no metric BreakerOpen")
	})
}

func TestOnlyWhatSaysThatSegmentIsDownOpensTheBreaker(t *testing.T) {
	panics := func(context.Context, *segment.Batch) error { panic("a bug") }
	for name, c := range map[string]struct {
		answer func(context.Context, *segment.Batch) error
		opens  bool
	}{
		"500": {always(status(500)), true}, "408": {always(status(408)), true},
		"no answer": {always(&segment.Error{Class: segment.Transient, Err: errors.New("connection refused")}), true},
		"400":       {always(status(400)), false}, "401": {always(status(401)), false}, "429": {always(status(429)), false}, "302": {always(status(302)), false},
		"a panic of our own": {panics, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, c.answer)
				for i := range 20 {
					m := in{id: "m", body: body(fmt.Sprintf("%s%d", keyA, i), track("e", 300)), sent: time.Now()} // a paused key is not called
					r.invoke(t.Context(), m)
				}
				want(t, "open", r.last.BreakerOpen, c.opens)
			})
		})
	}
}

func TestASuccessBetweenFailuresKeepsTheBreakerClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		r := newRig(t, func(context.Context, *segment.Batch) error {
			if n++; n%5 == 0 {
				return nil
			}
			return status(503)
		})
		for range 50 {
			r.invoke(t.Context(), one("m"))
			want(t, "open", r.last.BreakerOpen, false)
		}
	})
}

func TestWhatOurOwnDeadlineCutsShortDoesNotOpenTheBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(ctx context.Context, _ *segment.Batch) error { return hang(ctx) })
		for range 20 {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			r.invoke(ctx, one("m"))
			cancel()
			want(t, "open", r.last.BreakerOpen, false)
		}
	})
}

func TestOneProbeAtATimeGoesThroughAndEachThatFailsDoublesTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.breaks(t)
		opened := time.Now()
		var probes []time.Duration
		for time.Since(opened) < time.Hour {
			var messages []in // ten keys: ten batches
			for i := range 10 {
				messages = append(messages, in{id: fmt.Sprintf("m%d", i), body: body(fmt.Sprintf("%s%d", keyA, i), track("e", 300)), sent: time.Now()})
			}
			n := r.calls(func() { want(t, "stay", len(r.invoke(t.Context(), messages...)), 10) })
			if n > 1 {
				t.Fatalf("%d calls in one invocation", n)
			}
			if n == 1 {
				probes = append(probes, time.Since(opened))
			}
			time.Sleep(time.Second)
		}
		waits := []time.Duration{15, 30, 60, 60, 60, 60, 60}
		last := time.Duration(0)
		for i, w := range waits {
			got := probes[i] - last
			last = probes[i]
			if w *= time.Second; got < w*9/10 || got > w*11/10+2*time.Second {
				t.Errorf("the wait before probe %d is %v, want %v ±10 %%", i+1, got, w)
			}
		}
		if n := len(probes); n < 54 || n > 66 {
			t.Errorf("%d probes in an hour, want about 60", n)
		}
	})
}

func TestAProbeThatSucceedsOpensTheRestBeginningWithOneBatchAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.breaks(t)
		var mu sync.Mutex
		now, order := 0, []int(nil) // how many were under way when each began
		r.segment.answer = func(context.Context, *segment.Batch) error {
			mu.Lock()
			now++
			order = append(order, now)
			mu.Unlock()
			time.Sleep(100 * time.Millisecond)
			mu.Lock()
			now--
			mu.Unlock()
			return nil
		}
		time.Sleep(maxProbe)
		var messages []in
		for i := range 100 {
			messages = append(messages, in{id: fmt.Sprintf("m%02d", i), body: body(fmt.Sprintf("%s%d", keyA, i), track("e", 300)), sent: time.Now()})
		}
		want(t, "stay", r.invoke(t.Context(), messages...), []string{})
		want(t, "open", r.last.BreakerOpen, false)
		want(t, "under way when the second begins", order[1], 1)
		want(t, "at most among the first three", slices.Max(order[:3]), 2)
		want(t, "at most among the first seven", slices.Max(order[:7]), 4)
		want(t, "at most at a time", slices.Max(order), DefaultFlushes)
	})
}

func TestAfterA429TheKeyBeginsAgainWithOneBatchAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		throttled := status(429)
		throttled.RetryAfter = 2 * time.Second
		r := newRig(t, always(throttled))
		r.invoke(t.Context(), one("m"))
		var mu sync.Mutex
		now, most := 0, 0
		r.segment.answer = func(context.Context, *segment.Batch) error {
			mu.Lock()
			now++
			most = max(most, now)
			mu.Unlock()
			time.Sleep(100 * time.Millisecond)
			mu.Lock()
			now--
			mu.Unlock()
			return nil
		}
		time.Sleep(3 * time.Second)
		invoke := func(batches int) int {
			most = 0
			var messages []in
			for i := range batches {
				messages = append(messages, in{id: fmt.Sprintf("m%02d", i), body: body(keyA, tracks(fmt.Sprintf("e%d", i), 440, 1060)...), sent: time.Now()})
			}
			want(t, "stay", r.invoke(t.Context(), messages...), []string{})
			return most
		}
		want(t, "one batch", invoke(1), 1)
		want(t, "then at most half of what was", invoke(8), DefaultFlushes/2)
		invoke(60)
		want(t, "in the end", invoke(10), DefaultFlushes)
	})
}

func TestWhatComesWhileTheBreakerIsOpenIsHiddenForAsLongAsTheOutageHasLasted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.breaks(t)
		for range 4 * 60 {
			time.Sleep(time.Minute)
			r.invoke(t.Context(), one("x")) // probes, and keeps it open
		}
		r.invoke(t.Context(), one("m"))
		if got := r.queue.hidden["r-m"]; got < maxPause*95/100 || got > maxPause*105/100 {
			t.Errorf("hidden for %v, want about %v", got, maxPause)
		}
	})
}

func TestOpenPauseIsThatOfTheReceivesButNoShorterThanTheOutage(t *testing.T) {
	const s, m = time.Second, time.Minute
	for _, c := range []struct {
		receives     int
		lasted, want time.Duration
	}{{1, 0, 30 * s}, {1, 40 * s, 40 * s}, {3, 40 * s, 2 * m}, {1, 10 * m, 10 * m}, {1, 4 * time.Hour, 15 * m}, {100, 0, 15 * m}} {
		for jitter, factor := range map[float64]float64{0: 0.95, 0.5: 1, 1: 1.05} {
			exact := time.Duration(float64(c.want) * factor)
			if got := openPause(c.receives, c.lasted, jitter); (got - exact).Abs() > time.Microsecond {
				t.Errorf("openPause(%d, %v, %v) = %v, want %v", c.receives, c.lasted, jitter, got, exact)
			}
		}
	}
}

func TestEverythingIsTriedWithin17MinutesOfSegmentsReturn(t *testing.T) {
	const promised = 17 * time.Minute
	if latest := probeAfter(1000, 1) + openPause(1000, 24*time.Hour, 1); latest > promised {
		t.Errorf("a message that is received just before the last probe comes again %v after Segment is back", latest)
	}
	if latest := Pause(1000, time.Hour, 1); latest > promised {
		t.Errorf("a message that was throttled comes again after %v", latest)
	}
}

func TestTenDaysWithTheBreakerOpenStayUnderTheReceivesThatSQSAllows(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		receives, at := 0, time.Duration(0)
		for at <= MaxAge {
			receives++
			at += openPause(receives, at, rng.Float64())
		}
		if receives < 955 || receives > 975 {
			t.Fatalf("%d receives in 10 days, want about 965: SQS gives up at 1,000", receives)
		}
	}
}

func TestAMessageIsNotReadWhileTheBreakerIsOpenAndIsAfterwards(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.breaks(t)
		bad := in{id: "bad", body: "no JSON", sent: time.Now(), count: "440"}
		want(t, "stay", r.invoke(t.Context(), bad, one("m")), []string{"bad", "m"})
		want(t, "events, by the attribute's word", r.last.Events, 441)
		want(t, "ages", len(r.last.Ages), 2)
		r.segment.answer = nil
		time.Sleep(maxProbe)
		want(t, "stay", r.invoke(t.Context(), bad, one("m")), []string{})
		want(t, "dead letters", r.last.DeadLettered, map[string]int{"undecodable": 1})
		want(t, "delivered", r.last.Delivered, 1)
	})
}

func TestWhatExpiresWhileTheBreakerIsOpenIsALetterWithSegmentsLastAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.breaks(t)
		old := one("old")
		old.sent = time.Now().Add(-MaxAge - time.Hour)
		want(t, "stay", r.invoke(t.Context(), old), []string{})
		want(t, "dead letters", r.last.DeadLettered, map[string]int{"expired": 1})
		if detail := attr(r.queue.letters[0], "Detail"); !strings.Contains(detail, "503") || !strings.Contains(detail, "circuit breaker is open") || !strings.Contains(detail, marker) {
			t.Errorf("the letter says %q", detail)
		}
	})
}
