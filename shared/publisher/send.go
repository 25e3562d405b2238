package publisher

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/aws/smithy-go"
	"github.com/segmentio/analytics-go/v3"

	"github.com/spillwayhq/spillway/shared/breaker"
	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

const (
	// publishRounds is how many times Publish asks every region before it gives up; with the waits
	// between them about 3 s, more when calls get no answer.
	publishRounds = 6
	// refusedRounds is how many times SQS may refuse a message for its own fault before it is
	// dropped.
	refusedRounds = 3
	// callTimeout bounds the sending of one parcel to one region. SQS answers within tens of
	// milliseconds; a call that is given up may have been taken, and is sent twice then.
	callTimeout = 10 * time.Second
)

// A route is one region's queue.
type route struct {
	queue   *sqsclient.Sender
	url     string
	breaker *breaker.Breaker
	down    atomic.Bool // the breaker was open, and no call has succeeded since
}

// dispatch hands what waits to senders until the client is closed and nothing waits. The more
// waits, the more of them send at the same time: each takes what there is, up to a limit, and while
// it packs and sends the next one takes what came meanwhile.
func (c *Client) dispatch() {
	for c.buffer.ready(c.config.Interval, c.closing) {
		turn := c.turn()
		if turn == ofPublications {
			chunks := c.buffer.takeWaited()
			c.running.Go(func() { c.send(c.pack(chunks), chunks) })
			continue
		}
		sender := turn == ofSender
		chunks := c.buffer.take(c.takeBytes)
		switch {
		case len(chunks) == 0:
			if sender {
				<-c.slots
			}
		case sender:
			c.running.Go(func() {
				defer func() { <-c.slots }()
				c.send(c.pack(chunks), chunks)
			})
		default:
			// What can't go to disk waits by itself, so that what comes behind it can.
			left := c.spill(c.pack(chunks))
			if !slices.ContainsFunc(left, func(p *parcel) bool { return !p.waited() }) {
				chunks = slices.DeleteFunc(chunks, func(ch *chunk) bool {
					onDisk := !ch.waited()
					if onDisk {
						c.buffer.release(ch)
					}
					return onDisk
				})
			}
			if len(chunks) > 0 {
				c.running.Go(func() { c.send(left, chunks) })
			}
		}
	}
}

// The turns are who takes what waits.
const (
	ofSender = iota // a sender, which is free
	ofDisk          // the disk: memory runs full, because all senders are waiting for an SQS that is slow
	// what callers wait for alone: all senders hold what no queue takes, and those callers are to
	// hear of it
	ofPublications
)

// turn waits for a sender to be free, or for a reason not to wait for one.
func (c *Client) turn() int {
	for {
		select {
		case c.slots <- struct{}{}:
			return ofSender
		default:
		}
		if c.disk != nil && c.buffer.waiting.Load() >= c.buffer.high {
			return ofDisk
		}
		if c.buffer.urgent.Load() > 0 && c.away() {
			return ofPublications
		}
		select {
		case c.slots <- struct{}{}:
			return ofSender
		case <-c.buffer.wake:
		}
	}
}

// send brings parcels to their end and gives back the memory of their events.
func (c *Client) send(parcels []*parcel, chunks []*chunk) {
	c.deliver(parcels)
	for _, ch := range chunks {
		c.buffer.release(ch)
	}
}

// spillRounds is after how many rounds in which a queue was called events go to disk; when none may
// be called they do at once.
const spillRounds = 3

// deliver sends parcels to the first region that takes them, again and again until all are settled
// or on disk. A round asks each region that may be called; behind a round that left something comes
// a wait.
func (c *Client) deliver(parcels []*parcel) {
	for try := 1; len(parcels) > 0; try++ {
		called := false
		for _, r := range c.routes {
			if len(parcels) == 0 || c.ctx.Err() != nil {
				break
			}
			if ticket, ok := r.breaker.Allow(time.Now()); ok {
				called = true
				parcels = c.call(r, ticket, parcels)
			}
		}
		parcels = c.giveUp(parcels, try)
		if c.disk != nil && (!called || try >= spillRounds) {
			parcels = c.spill(parcels)
		}
		if len(parcels) > 0 && !sqsclient.Backoff(c.ctx, try) {
			c.abandon(parcels)
			return
		}
	}
}

// abandon ends parcels when Shutdown's time is over.
func (c *Client) abandon(parcels []*parcel) {
	if c.disk != nil {
		parcels = c.spill(parcels)
	}
	for _, p := range parcels {
		if p.records == nil { // what is on disk stays there
			c.fail(p, NotSent, c.why(p, errStopped))
		}
	}
}

var (
	errStopped = errors.New("the client was shut down before SQS took it")
	errAway    = errors.New("no region's queue is to be called at the moment")
)

// why is the error of a parcel that is given up.
func (c *Client) why(p *parcel, because error) error {
	if p.err != nil {
		because = fmt.Errorf("%w; the last answer was: %w", because, p.err)
	}
	return &SendError{Unknown: p.unknown, Err: because}
}

