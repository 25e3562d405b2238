package api

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// inTestTime is sleepUntil with the clock of synctest.
func inTestTime(due time.Time) { time.Sleep(time.Until(due)) }

func TestEachCallIsTimedFromWhenItWasDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// The generator itself stands still for 50 ms, as on a machine that is busy elsewhere.
		stalled := false
		start := time.Now()
		o := Load{Rate: 1000, For: 100 * time.Millisecond, Patience: time.Second}.run(t.Context(),
			func(context.Context, int) error { return nil }, func(due time.Time) {
				inTestTime(due)
				if !stalled && time.Since(start) >= 20*time.Millisecond {
					stalled = true
					time.Sleep(50 * time.Millisecond)
				}
			})
		late := 0
		for _, l := range o.Latencies {
			if l > 0 && l > time.Nanosecond {
				late++
			}
		}
		if o.Calls != 100 || len(o.Latencies) != 100 || late != 50 || slices.Max(o.Latencies) != 50*time.Millisecond {
			t.Errorf("of %d calls %d returned and %d were late, by up to %v; want 100, 100, the 50 that were due in the stall, "+
				"and 50 ms", o.Calls, len(o.Latencies), late, slices.Max(o.Latencies))
		}
	})
}

func TestCallsAreMadeAlthoughEarlierOnesHaveNotReturned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		o := Load{Rate: 100, For: time.Second, Patience: 10 * time.Second}.run(t.Context(),
			func(context.Context, int) error { // the queue answers all of them after two seconds
				time.Sleep(time.Until(start.Add(2 * time.Second)))
				return nil
			}, inTestTime)
		if o.AtOnce != 100 || slices.Max(o.Latencies) != 2*time.Second || slices.Min(o.Latencies) != 1010*time.Millisecond {
			t.Errorf("%d calls at once, from %v to %v", o.AtOnce, slices.Min(o.Latencies), slices.Max(o.Latencies))
		}
	})
}

func TestWhatAnOutcomeSaysOfCallsThatFailOrNeverReturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, leave := context.WithCancel(t.Context())
		defer synctest.Wait()
		defer leave()
		o := Load{Rate: 10, For: time.Second, From: 100, Patience: 5 * time.Second}.run(t.Context(),
			func(request context.Context, i int) error {
				switch i % 5 {
				case 1:
					return fmt.Errorf("send to 10.0.0.%d: %w", i, errors.New("connection refused"))
				case 2:
					<-request.Done()
					return request.Err()
				case 3:
					<-ctx.Done() // as a client that heeds no deadline
				}
				return nil
			}, inTestTime)
		if want := map[string]int{"connection refused": 2, "context deadline exceeded": 2}; !maps.Equal(o.Errors, want) {
			t.Errorf("errors %v, want %v", o.Errors, want)
		}
		if want := []int{101, 102, 103, 106, 107, 108}; !slices.Equal(o.Refused, want) {
			t.Errorf("not accepted were %v, want %v", o.Refused, want)
		}
		// The turn ends 6 s after the last call's second is over; the two were due at 0.3 and 0.8
		// s.
		if want := []time.Duration{6700 * time.Millisecond, 6200 * time.Millisecond}; !slices.Equal(o.Waiting, want) {
			t.Errorf("waiting for %v, want %v", o.Waiting, want)
		}
	})
}

func TestAGeneratorEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var calls atomic.Int64
		o := Load{Rate: 10, For: time.Hour}.run(ctx, func(context.Context, int) error {
			if calls.Add(1) == 5 {
				cancel()
			}
			return nil
		}, inTestTime)
		if o.Calls > 6 {
			t.Errorf("%d calls were made", o.Calls)
		}
	})
}

func TestReasonOfAnError(t *testing.T) {
	for text, want := range map[string]string{
		"429 Too Many Requests": "429 Too Many Requests",
		"redis eval error: dial tcp 127.0.0.1:43179: connect: connection refused":              "connection refused",
		"https response error StatusCode: 0, RequestID: , canceled, context deadline exceeded": "canceled, context deadline exceeded",
		`request send failed, Post "http://x/": dial tcp 10.0.0.1:80: connect: connection refused` +
			"\nfailed to retry": "connection refused",
		"read tcp 127.0.0.1:1->127.0.0.1:2: i/o timeout": "i/o timeout",
	} {
		if got := reason(errors.New(text)); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
