// Package deliver takes a batch of queue messages to Segment and says of each whether it is done.
//
// It stands between two things that count differently: SQS counts messages, Segment takes events.
// So it reads the messages, puts their events together into as few Segment batches as the limits
// allow, sends those, waits for every answer, and turns the answers back into one fate for each
// message: deleted, because every event in it was delivered or is a dead letter, or left in the
// queue and hidden for a while. Nothing lingers in memory when an invocation ends, because a Lambda
// that has answered may be frozen or gone.
//
// What an answer means stands in one table, segment.Outcome; when a message comes again, in
// [Pause]. The package knows neither Lambda nor the environment: [Handler.Invoke] takes the JSON
// that Lambda hands over, from whoever has it.
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
	// DefaultFlushes is how many batches of one invocation are sent at the same time: each takes
	// about 1 MB while it is under way.
	DefaultFlushes = 8
	// MaxAge is how long delivery of a message is tried. SQS keeps it for 14 days: the rest is for
	// a person to act in.
	MaxAge = 10 * 24 * time.Hour
	// MaxCulprits is how many events of one batch Segment may refuse before the fault is taken to
	// be ours and not theirs.
	MaxRejected = 8
	// Tries is how often a batch is sent in one invocation when Segment can't be reached.
	Tries = 3
)

// Flusher sends one batch and returns when it is answered; *segment.Client is one. The error is nil
// or a *segment.Error.
type Flusher interface {
	Flush(context.Context, *event.Batch) error
}

// Hider hides messages of the events queue; *sqsclient.Queue is one.
type VisibilityChanger interface {
	ChangeVisibility(context.Context, []sqsclient.VisibilityChange) error
}

// Sender writes dead letters; *sqsclient.Queue is one. The error is nil or, if only some failed, a
// *sqsclient.SendError.
type Sender interface {
	Send(context.Context, []message.Message) error
}

// Config is what a Handler works with. Segment, Queue and DeadLetters must be given.
type Config struct {
	Segment     Flusher
	Queue       VisibilityChanger
	DeadLetters Sender
	WriteKey    string       // for messages that carry none; such messages wait when it is empty
	Flushes     int          // batches under way at a time; DefaultFlushes when 0
	Report      func(Report) // called once for each invocation, before it is answered
	Logger      *slog.Logger // gets no payload, no write key and no address

	// CurrentWriteKey takes the place of WriteKey where that can change. It is asked once for each
	// invocation. nil: it does not.
	CurrentWriteKey func() string
	// CanaryKey is the write key of events that somebody sends to see whether they arrive;
	// Summary.Canary has their ages. Empty: none.
	CanaryWriteKey string
	// CanaryEndsHere: events of CanaryKey are delivered when they come to where Segment would be
	// called, and Segment never sees them. So they reach nobody's data, and their silence says that
	// the pipeline is dead, not that Segment is.
	CanaryEndsHere bool
	// Observer is asked at the beginning of each invocation for what to call for each of its events
	// when its fate is known; nil while nobody looks, which spares an open breaker the reading of
	// bodies. The calls of an invocation come one after the other, those of several invocations at
	// the same time. Deliveries wait for them, so they must return soon; they must not panic.
	Observer func() func(Observation)
}

// A Handler is one function environment's delivery. Invoke may be called by several goroutines at
// the same time, though Lambda calls it by one.
type Handler struct {
	Config
	compressor *message.Compressor
	keys       pauses
	window     *window
	breaker    *segmentBreaker
	messages   sync.Pool // of *delivery
	decoders   sync.Pool // of *message.Decoder
}

// New checks the configuration.
func New(c Config) (*Handler, error) {
	if c.Segment == nil || c.Queue == nil || c.DeadLetters == nil {
		return nil, errors.New("a deliver handler needs Segment, Queue and DeadLetters")
	}
	if c.Flushes == 0 {
		c.Flushes = DefaultFlushes
	}
	if c.Flushes < 0 {
		return nil, fmt.Errorf("%d batches at a time can't be sent: write 1 or more", c.Flushes)
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
	h := &Handler{Config: c, compressor: compressor, window: newWindow(c.Flushes)}
	h.breaker = newBreaker(h.window.cut)
	return h, nil
}

// Invoke delivers the messages of an SQS event, given as the JSON that Lambda hands to a function,
// and answers with the JSON of a partial batch response: which messages are to stay in the queue.
// It stops before ctx's deadline and reports what is left.
//
// It never returns an error for what happened to messages, because Lambda would drop the report
// with it and deliver again what was delivered. An error means that payload is not an SQS event.
func (h *Handler) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	start := time.Now()
	r, cancel := h.newRun(ctx)
	defer cancel()
	err := eachRecord(payload, func(rec *record) { r.take(rec) })
	if err != nil {
		r.abandon()
		return nil, fmt.Errorf("read the invocation: %w: send the JSON of an SQS event, "+
			"{\"Records\":[{\"messageId\":…,\"body\":…}]}", err)
	}
	r.flushAll()
	response := r.finish(ctx)
	r.summary.Duration, r.summary.BreakerOpen = time.Since(start), h.breaker.open()
	h.Report(r.summary)
	h.log(&r.summary)
	return response, nil
}

// margin is what is kept of the remaining time for dead letters, visibility and the answer: 5 s,
// but never more than a quarter.
func margin(remaining time.Duration) time.Duration {
	return max(0, min(5*time.Second, remaining/4))
}

// half bounds a call to half of the time that is left, so that SQS, if it hangs, can't keep the
// answer from being given in time.
func half(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Until(deadline)/2)
}

func (h *Handler) decoder() (*message.Decoder, error) {
	if d, ok := h.decoders.Get().(*message.Decoder); ok {
		return d, nil
	}
	return message.NewDecoder()
}
