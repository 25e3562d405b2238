package lambda

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// The limits of an event source mapping for a standard queue (Lambda developer guide, configuring
// an SQS event source).
const (
	MaxBatchSize      = 10_000
	MaxBatchingWindow = 300 * time.Second
	MinConcurrency    = 2
	MaxConcurrency    = 1_000

	maxBatchWithoutWindow  = 10 // also Lambda's default
	minWindowOfLargerBatch = time.Second
)

// ErrKilled is what Run returns after Kill.
var ErrKilled = errors.New("the event source mapping was killed")

// MappingConfig describes an event source mapping. Queue and Function are required; QueueARN is
// told to the handler.
type MappingConfig struct {
	Queue    Queue
	QueueARN string // arn:aws:sqs:REGION:ACCOUNT:NAME; its region becomes awsRegion
	Function *Function

	BatchSize             int           // messages an invocation: 1 to 10,000; 0 is Lambda's default of 10
	MaximumBatchingWindow time.Duration // from a batch's first message to its invocation at the latest: 0 to 300 s
	// invocations at the same time: 2 to 1,000; 0 is no limit but Lambda's own of 1,000
	MaximumConcurrency      int
	ReportBatchItemFailures bool // the answer names the messages that failed

	Logger *slog.Logger // gets no payloads and no message; nil discards
}

// An EventSourceMapping polls a queue and invokes a function with batches of its messages.
//
// Each of its pollers holds one batch at a time: it receives, invokes, deletes what was processed,
// and receives again. So nothing is received that has no place among the concurrent invocations,
// and memory is bounded by the number of pollers times the payload (6 MB). There are 5 pollers at
// first, and 300 more a minute while there is work (see pollers).
type EventSourceMapping struct {
	config  MappingConfig
	log     *slog.Logger
	tail    string // of each record
	limit   int    // bytes of a payload, MaxPayload but for tests
	buffers sync.Pool
	pollers pollers
	counts  counters

	started atomic.Bool
	killed  context.Context // all that is under way ends with it
	kill    context.CancelFunc
}

// NewEventSourceMapping checks the config by Lambda's rules. It starts nothing: Run does.
func NewEventSourceMapping(config MappingConfig) (*EventSourceMapping, error) {
	if config.BatchSize == 0 {
		config.BatchSize = maxBatchWithoutWindow
	}
	if err := validate(config); err != nil {
		return nil, fmt.Errorf("event source mapping: %w", err)
	}
	m := &EventSourceMapping{config: config, log: config.Logger, limit: MaxPayload}
	if m.log == nil {
		m.log = slog.New(slog.DiscardHandler)
	}
	m.log = m.log.With("function", config.Function.Name(), "queue", config.QueueARN)
	m.tail = recordTail(config.QueueARN, region(config.QueueARN))
	m.pollers.max = config.MaximumConcurrency
	if m.pollers.max == 0 {
		m.pollers.max = MaxConcurrency
	}
	m.killed, m.kill = context.WithCancel(context.Background())
	return m, nil
}

func validate(c MappingConfig) error {
	switch {
	case c.Queue == nil:
		return errors.New("Queue is missing: say where the messages come from")
	case c.Function == nil:
		return errors.New("Function is missing: say who handles the messages")
	case c.BatchSize < 1 || c.BatchSize > MaxBatchSize:
		return fmt.Errorf("BatchSize is %d: use 1 to %d", c.BatchSize, MaxBatchSize)
	case c.MaximumBatchingWindow < 0 || c.MaximumBatchingWindow > MaxBatchingWindow:
		return fmt.Errorf("MaximumBatchingWindow is %v: use 0 to %v", c.MaximumBatchingWindow, MaxBatchingWindow)
	case c.BatchSize > maxBatchWithoutWindow && c.MaximumBatchingWindow < minWindowOfLargerBatch:
		return fmt.Errorf("BatchSize is %d with a MaximumBatchingWindow of %v: a batch of more than %d needs a window of "+
			"at least %v",
			c.BatchSize, c.MaximumBatchingWindow, maxBatchWithoutWindow, minWindowOfLargerBatch)
	case c.MaximumConcurrency != 0 && (c.MaximumConcurrency < MinConcurrency || c.MaximumConcurrency > MaxConcurrency):
		return fmt.Errorf("MaximumConcurrency is %d: use %d to %d, or 0 for no limit of its own", c.MaximumConcurrency,
			MinConcurrency, MaxConcurrency)
	}
	return nil
}

// region is the fourth part of an ARN; the default where there is none.
func region(arn string) string {
	if parts := strings.Split(arn, ":"); len(parts) > 3 {
		return or(parts[3], defaultRegion)
	}
	return defaultRegion
}

