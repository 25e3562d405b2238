package lambda

import (
	"context"
	"math/rand/v2"
	"time"
)

const (
	// longPoll is how long a poller waits at an empty queue (SQS's maximum).
	longPoll = 20 * time.Second

	// receiveMax is SQS's maximum of messages a call.
	receiveMax = 10

	// shortPoll is the pause between receives when the queue answers "nothing" before the wait is
	// over. A queue that takes whole seconds only does so at the end of a batching window.
	shortPoll = 50 * time.Millisecond
)

// batch is the messages of one invocation. Their bodies are in the payload only.
type batch struct {
	payload *payload
	ids     []string
	handles []string
}

// poller makes batches, one at a time. It belongs to one goroutine.
type poller struct {
	m     *EventSourceMapping
	carry []Message // received after the previous batch was full
	full  bool      // the last receive returned as many as it asked for
	load  bool      // whether pollers counts this one as loaded

	receiveErrors int // in a row
	slowdowns     int // in a row
}

// collect makes the next batch. The batch is complete when it is full by count or by payload, when
// its batching window has ended, or when ctx is done. collect returns nil when there is nothing to
// invoke and the poller has to end.
//
// AWS names no other reason to invoke (Lambda developer guide, "Batching behavior"): a poller whose
// queue is empty waits for the end of its window. So the last batches of a backlog wait for it, and
// with them a whole backlog that the first pollers can hold in batches that are not full. By the
// same page a window begins when the poller's last invocation has ended. What AWS does when nothing
// came in such a window it does not say: here the next message begins one, so that a message alone
// always waits for all of it. Nor is it said how full large batches become, or what happens to
// messages that exceed the payload: here each poller receives until its batch is full, and begins
// the next one with what was too much.
//
// Not emulated: with very few messages, AWS may wait for up to 20 s (the same guide, "Using Lambda
// with Amazon SQS"), and its users report invocations before the window's end.
func (p *poller) collect(ctx context.Context) *batch {
	var b *batch
	var windowEnd time.Time
	for {
		if len(p.carry) > 0 {
			if b == nil {
				b = p.begin()
				windowEnd = time.Now().Add(p.m.config.MaximumBatchingWindow)
			}
			p.carry = p.add(b, p.carry)
			if len(b.ids) == 0 {
				p.skipOversized()
				b = nil
				continue
			}
			if len(p.carry) > 0 {
				return b
			}
		}
		wait := longPoll
		if b != nil {
			wait = min(wait, time.Until(windowEnd))
			if wait <= 0 || len(b.ids) == p.m.config.BatchSize {
				return b
			}
		}
		if ctx.Err() != nil {
			return b
		}
		if !p.receive(ctx, b, wait) {
			return b
		}
	}
}

// receive calls Receive once and puts the messages into carry. It returns false when the poller has
// to stop receiving: to invoke the function where it has a batch, to end where it has none.
func (p *poller) receive(ctx context.Context, b *batch, wait time.Duration) bool {
	most := min(receiveMax, p.m.config.BatchSize)
	if b != nil {
		most = min(receiveMax, p.m.config.BatchSize-len(b.ids))
	}
	asked := time.Now()
	messages, err := p.m.config.Queue.Receive(ctx, most, wait)
	if err != nil {
		if ctx.Err() != nil {
			return false
		}
		p.receiveErrors++
		p.full = false
		p.m.pollers.loaded(&p.load, false)
		p.m.log.WarnContext(ctx, "receive failed, retrying", "error", err, "failures", p.receiveErrors)
		return b == nil && sleep(ctx, backoff(p.receiveErrors, receiveBase, receiveLimit, rand.Float64()))
	}
	p.receiveErrors = 0
	p.m.counts.received.Add(int64(len(messages)))
	p.full = len(messages) >= most
	p.m.pollers.loaded(&p.load, p.full)
	p.carry = messages
	if len(messages) > 0 {
		return true
	}
	rest := wait - time.Since(asked)
	if b == nil && rest < time.Second && p.m.pollers.retire() {
		return false
	}
	if rest > 0 {
		sleep(ctx, min(rest, shortPoll))
	}
	return true
}

func (p *poller) begin() *batch {
	var buf []byte
	if reused, ok := p.m.buffers.Get().(*[]byte); ok {
		buf = *reused
	}
	return &batch{payload: newPayload(buf, p.m.limit, p.m.tail)}
}

// add encodes messages while they fit, and returns the others. It clears those that it has encoded,
// so that their memory is free.
func (p *poller) add(b *batch, messages []Message) []Message {
	for i := range messages {
		if len(b.ids) == p.m.config.BatchSize || !b.payload.add(&messages[i]) {
			return messages[i:]
		}
		b.ids = append(b.ids, messages[i].MessageID)
		b.handles = append(b.handles, messages[i].ReceiptHandle)
		messages[i] = Message{}
	}
	return nil
}

// skipOversized leaves a message in the queue that is too large for any invocation. It is never
// deleted, so it becomes a dead letter where the queue has a redrive policy. SQS's own limit of
// 1 MiB makes this impossible there.
func (p *poller) skipOversized() {
	p.m.counts.messagesFailed.Add(1)
	p.m.log.Error("a message is larger than an invocation's payload and is left in the queue",
		"message_id", p.carry[0].MessageID, "bytes", len(p.carry[0].Body))
	p.carry = p.carry[1:]
}

// backOff slows the poller down after a batch, for longer each time in a row.
func (p *poller) backOff(ctx context.Context, why slowdown) {
	if why == noSlowdown {
		p.slowdowns = 0
		return
	}
	p.slowdowns++
	sleep(ctx, backoff(p.slowdowns, slowdownBase, slowdownLimit, rand.Float64()))
}
