package outbox

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/spill"
	"github.com/spillwayhq/spillway/shared/spill/spilltest"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

var errAway = errors.New("the queue is away")

// queue is a Queue that has messages by their bodies, and fails as a test says.
type queue struct {
	mu   sync.Mutex
	send func(context.Context, []message.Message) error // nil: it takes all
	got  map[string]message.Message
}

func (q *queue) Send(ctx context.Context, messages []message.Message) error {
	q.mu.Lock()
	send := q.send
	q.mu.Unlock()
	var err error
	if send != nil {
		err = send(ctx, messages)
	}
	failed := sqsclient.Failures(err, len(messages))
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.got == nil {
		q.got = map[string]message.Message{}
	}
	for i, m := range messages {
		if failed[i] == nil {
			q.got[m.Body] = m
		}
	}
	return err
}

// mortal is a process's way to a queue, which ends with it.
type mortal struct {
	*queue
	dead *atomic.Bool
}

func (m mortal) Send(ctx context.Context, messages []message.Message) error {
	if m.dead.Load() {
		return errAway
	}
	return m.queue.Send(ctx, messages)
}

func (q *queue) Refusing(time.Time) bool { return false }

func (q *queue) set(send func(context.Context, []message.Message) error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.send = send
}

func away(context.Context, []message.Message) error { return errAway }

// failing fails the messages with these indexes.
func failing(err error, indexes ...int) func(context.Context, []message.Message) error {
	return func(_ context.Context, messages []message.Message) error {
		failed := map[int]error{}
		for _, i := range indexes {
			if i < len(messages) {
				failed[i] = err
			}
		}
		if len(failed) == 0 {
			return nil
		}
		return &sqsclient.SendError{Failed: failed}
	}
}

// some are messages with attributes of their own.
func some(from, n int) (messages []message.Message) {
	for i := from; i < from+n; i++ {
		messages = append(messages, message.Message{Body: fmt.Sprint("body ", i), Attributes: map[string]message.Attribute{
			message.AttrEventCount: message.NumberAttribute(int64(i)), message.AttrReason: message.StringAttribute("invalid"),
		}})
	}
	return messages
}

type opened struct {
	*Outbox
	log  *bytes.Buffer
	stop func()
}

// open opens an Outbox in a bubble and runs it.
func open(t *testing.T, disk *spilltest.Disk, q Queue, maxBytes int64) *opened {
	t.Helper()
	log := &bytes.Buffer{}
	b, err := Open(spill.WithFS(t.Context(), disk), Options{Dir: "/spill", MaxBytes: maxBytes, Queue: q,
		Logger: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { b.Run(ctx) })
	return &opened{Outbox: b, log: log, stop: func() {
		cancel()
		running.Wait()
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}}
}

func TestWhatTheQueueDoesNotTakeIsOnDiskAndSentLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &queue{}
		b := open(t, spilltest.New(), q, 1<<20)
		want := some(0, 30)
		for i, send := range []func(context.Context, []message.Message) error{nil, failing(errAway, 1, 3), away} {
			q.set(send)
			if err := b.Send(t.Context(), want[10*i:10*i+10]); err != nil {
				t.Error(err)
			}
		}
		if s := b.Stats(); s.Spilled != 12 || !s.Unsent || s.Oldest.IsZero() {
			t.Errorf("%+v", s)
		}
		time.Sleep(time.Minute)
		q.set(nil)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		for _, m := range want {
			if !reflect.DeepEqual(q.got[m.Body], m) {
				t.Errorf("%s: the queue has %+v", m.Body, q.got[m.Body])
			}
		}
		if s := b.Stats(); s.Replayed != 12 || s.Unsent || s.Dropped != 0 {
			t.Errorf("%+v", s)
		}
		b.stop()
		for _, line := range []string{"the queue takes no messages", "the queue has all messages"} {
			if n := strings.Count(b.log.String(), line); n != 1 {
				t.Errorf("%d lines %q:\n%s", n, line, b.log.String())
			}
		}
	})
}

