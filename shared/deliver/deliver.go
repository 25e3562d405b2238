// Package deliver sends the messages of the events queue to Segment and reports which messages are
// done.
//
// An SQS message holds several events, and a Segment batch holds events of several messages. So an
// invocation decodes its messages, packs their events into as few Segment batches as the limits
// allow, sends these, and waits for every answer. A message is deleted when each of its events is
// delivered or is a dead letter; otherwise it is retained for retry, and its visibility timeout is
// changed. No event is left in memory when an invocation ends, because Lambda may then freeze or
// end the environment.
//
// An invocation has four parts, and a message goes through each of them once:
//
//	intake   decodes, validates, partitions and packs
//	sending  concurrency limit, circuit breaker, attempts, bisecting
//	ledger   each event's disposition, each message's completion, the archive
//	report   counts, the response to Lambda, the line in the log
//
// One table, [policies], says what follows from an answer. [Backoff] says when a message is
// retried. The package knows neither Lambda nor the environment: [Handler.Invoke] takes the JSON
// that Lambda passes to a function.
package deliver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/spillwayhq/spillway/shared/archive"
	"github.com/spillwayhq/spillway/shared/breaker"
	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/heavy"
	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/operator"
	"github.com/spillwayhq/spillway/shared/rawjson"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

const (
	// DefaultConcurrencyLimit bounds the batches that are sent at the same time: a full one takes
	// about 1 MB while it is under way, and of small ones up to eight times as many are.
	DefaultConcurrencyLimit = 8
	// MaxAge is the age after which a message that can't be delivered becomes a dead letter,
	// counted from when it was sent to the queue. SQS deletes it after 14 days.
	MaxAge = 10 * 24 * time.Hour
	// maxRejected is how many events of one batch Segment may reject. If it rejects more, the batch
	// is assumed to be wrong, not the events.
	maxRejected = 8
	// maxTries is how often a batch is sent in one invocation when Segment can't be reached.
	maxTries = 3
)

// Flusher sends one batch and returns when it is answered; *segment.Client is one. The error is
// nil, a *segment.Error, or one that wraps ErrNoEndpoint.
type Flusher interface {
	Flush(context.Context, *event.Batch) error
}

// VisibilityChanger changes the visibility timeout of messages of a queue; *sqsclient.Queue is one.
type VisibilityChanger interface {
	ChangeVisibility(context.Context, []sqsclient.VisibilityChange) error
}

// Sender writes dead letters; *sqsclient.Queue is one. The error is nil or, if only some failed, a
// *sqsclient.SendError.
type Sender interface {
	Send(context.Context, []message.Message) error
}

// BulkQueue is the queue of what is not urgent; *sqsclient.Queue is one.
type BulkQueue interface {
	VisibilityChanger
	Sender
}

// Config configures a Handler. Segment, Queue and DeadLetters are required.
type Config struct {
	Segment     Flusher
	Queue       VisibilityChanger
	DeadLetters Sender
	// BulkQueue is the queue of what is not urgent, whose messages come beside those of Queue.
	// BulkQueueName is the last part of its ARN, by which a record's eventSourceARN says that it is
	// of this queue; any other record is of Queue. nil and empty: there is no such queue.
	BulkQueue     BulkQueue
	BulkQueueName string
	// Archive gets a record of each event that has ended, before its message is deleted. What it
	// does not take goes to BulkQueue as an archive-only message. nil: nothing is archived.
	Archive          archive.Appender
	WriteKey         string // for messages that carry none; they are retried while it is empty
	ConcurrencyLimit int    // full batches, or eight times as many small ones; 0: DefaultConcurrencyLimit
	// Senders counts the events that come in, by who sends them. nil: nothing does.
	Senders *heavy.Counter
	Report  func(context.Context, Report) // called once for each invocation, before it is answered
	Logger  *slog.Logger                  // gets no payload, no write key and no address

	// CurrentWriteKey replaces WriteKey where that can change. It is called once for each
	// invocation.
	CurrentWriteKey func() string
	// PausedKeys returns the write keys that a person has paused, or had until lately. It is called
	// once for each invocation. Messages with a paused one are retained for retry, as long as
	// others that can't be delivered. Nil: there are none.
	PausedKeys func() operator.Keys
	// CanaryWriteKey is the write key of canaries: synthetic events of package canary.
	// Report.CanaryAges has their ages. Empty: none.
	CanaryWriteKey string
	// CanaryEndsHere: canaries count as delivered just before Segment would be called, and Segment
	// never gets them. So no data contains them, and a missing canary means that the pipeline is
	// down, not that Segment is.
	CanaryEndsHere bool
	// DropCanary is called for each event that carries the canary's write key itself. Those for
	// which it returns true are neither sent nor counted as delivered, so that the alarms can be
	// tried. Nil: none. It must be fast and is called by one goroutine at a time.
	DropCanary func(event []byte) bool
	// Observer is called at the beginning of each invocation. It returns who follows its events
	// now.
	Observer func() Watch
}

