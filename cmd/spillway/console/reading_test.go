package console

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestAllWhoAskAtTheSameTimeShareOneCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		r := &reading[int]{fresh: time.Second, deadline: 2 * time.Second, read: func(context.Context) (int, error) {
			calls++
			time.Sleep(time.Second)
			return calls, nil
		}}
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				if got := r.get(t.Context()); got.Value != 1 || got.Err != nil || !got.Known() {
					t.Errorf("somebody gets %v", got)
				}
			})
		}
		all.Wait()
		time.Sleep(time.Second / 2)
		if got := r.get(t.Context()); got.Value != 1 {
			t.Errorf("a fresh value is read again: %v", got)
		}
		time.Sleep(time.Second)
		if got := r.get(t.Context()); got.Value != 2 {
			t.Errorf("an old value is not read again: %v", got)
		}
	})
}

func TestASourceThatHangsKeepsOneCallAndTheLastValue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		free := make(chan struct{})
		r := &reading[string]{fresh: time.Second, deadline: 2 * time.Second, read: func(context.Context) (string, error) {
			if calls.Add(1) == 2 {
				<-free // it does not even heed its context
			}
			return "good", nil
		}}
		first := r.get(t.Context())
		time.Sleep(time.Minute)
		begin := time.Now()
		got := r.get(t.Context())
		if time.Since(begin) != 2*time.Second || got.Value != "good" || got.At != first.At || !errors.Is(got.Err, errLate) {
			t.Errorf("after %v it is %v", time.Since(begin), got)
		}
		begin = time.Now()
		if got := r.get(t.Context()); time.Since(begin) != 0 || got.Value != "good" || !errors.Is(got.Err, errLate) ||
			calls.Load() != 2 {
			t.Errorf("the next one waits %v, gets %v, and it was called %d times", time.Since(begin), got, calls.Load())
		}
		close(free)
		synctest.Wait()
		time.Sleep(2 * time.Second)
		if got := r.get(t.Context()); got.Err != nil || calls.Load() != 3 {
			t.Errorf("when it answers again, it is %v after %d calls", got, calls.Load())
		}
	})
}

func TestAFailureLeavesTheLastValueAndWhoLeavesEarlyStopsNobodysCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var fail error
		r := &reading[int]{fresh: time.Second, deadline: 2 * time.Second, read: func(ctx context.Context) (int, error) {
			time.Sleep(time.Second)
			return 7, errors.Join(fail, ctx.Err())
		}}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second/2, cancel)
		if got := r.get(ctx); got.Known() {
			t.Errorf("who has left gets %v", got)
		}
		time.Sleep(time.Second)
		if got := r.get(t.Context()); got.Value != 7 || got.Err != nil {
			t.Errorf("the next one gets %v", got)
		}
		fail = errors.New("no network")
		time.Sleep(time.Minute)
		if got := r.get(t.Context()); got.Value != 7 || !errors.Is(got.Err, fail) || time.Since(got.At) < time.Minute {
			t.Errorf("after a failure it is %v", got)
		}
	})
}

func TestASourceThatPanicsTakesNothingElseDown(t *testing.T) {
	r := &reading[int]{deadline: time.Second, read: func(context.Context) (int, error) { panic("a mistake") }}
	if got := r.get(t.Context()); got.Err == nil || !strings.Contains(got.Err.Error(), "a mistake") {
		t.Errorf("the error is %v", got.Err)
	}
}

func TestAValueThatLacksAPartIsShownWithWhatItLacks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReading(time.Second, time.Second, func(context.Context) (int, error) {
			return 7, fmt.Errorf("%w: the history", ErrPartial)
		})
		got := r.get(t.Context())
		if got.Value != 7 || !got.Known() || stale(got.Err, got.At) != "a part is missing: the history" {
			t.Errorf("%v: %s", got, stale(got.Err, got.At))
		}
		calls := 0
		r.read = func(context.Context) (int, error) { calls++; return 8, nil }
		if got := r.get(t.Context()); got.Value != 7 {
			t.Errorf("it is read again before its time: %v", got)
		}
		r.expire()
		if got := r.get(t.Context()); got.Value != 8 || got.Err != nil || calls != 1 {
			t.Errorf("after it has expired: %v", got)
		}
	})
}
