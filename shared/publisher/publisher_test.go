package publisher

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/analytics-go/v3"
	"go.uber.org/goleak"

	"github.com/spillwayhq/spillway/integration/testutil"
	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

func TestMain(m *testing.M) {
	testutil.CollectLess(200) // with less memory, the collector would take a quarter of the CPU
	goleak.VerifyTestMain(m)
}

// testEvent is a valid one.
func testEvent(id string) analytics.Track {
	return analytics.Track{MessageId: id, UserId: "u", Event: "Run Started", Timestamp: time.Unix(1, 0)}
}

// mustClose closes a client and fails the test on an error.
func mustClose(t testing.TB, c *Client) {
	t.Helper()
	if err := c.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

func TestEventsWithinTheIntervalShareAMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &fakeQueue{}
		c := newClient(t, Config{WriteKey: "k"}, q)
		for i := range 100 {
			if err := c.Enqueue(testEvent(fmt.Sprint(i))); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Millisecond)
		}
		if q.len() != 0 {
			t.Errorf("%d events were sent before the interval was over", q.len())
		}
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
		if q.len() != 100 || q.messages != 1 || q.calls != 1 {
			t.Errorf("%d events in %d messages and %d calls after the interval", q.len(), q.messages, q.calls)
		}
		if h := q.headers[0]; h.WriteKey != "k" || !strings.Contains(string(h.Context), `"analytics-go"`) {
			t.Errorf("the header is %q, %s", h.WriteKey, h.Context)
		}
		mustClose(t, c)
		q.check(t)
	})
}

func TestCloseSendsWaitingEventsAndRefusesNewOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &fakeQueue{}
		told := &outcomes{}
		c := newClient(t, Config{Callback: told}, q)
		const n = 5000
		for i := range n {
			if err := c.Enqueue(testEvent(fmt.Sprint(i))); err != nil {
				t.Fatal(err)
			}
		}
		mustClose(t, c)
		if q.len() != n || len(told.all(true)) != n || q.messages > n/2500+2 {
			t.Errorf("%d of %d events in %d messages, %d told", q.len(), n, q.messages, len(told.all(true)))
		}
		if err := c.Enqueue(testEvent("late")); err != analytics.ErrClosed {
			t.Errorf("enqueue after close: %v", err)
		}
		if err := c.Publish(t.Context(), testEvent("late")); !errors.Is(err, analytics.ErrClosed) {
			t.Errorf("publish after close: %v", err)
		}
		if err := c.Close(); err != analytics.ErrClosed {
			t.Errorf("close after close: %v", err)
		}
		q.check(t)
	})
}

func TestMessageMayChangeAfterEnqueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &fakeQueue{}
		c := newClient(t, Config{}, q)
		properties := analytics.Properties{"n": 1, "list": []any{1}}
		for i := range 3 {
			properties["n"] = i
			m := testEvent(fmt.Sprint(i))
			m.Properties = properties
			if err := c.Enqueue(&m); err != nil {
				t.Fatal(err)
			}
			m.UserId = "someone else"
		}
		properties["n"] = 99
		mustClose(t, c)
		slices.Sort(q.events) // by messageId: the order within a message is not defined
		for i, raw := range q.events {
			if !strings.Contains(raw, fmt.Sprintf(`"messageId":"%d"`, i)) || !strings.Contains(raw, fmt.Sprintf(`"n":%d`, i)) ||
				!strings.Contains(raw, `"userId":"u"`) {
				t.Errorf("event %d is %s", i, raw)
			}
		}
	})
}

func TestPublishReturnsWhenSQSHasTheEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &fakeQueue{answer: always(answer{latency: 20 * time.Millisecond})}
		c := newClient(t, Config{}, q)
		start := time.Now()
		if err := c.Publish(t.Context(), testEvent("a"), testEvent("b")); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took != 20*time.Millisecond || q.has("a")*q.has("b") != 1 || q.messages != 1 {
			t.Errorf("it took %v, and SQS has %v in %d messages", took, q.got, q.messages)
		}
		mustClose(t, c)
	})
}

func TestConcurrentPublishCallsShareMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &fakeQueue{answer: always(answer{latency: 20 * time.Millisecond})}
		c := newClient(t, Config{Senders: 1}, q)
		var all sync.WaitGroup
		for i := range 1000 {
			all.Go(func() {
				if err := c.Publish(t.Context(), testEvent(fmt.Sprint(i))); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if q.len() != 1000 || q.calls > 3 {
			t.Errorf("%d events in %d calls", q.len(), q.calls)
		}
		mustClose(t, c)
	})
}