// Run polls until ctx is done. It then receives nothing more, invokes the function with what it has
// received, waits for the invocations under way, deletes what they processed, and returns nil: as a
// rule within two of the function's time-outs. Kill cuts this short, and Run returns ErrKilled. Run
// can be called once.
func (m *EventSourceMapping) Run(ctx context.Context) error {
	if m.started.Swap(true) {
		return errors.New("event source mapping: Run was called before; make a new mapping")
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(m.killed, cancel)()

	var running sync.WaitGroup
	add := func() {
		if m.pollers.grow() {
			running.Go(func() { m.poll(ctx) })
		}
	}
	for range initialPollers {
		add()
	}
	grow := time.NewTicker(growEvery)
	defer grow.Stop()
	for ctx.Err() == nil {
		select {
		case <-grow.C:
			add()
		case <-ctx.Done():
		}
	}
	running.Wait()
	m.pollers.ended()
	if m.killed.Err() != nil {
		return ErrKilled
	}
	return nil
}

// Kill makes Run return at once: invocations under way are abandoned, and nothing more is deleted.
// Their messages come back after the visibility timeout. It may be called at any time and more than
// once.
func (m *EventSourceMapping) Kill() { m.kill() }

// poll is one poller: batch after batch, until ctx is done or it is one too many.
func (m *EventSourceMapping) poll(ctx context.Context) {
	p := &poller{m: m}
	for {
		b := p.collect(ctx)
		if b == nil || m.killed.Err() != nil {
			return
		}
		m.pollers.loaded(&p.load, true)
		pause := m.process(b)
		m.pollers.loaded(&p.load, p.full && pause == noPause)
		p.backOff(ctx, pause)
	}
}

// process invokes the function with a batch and settles it. It says whether and why the poller has
// to slow down.
func (m *EventSourceMapping) process(b *batch) pause {
	size := len(b.ids)
	m.counts.begin()
	payload := b.payload.finish()
	response, err := m.config.Function.Invoke(m.killed, payload)
	m.counts.end()

	done, result := b.handles, noPause
	switch {
	case errors.Is(err, ErrThrottled):
		m.counts.throttled.Add(1)
		m.log.Warn("invocation throttled: the messages come back after the visibility timeout; lower MaximumConcurrency "+
			"to the function's reserved concurrency", "messages", size)
		done, result = nil, pauseForThrottle
	case err != nil:
		m.counts.invocations.Add(1)
		m.counts.failed.Add(1)
		if timedOut := (*TimeoutError)(nil); errors.As(err, &timedOut) {
			m.counts.timedOut.Add(1)
		}
		m.log.Warn("invocation failed: the messages come back after the visibility timeout", "messages", size, "error", err)
		done = nil
		if !m.config.ReportBatchItemFailures {
			result = pauseForFailure
		}
	default:
		m.counts.invocations.Add(1)
		if m.config.ReportBatchItemFailures {
			done = m.succeeded(b, response)
		}
	}
	if usableAfter(err) || errors.Is(err, ErrThrottled) {
		m.buffers.Put(&payload) // otherwise an abandoned handler may be reading it
	}
	m.counts.messagesFailed.Add(int64(size - len(done)))
	m.delete(done)
	return result
}

// succeeded is the receipt handles of the messages that the response doesn't name as failed.
func (m *EventSourceMapping) succeeded(b *batch, response []byte) []string {
	failed, all := failures(response, b.ids)
	if all {
		m.log.Warn(`the response is no partial batch response, so the whole batch has failed: answer {"batchItemFailures":[{"itemIdentifier":"a messageId of the batch"}]}`,
			"messages", len(b.ids))
		return nil
	}
	if len(failed) == 0 {
		return b.handles
	}
	done := make([]string, 0, len(b.handles))
	for i, handle := range b.handles {
		if _, ok := failed[b.ids[i]]; !ok {
			done = append(done, handle)
		}
	}
	return done
}

// deleteTries is how often a delete is tried before it is given up: the messages come again, which
// at-least-once delivery allows, and a poller that waits longer processes nothing.
const deleteTries = 4

func (m *EventSourceMapping) delete(handles []string) {
	if len(handles) == 0 {
		return
	}
	var err error
	for try := range deleteTries {
		if try > 0 && !sleep(m.killed, backoff(try, deleteBase, deleteLimit, rand.Float64())) {
			break
		}
		if err = m.config.Queue.Delete(m.killed, handles); err == nil {
			m.counts.deleted.Add(int64(len(handles)))
			return
		}
	}
	m.counts.deleteFailed.Add(int64(len(handles)))
	m.log.Error("messages that were processed could not be deleted: they will be delivered again", "messages",
		len(handles), "error", err)
}