// slow is a queue that takes messages after a time, unless the caller leaves before.
func slow(latency func() time.Duration) func(context.Context, []message.Message) error {
	return func(ctx context.Context, _ []message.Message) error {
		select {
		case <-time.After(latency()):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func hanging(ctx context.Context, _ []message.Message) error { <-ctx.Done(); return ctx.Err() }

func TestAQueueThatHangsDelaysOnlyTheFirstMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &queue{send: hanging}
		b := open(t, spilltest.New(), q, 1<<20)
		sendFor := func(messages []message.Message, limit time.Duration) time.Duration {
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			start := time.Now()
			if err := b.Send(ctx, messages); err != nil {
				t.Error(err)
			}
			return time.Since(start)
		}
		var first sync.WaitGroup
		start := time.Now()
		for i := range 50 {
			first.Go(func() {
				time.Sleep(time.Duration(i) * time.Millisecond)
				sendFor(some(i, 1), 5*time.Second)
			})
		}
		first.Wait()
		if took := time.Since(start); took != patience {
			t.Errorf("the first messages waited until %v after the first one, want %v", took, patience)
		}
		if took := sendFor(some(50, 1), 5*time.Second); took != 0 {
			t.Errorf("one that came later waited for %v", took)
		}
		q.set(nil)
		time.Sleep(time.Minute)
		synctest.Wait()
		for i := range 51 {
			if _, ok := q.got[fmt.Sprint("body ", i)]; !ok {
				t.Errorf("message %d is lost", i)
			}
		}
		q.set(hanging)
		if took := sendFor(some(60, 1), patience/2); took != patience/2 {
			t.Errorf("a sender with little time waited for %v", took)
		}
		b.stop()
	})
}

// TestASlowQueueGetsEachMessageOnceAndDelaysNobody plays ten seconds of an outage in which the queue
// takes its time.
func TestASlowQueueGetsEachMessageOnceAndDelaysNobody(t *testing.T) {
	for _, latency := range []time.Duration{50 * time.Millisecond, 240 * time.Millisecond, 300 * time.Millisecond,
		time.Second, 2 * time.Second, 4 * time.Second} {
		t.Run(latency.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				calls := map[string]int{}
				var mu sync.Mutex
				takes := slow(func() time.Duration { return latency })
				q := &queue{send: func(ctx context.Context, messages []message.Message) error {
					mu.Lock()
					for _, m := range messages {
						calls[m.Body]++
					}
					mu.Unlock()
					return takes(ctx, messages)
				}}
				b := open(t, spilltest.New(), q, 1<<20)
				var senders sync.WaitGroup
				const n = 300
				waited := 0
				for i := range n {
					time.Sleep(10 * time.Second / n)
					senders.Go(func() {
						ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
						defer cancel()
						start := time.Now()
						if err := b.Send(ctx, some(i, 1)); err != nil {
							t.Error(err)
						}
						took := time.Since(start)
						if took > patience {
							t.Errorf("message %d waited for %v", i, took)
						}
						mu.Lock()
						defer mu.Unlock()
						if took > 0 {
							waited++
						}
					})
				}
				senders.Wait()
				if latency > patience && waited > 10 {
					t.Errorf("%d of %d messages waited", waited, n)
				}
				time.Sleep(time.Minute)
				synctest.Wait()
				for i := range n {
					if body := fmt.Sprint("body ", i); calls[body] != 1 || q.got[body].Body == "" {
						t.Errorf("message %d was sent %d times", i, calls[body])
					}
				}
				if s := b.Stats(); s.Unsent || s.Spilled != s.Replayed {
					t.Errorf("%+v", s)
				}
				b.stop()
			})
		})
	}
}

func TestADiskThatIsFullWaitsForASlowQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &queue{send: away}
		b := open(t, spilltest.New(), q, 4<<10)
		for i := 0; b.Send(t.Context(), some(i, 1)) == nil; i++ {
		}
		q.set(slow(func() time.Duration { return time.Second }))
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		start := time.Now()
		if err := b.Send(ctx, some(1000, 1)); err != nil || time.Since(start) != time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		q.set(hanging)
		start = time.Now()
		large := []message.Message{{Body: strings.Repeat("x", 5<<10)}} // whatever the queue has taken meanwhile
		if err := b.Send(ctx, large); err == nil || time.Since(start) > 5*time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		b.stop()
	})
}

func TestTheQueueIsUsedAgainWhenItIsFast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &queue{send: slow(func() time.Duration { return time.Second })}
		b := open(t, spilltest.New(), q, 1<<20)
		for i := range 20 {
			if err := b.Send(t.Context(), some(i, 1)); err != nil {
				t.Error(err)
			}
		}
		q.set(slow(func() time.Duration { return 20 * time.Millisecond }))
		time.Sleep(10 * time.Second)
		if err := b.Send(t.Context(), some(20, 1)); err != nil { // the probe
			t.Error(err)
		}
		time.Sleep(time.Second)
		before := b.Stats().Spilled
		if err := b.Send(t.Context(), some(21, 1)); err != nil || b.Stats().Spilled != before {
			t.Errorf("%v, %+v", err, b.Stats())
		}
		b.stop()
	})
}

// TestAQueueThatIsSlowForAnHourGetsWhatComes: what is on disk must not grow for as long as the queue
// takes a second for each call.
var slowFor = flag.Duration("slow", time.Minute, "for how long a queue is slow to which 100 messages/s are sent")

