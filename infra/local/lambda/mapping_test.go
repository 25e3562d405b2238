package lambda

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
)

// seen is an invocation as a handler saw it.
type seen struct {
	at     time.Duration // since the test began
	ids    []string
	bytes  int
	record events.SQSMessage // the first
}

// rig is a mapping from a memQueue to a handler, running in a bubble.
type rig struct {
	t        *testing.T
	queue    *memQueue
	function *Function
	mapping  *EventSourceMapping
	stop     context.CancelFunc
	ended    chan error
	begun    time.Time

	mu   sync.Mutex
	seen []seen
}

// answerer says what a handler answers to the messages with these ids.
type answerer func(ctx context.Context, ids []string) (string, error)

func succeed(context.Context, []string) (string, error) { return `{"batchItemFailures":[]}`, nil }

// take answers after d of work.
func take(d time.Duration) answerer {
	return func(context.Context, []string) (string, error) {
		time.Sleep(d)
		return "{}", nil
	}
}

// start runs a mapping in the bubble of the test; config needs no queue and no function.
func start(t *testing.T, queue *memQueue, function FunctionConfig, config MappingConfig, answer answerer) *rig {
	t.Helper()
	r := &rig{t: t, queue: queue, ended: make(chan error, 1), begun: time.Now()}
	function.NewEnvironment = same(func(ctx context.Context, payload []byte) ([]byte, error) {
		var event events.SQSEvent
		if err := json.Unmarshal(payload, &event); err != nil {
			return nil, err
		}
		ids := []string{}
		for _, record := range event.Records {
			ids = append(ids, record.MessageId)
		}
		r.mu.Lock()
		r.seen = append(r.seen, seen{at: time.Since(r.begun), ids: ids, bytes: len(payload), record: event.Records[0]})
		r.mu.Unlock()
		response, err := answer(ctx, ids)
		return []byte(response), err
	})
	r.function = NewFunction(function)
	config.Queue, config.QueueARN, config.Function = queue, testARN, r.function
	m, err := NewEventSourceMapping(config)
	if err != nil {
		t.Fatal(err)
	}
	r.mapping = m
	ctx, cancel := context.WithCancel(t.Context())
	r.stop = cancel
	go func() { r.ended <- m.Run(ctx) }()
	return r
}

// end stops the mapping, waits for it, and checks what always holds.
func (r *rig) end() Stats {
	r.t.Helper()
	r.stop()
	if err := <-r.ended; err != nil {
		r.t.Errorf("Run returned %v", err)
	}
	r.function.Close()
	s := r.mapping.Stats()
	if s.MessagesReceived != s.MessagesDeleted+s.MessagesFailed+s.DeletesFailed || s.Concurrent != 0 || s.Pollers != 0 {
		r.t.Errorf("the statistics don't add up: %+v", s)
	}
	return s
}

func (r *rig) invocations() []seen {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.seen)
}

// sizes is the number of messages of each invocation, smallest first.
func (r *rig) sizes() []int {
	n := []int{}
	for _, s := range r.invocations() {
		n = append(n, len(s.ids))
	}
	slices.Sort(n)
	return n
}

func TestAMessageReachesTheHandlerWithItsSourceAndIsDeleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, newMemQueue(time.Minute), FunctionConfig{}, MappingConfig{}, succeed)
		r.queue.send(1, 0)
		synctest.Wait()
		got := r.invocations()
		if len(got) != 1 || got[0].at != 0 {
			t.Fatalf("invocations %+v, want one at once", got)
		}
		record := got[0].record
		if record.MessageId != "m1" || record.Body != "1." || record.EventSourceARN != testARN ||
			record.AWSRegion != "eu-west-1" || record.Attributes["ApproximateReceiveCount"] != "1" {
			t.Errorf("record %+v", record)
		}
		s := r.end()
		if len(r.queue.left()) != 0 || s.MessagesReceived != 1 || s.MessagesDeleted != 1 || s.Invocations != 1 ||
			s.Failed != 0 || s.Peak != 1 {
			t.Errorf("left %v, %+v", r.queue.left(), s)
		}
	})
}

