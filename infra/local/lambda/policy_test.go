package lambda

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestBackoffDoublesUpToItsLimitWithARandomUpperHalf(t *testing.T) {
	for _, c := range []struct {
		attempt int
		random  float64
		want    time.Duration
	}{
		{1, 0, 500 * time.Millisecond}, {1, 1, time.Second}, {2, 0, time.Second}, {2, 0.5, 1500 * time.Millisecond},
		{3, 1, 4 * time.Second},
		{6, 1, 32 * time.Second}, {7, 1, time.Minute}, {7, 0, 30 * time.Second}, {1 << 30, 1, time.Minute},
	} {
		if got := backoff(c.attempt, time.Second, time.Minute, c.random); got != c.want {
			t.Errorf("attempt %d, chance %v: %v, want %v", c.attempt, c.random, got, c.want)
		}
	}
}

func TestSettingsThatLambdaRefusesAreRefusedWithTheLimit(t *testing.T) {
	f := NewFunction(FunctionConfig{NewEnvironment: same(nil)})
	good := MappingConfig{Queue: newMemQueue(0), Function: f, BatchSize: 100, MaximumBatchingWindow: time.Second,
		MaximumConcurrency: 10}
	for _, c := range []struct {
		change func(*MappingConfig)
		want   string // in the error; empty: accepted
	}{
		{func(*MappingConfig) {}, ""},
		{func(c *MappingConfig) { c.Queue = nil }, "Queue is missing"},
		{func(c *MappingConfig) { c.Function = nil }, "Function is missing"},
		{func(c *MappingConfig) { c.BatchSize = -1 }, "must be 1 to 10000"},
		{func(c *MappingConfig) { c.BatchSize = 10_001 }, "must be 1 to 10000"},
		{func(c *MappingConfig) { c.BatchSize = 10_000 }, ""},
		{func(c *MappingConfig) { c.MaximumBatchingWindow = 999 * time.Millisecond }, "must be at least 1s"},
		{func(c *MappingConfig) { c.BatchSize, c.MaximumBatchingWindow = 11, 0 }, "must be at least 1s"},
		{func(c *MappingConfig) { c.BatchSize, c.MaximumBatchingWindow = 10, 0 }, ""},
		{func(c *MappingConfig) { c.BatchSize, c.MaximumBatchingWindow = 0, 0 }, ""},
		{func(c *MappingConfig) { c.MaximumBatchingWindow = -1 }, "must be 0 to 5m0s"},
		{func(c *MappingConfig) { c.MaximumBatchingWindow = 300 * time.Second }, ""},
		{func(c *MappingConfig) { c.MaximumBatchingWindow = 301 * time.Second }, "must be 0 to 5m0s"},
		{func(c *MappingConfig) { c.MaximumConcurrency = 1 }, "must be 2 to 1000"},
		{func(c *MappingConfig) { c.MaximumConcurrency = -1 }, "must be 2 to 1000"},
		{func(c *MappingConfig) { c.MaximumConcurrency = 2 }, ""},
		{func(c *MappingConfig) { c.MaximumConcurrency = 1000 }, ""},
		{func(c *MappingConfig) { c.MaximumConcurrency = 1001 }, "must be 2 to 1000"},
		{func(c *MappingConfig) { c.MaximumConcurrency = 0 }, ""},
	} {
		config := good
		c.change(&config)
		_, err := NewEventSourceMapping(config)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%+v: %v, want %q", config, err, c.want)
		}
	}
}

func TestTheRegionIsThatOfTheQueue(t *testing.T) {
	for arn, want := range map[string]string{testARN: "eu-west-1", "": "us-east-1", "arn:aws:sqs": "us-east-1",
		"arn:aws:sqs::1:q": "us-east-1"} {
		if got := region(arn); got != want {
			t.Errorf("%q: %q, want %q", arn, got, want)
		}
	}
}

func TestASecondRunIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, newMemQueue(0), FunctionConfig{}, MappingConfig{}, succeed)
		synctest.Wait()
		r.end()
		if err := r.mapping.Run(t.Context()); err == nil {
			t.Error("a second Run was begun")
		}
	})
}

// failuresInAMinute runs a handler on one message at a time, and counts its invocations in a
// minute.
func failuresInAMinute(t *testing.T, function FunctionConfig, partial bool, answer answerer) (invocations int,
	s Stats) {
	synctest.Test(t, func(t *testing.T) {
		queue := newMemQueue(time.Second)
		queue.send(100, 0)
		r := start(t, queue, function, MappingConfig{BatchSize: 1, MaximumConcurrency: 2, ReportBatchItemFailures: partial},
			answer)
		time.Sleep(time.Minute)
		invocations = len(r.invocations())
		s = r.end()
		time.Sleep(time.Hour)
	})
	return invocations, s
}