func TestPublishErrorNamesTheEventsThatSQSMayNotHave(t *testing.T) {
	for _, c := range []struct {
		name    string
		answer  answer
		unknown bool
		within  time.Duration
	}{
		{"connection refused", answer{err: errRefused}, false, 4 * time.Second},
		{"throttled", answer{err: errThrottled}, false, 4 * time.Second},
		{"reset", answer{err: errReset}, true, 4 * time.Second},
		{"taken, but the answer is lost", answer{lose: true}, true, 4 * time.Second},
		{"black hole", answer{latency: time.Hour}, true, 80 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := &fakeQueue{answer: always(c.answer)}
				client := newClient(t, Config{}, q)
				start := time.Now()
				err := client.Publish(t.Context(), testEvent("a"), analytics.Track{}, testEvent("b"))
				var all *PublishError
				var one *SendError
				var field analytics.FieldError
				if !errors.As(err, &all) || len(all.Failed) != 3 || !errors.As(all.Failed[0], &one) || one.Unknown != c.unknown ||
					!errors.As(all.Failed[1], &field) {
					t.Errorf("error %v", err)
				}
				if took := time.Since(start); took > c.within {
					t.Errorf("it took %v", took)
				}
				q.set(nil)
				time.Sleep(time.Minute)
				if n := q.has("a"); n > 0 && !c.unknown {
					t.Errorf("it was sent %d times although its caller was told that it did not", n)
				}
				mustClose(t, client)
			})
		})
	}
}

func TestPublishReturnsWhenItsContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &fakeQueue{answer: always(answer{latency: time.Hour})}
		c := newClient(t, Config{}, q)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		err := c.Publish(ctx, testEvent("a"))
		var one *SendError
		if !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &one) || !one.Unknown ||
			time.Since(start) != time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		if err = c.Publish(ctx, testEvent("b")); !errors.As(err, &one) || one.Unknown {
			t.Errorf("with a context that is over: %v", err)
		}
		q.set(nil)
		mustClose(t, c)
		if q.has("b") != 0 {
			t.Error("b was sent")
		}
	})
}

func TestPublishGivesUpWhileAllSendersRetry(t *testing.T) {
	for name, m := range map[string]answer{"refused": {err: errRefused}, "black hole": {latency: time.Hour}} {
		for _, dir := range []string{"", t.TempDir()} {
			t.Run(fmt.Sprintf("%s, disk %v", name, dir != ""), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					q := &fakeQueue{answer: always(m)}
					config := Config{Senders: 2, BufferBytes: 4 << 20, Dir: dir}
					if dir != "" {
						config.Durability = Process
					}
					c := newClient(t, config, q)
					for i := range 3 {
						if err := c.Enqueue(testEvent(fmt.Sprint(i))); err != nil {
							t.Fatal(err)
						}
						time.Sleep(time.Second)
					}
					ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
					defer cancel()
					start := time.Now()
					var one *SendError
					if err := c.Publish(ctx, testEvent("waited for")); !errors.As(err, &one) ||
						errors.Is(err, context.DeadlineExceeded) && ctx.Err() != nil {
						t.Errorf("publish: %v", err)
					}
					if took := time.Since(start); took > 2*sqsclient.CallTimeout+5*time.Second {
						t.Errorf("Publish gave up after %v", took)
					}
					before := c.Stats().WaitingBytes
					for i := range 100 { // a caller that stops waiting frees the memory of its events
						ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
						_ = c.Publish(ctx, large(fmt.Sprint("left", i)))
						cancel()
					}
					time.Sleep(time.Minute)
					if now := c.Stats().WaitingBytes; now > before {
						t.Errorf("%d bytes of memory are taken, %d more than before", now, now-before)
					}
					q.set(nil)
					time.Sleep(time.Minute)
					mustClose(t, c)
					if q.len() < 3 {
						t.Errorf("SQS has %v", q.got)
					}
				})
			})
		}
	}
}