func TestWithoutABatchingWindowABatchIsOneReceiveOfAtMostTen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue := newMemQueue(time.Minute)
		queue.send(25, 0)
		r := start(t, queue, FunctionConfig{}, MappingConfig{}, succeed)
		synctest.Wait()
		if got := fmt.Sprint(r.sizes()); got != "[5 10 10]" {
			t.Errorf("batches of %s", got)
		}
		r.end()
	})
}

func TestTheBatchingWindowStartsWithTheFirstMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, newMemQueue(time.Minute), FunctionConfig{},
			MappingConfig{BatchSize: 100, MaximumBatchingWindow: 5 * time.Second}, succeed)
		time.Sleep(7 * time.Second)
		r.queue.send(1, 0)
		time.Sleep(4999 * time.Millisecond)
		synctest.Wait()
		if n := len(r.invocations()); n != 0 {
			t.Errorf("%d invocations before the batching window ended", n)
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if got := r.invocations(); len(got) != 1 || got[0].at != 12*time.Second {
			t.Errorf("invocations %+v, want one at 12 s", got)
		}
		r.end()
	})
}

func TestMessagesOfOneBatchingWindowShareABatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue := newMemQueue(time.Minute)
		queue.send(30, 0) // first, so that one poller finds more than a receive holds
		r := start(t, queue, FunctionConfig{},
			MappingConfig{BatchSize: 100, MaximumBatchingWindow: time.Second, MaximumConcurrency: 2}, succeed)
		time.Sleep(time.Second)
		synctest.Wait()
		total := 0
		for _, n := range r.sizes() {
			total += n
		}
		if total != 30 || len(r.sizes()) > 2 {
			t.Errorf("30 messages came in batches of %v with 2 pollers", r.sizes())
		}
		r.end()
	})
}

func TestABatchThatIsFullByCountDoesNotWaitForTheBatchingWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue := newMemQueue(10 * time.Minute)
		queue.send(1000, 0)
		r := start(t, queue, FunctionConfig{}, MappingConfig{BatchSize: 95, MaximumBatchingWindow: maxBatchingWindow},
			succeed)
		synctest.Wait()
		full := 0
		for _, got := range r.invocations() {
			if len(got.ids) != 95 || got.at != 0 {
				t.Errorf("a batch of %d at %v", len(got.ids), got.at)
			}
			full++
		}
		if full < 5 {
			t.Errorf("%d full batches at once, want at least one a poller", full)
		}
		asked := map[int]bool{}
		for _, call := range queue.calls() {
			asked[call.max] = true
			if call.max > 10 || call.wait > 20*time.Second || call.wait < 0 {
				t.Errorf("a receive of up to %d waiting %v", call.max, call.wait)
			}
		}
		if !asked[10] || !asked[5] {
			t.Errorf("receives asked for %v messages, want 10 and the 5 that were left to the batch size", asked)
		}
		r.end() // the open batches are invoked too
		if len(queue.left()) != 0 {
			t.Errorf("%d messages left", len(queue.left()))
		}
	})
}

func TestABatchThatIsFullByPayloadDoesNotWaitAndTheRestStartsTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const body = 118 * 1024
		queue := newMemQueue(10 * time.Minute)
		queue.send(200, body)
		r := start(t, queue, FunctionConfig{},
			MappingConfig{BatchSize: 1000, MaximumBatchingWindow: maxBatchingWindow, MaximumConcurrency: 2}, succeed)
		synctest.Wait()
		for _, got := range r.invocations() {
			if got.at != 0 || got.bytes > maxPayload || got.bytes < maxPayload-body-1000 {
				t.Errorf("%d bytes in %d messages at %v", got.bytes, len(got.ids), got.at)
			}
		}
		if len(r.invocations()) < 2 {
			t.Errorf("%d invocations before the batching window ended", len(r.invocations()))
		}
		r.end()
		ids := map[string]int{}
		for _, got := range r.invocations() {
			for _, id := range got.ids {
				ids[id]++
			}
		}
		if len(ids) != 200 || len(queue.left()) != 0 {
			t.Errorf("%d of 200 messages were handled, %d are left", len(ids), len(queue.left()))
		}
		for id, n := range ids {
			if n != 1 {
				t.Errorf("%s came %d times", id, n)
			}
		}
	})
}

