package deliver

import (
	"context"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillwayhq/spillway/shared/event"
)

func TestBackoffIsRetryAfterOrDoublesUpTo15Minutes(t *testing.T) {
	const s, m = time.Second, time.Minute
	for _, c := range []struct {
		receives   int
		retryAfter time.Duration
		want       time.Duration
	}{
		{0, 0, 30 * s}, {1, 0, 30 * s}, {2, 0, m}, {3, 0, 2 * m}, {4, 0, 4 * m}, {5, 0, 8 * m}, {6, 0, 15 * m},
		{7, 0, 15 * m}, {1000, 0, 15 * m}, {1 << 60, 0, 15 * m},
		{1, s, s}, {1, time.Millisecond, s}, {1, 2 * m, 2 * m}, {1, time.Hour, 15 * m}, {10, s, s}, {10, 2 * m, 2 * m},
		{11, s, 30 * s}, {11, m, m}, {12, s, m}, {16, s, 15 * m}, {500, s, 15 * m}, {500, time.Hour, 15 * m}, {5, -s, 8 * m},
	} {
		for jitter, factor := range map[float64]float64{0: 0.9, 0.5: 1, 1: 1.1} {
			exact := time.Duration(float64(c.want) * factor)
			if got := Backoff(c.receives, c.retryAfter, 0, jitter); (got - exact).Abs() > time.Microsecond {
				t.Errorf("Backoff(%d, %v, %v) = %v, want %v", c.receives, c.retryAfter, jitter, got, exact)
			}
		}
	}
}

func TestAMessageThatIsThrottledOftenWaitsForAQuarterOfItsAge(t *testing.T) {
	const s, m = time.Second, time.Minute
	for _, c := range []struct {
		receives        int
		retryAfter, age time.Duration
		want            time.Duration
	}{
		{10, s, time.Hour, s}, {11, s, time.Hour, 30 * s}, {11, s, m, 30 * s}, {20, s, m, 30 * s}, {20, s, s, 30 * s},
		{12, s, 6 * m, m}, {20, s, 8 * m, 2 * m}, {20, m, m, m}, {20, s, time.Hour, 15 * m}, {20, 0, m, 15 * m},
	} {
		if got := Backoff(c.receives, c.retryAfter, c.age, 0.5); got != c.want {
			t.Errorf("Backoff(%d, %v, %v) = %v, want %v", c.receives, c.retryAfter, c.age, got, c.want)
		}
	}
}

func TestTenDaysOfBackoffTakeFewerReceivesThanSQSAllows(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct {
		retryAfter  time.Duration
		least, most int
	}{{0, 955, 975}, {time.Second, 960, 996}, {time.Minute, 960, 990}, {time.Hour, 950, 970}} {
		for range 200 {
			receives, at := 0, time.Duration(0)
			for at <= MaxAge {
				receives++
				at += Backoff(receives, c.retryAfter, at, rng.Float64())
			}
			if receives < c.least || receives > c.most {
				t.Fatalf("with Retry-After %v: %d receives in 10 days, want %d to %d", c.retryAfter, receives, c.least, c.most)
			}
		}
	}
}

func TestAfterTenDaysOfOutageAMessageIsADeadLetterUnder1000Receives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(context.Context, *event.Batch) error {
			err := status(429)
			err.RetryAfter = time.Second
			return err
		})
		m := in{id: "m", body: body(keyA, track("e", 300)), sent: time.Now()}
		begin := time.Now()
		for m.receives = 1; len(r.queue.deadLetters) == 0; m.receives++ {
			if m.receives >= 1000 {
				t.Fatal("SQS would have moved the message to the dead-letter queue")
			}
			if len(r.invoke(t.Context(), m)) == 1 {
				time.Sleep(r.queue.timeouts["r-m"])
			}
		}
		if lasted := time.Since(begin); lasted < MaxAge || lasted > MaxAge+20*time.Minute {
			t.Errorf("it expired after %v", lasted)
		}
		want(t, "dead letters", r.last.DeadLettered, map[string]int{"expired": 1})
	})
}
