package ingest

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

func newCommitter(t testing.TB, q Sender, linger time.Duration, slots int) *committer {
	t.Helper()
	compressor, err := message.NewCompressor()
	if err != nil {
		t.Fatal(err)
	}
	return &committer{queue: withBreaker(q), fair: func() bool { return true }, linger: linger,
		timeout: 5 * time.Second, compressor: compressor,
		slots: make(chan struct{}, slots), draining: make(chan struct{}), logger: slog.New(slog.DiscardHandler)}
}

// partOf is a part with events under a write key.
func partOf(writeKey string, events ...string) part {
	l := part{header: message.Header{WriteKey: writeKey, ReceivedAt: time.Now()}}
	for _, e := range events {
		l.events = append(l.events, []byte(e))
		l.size += len(e) + 1
	}
	return l
}

// calling lets a committer have a call under way until the test ends, so that requests linger. The
// queue sees nothing of it.
func calling(t *testing.T, c *committer) {
	c.begin(nil)
	t.Cleanup(c.end)
}

func TestConcurrentRequestsShareAMessageAndACall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &fakeQueue{}
		c := newCommitter(t, q, 5*time.Millisecond, 4)
		calling(t, c)
		start := time.Now()
		var requests sync.WaitGroup
		for i := range 30 {
			requests.Go(func() {
				time.Sleep(time.Duration(i%4) * time.Millisecond)
				if err := c.submit(t.Context(), []part{partOf(keyA, track(fmt.Sprint(i)))}); err != nil {
					t.Error(err)
				}
				want(t, "waited", time.Since(start), 5*time.Millisecond)
			})
		}
		requests.Wait()
		want(t, "messages, calls, events", []int{len(q.messages), q.calls, len(events(t, q))}, []int{1, 1, 30})
		if got := sent(t, q)[0].ReceivedAt; !got.Equal(start) {
			t.Errorf("the message was received at %v, its first event at %v", got, start)
		}
	})
}

// A queue that answers faster than the linger, as the one on this machine, must not be slowed down.
func TestARequestWaitsForOthersOnlyWhileACallIsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const ms = time.Millisecond
		var sizes []int
		q := &fakeQueue{send: func(_ context.Context, messages []message.Message) error {
			sizes = append(sizes, len(messages))
			time.Sleep(2 * ms)
			return nil
		}}
		c := newCommitter(t, q, 5*ms, 4)
		start := time.Now()
		var requests sync.WaitGroup
		for at, answered := range map[time.Duration]time.Duration{0: 2 * ms, // at once
			1 * ms: 4 * ms, 3 * ms / 2: 4 * ms, // together, after the first call
			3 * ms: 6 * ms, 20 * ms: 22 * ms} {
			requests.Go(func() {
				time.Sleep(at)
				if err := c.submit(t.Context(), []part{partOf(keyA, track("1"))}); err != nil {
					t.Error(err)
				}
				want(t, fmt.Sprintf("the request at %v is answered", at), time.Since(start), answered)
			})
		}
		requests.Wait()
		want(t, "messages of each call", sizes, []int{1, 1, 1, 1})
		want(t, "events", len(events(t, q)), 5)
	})
}

func TestRequestsWithDifferentHeadersShareACallButNoMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &fakeQueue{}
		c := newCommitter(t, q, 5*time.Millisecond, 4)
		calling(t, c)
		headers := []message.Header{
			{WriteKey: keyA}, {WriteKey: keyB}, {WriteKey: keyA, Origin: event.FromClient},
			{WriteKey: keyA, Context: []byte(`{"a":1}`)}, {WriteKey: keyA, Integrations: []byte(`{"a":1}`)},
		}
		var requests sync.WaitGroup
		for i := range 20 {
			requests.Go(func() {
				l := partOf("", track(fmt.Sprint(i)))
				l.header = headers[i%len(headers)]
				if err := c.submit(t.Context(), []part{l}); err != nil {
					t.Error(err)
				}
			})
		}
		requests.Wait()
		want(t, "messages, calls", []int{len(q.messages), q.calls}, []int{5, 1})
		for _, m := range sent(t, q) {
			want(t, "events", len(m.Events), 4)
		}
	})
}