// A Handler delivers the messages of one function environment. It is safe for concurrent use,
// though Lambda calls it once at a time.
type Handler struct {
	config     Config
	compressor *message.Compressor
	bulkARN    []byte // how the bulk queue's ARN ends, as JSON; nil: there is no such queue
	keys       pausedKeys
	keyID      event.LastKeyID
	limit      *concurrencyLimit
	pace       *pace
	breaker    *segmentBreaker
	waiting    waiting
	deliveries sync.Pool // of *delivery
	packers    sync.Pool // of *archive.Packer

	archiveBreaker *breaker.Breaker
	decoders       sync.Pool // of *message.Decoder
}

// New validates the configuration and returns a Handler.
func New(c Config) (*Handler, error) {
	if c.Segment == nil || c.Queue == nil || c.DeadLetters == nil {
		return nil, errors.New("a deliver handler needs Segment, Queue and DeadLetters")
	}
	if (c.BulkQueue == nil) != (c.BulkQueueName == "") {
		return nil, errors.New("a deliver handler needs BulkQueue and BulkQueueName, or neither")
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
	if c.PausedKeys == nil {
		c.PausedKeys = func() operator.Keys { return nil }
	}
	if c.Observer == nil {
		c.Observer = func() Watch { return Watch{} }
	}
	if c.Report == nil {
		c.Report = func(context.Context, Report) {}
	}
	compressor, err := message.NewCompressor()
	if err != nil {
		return nil, err
	}
	h := &Handler{config: c, compressor: compressor, limit: newConcurrencyLimit(c.ConcurrencyLimit), pace: newPace()}
	h.breaker = newBreaker(h.limit.cut)
	if c.Archive != nil {
		p, err := archive.NewPacker()
		if err != nil {
			return nil, err
		}
		h.packers.Put(p)
		h.archiveBreaker = newArchiveBreaker()
	}
	if c.BulkQueue != nil {
		h.bulkARN = rawjson.AppendQuoted(nil, ":"+c.BulkQueueName)[1:]
	}
	return h, nil
}

// Invoke delivers the messages of an SQS event, given as the JSON that Lambda passes to a function,
// and returns the JSON of a partial batch response: the messages that are retained for retry. It
// stops early enough before ctx's deadline to report what is left.
//
// An error means that payload is not an SQS event. No failure of a message or of Segment is an
// error, because Lambda would then ignore the response and deliver all messages again.
func (h *Handler) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	start := time.Now()
	sendingCtx, cancel := h.beforeMargin(ctx)
	defer cancel()
	l := newLedger(h, start)
	l.report.Waiting = h.waiting.age(start)
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
	l.report.Paused = h.keys.lasting(time.Now())
	h.config.Report(ctx, l.report)
	l.report.log(ctx, h.config.Logger)
	return response(l.retained), nil
}

// beforeMargin returns a context that ends when it is time for dead letters, the archive,
// visibility and the answer.
func (h *Handler) beforeMargin(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return ctx, func() {}
	}
	most := 5 * time.Second
	if h.config.Archive != nil {
		most += 3 * time.Second // for it and the bulk queue
	}
	return context.WithDeadline(ctx, deadline.Add(-margin(time.Until(deadline), most)))
}

// margin is how much of the remaining time calls to Segment leave: the most, but never more than a
// quarter.
func margin(remaining, most time.Duration) time.Duration {
	return max(0, min(most, remaining/4))
}

// halfTheTime bounds a call to half of the time that is left, so that the invocation answers in
// time even if SQS hangs.
func halfTheTime(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Until(deadline)/2)
}
