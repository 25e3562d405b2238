package replay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spillwayhq/spillway/shared/deadletter"
	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

// A Sender sends to the bulk queue; *sqsclient.Queue is one. The error is nil or, if only some
// messages failed, a *sqsclient.SendError.
type Sender interface {
	Send(context.Context, []message.Message) error
}

const (
	// DefaultRate is how many events a second a replay sends, as many as a redrive.
	DefaultRate = deadletter.DefaultRate
	// checkEvery is how often a replay checks that Segment takes events.
	checkEvery = time.Minute
	// sendTries is how often messages are sent that SQS does not take.
	sendTries = 5
	// callTimeout bounds one try.
	callTimeout = 30 * time.Second
	// maxLoads bounds the messages that are filled at the same time: events share one only if their
	// headers are the same.
	maxLoads = 64
)

// outgoing packs events into messages and sends them at a rate. It is not safe for concurrent use.
type outgoing struct {
	to         Sender
	id         string // of the replay
	rate       float64
	check      func(context.Context) error // nil: none
	compressor *message.Compressor
	loads      map[message.Key]*load
	waiting    int // events in loads and ready
	ready      []message.Message
	readyCount []int // events of each
	next       time.Time
	checked    time.Time
}

// load is a message that is being filled.
type load struct {
	packer *message.Packer
	oldest time.Time // when its first event came in
}

func newOutgoing(o SendOptions, id string) (*outgoing, error) {
	compressor, err := message.NewCompressor()
	if err != nil {
		return nil, err
	}
	return &outgoing{to: o.To, id: id, rate: o.Rate, check: o.Check, compressor: compressor,
		loads: map[message.Key]*load{}}, nil
}

// add takes an event, and sends when a call is full.
func (s *outgoing) add(ctx context.Context, e *chosen) error {
	key := e.header.Key()
	l := s.loads[key]
	if l == nil {
		if len(s.loads) == maxLoads {
			s.packAll()
		}
		// The time of receipt is an attribute: as a part of the body it would make fresh messages
		// old.
		l = &load{packer: message.NewPacker(e.header, s.compressor)}
		l.packer.Fair = true
		s.loads[key] = l
	}
	// No more than a second's worth in one message.
	if !l.packer.Fits(len(e.event)) || float64(l.packer.Len()) >= s.rate {
		s.pack(l)
	}
	if at := cameIn(e); l.packer.Len() == 0 || at.Before(l.oldest) {
		l.oldest = at
	}
	l.packer.Add(bytes.Clone(e.event))
	s.waiting++
	if len(s.ready) >= sqsclient.MaxEntries {
		return s.send(ctx)
	}
	return nil
}

// cameIn is when an event came in, as far as its record knows.
func cameIn(e *chosen) time.Time {
	if e.ReceivedAt.IsZero() {
		return e.Time
	}
	return e.ReceivedAt
}

// pack makes a message of a load.
func (s *outgoing) pack(l *load) {
	if l.packer.Len() == 0 {
		return
	}
	n := l.packer.Len()
	m := l.packer.Pack()
	m.Attributes[message.AttrReplayID] = message.StringAttribute(s.id)
	m.Attributes[message.AttrFirstSeen] = message.StringAttribute(l.oldest.UTC().Format(event.TimeFormat))
	s.ready = append(s.ready, m)
	s.readyCount = append(s.readyCount, n)
}

func (s *outgoing) packAll() {
	for _, l := range s.loads {
		s.pack(l)
	}
	clear(s.loads)
}

// flush sends everything.
func (s *outgoing) flush(ctx context.Context) error {
	s.packAll()
	return s.send(ctx)
}

// send sends the messages that are ready, at most a second's worth of events in one call.
func (s *outgoing) send(ctx context.Context) error {
	for len(s.ready) > 0 {
		n, events := 1, s.readyCount[0]
		for n < min(len(s.ready), sqsclient.MaxEntries) && float64(events+s.readyCount[n]) <= s.rate {
			events += s.readyCount[n]
			n++
		}
		if err := s.pace(ctx, events); err != nil {
			return err
		}
		if err := s.checkSegment(ctx); err != nil {
			return err
		}
		if err := s.call(ctx, s.ready[:n]); err != nil {
			return err
		}
		s.ready, s.readyCount = s.ready[n:], s.readyCount[n:]
		s.waiting -= events
	}
	s.ready, s.readyCount = nil, nil
	return nil
}

// call sends messages, and those that SQS does not take again.
func (s *outgoing) call(ctx context.Context, messages []message.Message) error {
	for try := 1; ; try++ {
		// A send is not interrupted: otherwise it is unknown whether SQS has the messages.
		sending, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
		err := s.to.Send(sending, messages)
		cancel()
		failed := sqsclient.Failures(err, len(messages))
		if len(failed) == 0 {
			return nil
		}
		var left []message.Message
		for i, m := range messages {
			if failed[i] != nil {
				left = append(left, m)
			}
		}
		messages = left
		if try == sendTries || isRefused(err) || !sqsclient.Backoff(ctx, try) {
			return fmt.Errorf("send events to the bulk queue: %w", err)
		}
	}
}

// isRefused reports whether SQS would refuse the messages again.
func isRefused(err error) bool {
	var refused *sqsclient.RefusedError
	return errors.Is(err, sqsclient.ErrTooLarge) || errors.As(err, &refused) && refused.SenderFault
}

// pace waits until so many events may be sent.
func (s *outgoing) pace(ctx context.Context, events int) error {
	at := s.next
	if now := time.Now(); at.Before(now) {
		at = now
	}
	s.next = at.Add(time.Duration(float64(events) / s.rate * float64(time.Second)))
	timer := time.NewTimer(time.Until(at))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// checkSegment calls check if the last call was over a minute ago.
func (s *outgoing) checkSegment(ctx context.Context) error {
	if s.check == nil || time.Since(s.checked) < checkEvery {
		return nil
	}
	s.checked = time.Now()
	return s.check(ctx)
}
