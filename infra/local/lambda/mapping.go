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
	maxBatchSize      = 10_000
	maxBatchingWindow = 300 * time.Second
	minConcurrency    = 2
	maxConcurrency    = 1_000

	maxBatchWithoutBatchingWindow  = 10 // also Lambda's default
	minBatchingWindowOfLargerBatch = time.Second
)

// MappingConfig describes an event source mapping. Queue and Function are required.
type MappingConfig struct {
	Queue Queue
	// QueueARN is told to the handler: arn:aws:sqs:REGION:ACCOUNT:NAME. Its region becomes the
	// record's awsRegion, "us-east-1" where the ARN has none.
	QueueARN string
	// Function is usually a *Function, or an *Alias, which may divide the batches among two
	// versions.
	Function Invoker

	// BatchSize is how many messages an invocation gets at most: 1 to 10,000; 0 means Lambda's
	// default of 10.
	BatchSize int
	// MaximumBatchingWindow is the longest time in which a poller that is free fills a batch, from
	// its first message: 0 to 300 s, and at least 1 s where BatchSize is over 10.
	MaximumBatchingWindow time.Duration
	// MaximumConcurrency limits the invocations at the same time: 2 to 1,000; 0 means 1,000.
	MaximumConcurrency int
	// ReportBatchItemFailures says that the handler's answer names the messages that failed.
	ReportBatchItemFailures bool

	// Logger gets no payload and no message text. Nil discards.
	Logger *slog.Logger
	// OnInvocation is called after each invocation, and each that was throttled, by several
	// goroutines at the same time; nil: nothing is.
	OnInvocation func(Invoked)
}

// An Invoked is an invocation that has ended, or one that was throttled.
type Invoked struct {
	Version    string // that ran, or was to
	End        time.Time
	Duration   time.Duration // 0 of a throttled one
	Concurrent int64         // how many of all event sources were under way when it began, itself included
	Err        error         // nil: it succeeded; ErrThrottled: it did not run
}

// An EventSourceMapping polls a queue and invokes a function with batches of its messages.
//
// Each of its pollers holds one batch at a time: it receives, invokes, deletes the processed
// messages, and receives again. So the mapping receives only what it can invoke the function with,
// and its memory is bounded by the number of pollers times the payload (6 MB). It starts with 5
// pollers and adds 300 a minute while there is work (see pollers).
type EventSourceMapping struct {
	config  MappingConfig
	log     *slog.Logger
	tail    string // the end of each record
	limit   int    // bytes of a payload; maxPayload except in tests
	buffers sync.Pool
	pollers pollers
	counts  counters

	started atomic.Bool
	state   state
}

// NewEventSourceMapping makes a mapping. It returns an error that names the wrong setting where
// Lambda would refuse the config. Run starts it.
func NewEventSourceMapping(config MappingConfig) (*EventSourceMapping, error) {
	if config.BatchSize == 0 {
		config.BatchSize = maxBatchWithoutBatchingWindow
	}
	if err := validate(config); err != nil {
		return nil, fmt.Errorf("event source mapping: %w", err)
	}
	m := &EventSourceMapping{config: config, log: config.Logger, limit: maxPayload}
	if m.log == nil {
		m.log = slog.New(slog.DiscardHandler)
	}
	m.log = m.log.With("function", nameIn(config.Function.ARN()), "queue", config.QueueARN)
	m.tail = recordTail(config.QueueARN, region(config.QueueARN))
	m.pollers.max = config.MaximumConcurrency
	if m.pollers.max == 0 {
		m.pollers.max = maxConcurrency
	}
	return m, nil
}

func validate(c MappingConfig) error {
	switch {
	case c.Queue == nil:
		return errors.New("Queue is missing")
	case c.Function == nil:
		return errors.New("Function is missing")
	case c.BatchSize < 1 || c.BatchSize > maxBatchSize:
		return fmt.Errorf("BatchSize must be 1 to %d, is %d", maxBatchSize, c.BatchSize)
	case c.MaximumBatchingWindow < 0 || c.MaximumBatchingWindow > maxBatchingWindow:
		return fmt.Errorf("MaximumBatchingWindow must be 0 to %v, is %v", maxBatchingWindow, c.MaximumBatchingWindow)
	case c.BatchSize > maxBatchWithoutBatchingWindow && c.MaximumBatchingWindow < minBatchingWindowOfLargerBatch:
		return fmt.Errorf("MaximumBatchingWindow must be at least %v where BatchSize is over %d, is %v with BatchSize %d",
			minBatchingWindowOfLargerBatch, maxBatchWithoutBatchingWindow, c.MaximumBatchingWindow, c.BatchSize)
	case c.MaximumConcurrency != 0 && (c.MaximumConcurrency < minConcurrency || c.MaximumConcurrency > maxConcurrency):
		return fmt.Errorf("MaximumConcurrency must be %d to %d, or 0 for no limit, is %d", minConcurrency, maxConcurrency,
			c.MaximumConcurrency)
	}
	return nil
}

