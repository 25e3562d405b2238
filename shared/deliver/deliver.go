// Package deliver sends the messages of the events queue to Segment and says of each message
// whether it is done.
//
// SQS counts messages and Segment takes events. So an invocation decodes its messages, packs their
// events into as few Segment batches as the limits allow, sends these, and waits for every answer.
// A message is deleted when each of its events is delivered or is a dead letter; otherwise it stays
// in the queue, invisible for a while. Nothing is left in memory when an invocation ends, because a
// Lambda that has answered may be frozen or gone.
//
// An invocation has four parts, and a message goes through each of them once:
//
//	intake   decodes, validates, partitions and packs
//	sending  concurrency limit, circuit breaker, attempts, bisecting
//	ledger   each event's disposition, each message's completion
//	report   counts, the response to Lambda, the line in the log
//
// What follows from an answer is in one table, [policy]; when a message is retried, in [Backoff].
// The package knows neither Lambda nor the environment: [Handler.Invoke] takes the JSON that Lambda
// passes to a function.
package deliver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

const (
	// DefaultConcurrencyLimit bounds the batches that are sent at the same time: each takes about
	// 1 MB while it is under way.
	DefaultConcurrencyLimit = 8
	// MaxAge is how long delivery of a message is tried before it becomes a dead letter. SQS
	// deletes it after 14 days: the days between are a reserve.
	MaxAge = 10 * 24 * time.Hour
	// maxRejected is how many events of one batch Segment may reject. If it rejects more, the fault
	// is taken to be ours and not the events'.
	maxRejected = 8
	// maxTries is how often a batch is sent in one invocation when Segment can't be reached.
	maxTries = 3
)

// Flusher sends one batch and returns when it is answered; *segment.Client is one. The error is
// nil, a *segment.Error, or one that wraps ErrNoEndpoint.
type Flusher interface {
	Flush(context.Context, *event.Batch) error
}

// VisibilityChanger changes the visibility timeout of messages of the events queue;
// *sqsclient.Queue is one.
type VisibilityChanger interface {
	ChangeVisibility(context.Context, []sqsclient.VisibilityChange) error
}

// Sender writes dead letters; *sqsclient.Queue is one. The error is nil or, if only some failed, a
// *sqsclient.SendError.
type Sender interface {
	Send(context.Context, []message.Message) error
}

// Config configures a Handler. Segment, Queue and DeadLetters are required.
type Config struct {
	Segment          Flusher
	Queue            VisibilityChanger
	DeadLetters      Sender
	WriteKey         string       // for messages that carry none; they are retried while it is empty
	ConcurrencyLimit int          // the largest; DefaultConcurrencyLimit when 0
	Report           func(Report) // called once for each invocation, before it is answered
	Logger           *slog.Logger // gets no payload, no write key and no address

	// CurrentWriteKey replaces WriteKey where that can change. It is called once for each
	// invocation.
	CurrentWriteKey func() string
	// CanaryWriteKey is the write key of canaries: events that are sent to see whether they arrive.
	// Report.CanaryAges has their ages. Empty: none.
	CanaryWriteKey string
	// CanaryEndsHere: canaries count as delivered just before Segment would be called, and Segment
	// never gets them. So no data contains them, and a missing canary means that the pipeline is
	// down, not that Segment is.
	CanaryEndsHere bool
	// Observer is called at the beginning of each invocation. It returns what to call with each
	// event's Observation, or nil while nobody watches, so that an open breaker need not decode
	// messages. The calls of one invocation come one after the other; several invocations call at
	// the same time. Delivery waits for the calls: they must return soon and must not panic.
	Observer func() func(Observation)
}

// A Handler is the delivery of one function environment. It is safe for concurrent use, though
// Lambda calls it once at a time.
type Handler struct {
	config     Config
	compressor *message.Compressor
	keys       pausedKeys
	limit      *concurrencyLimit
	breaker    *segmentBreaker
	deliveries sync.Pool // of *delivery
	decoders   sync.Pool // of *message.Decoder
}

// New checks the configuration.
func New(c Config) (*Handler, error) {
	if c.Segment == nil || c.Queue == nil || c.DeadLetters == nil {
		return nil, errors.New("a deliver handler needs Segment, Queue and DeadLetters")
	}
	if c.ConcurrencyLimit == 0 {
		c.ConcurrencyLimit = DefaultConcurrencyLimit
	}
	if c.ConcurrencyLimit < 0 {
		return nil, fmt.Errorf("the concurrency limit must be at least 1, is %d", c.ConcurrencyLimit)
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.CurrentWriteKey == nil {
		c.CurrentWriteKey = func() string { return c.WriteKey }
	}
	if c.Observer == nil {
		c.Observer = func() func(Observation) { return nil }
	}
	if c.Report == nil {
		c.Report = func(Report) {}
	}
	compressor, err := message.NewCompressor()
	if err != nil {
		return nil, err
	}
	h := &Handler{config: c, compressor: compressor, limit: newConcurrencyLimit(c.ConcurrencyLimit)}
	h.breaker = newBreaker(h.limit.cut)
	return h, nil
}

// Invoke delivers the messages of an SQS event, given as the JSON that Lambda passes to a function,
// and returns the JSON of a partial batch response: the messages that are retained for retry. It
// stops before ctx's deadline and reports what is left.
//
// It never returns an error for what happened to messages, because Lambda would drop the response
// and deliver again what was delivered. An error means that payload is not an SQS event.
func (h *Handler) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	start := time.Now()
	sendingCtx, cancel := beforeMargin(ctx)
	defer cancel()
	l := newLedger(h, start)
	s := newSending(sendingCtx, h, l)
	in := newIntake(h, s, l)
	err := eachRecord(payload, in.take)
	if err != nil {
		s.wait()
		return nil, fmt.Errorf("read the invocation: %w: send the JSON of an SQS event, "+
			"{\"Records\":[{\"messageId\":…,\"body\":…}]}", err)
	}
	in.sendRest()
	s.wait()
	l.finish(ctx)
	l.report.Duration, l.report.BreakerOpen = time.Since(start), h.breaker.open()
	h.config.Report(l.report)
	l.report.log(h.config.Logger)
	return response(l.retained), nil
}

// beforeMargin returns a context that ends when it is time for dead letters, visibility and the
// answer.
func beforeMargin(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return ctx, func() {}
	}
	return context.WithDeadline(ctx, deadline.Add(-margin(time.Until(deadline))))
}

// margin is how much of the remaining time calls to Segment leave: 5 s, but never more than a
// quarter.
func margin(remaining time.Duration) time.Duration {
	return max(0, min(5*time.Second, remaining/4))
}

// halfTheTime bounds a call to half of the time that is left, so that an SQS that hangs does not
// keep the answer from being given in time.
func halfTheTime(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Until(deadline)/2)
}
