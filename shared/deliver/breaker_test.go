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

	"github.com/spillwayhq/spillway/shared/breaker"
	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/segment"
)

// always makes Segment give one answer.
func always(err error) func(context.Context, *event.Batch) error {
	return func(context.Context, *event.Batch) error { return err }
}

// one is a message of one event that came in just now.
func one(id string) in { return in{id: id, body: body(keyA, track(id, 300)), sent: time.Now()} }

// calls are how many attempts f makes.
func (r *rig) calls(f func()) int {
	before := len(r.segment.attempts)
	f()
	return len(r.segment.attempts) - before
}

// openBreaker makes the rig's Segment fail until the breaker is open.
func (r *rig) openBreaker(t *testing.T) {
	t.Helper()
	r.segment.answer = always(status(503))
	for range 2 {
		r.invoke(t.Context(), one("m"))
	}
	if !r.last.BreakerOpen {
		t.Fatal("the breaker is not open")
	}
}

// openSince is a breaker that opened at a time.
func openSince(at time.Time) *segmentBreaker {
	b := newBreaker(nil)
	ticket, _ := b.machine.Allow(at)
	b.machine.Report(at, ticket, breaker.Hang)
	return b
}

func TestSegmentIsNotCalledOnceFiveAttemptsInARowHaveFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, always(status(503)))
		want(t, "calls of the first invocation", r.calls(func() { r.invoke(t.Context(), one("m")) }), 3)
		want(t, "open", r.last.BreakerOpen, false)
		want(t, "calls of the second", r.calls(func() { r.invoke(t.Context(), one("m")) }), 2)
		want(t, "open", r.last.BreakerOpen, true)
		want(t, "calls of the third",
			r.calls(func() { want(t, "retained", r.invoke(t.Context(), one("m"), one("n")), []string{"m", "n"}) }), 0)
		want(t, "retried", r.last.Retried, map[string]int{"transient": 2})
		if log := r.log.String(); !strings.Contains(log, `"breaker":"closed"`) || !strings.Contains(log, `"breaker":"open"`) {
			t.Errorf("the log does not say whether the breaker is open:\n%s", log)
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

func TestOnlyTransientAnswersOpenTheBreaker(t *testing.T) {
	panics := func(context.Context, *event.Batch) error { panic("a bug") }
	for name, c := range map[string]struct {
		answer func(context.Context, *event.Batch) error
		opens  bool
	}{
		"500": {always(status(500)), true}, "408": {always(status(408)), true},
		"no answer": {always(&segment.Error{Class: segment.Transient, Err: errors.New("connection refused")}), true},
		"400":       {always(status(400)), false}, "401": {always(status(401)), false}, "429": {always(status(429)), false},
		"302":                {always(status(302)), false},
		"a panic of our own": {panics, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, c.answer)
				for i := range 20 {
					// a paused key is not called
					m := in{id: "m", body: body(fmt.Sprintf("%s%d", keyA, i), track("e", 300)), sent: time.Now()}
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
		r := newRig(t, func(context.Context, *event.Batch) error {
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

func TestAnAttemptThatOurDeadlineCutsShortDoesNotOpenTheBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(ctx context.Context, _ *event.Batch) error { return hang(ctx) })
		for range 20 {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			r.invoke(ctx, one("m"))
			cancel()
			want(t, "open", r.last.BreakerOpen, false)
		}
	})
}

func TestOneProbeAtATimeIsSentAndEachFailureDoublesTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.openBreaker(t)
		opened := time.Now()
		waits := []time.Duration{15, 30, 60, 120, 120, 120, 120}
		var probes []time.Duration
		step := 2 * time.Second
		for time.Since(opened) < time.Hour {
			var messages []in // ten keys: ten batches
			for i := range 10 {
				messages = append(messages,
					in{id: fmt.Sprintf("m%d", i), body: body(fmt.Sprintf("%s%d", keyA, i), track("e", 300)), sent: time.Now()})
			}
			n := r.calls(func() { want(t, "retained", len(r.invoke(t.Context(), messages...)), 10) })
			if n > 1 {
				t.Fatalf("%d calls in one invocation", n)
			}
			if n == 1 {
				if probes = append(probes, time.Since(opened)); len(probes) == len(waits) {
					step = 10 * time.Second // of the others only the number counts
				}
			}
			time.Sleep(step)
		}
		last := time.Duration(0)
		for i, w := range waits {
			got := probes[i] - last
			waved := !nextWave(opened.Add(last), r.breaker.phase).After(opened.Add(probes[i])) // a wave comes first
			last = probes[i]
			if w *= time.Second; got < w*9/10 && !waved || got > w*11/10+3*time.Second {
				t.Errorf("the wait before probe %d is %v, want %v ±10 %%", i+1, got, w)
			}
		}
		if n := len(probes); n < 28 || n > 40 {
			t.Errorf("%d probes in an hour, want about 32, and one more for each wave", n)
		}
	})
}