func TestEventsWaitWhileTheQueueIsDown(t *testing.T) {
	for name, m := range map[string]answer{
		"refused": {err: errRefused}, "black hole": {latency: time.Hour}, "throttled": {err: errThrottled},
		"5 s":         {latency: 5 * time.Second},
		"every entry": {entry: func(int) *refusal { return &refusal{} }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := &fakeQueue{answer: always(m)}
				var log logs
				c := newClient(t, Config{Logger: slog.New(slog.NewTextHandler(&log, nil))}, q)
				for i := range 1000 {
					if err := c.Enqueue(testEvent(fmt.Sprint(i))); err != nil {
						t.Fatal(err)
					}
					time.Sleep(60 * time.Millisecond)
				}
				calls := q.sent()
				if most := 60 * 8; calls > most {
					t.Errorf("%d calls in a minute", calls)
				}
				q.set(nil)
				// a call that hung ends after 10 s, the breaker allows a probe after 1 s, and a
				// wait takes up to 3.2 s
				time.Sleep(16 * time.Second)
				if q.len() != 1000 {
					t.Errorf("%d of 1000 events 16 s after the queue recovered", q.len())
				}
				if m.latency != 5*time.Second && (!log.has("takes no events") || !log.has("takes events again")) {
					t.Errorf("the log is:\n%s", log.String())
				}
				mustClose(t, c)
				q.check(t)
			})
		})
	}
}

func TestFullBufferDropsTheNewestEventsWithErrFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &fakeQueue{answer: always(answer{err: errRefused})}
		told := &outcomes{}
		c := newClient(t, Config{BufferBytes: 4 << 20, Callback: told}, q)
		accepted := 0
		var refused []string
		for i := range 20_000 {
			m := testEvent(fmt.Sprint(i))
			m.Properties = analytics.Properties{"x": strings.Repeat("x", 500)}
			switch err := c.Enqueue(m); err {
			case nil:
				accepted++
			case ErrFull:
				refused = append(refused, m.MessageId)
			default:
				t.Fatal(err)
			}
		}
		if accepted < 1000 || len(refused) < 1000 || len(told.all(false)) != len(refused) || told.err != ErrFull {
			t.Errorf("accepted %d, refused %d, told %d with %v", accepted, len(refused), len(told.all(false)), told.err)
		}
		if n := c.Stats().Dropped[Full]; n != int64(len(refused)) {
			t.Errorf("counted %d", n)
		}
		q.set(nil)
		mustClose(t, c)
		if q.len() != accepted {
			t.Errorf("SQS has %d of %d accepted events", q.len(), accepted)
		}
		if err := c.buffer.held.Load(); err != 0 {
			t.Errorf("%d bytes are still held", err)
		}
	})
}

func TestShutdownErrorCountsTheLostEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &fakeQueue{answer: always(answer{latency: time.Hour})}
		told := &outcomes{}
		c := newClient(t, Config{Callback: told}, q)
		for i := range 50 {
			if err := c.Enqueue(testEvent(fmt.Sprint(i))); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Millisecond)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		start := time.Now()
		err := c.Shutdown(ctx)
		var lost *ShutdownError
		if !errors.As(err, &lost) || lost.Events != 50 || !errors.Is(err, context.DeadlineExceeded) ||
			time.Since(start) > 3*time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		var one *SendError
		if len(told.all(false)) != 50 || !errors.As(told.err, &one) {
			t.Errorf("told %d: %v", len(told.all(false)), told.err)
		}
	})
}

func TestNextRegionTakesOverUntilTheFirstRecovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second, third := &fakeQueue{answer: always(answer{err: errRefused})},
			&fakeQueue{answer: always(answer{err: errThrottled})}, &fakeQueue{}
		var log logs
		c := newClient(t, Config{Logger: slog.New(slog.NewTextHandler(&log, nil))}, first, second, third)
		send := func(from, to int) {
			t.Helper()
			for i := from; i < to; i++ {
				if err := c.Enqueue(testEvent(fmt.Sprint(i))); err != nil {
					t.Fatal(err)
				}
				time.Sleep(100 * time.Millisecond)
			}
			time.Sleep(300 * time.Millisecond)
		}
		send(0, 100)
		if third.len() != 100 {
			t.Errorf("the third region has %d of 100", third.len())
		}
		if first.sent() > 15 || second.sent() > 15 {
			t.Errorf("%d calls in 10 s to the first region, %d to the second: one a second is enough to see whether "+
				"they are back", first.sent(), second.sent())
		}
		second.set(nil)
		time.Sleep(2 * time.Second)
		send(100, 200)
		if second.len() != 100 || third.len() != 100 {
			t.Errorf("the second region has %d, the third %d", second.len(), third.len())
		}
		first.set(nil)
		time.Sleep(2 * time.Second)
		send(200, 300)
		if first.len() != 100 || second.len() != 100 {
			t.Errorf("the first region has %d, the second %d", first.len(), second.len())
		}
		for _, want := range []string{`takes events again" queue=http://region0`, `takes events again" queue=http://region1`,
			`takes no events`} {
			if !log.has(want) {
				t.Errorf("the log lacks %q:\n%s", want, log.String())
			}
		}
		mustClose(t, c)
	})
}