func TestPollersSlowDownAfterFailuresOnlyWithoutPartialResponses(t *testing.T) {
	fail := func(context.Context, []string) (string, error) {
		time.Sleep(100 * time.Millisecond)
		return "", errors.New("no")
	}
	if n, _ := failuresInAMinute(t, FunctionConfig{}, true, fail); n < 1000 {
		t.Errorf("%d invocations in a minute with partial responses on, want two pollers at full speed (1,200)", n)
	}
	// Waits of 1, 2, 4, 8, 16, 32 s at most and half of that at least: 6 to 8 invocations a poller.
	if n, _ := failuresInAMinute(t, FunctionConfig{}, false, fail); n < 2*5 || n > 2*8 {
		t.Errorf("%d invocations in a minute with partial responses off, want 10 to 16", n)
	}
}

func TestPollersThatSucceedAgainPollAtFullSpeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var recovered atomic.Bool
		queue := newMemQueue(time.Second)
		r := start(t, queue, FunctionConfig{}, MappingConfig{BatchSize: 1, MaximumConcurrency: 2},
			func(context.Context, []string) (string, error) {
				if !recovered.Load() {
					return "", errors.New("no")
				}
				return "", nil
			})
		queue.send(1, 0)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		recovered.Store(true)
		time.Sleep(2 * time.Minute) // longer than the longest pause and a long poll
		queue.send(100, 0)
		synctest.Wait()
		if len(queue.left()) != 0 {
			t.Errorf("%d messages are left: the pause outlived its reason", len(queue.left()))
		}
		r.end()
	})
}

func TestThrottlingSlowsPollersAndMessagesAreDeliveredAgainWithTheirCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue := newMemQueue(5 * time.Minute)
		r := start(t, queue, FunctionConfig{ReservedConcurrency: 1, Timeout: 10 * time.Minute},
			MappingConfig{BatchSize: 1, ReportBatchItemFailures: true}, take(2*time.Minute))
		queue.send(1, 0)
		synctest.Wait()
		queue.send(1000, 0)
		time.Sleep(time.Minute)
		synctest.Wait()
		s := r.mapping.Stats()
		// Without a pause the other pollers would have thrown away all thousand at once.
		if s.Throttled < 4 || s.Throttled > 60 || s.MessagesFailed != s.Throttled || s.Invocations != 0 || s.Concurrent != 1 {
			t.Errorf("after a minute: %+v", s)
		}
		if n := queue.receiveCount("m2"); n != 1 {
			t.Errorf("a throttled message was received %d times before its visibility timeout was over", n)
		}
		r.end()
		if len(queue.left()) != 1000 {
			t.Errorf("%d messages left: one was processed", len(queue.left()))
		}
	})
}

func TestFailedReceivesAreRetriedWithBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue := newMemQueue(0)
		queue.failReceives = 1 << 30
		r := start(t, queue, FunctionConfig{}, MappingConfig{MaximumConcurrency: 2}, succeed)
		time.Sleep(time.Minute)
		synctest.Wait()
		// Waits of 0.2, 0.4 … 12.8, 20 s at most, half of that at least: 9 to 12 calls a poller.
		if n := len(queue.calls()); n < 2*8 || n > 2*12 {
			t.Errorf("%d receives in a minute, want 16 to 24", n)
		}
		queue.mu.Lock()
		queue.failReceives = 0
		queue.mu.Unlock()
		queue.send(1, 0)
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if len(r.invocations()) != 1 {
			t.Error("the message that came after the failures was not handled")
		}
		r.end()
	})
}

func TestFailedDeletesAreRetried(t *testing.T) {
	for fails, want := range map[int]Stats{
		deleteTries - 1: {MessagesDeleted: 10},
		deleteTries:     {DeletesFailed: 10},
	} {
		synctest.Test(t, func(t *testing.T) {
			queue := newMemQueue(0)
			queue.failDeletes, queue.partDeletes = fails, true
			queue.send(10, 0)
			r := start(t, queue, FunctionConfig{}, MappingConfig{}, succeed)
			time.Sleep(10 * time.Second)
			s := r.end()
			if s.MessagesDeleted != want.MessagesDeleted || s.DeletesFailed != want.DeletesFailed || s.MessagesFailed != 0 {
				t.Errorf("%d failures: %+v", fails, s)
			}
			if queue.mu.Lock(); len(queue.deletes) != deleteTries {
				t.Errorf("%d failures: %d tries", fails, len(queue.deletes))
			}
			queue.mu.Unlock()
		})
	}
}

func TestAStopFinishesInvocationsAndOpenBatchesAndReceivesNothingMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue := newMemQueue(time.Hour)
		r := start(t, queue, FunctionConfig{Timeout: time.Minute},
			MappingConfig{BatchSize: 10, MaximumBatchingWindow: maxBatchingWindow}, take(30*time.Second))
		queue.send(10, 0) // full: invoked
		time.Sleep(time.Second)
		queue.send(3, 0) // open: its batching window ends in 5 minutes
		time.Sleep(time.Second)
		r.stop()
		synctest.Wait()
		before := len(queue.calls())
		queue.send(5, 0)
		s := r.end()
		if got := time.Since(r.begun); got != 32*time.Second {
			t.Errorf("stopped after %v, want the 30 s of the batch that was open at 2 s", got)
		}
		if s.MessagesDeleted != 13 || len(queue.left()) != 5 || len(queue.calls()) != before {
			t.Errorf("%+v, %d left, %d receives after the stop", s, len(queue.left()), len(queue.calls())-before)
		}
	})
}

