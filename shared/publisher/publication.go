package publisher

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/segmentio/analytics-go/v3"
)

// publication is one call of Publish, whose caller waits.
type publication struct {
	gone atomic.Bool // the caller waits no more
	done chan struct{}

	mu     sync.Mutex
	open   int           // events without an outcome
	failed map[int]error // by index
}

// settle gives events their outcome.
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
// *PublishError that names those that are not known to be there; the others are. It tries for some
// seconds and in every region, or until ctx ends; what it gives up is neither kept nor spilled. An
// event whose outcome is unknown (see SendError) should be published again with the same MessageId.
//
// It is for a Lambda function, which does not run between two invocations, and for what must not be
// lost. Messages that are published at the same time share messages to SQS and calls, and one call
// packs all of its own together. It may be called by several goroutines at the same time.
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
	now := time.Now().UTC().Truncate(time.Millisecond)
	e := c.encoders.Get().(*encoder)
	items := make([]item, 0, len(messages))
	for i, m := range messages {
		prepared, err := e.encode(m, now, c.config.Callback != nil)
		if err != nil {
			p.failed[i] = c.refuse(err)
			continue
		}
		items = append(items, item{raw: append([]byte(nil), e.buf...), bare: prepared.bare, message: prepared.message, pub: p,
			index: i})
	}
	c.encoders.Put(e)
	if len(items) == 0 {
		return &PublishError{p.failed}
	}
	p.open = len(items)
	if err := c.buffer.publish(items); err != nil {
		for _, it := range items {
			p.failed[it.index] = err
		}
		if err == ErrFull {
			c.counts.drop(Full, len(items))
		}
		return &PublishError{p.failed}
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		select {
		case <-p.done: // both at once
		default:
			return p.leave(ctx, messages)
		}
	}
	if len(p.failed) > 0 {
		return &PublishError{p.failed}
	}
	return nil
}

// leave is the error of a caller that waits no longer.
func (p *publication) leave(ctx context.Context, messages []analytics.Message) error {
	p.gone.Store(true)
	p.mu.Lock()
	defer p.mu.Unlock()
	// Which events have their outcome is not kept: that all may be there is true in any case.
	failed := make(map[int]error, len(messages))
	for i := range messages {
		if failed[i] = p.failed[i]; failed[i] == nil {
			failed[i] = &SendError{Unknown: true, Err: fmt.Errorf("the caller stopped waiting: %w", context.Cause(ctx))}
		}
	}
	return &PublishError{failed}
}