func TestMessageRefusedBySQSIsDroppedAndTheOthersAreSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &fakeQueue{answer: always(answer{refuse: map[int]*refusal{0: {senderFault: true}}})}
		told := &outcomes{}
		c := newClient(t, Config{Callback: told, MessageEvents: 10}, q)
		for i := range 25 {
			if err := c.Enqueue(testEvent(fmt.Sprint(i))); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Minute)
		if q.len()+len(told.all(false)) != 25 || len(told.all(false)) == 0 ||
			c.Stats().Dropped[Refused] != int64(len(told.all(false))) {
			t.Errorf("SQS has %d, the callback was told of %d, %v counted", q.len(), len(told.all(false)), c.Stats().Dropped)
		}
		mustClose(t, c)
	})
}

func TestUnencodableEventIsRejectedAndTheOthersAreSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &fakeQueue{}
		c := newClient(t, Config{}, q)
		var typed *EventError
		for i := range 100 {
			bad := testEvent("bad")
			bad.Properties = analytics.Properties{"x": math.NaN()}
			if i%2 == 0 {
				bad.Properties["x"] = strings.Repeat("x", 40<<10)
			}
			if err := c.Enqueue(bad); !errors.As(err, &typed) {
				t.Fatalf("error %v", err)
			}
			if err := c.Enqueue(testEvent(fmt.Sprint(i))); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.Publish(t.Context(), analytics.Track{UserId: "u", Event: strings.Repeat("x", 40<<10)}); !errors.Is(err,
			analytics.ErrMessageTooBig) {
			t.Errorf("publish: %v", err)
		}
		mustClose(t, c)
		if q.len() != 100 || c.Stats().Rejected[TooLarge] != 51 || c.Stats().Rejected[Unencodable] != 50 {
			t.Errorf("SQS has %d of 100 good events; dropped %v", q.len(), c.Stats().Dropped)
		}
		q.check(t)
	})
}

type panickingCallback struct{}

func (panickingCallback) Success(analytics.Message)        { panic("success") }
func (panickingCallback) Failure(analytics.Message, error) { panic("failure") }

func TestPanicOfTheCallbackIsRecovered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &fakeQueue{}
		c := newClient(t, Config{Callback: panickingCallback{}}, q)
		for i := range 10 {
			if err := c.Enqueue(testEvent(fmt.Sprint(i))); err != nil {
				t.Fatal(err)
			}
		}
		mustClose(t, c)
		if q.len() != 10 {
			t.Errorf("SQS has %d of 10 events", q.len())
		}
	})
}

func TestConcurrentUseLosesNoEvent(t *testing.T) {
	q := &fakeQueue{}
	c := newClient(t, Config{Interval: time.Millisecond}, q)
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			for i := range 2000 {
				id := fmt.Sprintf("%d-%d", g, i)
				var err error
				if i%500 == 0 {
					err = c.Publish(context.Background(), testEvent(id))
				} else {
					err = c.Enqueue(testEvent(id))
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	mustClose(t, c)
	if q.len() != 16_000 {
		t.Errorf("SQS has %d of 16000 events", q.len())
	}
	q.check(t)
}

func TestStatsCountEventsAndMetricsAreWrittenEveryMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &fakeQueue{}
		var out logs
		var log logs
		c := newClient(t, Config{Metrics: &out, Logger: slog.New(slog.NewTextHandler(&log, nil))}, q)
		send := func(n int) {
			t.Helper()
			for i := range n {
				if err := c.Enqueue(testEvent(fmt.Sprint(i))); err != nil {
					t.Fatal(err)
				}
			}
		}
		send(10)
		time.Sleep(reportInterval + time.Second)
		if !out.has(`"EventsPublished":10`) || !out.has(`"EventsDropped":0`) || !out.has(`"Function":"publisher"`) ||
			!out.has(`"Pipeline":"spillway"`) {
			t.Errorf("the metrics are:\n%s", out.String())
		}
		if s := c.Stats(); s.Retried != 0 || s.Published != 10 {
			t.Errorf("each event was taken in the first call: %+v", s)
		}
		q.set(always(answer{err: errRefused}))
		send(5)
		_ = c.Enqueue(analytics.Track{})
		time.Sleep(50 * time.Second)
		s := c.Stats()
		if s.Published != 10 || s.Messages != 1 || s.Waiting != 5 || s.WaitingBytes == 0 || s.Queue != "" ||
			s.Rejected[Invalid] != 1 || s.Retried == 0 {
			t.Errorf("%+v", s)
		}
		if text := c.String(); !strings.Contains(text, `"Published":10`) {
			t.Errorf("expvar would show %s", text)
		}
		q.set(nil)
		mustClose(t, c)
		if s := c.Stats(); s.Published != 15 || s.Waiting != 0 || s.WaitingBytes != 0 || s.Oldest != 0 {
			t.Errorf("%+v", s)
		}
		if !out.has(`"EventsPublished":5`) || !out.has(`"Reason":"invalid"`) {
			t.Errorf("the metrics are:\n%s", out.String())
		}
		if !log.has(`msg="events were rejected; their callers got the errors" since_last=map[invalid:1]`) {
			t.Errorf("the log is:\n%s", log.String())
		}
	})
}