func TestAStopInvokesTheMessagesLeftOverFromTheLastBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue := newMemQueue(0)
		queue.send(200, 118*1024) // more than two payloads; six receives are more than one
		r := start(t, queue, FunctionConfig{Timeout: time.Minute},
			MappingConfig{BatchSize: 1000, MaximumBatchingWindow: time.Second, MaximumConcurrency: 2}, take(10*time.Second))
		time.Sleep(time.Second / 2)
		synctest.Wait()
		if s := r.mapping.Stats(); s.Concurrent != 2 || s.MessagesReceived != 120 {
			t.Errorf("nothing is carried over, so this tests nothing: %+v", s)
		}
		if s := r.end(); s.MessagesDeleted != s.MessagesReceived || s.Invocations < 3 {
			t.Errorf("%+v", s)
		}
	})
}

func TestAMessageLargerThanAPayloadIsLeftInTheQueueAndTheOthersGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue := newMemQueue(0)
		queue.send(1, 0)
		queue.send(1, maxPayload)
		queue.send(1, 0)
		queue.send(1, maxPayload) // the last of its receive: no empty batch may come of it
		r := start(t, queue, FunctionConfig{}, MappingConfig{}, succeed)
		synctest.Wait()
		s := r.end()
		if got := queue.left(); !slices.Equal(got, []string{"m2", "m4"}) || s.MessagesDeleted != 2 || s.MessagesFailed != 2 ||
			s.Failed != 0 {
			t.Errorf("left %v, %+v", got, s)
		}
	})
}

func TestAfterAFailedInvocationItsMessagesAreDeliveredAgain(t *testing.T) {
	for _, partial := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			var calls atomic.Int64
			r := start(t, newMemQueue(6*time.Minute), FunctionConfig{}, MappingConfig{ReportBatchItemFailures: partial},
				func(context.Context, []string) (string, error) {
					if calls.Add(1) == 1 {
						return "", errors.New("no")
					}
					return "{}", nil
				})
			r.queue.send(3, 0)
			synctest.Wait()
			if n := len(r.queue.left()); n != 3 {
				t.Errorf("%d messages left, want all 3", n)
			}
			time.Sleep(7 * time.Minute)
			synctest.Wait()
			got := r.invocations()
			if len(got) != 2 || got[1].at < 6*time.Minute || len(r.queue.left()) != 0 {
				t.Errorf("invocations %+v, left %v", got, r.queue.left())
			}
			if s := r.end(); s.Failed != 1 || s.Invocations != 2 || s.MessagesFailed != 3 || s.MessagesReceived != 6 ||
				s.MessagesDeleted != 3 {
				t.Errorf("%+v", s)
			}
		})
	}
}

func TestOnlyTheMessagesNamedAsFailedAreDeliveredAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, newMemQueue(time.Minute), FunctionConfig{}, MappingConfig{ReportBatchItemFailures: true},
			func(_ context.Context, ids []string) (string, error) {
				if len(ids) > 1 {
					return `{"batchItemFailures":[{"itemIdentifier":"m2"}]}`, nil
				}
				return "", nil
			})
		r.queue.send(4, 0)
		synctest.Wait()
		if got := r.queue.left(); !slices.Equal(got, []string{"m2"}) {
			t.Errorf("left %v, want m2", got)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := r.invocations(); len(got) != 2 || !slices.Equal(got[1].ids, []string{"m2"}) || len(r.queue.left()) != 0 {
			t.Errorf("invocations %+v, left %v", got, r.queue.left())
		}
		if s := r.end(); s.Failed != 0 || s.MessagesFailed != 1 || s.MessagesDeleted != 4 {
			t.Errorf("%+v", s)
		}
	})
}

func TestAnInvalidPartialResponseDeletesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, newMemQueue(0), FunctionConfig{}, MappingConfig{ReportBatchItemFailures: true},
			func(context.Context, []string) (string, error) {
				return `{"batchItemFailures":[{"itemIdentifier":"somebody else's"}]}`, nil
			})
		r.queue.send(4, 0)
		synctest.Wait()
		if s := r.end(); len(r.queue.left()) != 4 || s.MessagesFailed != 4 || s.Failed != 0 {
			t.Errorf("left %v, %+v", r.queue.left(), s)
		}
	})
}