func TestAfterASuccessfulProbeSendingBeginsWithOneBatchAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.openBreaker(t)
		var mu sync.Mutex
		now, order := 0, []int(nil) // how many were under way when each began
		r.segment.answer = func(context.Context, *event.Batch) error {
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
		events := tracks("e", 440, 1060)
		for i := range 40 {
			messages = append(messages,
				in{id: fmt.Sprintf("m%02d", i), body: body(fmt.Sprintf("%s%d", keyA, i), events...), sent: time.Now()})
		}
		want(t, "retained", r.invoke(t.Context(), messages...), []string{})
		want(t, "open", r.last.BreakerOpen, false)
		want(t, "under way when the second begins", order[1], 1)
		want(t, "at most among the first three", slices.Max(order[:3]), 2)
		want(t, "at most among the first seven", slices.Max(order[:7]), 4)
		want(t, "at most at a time", slices.Max(order), DefaultConcurrencyLimit)
	})
}

func TestAfterA429TheKeyBeginsAgainWithOneBatchAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		throttled := status(429)
		throttled.RetryAfter = 2 * patience
		r := newRig(t, always(throttled))
		r.invoke(t.Context(), one("m"))
		var mu sync.Mutex
		now, most := 0, 0
		r.segment.answer = func(context.Context, *event.Batch) error {
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
		time.Sleep(3 * patience)
		invoke := func(batches int) int {
			most = 0
			var messages []in
			for i := range batches {
				messages = append(messages,
					in{id: fmt.Sprintf("m%02d", i), body: body(keyA, tracks(fmt.Sprintf("e%d", i), 440, 1060)...), sent: time.Now()})
			}
			want(t, "retained", r.invoke(t.Context(), messages...), []string{})
			return most
		}
		want(t, "one batch", invoke(1), 1)
		// Six, and no more: the first of four that ends lets a fifth begin while the others are still counted.
		want(t, "then at most half of what was", invoke(6), DefaultConcurrencyLimit/2)
		invoke(20)
		want(t, "in the end", invoke(10), DefaultConcurrencyLimit)
	})
}

func TestInTheFourthHourOfAnOutageMessagesAreRetriedWithTheNextWave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.openBreaker(t)
		for range 4 * 60 {
			time.Sleep(time.Minute)
			r.invoke(t.Context(), one("x")) // probes, and keeps it open
		}
		r.invoke(t.Context(), one("m"))
		want(t, "invisible until the next wave", r.queue.timeouts["r-m"], time.Until(nextWave(time.Now(), r.breaker.phase)))
	})
}

func TestBackoffWithAnOpenBreakerIsAtLeastAsLongAsTheOutage(t *testing.T) {
	const s, m = time.Second, time.Minute
	for _, c := range []struct {
		receives     int
		lasted, want time.Duration
	}{{1, 0, 30 * s}, {1, 40 * s, 40 * s}, {3, 40 * s, 2 * m}, {1, 10 * m, 10 * m}, {100, 0, 14 * m},
		{1, 15*m - 1, 14 * m}} {
		for jitter, factor := range map[float64]float64{0: 0.95, 0.5: 1, 1: 1.05} {
			exact := time.Duration(float64(c.want) * factor)
			now := time.Now()
			b := openSince(now.Add(-c.lasted))
			if got, open := b.backoff(c.receives, now, jitter); !open || (got-exact).Abs() > time.Microsecond {
				t.Errorf("received %d times after %v, with jitter %v: %v, want %v", c.receives, c.lasted, jitter, got, exact)
			}
		}
	}
}

