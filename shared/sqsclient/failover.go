package sqsclient

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/spillwayhq/spillway/shared/breaker"
	"github.com/spillwayhq/spillway/shared/message"
)

// A Target is one of the queues of a [Failover]: a Sender for it, and its URL for the log.
type Target struct {
	URL    string
	Sender interface {
		Send(context.Context, []message.Message) error
	}
}

// A Failover sends each message to the first of several queues that takes it, usually those of
// several regions. Each queue has a circuit breaker of its own. It is safe for concurrent use.
type Failover struct {
	queues []*target
	log    *slog.Logger
	onDown func()
}

type target struct {
	Target
	breaker *breaker.Breaker
	down    atomic.Bool // the breaker was open, and no call has succeeded since
}

const (
	// CallTimeout bounds the sending of messages to one queue. SQS answers within tens of
	// milliseconds. A call that is cancelled may have succeeded, and its messages are then sent
	// twice.
	CallTimeout = 10 * time.Second
	// hangsAfter is from when on a call without an answer opens the breaker at once.
	hangsAfter = time.Second
)

// ErrNoQueue says that no queue was called, because all took no messages a moment ago.
var ErrNoQueue = errors.New("no queue takes messages at the moment")

// NewFailover returns a Failover to queues in the order of preference. The logger is told when one
// of them takes no messages any more, and when it does again. onDown is called when one of them no
// longer does; it may be nil.
func NewFailover(logger *slog.Logger, onDown func(), queues ...Target) *Failover {
	f := &Failover{log: logger, onDown: onDown}
	for _, q := range queues {
		f.queues = append(f.queues, &target{Target: q, breaker: NewBreaker()})
	}
	return f
}

// FirstUp returns the URL of the first queue that takes messages; empty: none does.
func (f *Failover) FirstUp() string {
	for _, q := range f.queues {
		if !q.down.Load() {
			return q.URL
		}
	}
	return ""
}

// Refusing reports whether Send would fail without a call to any queue.
func (f *Failover) Refusing(now time.Time) bool {
	for _, q := range f.queues {
		if !q.breaker.Refusing(now) {
			return false
		}
	}
	return true
}

// Send sends messages until a queue has each or all queues were tried. Queues that do not answer
// share the time until ctx's deadline. The error is nil or a *[SendError]; it holds [ErrNoQueue] for
// messages with which no queue was called.
func (f *Failover) Send(ctx context.Context, messages []message.Message) error {
	failed := make(map[int]error, len(messages))
	for i := range messages {
		failed[i] = ErrNoQueue
	}
	f.Try(ctx, messages, func(i int, err error) {
		if failed[i] = err; err == nil {
			delete(failed, i)
		}
	})
	if len(failed) > 0 {
		return &SendError{URL: f.queues[0].URL, Failed: failed}
	}
	return nil
}

// Try is Send that tells each result: result is called for each message of each call, by its index,
// with nil when a queue has it. called says whether any queue was called.
func (f *Failover) Try(ctx context.Context, messages []message.Message, result func(i int, err error)) (called bool) {
	left := make([]int, len(messages))
	for i := range left {
		left[i] = i
	}
	for n, q := range f.queues {
		if len(left) == 0 || ctx.Err() != nil {
			break
		}
		ticket, ok := q.breaker.Allow(time.Now())
		if !ok {
			continue
		}
		called = true
		part := messages
		if len(left) < len(messages) {
			part = make([]message.Message, len(left))
			for k, i := range left {
				part[k] = messages[i]
			}
		}
		failed := f.call(ctx, q, ticket, part, len(f.queues)-n)
		var still []int
		for k, i := range left {
			err, bad := failed[k]
			if bad {
				still = append(still, i)
			}
			result(i, err)
		}
		left = still
	}
	return called
}

// call sends messages to one queue, which gets its share of the time of so many. failed are the
// errors of those that the queue did not take, by index.
func (f *Failover) call(ctx context.Context, q *target, ticket breaker.Ticket, messages []message.Message,
	sharers int) (failed map[int]error) {
	began := time.Now()
	limit := CallTimeout
	if deadline, ok := ctx.Deadline(); ok {
		limit = min(limit, deadline.Sub(began)/time.Duration(sharers))
	}
	calling, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	result := breaker.Failure // a panic's
	var err error
	defer func() {
		q.breaker.Report(time.Now(), ticket, result)
		f.observe(ctx, q, result, err)
	}()
	err = q.Sender.Send(calling, messages)
	failed = Failures(err, len(messages))
	hung := errors.Is(calling.Err(), context.DeadlineExceeded) && time.Since(began) >= hangsAfter
	result = callResult(len(failed) == len(messages), hung)
	return failed
}

// callResult returns what to report to the breaker: failed if a call failed for every message, hung
// if it got no answer in time.
func callResult(failed, hung bool) breaker.Result {
	switch {
	case !failed:
		return breaker.Success
	case hung:
		return breaker.Hang
	}
	return breaker.Failure
}

// observe notes whether a queue takes messages after a call to it, and logs a change.
func (f *Failover) observe(ctx context.Context, q *target, result breaker.Result, err error) {
	switch {
	case result == breaker.Success:
		if q.down.CompareAndSwap(true, false) {
			f.log.InfoContext(ctx, "the queue takes events again", "queue", q.URL)
		}
	case errors.Is(ctx.Err(), context.Canceled): // the caller ends
	case q.breaker.Refusing(time.Now()) && q.down.CompareAndSwap(false, true):
		f.log.WarnContext(ctx, "the queue takes no events; they go to the next queue or wait, and the queue is tried "+
			"again every second",
			"queue", q.URL, "error", err)
		if f.onDown != nil {
			f.onDown()
		}
	}
}