func TestAMessageHasTheGroupOfItsWriteKeyWhileThatIsFair(t *testing.T) {
	q, fair := &fakeQueue{}, true
	c := newCommitter(t, q, 0, 4)
	c.fair = func() bool { return fair }
	for _, key := range []string{keyA, keyB, keyA} {
		if err := c.submit(t.Context(), []part{partOf(key, track("1"))}); err != nil {
			t.Error(err)
		}
		fair = key == keyA
	}
	groups := []string{q.messages[0].Group, q.messages[1].Group, q.messages[2].Group}
	want(t, "groups", groups, []string{message.GroupID(keyA), message.GroupID(keyB), ""})
}

func TestWithoutLingerARequestIsSentAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &fakeQueue{}
		c := newCommitter(t, q, 0, 4)
		start := time.Now()
		if err := c.submit(t.Context(), []part{partOf(keyA, track("1"))}); err != nil {
			t.Error(err)
		}
		want(t, "waited", time.Since(start), time.Duration(0))
	})
}

func TestAFullGroupDoesNotLinger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &fakeQueue{}
		c := newCommitter(t, q, time.Second, 4)
		calling(t, c)
		start := time.Now()
		var requests sync.WaitGroup
		for i := range 3 {
			requests.Go(func() {
				if err := c.submit(t.Context(),
					[]part{partOf(keyA, `{"n":`+fmt.Sprint(i)+`,"x":"`+strings.Repeat("x", maxGroupBytes/3)+`"}`)}); err != nil {
					t.Error(err)
				}
			})
		}
		requests.Wait()
		want(t, "waited", time.Since(start), time.Duration(0))
	})
}

func TestRequestsJoinOneGroupWhileAllCallsAreInUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &fakeQueue{send: func(context.Context, []message.Message) error { time.Sleep(time.Second); return nil }}
		c := newCommitter(t, q, 0, 2)
		var requests sync.WaitGroup
		for i := range 50 {
			requests.Go(func() {
				if err := c.submit(t.Context(), []part{partOf(keyA, track(fmt.Sprint(i)))}); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		requests.Wait()
		want(t, "calls, messages", []int{q.calls, len(q.messages)}, []int{3, 3})
		want(t, "events", len(events(t, q)), 50)
	})
}

func TestAHangingQueueDelaysARequestByTheTimeoutAtMost(t *testing.T) {
	for name, c := range map[string]struct{ deadline, after time.Duration }{
		"the limit's":   {0, 5 * time.Second},
		"the request's": {2 * time.Second, 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := &fakeQueue{send: func(ctx context.Context, _ []message.Message) error { <-ctx.Done(); return ctx.Err() }}
				committer := newCommitter(t, q, 0, 2)
				ctx := t.Context()
				if c.deadline > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, c.deadline)
					defer cancel()
				}
				start := time.Now()
				var requests sync.WaitGroup
				for range 10 {
					requests.Go(func() {
						if err := committer.submit(ctx, []part{partOf(keyA, track("1"))}); err == nil {
							t.Error("accepted")
						}
						if waited := time.Since(start); waited > c.after {
							t.Errorf("waited %v", waited)
						}
					})
				}
				requests.Wait()
			})
		})
	}
}

func TestACancelledRequestDoesNotCancelTheOthersOfItsGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &fakeQueue{send: func(ctx context.Context, _ []message.Message) error { return ctx.Err() }}
		c := newCommitter(t, q, 5*time.Millisecond, 2)
		calling(t, c)
		ctx, leave := context.WithCancel(t.Context())
		var requests sync.WaitGroup
		requests.Go(func() { c.submit(ctx, []part{partOf(keyA, track("1"))}) })
		synctest.Wait()
		requests.Go(func() {
			if err := c.submit(t.Context(), []part{partOf(keyA, track("2"))}); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		leave()
		requests.Wait()
	})
}