func TestInALongOutageTheMessagesOfAQueueAreRetriedInWaves(t *testing.T) {
	begin := time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC)
	b, other := openSince(begin.Add(-wave)), newBreaker(nil)
	b.follow([]byte("arn:aws:sqs:us-east-1:000000000000:spillway-events"))
	other.follow([]byte("arn:aws:sqs:eu-west-1:000000000000:spillway-events"))
	waves, last := map[time.Time]bool{}, time.Time{}
	for at := begin; at.Before(begin.Add(4 * wave)); at = at.Add(7 * time.Second) {
		pause, _ := b.backoff(1+int(at.Unix()%100), at, rand.Float64())
		comes := at.Add(pause)
		if !comes.After(at) || comes.Sub(at) > wave {
			t.Fatalf("a message received at %v is retried at %v", at, comes)
		}
		waves[comes], last = true, comes
	}
	if n := len(waves); n < 4 || n > 5 {
		t.Errorf("%d waves in an hour: %v", n, waves)
	}
	if b.phase == other.phase {
		t.Errorf("two deployments have their waves together, at %v", last)
	}
}

func TestEveryEnvironmentProbesWhenAWaveComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.openBreaker(t)
		r.segment.answer = nil
		time.Sleep(time.Until(nextWave(time.Now(), r.breaker.phase)))
		want(t, "retained", r.invoke(t.Context(), one("m")), []string{})
	})
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.openBreaker(t)
		// A probe fails just before the wave, so that the next one would be due after it.
		time.Sleep(time.Until(nextWave(time.Now(), r.breaker.phase)) - time.Second)
		want(t, "probes", r.calls(func() { r.invoke(t.Context(), one("m")) }), 1)
		r.segment.answer = nil
		time.Sleep(time.Second)
		want(t, "retained", r.invoke(t.Context(), one("m")), []string{})
	})
}

func TestEveryMessageIsRetriedWithin17MinutesAfterAnOutage(t *testing.T) {
	const promised = 17 * time.Minute
	// Later than the first quarter of an hour the next wave is tried, by the environment that gets
	// it.
	now := time.Now()
	b := openSince(now.Add(1 - wave))
	if pause, _ := b.backoff(1000, now, 1); probeAfter(1000, 1)+pause > promised {
		t.Errorf("a message that is received just before the last probe is retried %v after Segment is back",
			probeAfter(1000, 1)+pause)
	}
	if latest := Backoff(1000, time.Hour, 0, 1); latest > promised {
		t.Errorf("a message that was throttled is retried after %v", latest)
	}
}

func TestTenDaysWithTheBreakerOpenTakeFewerReceivesThanSQSAllows(t *testing.T) {
	begin := time.Now()
	b := openSince(begin)
	receives := 0
	for at := begin; at.Sub(begin) <= MaxAge; receives++ {
		pause, _ := b.backoff(receives+1, at, rand.Float64())
		at = at.Add(pause)
	}
	if receives < 955 || receives > 975 {
		t.Fatalf("%d receives in 10 days, want about 965: SQS gives up at 1,000", receives)
	}
}

func TestMessagesAreNotDecodedWhileTheBreakerIsOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.openBreaker(t)
		bad := in{id: "bad", body: "no JSON", sent: time.Now(), count: "440"}
		want(t, "retained", r.invoke(t.Context(), bad, one("m")), []string{"bad", "m"})
		want(t, "events, as the attribute says", r.last.Events, 441)
		want(t, "ages", len(r.last.Ages), 2)
		r.segment.answer = nil
		time.Sleep(maxProbe)
		want(t, "retained", r.invoke(t.Context(), bad, one("m")), []string{})
		want(t, "dead letters", r.last.DeadLettered, map[string]int{"undecodable": 1})
		want(t, "delivered", r.last.Delivered, 1)
	})
}

func TestAMessageThatExpiresWhileTheBreakerIsOpenQuotesSegmentsLastAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.openBreaker(t)
		old := one("old")
		old.sent = time.Now().Add(-MaxAge - time.Hour)
		want(t, "retained", r.invoke(t.Context(), old), []string{})
		want(t, "dead letters", r.last.DeadLettered, map[string]int{"expired": 1})
		if detail := attr(r.queue.deadLetters[0], "Detail"); !strings.Contains(detail, "503") ||
			!strings.Contains(detail, "circuit breaker is open") || !strings.Contains(detail, marker) {
			t.Errorf("the dead letter says %q", detail)
		}
	})
}