func TestAQueueThatIsSlowForAnHourGetsWhatComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &queue{send: slow(func() time.Duration { return time.Second })}
		b := open(t, spilltest.New(), q, 1<<20)
		for i := range int(*slowFor / (10 * time.Millisecond)) {
			time.Sleep(10 * time.Millisecond)
			if err := b.Send(t.Context(), some(i, 1)); err != nil {
				t.Fatal(err)
			}
		}
		if age := time.Since(b.Stats().Oldest); age > 10*time.Second {
			t.Errorf("the oldest message on disk is %v old", age)
		}
		b.stop()
	})
}

// TestCallsThatHangAreBounded: a queue that answers some calls at once and others never keeps no
// more than so many calls.
func TestCallsThatHangAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var underWay, most atomic.Int64
		q := &queue{send: func(ctx context.Context, messages []message.Message) error {
			if messages[0].Body != "hangs" {
				time.Sleep(100 * time.Millisecond)
				return nil
			}
			most.Store(max(most.Load(), underWay.Add(1)))
			defer underWay.Add(-1)
			return hanging(ctx, messages)
		}}
		b := open(t, spilltest.New(), q, 1<<20)
		for range 50 {
			var senders sync.WaitGroup
			for range 16 {
				senders.Go(func() {
					if err := b.Send(t.Context(), []message.Message{{Body: "hangs"}}); err != nil {
						t.Error(err)
					}
				})
			}
			senders.Wait()
			if err := b.Send(t.Context(), some(0, 1)); err != nil {
				t.Error(err)
			}
			time.Sleep(200 * time.Millisecond)
		}
		if n := most.Load(); n < maxLate || n > maxLate+16+maxCalls {
			t.Errorf("%d calls were under way", n)
		}
		b.stop()
	})
}

func TestACallThatPanicsEndsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &queue{send: func(context.Context, []message.Message) error { panic("a bug") }}
		b := open(t, spilltest.New(), q, 1<<20)
		if err := b.Send(t.Context(), []message.Message{{Body: strings.Repeat("x", message.MaxBytes+1)}}); !errors.Is(err, errPanic) {
			t.Error(err)
		}
		b.stop()
	})
}

func TestAFullLogRefusesUntilTheQueueTakesMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := sqsclient.NewFailover(slog.New(slog.DiscardHandler), nil, sqsclient.Target{URL: "q", Sender: &queue{send: away}})
		q := f
		b := open(t, spilltest.New(), q, 4<<10)
		accepted := 0
		var err error
		for ; err == nil && accepted < 1000; accepted++ {
			err = b.Send(t.Context(), some(accepted, 1))
		}
		var failed *sqsclient.SendError
		if !errors.As(err, &failed) || !errors.Is(err, spill.ErrFull) || accepted < 20 || !b.Stats().Full {
			t.Errorf("after %d: %v", accepted, err)
		}
		for range 3 { // until the queue's circuit breaker opens: what went to disk had no call of its own
			_ = b.Send(t.Context(), some(accepted, 1))
		}
		if !b.Refusing(time.Now()) {
			t.Error("it does not say that it refuses")
		}
		time.Sleep(fullFor)
		if b.Refusing(time.Now()) {
			t.Error("it never tries the disk again")
		}
		_ = b.Send(t.Context(), some(0, 1))
		if n := strings.Count(b.log.String(), "can't be written to disk"); n != 1 {
			t.Errorf("%d lines:\n%s", n, b.log.String())
		}
		b.stop()
	})
}

func TestWhatSQSWouldRefuseAgainIsNotWrittenToDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &queue{send: failing(&sqsclient.RefusedError{Code: "InvalidMessageContents", SenderFault: true}, 1)}
		b := open(t, spilltest.New(), q, 1<<20)
		err := b.Send(t.Context(), some(0, 3))
		if failed := sqsclient.Failures(err, 3); len(failed) != 1 || failed[1] == nil || b.Stats().Spilled != 0 {
			t.Errorf("%v, %+v", err, b.Stats())
		}
		q.set(away)
		if err := b.Send(t.Context(), some(10, 3)); err != nil {
			t.Error(err)
		}
		q.set(failing(&sqsclient.RefusedError{Code: "InvalidMessageContents", SenderFault: true}, 0))
		time.Sleep(time.Minute)
		if s := b.Stats(); s.Dropped != 1 || s.Replayed != 2 || s.Unsent {
			t.Errorf("%+v", s)
		}
		b.stop()
		if !strings.Contains(b.log.String(), "a message on disk is dropped") {
			t.Error(b.log.String())
		}
	})
}