func TestWithoutPartialResponsesASuccessDeletesTheWholeBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, newMemQueue(0), FunctionConfig{}, MappingConfig{}, func(context.Context, []string) (string, error) {
			return `{"batchItemFailures":[{"itemIdentifier":"m1"}]}`, nil
		})
		r.queue.send(2, 0)
		synctest.Wait()
		if r.end(); len(r.queue.left()) != 0 {
			t.Errorf("left %v", r.queue.left())
		}
	})
}

func TestATimedOutInvocationIsCountedAndDeletesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, newMemQueue(0), FunctionConfig{Timeout: time.Minute}, MappingConfig{ReportBatchItemFailures: true},
			take(61*time.Second))
		r.queue.send(1, 0)
		time.Sleep(time.Minute)
		synctest.Wait()
		s := r.end()
		if s.TimedOut != 1 || s.Failed != 1 || s.MessagesFailed != 1 || len(r.queue.left()) != 1 {
			t.Errorf("%+v", s)
		}
		time.Sleep(2 * time.Second) // the abandoned handler ends
	})
}

func TestThePayloadOfATimedOutInvocationIsNotReused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue := newMemQueue(0)
		var calls atomic.Int64
		f := NewFunction(FunctionConfig{Timeout: time.Second,
			NewEnvironment: same(func(_ context.Context, payload []byte) ([]byte, error) {
				if calls.Add(1) == 1 {
					before := bytes.Clone(payload)
					time.Sleep(time.Minute)
					if !bytes.Equal(payload, before) {
						t.Error("the payload has changed under a handler that still reads it")
					}
				}
				return nil, nil
			})})
		m, err := NewEventSourceMapping(MappingConfig{Queue: queue, Function: f, BatchSize: 1})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- m.Run(ctx) }()
		queue.send(1, 100)
		time.Sleep(2 * time.Second)
		queue.send(50, 100)
		time.Sleep(time.Minute)
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		f.Close()
		if s := m.Stats(); s.TimedOut != 1 || s.MessagesDeleted != 50 {
			t.Errorf("%+v", s)
		}
	})
}

func TestNoMessageTextIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		queue := newMemQueue(0)
		queue.failReceives, queue.failDeletes = 1, 100
		r := start(t, queue, FunctionConfig{},
			MappingConfig{ReportBatchItemFailures: true, Logger: slog.New(slog.NewTextHandler(&log, nil))},
			func(_ context.Context, ids []string) (string, error) {
				if ids[0] == "m1" {
					return "", errors.New("no")
				}
				return map[bool]string{true: "?", false: "{}"}[ids[0] == "m2"], nil
			})
		for range 3 {
			time.Sleep(10 * time.Second)
			r.queue.send(1, 50)
		}
		time.Sleep(10 * time.Second)
		r.end()
		if strings.Contains(log.String(), "xxx") || strings.Count(log.String(), "\n") != 4 {
			t.Errorf("the log, which should have 4 lines without bodies:\n%s", log.String())
		}
	})
}

// The metrics of Lambda are made of it.
func TestOnInvocationIsToldOfEveryInvocationAndThrottle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var got []Invoked
		queue := newMemQueue(time.Minute)
		queue.send(3, 0)
		fail := func(context.Context, []string) (string, error) {
			time.Sleep(2 * time.Second)
			return "", errors.New("it fails")
		}
		r := start(t, queue, FunctionConfig{ReservedConcurrency: 2},
			MappingConfig{BatchSize: 1, OnInvocation: func(i Invoked) {
				mu.Lock()
				defer mu.Unlock()
				got = append(got, i)
			}}, fail)
		time.Sleep(3 * time.Second)
		mu.Lock()
		defer mu.Unlock()
		slices.SortFunc(got, func(a, b Invoked) int { return a.End.Compare(b.End) })
		if len(got) != 3 {
			t.Fatalf("%+v, want 3", got)
		}
		if i := got[0]; !errors.Is(i.Err, ErrThrottled) || i.Duration != 0 || !i.End.Equal(r.begun) {
			t.Errorf("the throttled one: %+v", i)
		}
		for _, i := range got[1:] {
			if i.Err == nil || errors.Is(i.Err, ErrThrottled) || i.Duration != 2*time.Second || i.Concurrent < 1 ||
				i.Concurrent > 3 {
				t.Errorf("a failed one: %+v", i)
			}
		}
		r.end()
	})
}