func TestConcurrencyStartsAtFiveAndGrowsBy300AMinuteWhileThereIsWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue := newMemQueue(0)
		queue.send(10_000, 0)
		r := start(t, queue, FunctionConfig{Timeout: 10 * time.Minute}, MappingConfig{BatchSize: 1, MaximumConcurrency: 400},
			take(5*time.Minute))
		for _, c := range []struct {
			at   time.Duration
			want int64
		}{{0, 5}, {199 * time.Millisecond, 5}, {200 * time.Millisecond, 6}, {10 * time.Second, 55}, {time.Minute, 305},
			{79 * time.Second, 400}, {2 * time.Minute, 400}} {
			time.Sleep(c.at - time.Since(r.begun))
			synctest.Wait()
			if s := r.mapping.Stats(); s.Concurrent != c.want || s.Peak != c.want {
				t.Errorf("at %v: %d concurrent, want %d", c.at, s.Concurrent, c.want)
			}
		}
		r.end()
	})
}

func TestMaximumConcurrencyAppliesFromTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue := newMemQueue(0)
		queue.send(200, 0)
		r := start(t, queue, FunctionConfig{ReservedConcurrency: 2, Timeout: time.Minute},
			MappingConfig{BatchSize: 1, MaximumConcurrency: 2}, take(time.Second))
		time.Sleep(30 * time.Second)
		if s := r.end(); s.Peak != 2 || s.Throttled != 0 || s.MessagesDeleted < 58 {
			t.Errorf("%+v", s)
		}
	})
}

func TestIdlePollersEndDownToFive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue := newMemQueue(0)
		r := start(t, queue, FunctionConfig{}, MappingConfig{BatchSize: 1}, take(time.Second))
		time.Sleep(time.Hour + time.Second)
		if n := len(queue.calls()); n != 5*3600/20 || r.mapping.Stats().Pollers != 5 {
			t.Errorf("%d long polls in an idle hour by %d pollers, want 5 x 180 by 5", n, r.mapping.Stats().Pollers)
		}
		queue.send(500, 0)
		time.Sleep(5 * time.Second)
		if n := r.mapping.Stats().Pollers; n < 20 {
			t.Errorf("%d pollers with work to do", n)
		}
		time.Sleep(2 * time.Minute)
		if n := r.mapping.Stats().Pollers; n != 5 || len(queue.left()) != 0 {
			t.Errorf("%d pollers after the work, %d messages left", n, len(queue.left()))
		}
		r.end()
	})
}

func TestAFewMessagesStartNoMorePollers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue := newMemQueue(0)
		r := start(t, queue, FunctionConfig{}, MappingConfig{BatchSize: 100, MaximumBatchingWindow: maxBatchingWindow},
			succeed)
		for range 60 {
			queue.send(3, 0)
			time.Sleep(time.Second)
		}
		if s := r.mapping.Stats(); s.Pollers != 5 {
			t.Errorf("%d pollers share 3 messages a second", s.Pollers)
		}
		r.end()
	})
}

func TestASuccessResetsTheSlowdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &poller{}
		for range 10 {
			p.backOff(t.Context(), slowdownForFailure)
		}
		begun := time.Now()
		p.backOff(t.Context(), noSlowdown)
		if d := time.Since(begun); d != 0 {
			t.Errorf("a pause of %v after a success", d)
		}
		p.backOff(t.Context(), slowdownForFailure)
		if d := time.Since(begun); d > slowdownBase {
			t.Errorf("the first pause after a success is %v, want at most %v", d, slowdownBase)
		}
	})
}

// impatientQueue answers "nothing" after a millisecond, however long it may wait.
type impatientQueue struct{ calls atomic.Int64 }

func (q *impatientQueue) Receive(context.Context, int, time.Duration) ([]Message, error) {
	q.calls.Add(1)
	time.Sleep(time.Millisecond)
	return nil, nil
}

func (q *impatientQueue) Delete(context.Context, []string) error { return nil }

func TestAQueueThatAnswersEarlyIsPolledWithAPause(t *testing.T) {
	inBubble(t, func() FunctionConfig { return FunctionConfig{NewEnvironment: same(nil)} },
		func(t *testing.T, f *Function) {
			queue := &impatientQueue{}
			m, err := NewEventSourceMapping(MappingConfig{Queue: queue, Function: f})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			if err := m.Run(ctx); err != nil {
				t.Error(err)
			}
			if n := queue.calls.Load(); n > 5*10*20 {
				t.Errorf("%d receives in 10 s by 5 pollers, want at most one in 50 ms each", n)
			}
		})
}