// TestNothingAcknowledgedIsLost counts in virtual time: while the queue comes and goes, the process
// is killed and the disk loses its power, again and again.
func TestNothingAcknowledgedIsLost(t *testing.T) {
	for seed := range uint64(60) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 1))
			q := &queue{}
			disk := spilltest.New()
			acknowledged := map[string]bool{}
			var mu sync.Mutex
			next := 0
			for range 6 {
				dead := new(atomic.Bool)
				b := open(t, disk, mortal{q, dead}, int64(8<<10+rng.IntN(64<<10)))
				var senders sync.WaitGroup
				for range 1 + rng.IntN(20) {
					switch rng.IntN(6) {
					case 0:
						q.set(nil)
					case 1:
						q.set(away)
					case 2:
						q.set(failing(errAway, rng.IntN(5), rng.IntN(5)))
					case 3:
						q.set(hanging)
					default:
						latency := time.Duration(rng.IntN(8000)) * time.Millisecond
						q.set(slow(func() time.Duration { return latency }))
					}
					messages := some(next, 1+rng.IntN(8))
					next += len(messages)
					senders.Go(func() {
						failed := sqsclient.Failures(b.Send(t.Context(), messages), len(messages))
						mu.Lock()
						defer mu.Unlock()
						for i, m := range messages {
							acknowledged[m.Body] = failed[i] == nil
						}
					})
					time.Sleep(time.Duration(rng.IntN(3000)) * time.Millisecond)
				}
				end := disk.Kill
				if rng.IntN(2) == 0 {
					end = disk.PowerCut
				}
				mu.Lock()
				dead.Store(true)
				was := maps.Clone(acknowledged) // what comes later is the old process's, which is dead
				disk = end()
				mu.Unlock()
				senders.Wait()
				b.stop()
				acknowledged = was
			}
			q.set(nil)
			b := open(t, disk, q, 1<<20)
			time.Sleep(time.Minute)
			b.stop()
			lost, accepted := 0, 0
			for body, ok := range acknowledged {
				if ok {
					accepted++
					if _, has := q.got[body]; !has {
						lost++
					}
				}
			}
			if lost > 0 || accepted == 0 || b.Stats().Unsent {
				t.Errorf("seed %d: %d of %d acknowledged messages are lost", seed, lost, accepted)
			}
		})
	}
}

func TestARecordIsTheMessage(t *testing.T) {
	for _, m := range append(some(0, 3), message.Message{Body: "x", Attributes: map[string]message.Attribute{}}) {
		got, err := parseRecord(appendRecord(nil, &m))
		if err != nil || !reflect.DeepEqual(got, m) {
			t.Errorf("%+v, %v", got, err)
		}
	}
}

// TestARecordOfTheFirstVersionIsRead keeps what an earlier version may have left on a disk.
func TestARecordOfTheFirstVersionIsRead(t *testing.T) {
	const first = "\x01\x02\x0bEvent-Count\x06Number\x011\x06Origin\x06String\x06client\x02{}"
	m, err := parseRecord([]byte(first))
	if err != nil || m.Body != "{}" || m.Attributes["Origin"].Text != "client" || len(m.Attributes) != 2 {
		t.Errorf("%+v, %v", m, err)
	}
	if again := string(appendRecord(nil, &m)); again != first {
		t.Errorf("%q", again)
	}
}

func FuzzRecord(f *testing.F) {
	for _, m := range some(0, 2) {
		f.Add(appendRecord(nil, &m))
	}
	f.Add([]byte("\x01\xff\xff\xff\x7f"))
	f.Fuzz(func(t *testing.T, record []byte) {
		m, err := parseRecord(record)
		if err != nil {
			return
		}
		again, err := parseRecord(appendRecord(nil, &m))
		if err != nil || !reflect.DeepEqual(again, m) {
			t.Errorf("%+v, then %+v (%v)", m, again, err)
		}
	})
}

func TestTheGroupOfAMessageSurvivesOnDisk(t *testing.T) {
	m := message.Message{Body: "{}", Group: "0123abcd", Attributes: map[string]message.Attribute{
		"Event-Count": message.NumberAttribute(1)}}
	record := appendRecord(nil, &m)
	got, err := parseRecord(record)
	if err != nil || !reflect.DeepEqual(got, m) {
		t.Errorf("read %+v, %v; want %+v", got, err, m)
	}
	// A version before groups reads it as an attribute, and finds the body where it looks for it.
	if record[0] != recordVersion || record[1] != 2 || !bytes.HasSuffix(record, []byte("{}")) {
		t.Errorf("an earlier version can't read %q", record)
	}
}