// call sends parcels to one region whose breaker allowed it, settles those that it took and returns
// the others.
func (c *Client) call(r *route, ticket breaker.Ticket, parcels []*parcel) (left []*parcel) {
	messages := make([]message.Message, len(parcels))
	for i, p := range parcels {
		messages[i] = p.Message
		if p.tries++; p.tries > 1 {
			c.counts.retried.Add(int64(p.events))
		}
	}
	ctx, cancel := context.WithTimeout(c.ctx, callTimeout)
	defer cancel()
	err := r.queue.Send(ctx, messages)
	failed := sqsclient.Failures(err, len(messages))
	allFailed := len(failed) == len(messages)
	r.breaker.Report(time.Now(), ticket,
		sqsclient.CallResult(allFailed, errors.Is(ctx.Err(), context.DeadlineExceeded)))
	c.health(r, allFailed, err)
	for i, p := range parcels {
		err, ok := failed[i]
		if !ok {
			c.settle(p)
			continue
		}
		p.err = err
		p.unknown = p.unknown || unanswered(err)
		var refused *sqsclient.RefusedError
		if errors.As(err, &refused) && refused.SenderFault {
			p.refused++
		}
		left = append(left, p)
	}
	return left
}

// health notes what a call says of a region, and logs when that is news.
func (c *Client) health(r *route, failed bool, err error) {
	switch {
	case !failed && r.down.CompareAndSwap(true, false):
		c.log.Info("the queue takes events again", "queue", r.url)
	case failed && c.ctx.Err() == nil && r.breaker.Refusing(time.Now()) && r.down.CompareAndSwap(false, true):
		c.buffer.signal() // callers who wait are to hear of it
		c.log.Warn("the queue does not take events: they go to the next one that does, or are kept; it is asked again "+
			"every second", "queue", r.url, "error", err)
	}
}

// unanswered reports whether SQS may have taken a message although the call that held it failed.
func unanswered(err error) bool {
	var refused *sqsclient.RefusedError
	var api smithy.APIError
	var dial *net.OpError
	switch {
	case errors.As(err, &refused):
		return false
	case errors.As(err, &api):
		return api.ErrorFault() != smithy.FaultClient // an internal error says nothing
	case errors.As(err, &dial) && dial.Op == "dial", errors.Is(err, syscall.ECONNREFUSED):
		return false
	}
	return true
}

// giveUp settles the parcels that are not tried any more, and returns the others.
func (c *Client) giveUp(parcels []*parcel, round int) (left []*parcel) {
	for _, p := range parcels {
		switch {
		case p.records != nil && c.drained.Err() != nil:
			// It stays on disk, for the next process.
		case p.refused >= refusedRounds:
			c.fail(p, Refused, c.why(p, errors.New("SQS refused the message several times")))
		case p.waited() && (round >= publishRounds || p.gone()):
			because := fmt.Errorf("%d rounds over every region's queue failed", round)
			if p.tries == 0 {
				because = errAway
			}
			c.fail(p, Failed, c.why(p, because))
		default:
			left = append(left, p)
		}
	}
	return left
}

// settle tells that SQS has a parcel.
func (c *Client) settle(p *parcel) {
	c.counts.published.Add(int64(p.events))
	c.counts.messages.Add(1)
	if p.records != nil {
		c.counts.replayed.Add(int64(p.events))
		c.disk.Done(p.records...)
		if c.config.Callback != nil {
			for _, m := range c.messages(p) {
				c.succeeded(m)
			}
		}
	}
	for i := range p.items {
		it := &p.items[i]
		if it.message != nil {
			c.succeeded(it.message)
		}
		if it.pub != nil {
			it.pub.settle(it.index, nil)
		}
	}
}

// fail tells that a parcel is given up.
func (c *Client) fail(p *parcel, reason string, err error) {
	c.counts.drop(reason, p.events)
	if reason == NotSent {
		c.lost.Add(int64(p.events))
	}
	if reason != Failed {
		c.log.Error("events are dropped", "reason", reason, "events", p.events, "error", err)
	}
	if p.records != nil {
		c.disk.Done(p.records...)
		if c.config.Callback != nil {
			for _, m := range c.messages(p) {
				c.failed(m, err)
			}
		}
	}
	for i := range p.items {
		it := &p.items[i]
		if it.message != nil {
			c.failed(it.message, err)
		}
		if it.pub != nil {
			it.pub.settle(it.index, err)
		}
	}
}

// succeeded and failed call the callback, whose panics must not end the API.
func (c *Client) succeeded(m analytics.Message) {
	defer c.caught()
	c.config.Callback.Success(m)
}

func (c *Client) failed(m analytics.Message, err error) {
	defer c.caught()
	c.config.Callback.Failure(m, err)
}

func (c *Client) caught() {
	if r := recover(); r != nil {
		c.log.Error("the callback panicked", "panic", r)
	}
}
