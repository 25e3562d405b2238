package publisher

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/segmentio/analytics-go/v3"
)

// publication is one call of Publish, whose caller waits.
type publication struct {
	gone atomic.Bool // the caller no longer waits
	done chan struct{}

	mu     sync.Mutex
	open   int           // events without an outcome
	failed map[int]error // by index
}

// settle records the outcome of one event.
func (p *publication) settle(index int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.failed[index] = err
	}
	if p.open--; p.open == 0 {
		close(p.done)
	}
}

// Publish sends messages and returns nil when SQS has all of them. Otherwise the error is a
// *PublishError that names the messages that SQS may not have; it has all others. Publish tries
// every region for some seconds, or until ctx ends. An event that it gives up is not retried later
// and not written to disk. Publish an event whose outcome is unknown (see [SendError]) again with
// the same MessageId.
//
// Publish is for Lambda functions, which do not run between two invocations, and for events whose
// loss the caller must know of. Calls at the same time share messages and calls to SQS.
func (c *Client) Publish(ctx context.Context, messages ...analytics.Message) error {
	if len(messages) == 0 {
		return nil
	}
	if err := ctx.Err(); err != nil {
		failed := make(map[int]error, len(messages))
		for i := range messages {
			failed[i] = &SendError{Err: err}
		}
		return &PublishError{failed}
	}
	p := &publication{done: make(chan struct{}), failed: map[int]error{}}
	at := now()
	e := c.encoders.get()
	items := make([]item, 0, len(messages))
	for i, m := range messages {
		prepared, err := e.encode(m, at, c.config.Callback != nil)
		if err != nil {
			p.failed[i] = c.reject(m, err)
			continue
		}
		items = append(items, item{json: bytes.Clone(e.buf), raw: prepared.raw, name: prepared.name,
			message: prepared.message, pub: p, index: i})
	}
	c.encoders.put(e)
	if len(items) == 0 {
		return &PublishError{p.failed}
	}
	p.open = len(items)
	if err := c.buffer.publish(items); err != nil {
		for _, it := range items {
			p.failed[it.index] = err
		}
		if err == ErrFull {
			c.settler.counts.drop(Full, len(items))
			c.senders.count(items, Full)
		}
		return &PublishError{p.failed}
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		select {
		case <-p.done: // both ended at the same time
		default:
			return p.leave(ctx, messages)
		}
	}
	if len(p.failed) > 0 {
		return &PublishError{p.failed}
	}
	return nil
}

// leave returns the error for a caller that no longer waits.
func (p *publication) leave(ctx context.Context, messages []analytics.Message) error {
	p.gone.Store(true)
	p.mu.Lock()
	defer p.mu.Unlock()
	// Some of the events may have been settled already: "may be in SQS" holds for them too.
	failed := make(map[int]error, len(messages))
	for i := range messages {
		if failed[i] = p.failed[i]; failed[i] == nil {
			failed[i] = &SendError{Unknown: true, Err: fmt.Errorf("the caller stopped waiting: %w", context.Cause(ctx))}
		}
	}
	return &PublishError{failed}
}