// region returns the region of an ARN, or the default region where the ARN has none.
func region(arn string) string {
	if parts := strings.Split(arn, ":"); len(parts) > 3 {
		return or(parts[3], defaultRegion)
	}
	return defaultRegion
}

// Run polls while the mapping is enabled, until ctx is done. Then it receives nothing more, invokes
// the function with what it has received, waits for the invocations under way, deletes the
// processed messages, and returns nil: usually within two of the function's timeouts. Its only
// error is that Run was called before.
func (m *EventSourceMapping) Run(ctx context.Context) error {
	if m.started.Swap(true) {
		return errors.New("event source mapping: Run was called before; make a new mapping")
	}
	for enabled := range m.state.enabled(ctx) {
		m.run(enabled)
	}
	return nil
}

// run polls until ctx is done, and waits for what it has begun.
func (m *EventSourceMapping) run(ctx context.Context) {
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
}

// poll runs one poller: batch after batch, until ctx is done or there are too many pollers.
func (m *EventSourceMapping) poll(ctx context.Context) {
	p := &poller{m: m}
	for {
		b := p.collect(ctx)
		if b == nil {
			return
		}
		m.pollers.loaded(&p.load, true)
		why := m.process(context.WithoutCancel(ctx), b) // a stop lets it finish
		m.pollers.loaded(&p.load, p.full && why == noSlowdown)
		p.backOff(ctx, why)
	}
}

// process invokes the function with a batch and deletes what was processed. It returns why the
// poller has to slow down.
func (m *EventSourceMapping) process(ctx context.Context, b *batch) slowdown {
	size := len(b.ids)
	began := time.Now()
	payload := b.payload.finish()
	version := m.config.Function.target()
	m.counts.begin()
	concurrent := version.function.feeds()
	response, err := version.invoke(ctx, m.config.Function.ARN(), payload)
	version.function.hasFed()
	m.counts.end()
	m.report(Invoked{Version: version.Number(), Concurrent: concurrent, Err: err}, began)

	done, result := b.handles, noSlowdown
	switch {
	case errors.Is(err, ErrThrottled):
		m.counts.throttled.Add(1)
		m.log.WarnContext(ctx, "invocation throttled: the messages will be delivered again after the visibility timeout; "+
			"lower MaximumConcurrency to the function's reserved concurrency", "messages", size)
		done, result = nil, slowdownForThrottle
	case err != nil:
		m.counts.invocations.Add(1)
		m.counts.failed.Add(1)
		if timedOut := (*TimeoutError)(nil); errors.As(err, &timedOut) {
			m.counts.timedOut.Add(1)
		}
		m.log.WarnContext(ctx, "invocation failed: the messages will be delivered again after the visibility timeout",
			"messages", size, "error", err)
		done = nil
		if !m.config.ReportBatchItemFailures {
			result = slowdownForFailure
		}
	default:
		m.counts.invocations.Add(1)
		if m.config.ReportBatchItemFailures {
			done = m.succeeded(b, response)
		}
	}
	if reusableAfter(err) || errors.Is(err, ErrThrottled) {
		m.buffers.Put(&payload) // after another error an abandoned handler may be reading it
	}
	m.counts.messagesFailed.Add(int64(size - len(done)))
	m.delete(ctx, done)
	return result
}

// report tells OnInvocation of an invocation that has just ended.
func (m *EventSourceMapping) report(i Invoked, began time.Time) {
	if m.config.OnInvocation == nil {
		return
	}
	i.End = time.Now()
	if i.Duration = i.End.Sub(began); errors.Is(i.Err, ErrThrottled) {
		i.Duration = 0
	}
	m.config.OnInvocation(i)
}

// succeeded returns the receipt handles of the messages that the response does not name as failed.
func (m *EventSourceMapping) succeeded(b *batch, response []byte) []string {
	failed, all := failedMessages(response, b.ids)
	if all {
		m.log.Warn(`the response is not a partial batch response, so the whole batch has failed: `+
			`the handler must answer {"batchItemFailures":[{"itemIdentifier":"a messageId of the batch"}]}`,
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

// deleteTries is how often a delete is tried. Then the messages are delivered again, which
// at-least-once delivery allows; a poller that waited longer would process nothing meanwhile.
const deleteTries = 4

func (m *EventSourceMapping) delete(ctx context.Context, handles []string) {
	if len(handles) == 0 {
		return
	}
	var err error
	for try := range deleteTries {
		if try > 0 && !sleep(ctx, backoff(try, deleteBase, deleteLimit, rand.Float64())) {
			break
		}
		if err = m.config.Queue.Delete(ctx, handles); err == nil {
			m.counts.deleted.Add(int64(len(handles)))
			return
		}
	}
	m.counts.deleteFailed.Add(int64(len(handles)))
	m.log.ErrorContext(ctx, "processed messages could not be deleted: they will be delivered again", "messages",
		len(handles), "error", err)
}
