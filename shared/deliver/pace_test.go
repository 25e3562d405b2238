package deliver

import (
	"context"
	"math"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillwayhq/spillway/shared/event"
)

func TestThePaceRisesFastUntilItIsThrottledAndSlowlyAfterwards(t *testing.T) {
	p, now := newPace(), time.Date(2018, 9, 24, 10, 0, 0, 0, time.UTC)
	// second sends at the rate for a second.
	second := func() {
		for n := int(p.rate); n > 0; n -= 10 {
			p.accept(min(n, 10))
		}
	}
	for range int(paceGrowth.Seconds()) {
		second()
	}
	if p.rate < 2.4*paceFirst || p.rate > 2.8*paceFirst { // e times
		t.Errorf("after 4 s the rate is %.0f", p.rate)
	}
	p.rate = 400
	p.throttle(now, 0)
	want(t, "after a throttled answer", math.Round(p.rate), 280.0)
	p.throttle(now.Add(pacePerCut/2), 0)
	want(t, "after another one of the same second", math.Round(p.rate), 280.0)
	surge := pace{rate: p.rate, cut: p.cut}
	surge.throttle(now.Add(paceSurge/2), 0)
	want(t, "after one soon afterwards", math.Round(surge.rate), 140.0)
	for range 100 {
		second()
	}
	if p.rate < 325 || p.rate > 332 {
		t.Errorf("100 s later the rate is %.0f, want 50/s more", p.rate)
	}
	for range 100 {
		now = now.Add(pacePerCut)
		p.throttle(now, 0)
	}
	want(t, "while everything is throttled", p.rate, paceLeast)
}

func TestATurnComesWhenWhatWasSentBeforeIsPaidFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, began := newPace(), time.Now()
		for i, c := range []struct {
			after  time.Duration
			waited bool
		}{{0, false}, {500 * time.Millisecond, true}, {time.Second, true}} {
			waited, ok := p.turn(t.Context(), paceFirst/2)
			if at := time.Since(began); !ok || waited != c.waited || at != c.after {
				t.Errorf("turn %d came after %v (waited: %v, ok: %v), want %+v", i, at, waited, ok, c)
			}
		}
		p.throttle(time.Now(), time.Minute)
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		if _, ok := p.turn(ctx, 1); ok || time.Since(began) != 31*time.Second {
			t.Errorf("with 30 s left of a minute: %v, after %v", ok, time.Since(began))
		}
		if _, ok := p.turn(t.Context(), 1); !ok || time.Since(began) != 61*time.Second {
			t.Errorf("after the minute: %v, after %v", ok, time.Since(began))
		}
	})
}

// A rate that is not reached says nothing about a higher one: an event source that is slower than
// Segment would let it rise without end, and a Segment that throttles then would get far too much.
func TestARateThatIsNotReachedDoesNotRise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := newBulkRig(t, nil)
		for range 10 {
			r.invoke(t.Context(), oneOf(bulkQueue, "m"))
			time.Sleep(time.Second)
		}
		want(t, "rate", r.pace.rate, paceFirst)
		r.invoke(t.Context(), oneOf(bulkQueue, "a"), bulkOf("b", 250), bulkOf("c", 250))
		if r.pace.rate <= paceFirst {
			t.Errorf("the rate is %v after a batch that had to wait", r.pace.rate)
		}
	})
}

// bulkOf is a message of the bulk queue with n events.
func bulkOf(id string, n int) in {
	return in{id: id, body: body(keyA, tracks(id, n, 300)...), sent: time.Now(), queue: bulkQueue}
}

func TestAThrottledBatchOfTheBulkQueueWaitsAndIsSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answers := []error{status(429), status(429), nil}
		r, bulk := newBulkRig(t, func(context.Context, *event.Batch) error {
			a := answers[0]
			answers = answers[1:]
			return a
		})
		began := time.Now()
		want(t, "retained", r.invoke(t.Context(), oneOf(bulkQueue, "m")), nil)
		want(t, "changes of visibility", len(bulk.timeouts), 0)
		if took := time.Since(began); took != 2*paceHold {
			t.Errorf("it took %v", took)
		}
	})
}

func TestWhatIsThrottledAgainAndAgainComesBackSoonAndPausesNoKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var answer error = status(429)
		r, bulk := newBulkRig(t, func(context.Context, *event.Batch) error { return answer })
		want(t, "retained", r.invoke(t.Context(), oneOf(bulkQueue, "m")), []string{"m"})
		want(t, "calls", len(r.segment.attempts), maxTries)
		want(t, "retried", r.last.Retried, map[string]int{Paced: 1})
		if v := bulk.timeouts["r-m"]; v < paceAgain*9/10 || v > paceAgain*11/10 {
			t.Errorf("it is invisible for %v", v)
		}
		answer = nil
		want(t, "retained of fresh ones with the key", r.invoke(t.Context(), one("f")), nil)
	})
}

func TestTheBulkQueueWaitsWhileItsKeyIsPausedByFreshEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var answer error = status(429)
		r, _ := newBulkRig(t, func(context.Context, *event.Batch) error { return answer })
		want(t, "retained", r.invoke(t.Context(), one("f")), []string{"f"})
		answer = nil
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		want(t, "retained of the bulk queue", r.invoke(ctx, oneOf(bulkQueue, "m")), nil)
		if pause := r.segment.attempts[1].at.Sub(r.segment.attempts[0].at); pause < firstBackoff*9/10 {
			t.Errorf("Segment was called again after %v", pause)
		}
	})
}

func TestABatchOfTheBulkQueueLeavesRoomForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := newBulkRig(t, nil)
		r.invoke(t.Context(), bulkOf("a", 600), bulkOf("b", 10))
		delivered := 0
		for _, a := range r.segment.attempts {
			delivered += len(a.events)
			if len(a.events) > maxBulkBatch {
				t.Errorf("a batch of %d events", len(a.events))
			}
		}
		want(t, "delivered", delivered, 610)
		fresh := bulkOf("c", 600)
		fresh.queue = ""
		want(t, "calls for fresh ones", r.calls(func() { r.invoke(t.Context(), fresh) }), 1)
	})
}

func TestTheInvocationEndsInTimeWhenTheTurnDoesNotCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, bulk := newBulkRig(t, nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		r.pace.rate, r.pace.throttled = paceLeast, true
		began := time.Now()
		var messages []in // for 55 s at 25 to 52 events/s
		for i := range 16 {
			messages = append(messages, bulkOf(strconv.Itoa(i), 250))
		}
		retained := r.invoke(ctx, messages...)
		if took := time.Since(began); took > 56*time.Second {
			t.Errorf("it took %v", took)
		}
		if n := len(retained); n < 5 || n > 9 || r.last.Retried[Paced] != 250*n || len(bulk.timeouts) != n {
			t.Errorf("retained: %v, %v, %v", retained, r.last.Retried, bulk.timeouts)
		}
	})
}
