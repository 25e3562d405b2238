package publisher

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"syscall"
	"time"

	"github.com/aws/smithy-go"

	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

const (
	// publishRounds is how many times Publish tries every region before it gives up; with the waits
	// between them about 3 s, more when calls get no answer.
	publishRounds = 6
	// refusedRounds is how many times SQS may refuse a message for the message's own fault before
	// it is dropped.
	refusedRounds = 3
	// spillRounds is after how many rounds in which a queue was called events are written to disk.
	// When the breakers allow no call, they are written at once.
	spillRounds = 3
	// maxTakeBytes is how much one sender takes at once: with usual compression what one call to
	// SQS holds, 1 MiB of eight batches.
	maxTakeBytes = 4 << 20
)

// A sender takes events out of the buffer and sends them until each is settled.
type sender struct {
	buffer    *buffer
	disk      *disk // nil: none
	packing   *packing
	regions   *sqsclient.Failover
	settler   *settler
	life      *lifecycle
	interval  time.Duration
	takeBytes int64         // how much one goroutine takes at once
	slots     chan struct{} // holds an item for each goroutine that sends
}

func newSender(c *Client, packing *packing, regions []sqsclient.Target) *sender {
	return &sender{
		buffer: c.buffer, disk: c.disk, packing: packing, settler: c.settler, life: c.life,
		// When a region is down, callers of Publish must be told.
		regions:  sqsclient.NewFailover(c.config.Logger, c.buffer.signal, regions...),
		interval: c.config.Interval,
		// All senders together hold at most half of the buffer.
		takeBytes: min(maxTakeBytes, c.config.BufferBytes/(2*int64(c.config.Senders))),
		slots:     make(chan struct{}, c.config.Senders),
	}
}

// dispatch starts a goroutine for what waits in the buffer until the client is closed and nothing
// waits. The more waits, the more of them send at the same time: each takes what there is, up to a
// limit, and while it packs and sends, the next one takes what came in the meantime.
func (s *sender) dispatch() {
	for s.buffer.ready(s.interval, s.life.closing) {
		switch s.next() {
		case toQueue:
			chunks := s.buffer.take(s.takeBytes)
			if len(chunks) == 0 {
				<-s.slots
				continue
			}
			s.life.sending.Go(func() {
				defer func() { <-s.slots }()
				s.send(s.packing.pack(chunks), chunks)
			})
		case toDisk:
			s.moveToDisk(s.buffer.take(s.takeBytes))
		case publishedToQueue:
			chunks := s.buffer.takePublished()
			s.life.sending.Go(func() { s.send(s.packing.pack(chunks), chunks) })
		}
	}
}

// A destination is where what waits in the buffer goes next.
type destination int

const (
	// toQueue: a slot for a sending goroutine is free, and is taken now.
	toQueue destination = iota
	// toDisk: memory is nearly full because all senders wait for a slow SQS.
	toDisk
	// publishedToQueue: all senders hold events that no queue takes. Published events alone get a
	// further sender, because their callers must be told.
	publishedToQueue
)

// next waits for a free slot, or for a reason not to wait for one.
func (s *sender) next() destination {
	for {
		select {
		case s.slots <- struct{}{}:
			return toQueue
		default:
		}
		if s.disk != nil && s.buffer.waiting.Load() >= s.buffer.high {
			return toDisk
		}
		if s.buffer.published.Load() > 0 && s.regions.FirstUp() == "" {
			return publishedToQueue
		}
		select {
		case s.slots <- struct{}{}:
			return toQueue
		case <-s.buffer.wake:
		}
	}
}

// moveToDisk writes chunks to disk. Another goroutine sends what can't be written, so that later
// chunks do not wait for it.
func (s *sender) moveToDisk(chunks []*chunk) {
	left := s.spill(s.packing.pack(chunks))
	if !slices.ContainsFunc(left, func(o *outgoing) bool { return !o.published() }) {
		chunks = slices.DeleteFunc(chunks, func(ch *chunk) bool {
			onDisk := !ch.published()
			if onDisk {
				s.buffer.release(ch)
			}
			return onDisk
		})
	}
	if len(chunks) > 0 {
		s.life.sending.Go(func() { s.send(left, chunks) })
	}
}

