package publisher

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/segmentio/analytics-go/v3"
)

// encoders lends encoders to the goroutines that call a client. The zero value is ready.
type encoders struct {
	pool sync.Pool
	made atomic.Int64
}

// get lends an encoder. Each new one is for another shard of the buffer: the pool gives a processor
// the same encoder most of the time, and so the same shard.
func (p *encoders) get() *encoder {
	if e, ok := p.pool.Get().(*encoder); ok {
		return e
	}
	return &encoder{shard: int(p.made.Add(1) - 1)}
}

func (p *encoders) put(e *encoder) { p.pool.Put(e) }

// now is the time that events without a timestamp get.
func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }

// Enqueue accepts a message and returns at once. It checks the message as analytics-go does, with
// the same errors. It also returns an *EventError for an event that can't be sent (analytics-go
// tells only the callback), ErrFull and ErrClosed. The caller may change the message when Enqueue
// has returned.
func (c *Client) Enqueue(message analytics.Message) error {
	e := c.encoders.get()
	defer c.encoders.put(e)
	p, err := e.encode(message, now(), c.config.Callback != nil)
	if err != nil {
		return c.reject(message, err)
	}
	switch {
	case c.config.Durability == Memory:
		err = c.buffer.add(e.shard, e.buf, p)
	case c.closed.Load(): // Shutdown waits until the disk is empty: nothing may be added
		err = ErrClosed
	default:
		if err = c.disk.write(e, p.raw); err == nil {
			c.senders.countOne(e.buf, p, "") // it comes to no sender again
		}
	}
	if err == nil || err == ErrClosed {
		return err
	}
	reason := Full
	if err != ErrFull {
		reason = DiskFailed
	}
	c.settler.counts.drop(reason, 1)
	c.senders.countOne(e.buf, p, reason)
	if p.message != nil {
		c.settler.tell(p.message, err)
	}
	return err
}

// reject counts an event that could not be encoded, and returns why.
func (c *Client) reject(m analytics.Message, err error) error {
	reason := Invalid
	if event, ok := errors.AsType[*EventError](err); ok {
		reason = event.Reason
	}
	c.settler.counts.drop(reason, 1)
	c.senders.countRejected(m, reason)
	return err
}
