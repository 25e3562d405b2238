package outbox

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

// A call is one to the queue. It may go on when Send has returned, because its messages are on disk.
type call struct {
	ended  context.Context // Done when the queue has answered, or did not in time
	failed map[int]error   // then: the messages that the queue did not take
}

// sent is the tag of a record on disk: the message of a call with this index.
type sent struct {
	call  *call
	index int
}

// call begins to send messages. It ends at ctx's deadline, and until letGo is called also when ctx
// is cancelled.
func (b *Outbox) call(ctx context.Context, messages []message.Message) (c *call, letGo func()) {
	deadline := time.Now().Add(sqsclient.CallTimeout)
	if earlier, ok := ctx.Deadline(); ok && earlier.Before(deadline) {
		deadline = earlier
	}
	calling, cancel := context.WithDeadline(context.WithoutCancel(ctx), deadline)
	stop := context.AfterFunc(ctx, func() {
		if errors.Is(ctx.Err(), context.Canceled) { // the circuit breaker of the queue looks for deadlines
			cancel()
		}
	})
	stopAtEnd := context.AfterFunc(b.ended, cancel)
	c = &call{}
	var end context.CancelFunc
	c.ended, end = context.WithCancel(context.Background())
	go func() {
		defer end()
		defer cancel()
		defer stopAtEnd()
		defer func() {
			if p := recover(); p != nil { // it must not end the requests that do without the queue
				b.out.ErrorContext(ctx, "the call to the queue panicked", "type", fmt.Sprintf("%T", p),
					"stack", string(debug.Stack()))
				c.failed = sqsclient.Failures(errPanic, len(messages))
			}
		}()
		c.failed = sqsclient.Failures(b.queue.Send(calling, messages), len(messages))
	}()
	return c, func() { stop() }
}

// endsBefore waits for the call's end until patience is over or slow is closed. It reports whether
// the call has ended.
func (c *call) endsBefore(slow <-chan struct{}) bool {
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case <-c.ended.Done():
		return true
	case <-t.C:
		return false
	case <-slow:
		return false
	}
}

// A pace is whether the queue is slow: whether a call took longer than patience, or failed, and no
// message from disk was sent quickly since. The zero pace is not slow. It is safe for concurrent
// use.
type pace struct {
	mu     sync.Mutex
	slowed chan struct{} // closed: it is slow
}

// slow returns a channel that is closed when the queue is slow, so that all who wait for it go on
// at once.
func (p *pace) slow() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.channel()
}

func (p *pace) channel() chan struct{} {
	if p.slowed == nil {
		p.slowed = make(chan struct{})
	}
	return p.slowed
}

func (p *pace) slowDown() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c := p.channel(); !isClosed(c) {
		close(c)
	}
}

func (p *pace) speedUp() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if isClosed(p.channel()) {
		p.slowed = nil
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