// send delivers messages and gives back the memory of their events.
func (s *sender) send(messages []*outgoing, chunks []*chunk) {
	s.deliver(messages)
	for _, ch := range chunks {
		s.buffer.release(ch)
	}
}

// deliver sends messages to the first region that takes them, until all are settled or on disk. A
// round tries each region whose breaker allows it. A wait follows a round that left messages.
func (s *sender) deliver(messages []*outgoing) {
	for round := 1; len(messages) > 0; round++ {
		left, called := s.try(messages)
		messages = s.giveUp(left, round)
		if !called || round >= spillRounds {
			messages = s.spill(messages)
		}
		if len(messages) > 0 && !sqsclient.Backoff(s.life.calls, round) {
			s.stop(messages)
			return
		}
	}
}

// try sends messages to each region whose breaker allows it until one has taken them, settles those
// that were taken, and returns the others. called says whether any region was called.
func (s *sender) try(messages []*outgoing) (left []*outgoing, called bool) {
	bodies := make([]message.Message, len(messages))
	for i, o := range messages {
		bodies[i] = o.Message
	}
	taken := make([]bool, len(messages))
	called = s.regions.Try(s.life.calls, bodies, func(i int, err error) {
		o := messages[i]
		if o.tries++; o.tries > 1 {
			s.settler.counts.retried.Add(int64(o.events))
		}
		if err == nil {
			taken[i] = true
			s.settler.succeed(o)
			return
		}
		o.err = err
		o.unknown = o.unknown || mayBeTaken(err)
		var refused *sqsclient.RefusedError
		if errors.As(err, &refused) && refused.SenderFault {
			o.refused++
		}
	})
	for i, o := range messages {
		if !taken[i] {
			left = append(left, o)
		}
	}
	return left, called
}

var (
	errStopped = errors.New("the client was shut down before SQS took the event")
	errDown    = errors.New("no queue takes events at the moment")
)

// giveUp settles the messages that are not tried any more, and returns the others.
func (s *sender) giveUp(messages []*outgoing, round int) (left []*outgoing) {
	for _, o := range messages {
		switch {
		case o.records != nil && s.life.drained.Err() != nil:
			// It remains on disk for the next process.
		case o.refused >= refusedRounds:
			s.fail(o, Refused, errors.New("SQS refused the message several times"))
		case o.published() && (round >= publishRounds || o.abandoned()):
			because := fmt.Errorf("all queues failed in %d rounds", round)
			if o.tries == 0 {
				because = errDown
			}
			s.fail(o, Failed, because)
		default:
			left = append(left, o)
		}
	}
	return left
}

// stop gives messages up when Shutdown's time is over.
func (s *sender) stop(messages []*outgoing) {
	for _, o := range s.spill(messages) {
		if o.records == nil { // what is on disk remains there
			s.fail(o, NotSent, errStopped)
		}
	}
}

// fail settles a message that is given up, with the last answer about it.
func (s *sender) fail(o *outgoing, reason string, because error) {
	if o.err != nil {
		because = fmt.Errorf("%w (%w)", o.err, because)
	}
	s.settler.fail(o, reason, &SendError{Unknown: o.unknown, Err: because})
}

// spill moves messages from memory to disk, and returns those that are published, come from disk,
// or can't be written.
func (s *sender) spill(messages []*outgoing) (left []*outgoing) {
	if s.disk == nil {
		return messages
	}
	left, events := s.disk.spill(messages)
	s.settler.counts.spilled.Add(events)
	return left
}

// mayBeTaken reports whether SQS may have a message although the call that held it failed.
func mayBeTaken(err error) bool {
	var refused *sqsclient.RefusedError
	var api smithy.APIError
	var dial *net.OpError
	switch {
	case errors.As(err, &refused):
		return false
	case errors.As(err, &api):
		return api.ErrorFault() != smithy.FaultClient // an internal error says nothing about the message
	case errors.As(err, &dial) && dial.Op == "dial", errors.Is(err, syscall.ECONNREFUSED):
		return false
	}
	return true
}