func TestAPanicOfTheLeaderEndsTheWaitOfItsGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &fakeQueue{send: func(context.Context, []message.Message) error { panic("a bug") }}
		c := newCommitter(t, q, 5*time.Millisecond, 1)
		calling(t, c)
		var requests sync.WaitGroup
		panics := 0
		requests.Go(func() {
			defer func() {
				if recover() != nil {
					panics++
				}
			}()
			c.submit(t.Context(), []part{partOf(keyA, track("1"))})
		})
		synctest.Wait()
		requests.Go(func() {
			if err := c.submit(t.Context(), []part{partOf(keyA, track("2"))}); !errors.Is(err, errPanic) {
				t.Errorf("the other got %v", err)
			}
		})
		requests.Wait()
		want(t, "panics", panics, 1)
		want(t, "calls under way", len(c.slots), 0)
	})
}

// TestEachRequestGetsTheResultOfItsOwnEvents is an oracle: requests of any size and header come at
// any time, the queue accepts some messages, refuses some, fails whole calls and hangs. The queue
// has all events of an accepted request, once, and none of a refused one, unless that is larger
// than a message.
var seeds = flag.Int("seeds", 10, "with how many seeds random requests go to a queue that fails at random")

func TestEachRequestGetsTheResultOfItsOwnEvents(t *testing.T) {
	for seed := range uint64(*seeds) {
		synctest.Test(t, func(t *testing.T) {
			rng, faults := rand.New(rand.NewPCG(seed, 1)), rand.New(rand.NewPCG(seed, 2))
			var mu sync.Mutex
			chance := func(n int) bool { mu.Lock(); defer mu.Unlock(); return faults.IntN(n) == 0 }
			q := &fakeQueue{send: func(ctx context.Context, messages []message.Message) error {
				time.Sleep(time.Millisecond * 10)
				switch {
				case chance(8):
					return errQueueDown
				case chance(20):
					<-ctx.Done()
					return ctx.Err()
				}
				failed := map[int]error{}
				for i := range messages {
					if chance(4) {
						failed[i] = errQueueDown
					}
				}
				if len(failed) > 0 {
					return &sqsclient.SendError{Failed: failed}
				}
				return nil
			}}
			c := newCommitter(t, q, time.Duration(rng.IntN(3)*8)*time.Millisecond, 1+rng.IntN(3))
			type outcome struct {
				events  []string
				several bool
				key     string
				err     error
			}
			outcomes := make([]outcome, 60)
			var requests sync.WaitGroup
			for i := range outcomes {
				o := &outcomes[i]
				o.key = []string{keyA, keyA, keyA, keyB}[rng.IntN(4)]
				n, fill := 1+rng.IntN(4), rng.IntN(200)
				switch rng.IntN(10) {
				case 0:
					n, fill = 1+rng.IntN(14), 30_000
				case 1:
					n, fill = 20, 30_000 // two messages
				}
				for k := range n {
					o.events = append(o.events, fmt.Sprintf(`{"id":"%d.%d","x":"%s"}`, i, k, strings.Repeat("x", fill)))
				}
				loads := []part{partOf(o.key, o.events...)}
				if n > 1 && rng.IntN(6) == 0 { // of two origins
					loads = []part{partOf(o.key, o.events[:n/2]...), partOf(o.key, o.events[n/2:]...)}
					loads[1].header.Origin = event.FromClient
				}
				o.several = len(loads) > 1 || loads[0].size > event.MaxBatchBytes
				after := time.Duration(rng.IntN(40)) * time.Millisecond
				requests.Go(func() {
					time.Sleep(after)
					o.err = c.submit(t.Context(), loads)
				})
			}
			requests.Wait()
			in := map[string]string{} // the write key of the message that each event is in
			for _, m := range sent(t, q) {
				for _, e := range m.Events {
					if in[string(e.Raw)] != "" {
						t.Fatalf("seed %d: an event is there twice", seed)
					}
					in[string(e.Raw)] = m.WriteKey
				}
			}
			for i, o := range outcomes {
				there := 0
				for _, e := range o.events {
					if in[e] == o.key {
						there++
					} else if in[e] != "" {
						t.Fatalf("seed %d: an event has another write key", seed)
					}
				}
				if o.err == nil && there != len(o.events) || o.err != nil && there > 0 && !o.several ||
					o.err != nil && there == len(o.events) {
					t.Fatalf("seed %d: request %d got the error %v, and the queue has %d of its %d events", seed, i, o.err, there,
						len(o.events))
				}
			}
		})
	}
}