func TestPublishDoesNotDelayWritesToDisk(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := &fakeQueue{answer: always(answer{latency: time.Hour})}
		c := newClient(t, Config{Dir: t.TempDir(), BufferBytes: minBufferBytes, Senders: 1}, q)
		var publishing sync.WaitGroup
		for i := range 2000 {
			if err := c.Enqueue(large(fmt.Sprint(i))); err != nil {
				t.Fatalf("event %d: %v: %+v", i, err, c.Stats())
			}
			if i%50 == 0 {
				publishing.Go(func() {
					if err := c.Publish(t.Context(), testEvent(fmt.Sprint("p", i))); err == nil {
						t.Error("published into a black hole")
					}
				})
			}
			time.Sleep(5 * time.Millisecond)
		}
		publishing.Wait()
		q.set(nil)
		time.Sleep(20 * time.Second) // until a call has ended and the breaker allows a probe
		mustClose(t, c)
		if q.len() < 2000 {
			t.Errorf("SQS has %d events", q.len())
		}
	})
}

func TestWithFairQueuesEachMessageHasTheGroupOfTheWriteKey(t *testing.T) {
	for _, c := range []struct {
		config Config
		want   string
	}{{Config{WriteKey: "k", FairQueues: true}, message.GroupID("k")}, {Config{FairQueues: true}, message.GroupID("")},
		{Config{WriteKey: "k"}, ""}} {
		for _, durability := range []Durability{Memory, Process} {
			synctest.Test(t, func(t *testing.T) {
				q := &fakeQueue{}
				c.config.Durability, c.config.Dir = durability, t.TempDir()
				client := newClient(t, c.config, q)
				if err := client.Enqueue(testEvent("later")); err != nil {
					t.Fatal(err)
				}
				if err := client.Publish(t.Context(), testEvent("now")); err != nil {
					t.Fatal(err)
				}
				mustClose(t, client)
				if len(q.groups) != 1 || q.groups[c.want] != q.messages || q.messages < 2 {
					t.Errorf("%+v: %d messages with the groups %v, want %q", c.config, q.messages, q.groups, c.want)
				}
			})
		}
	}
}

func TestRawEventsGetNoContext(t *testing.T) {
	for _, durability := range []Durability{Memory, Process} {
		synctest.Test(t, func(t *testing.T) {
			q := &fakeQueue{}
			c := newClient(t, Config{WriteKey: "k", Durability: durability, Dir: t.TempDir()}, q)
			const text = `{"type":"track","userId":"u","event":"E","messageId":"%s","timestamp":"t","category":1.50}`
			for i := range 20 {
				raw, err := NewRaw(fmt.Appendf(nil, text, fmt.Sprint("raw", i)))
				if err != nil {
					t.Fatal(err)
				}
				if err := errors.Join(c.Enqueue(raw), c.Enqueue(testEvent(fmt.Sprint(i)))); err != nil {
					t.Fatal(err)
				}
			}
			raw, err := NewRaw(fmt.Appendf(nil, text, "published"))
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Publish(t.Context(), testEvent("m"), raw); err != nil {
				t.Fatal(err)
			}
			mustClose(t, c)
			q.check(t)
			for _, h := range q.headers {
				if h.WriteKey != "k" {
					t.Errorf("write key %q", h.WriteKey)
				}
			}
			raws := slices.DeleteFunc(slices.Clone(q.noContext),
				func(id string) bool { return id != "published" && !strings.HasPrefix(id, "raw") })
			if q.len() != 42 || len(q.noContext) != 21 || len(raws) != 21 || q.messages > 8 ||
				!slices.Contains(q.events, fmt.Sprintf(text, "raw7")) {
				t.Errorf("%d events in %d messages, without a context: %v", q.len(), q.messages, q.noContext)
			}
		})
	}
}
