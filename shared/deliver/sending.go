package deliver

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"github.com/spillwayhq/spillway/shared/breaker"
	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/segment"
)

// sending is the second part of an invocation: it sends batches to Segment and settles their events
// in the ledger. One goroutine calls start and wait.
type sending struct {
	h      *Handler
	ctx    context.Context // ends with the time for calling Segment
	ledger *ledger
	freed  chan struct{} // a batch has ended: another one may be allowed
	again  chan struct{} // holds one while a batch is sent that has waited
	sends  sync.WaitGroup

	patient time.Time // until when a batch may wait for the end of its write key's pause

	mu       sync.Mutex
	underWay float64 // shares, see shareOf
	waiting  float64 // of those that are not under way
}

// patience is how long an invocation waits at most while Segment throttles a write key. By way of
// the queue a throttled batch would be received again every second or two, by all environments in
// turn, each time to find the key paused. It is a random part of it, at least a third, so that not
// all environments wait when messages of another key come.
const patience = 5 * time.Second

func newSending(ctx context.Context, h *Handler, l *ledger) *sending {
	return &sending{h: h, ctx: ctx, ledger: l, freed: make(chan struct{}, 1), again: make(chan struct{}, 1),
		patient: time.Now().Add(patience/3 + rand.N(patience*2/3))}
}

// start sends a batch in the background as soon as it is its turn and the concurrency limit allows
// it.
func (s *sending) start(b *batch) {
	if f := s.mayStart(b); f != nil {
		s.ledger.settle(b, span{0, len(b.Events)}, f)
		s.ledger.done(b)
		return
	}
	s.sends.Go(func() {
		defer s.release(b)
		defer s.ledger.done(b)
		s.send(b)
	})
}

// mayStart waits until a batch may be sent, and returns why there is no time for it.
func (s *sending) mayStart(b *batch) *failure {
	if b.bulk() {
		waited, ok := s.h.pace.turn(s.ctx, len(b.Events))
		if !ok {
			return noTurn()
		}
		b.waited = waited
	}
	if !s.acquire(b) {
		return newFailure(reasonNoTime, nil)
	}
	return nil
}

// wait waits for all answers.
func (s *sending) wait() { s.sends.Wait() }

// acquire waits until one more batch is allowed; false when there is no time left. Only one
// goroutine may call it.
func (s *sending) acquire(b *batch) bool {
	for !s.tryAcquire(b) {
		select {
		case <-s.freed:
		case <-s.ctx.Done():
			return false
		}
	}
	return true
}

func (s *sending) tryAcquire(b *batch) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.h.limit.allows(s.underWay) {
		return false
	}
	s.underWay += b.share()
	return true
}

func (s *sending) release(b *batch) {
	s.mu.Lock()
	s.underWay -= b.share()
	s.mu.Unlock()
	select {
	case s.freed <- struct{}{}:
	default:
	}
}

// stepAside is a release by a batch that waits. False: as much waits as may be under way, which
// bounds memory.
func (s *sending) stepAside(b *batch) bool {
	s.mu.Lock()
	if s.waiting >= float64(s.h.config.ConcurrencyLimit) {
		s.mu.Unlock()
		return false
	}
	s.waiting += b.share()
	s.mu.Unlock()
	s.release(b)
	return true
}

// stepBack undoes stepAside without waiting: a batch that goes on may exceed the limit by itself.
func (s *sending) stepBack(b *batch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting -= b.share()
	s.underWay += b.share()
}

// send sends a batch, bisects it if need be, and settles all of its events.
func (s *sending) send(b *batch) {
	all := span{0, len(b.Events)}
	f := s.try(b)
	if b.bulk() {
		f = s.tryInTurn(b, f)
	} else {
		f = s.tryAgain(b, f)
	}
	if f != nil && f.policy().Bisect && len(b.Events) > 1 {
		f = bisect(s, b)
	} else {
		s.ledger.settle(b, all, f)
	}
	switch {
	case f == nil:
		s.h.keys.resume(b.WriteKey, time.Now())
	case f.reason == reasonKeyPaused || f.reason == reasonNoTurn:
	case f.policy().PauseWriteKey:
		s.pause(b, f)
	}
}

// pause pauses the write key of a batch that ended with f.
func (s *sending) pause(b *batch, f *failure) {
	if s.h.keys.pause(b.WriteKey, f, time.Now()) && f.class == segment.Throttled {
		s.h.limit.cut()
	}
}

// try sends a batch, unless its write key is paused.
func (s *sending) try(b *batch) *failure {
	if f := s.h.keys.paused(b.WriteKey, time.Now()); f != nil {
		return f
	}
	return s.sendSpan(b, span{0, len(b.Events)})
}

// tryAgain sends a batch again while Segment throttles its write key, each time that the key's
// pause has ended and while patience lasts, after a first try that ended with f. One batch at a
// time: the others learn from it whether Segment takes more.
func (s *sending) tryAgain(b *batch, f *failure) *failure {
	if f == nil || f.class != segment.Throttled || !s.stepAside(b) {
		return f
	}
	defer s.stepBack(b)
	for f != nil && f.class == segment.Throttled {
		if f.reason != reasonKeyPaused {
			s.pause(b, f)
		}
		if !s.pauseEnds(b.WriteKey) {
			return f
		}
		s.again <- struct{}{}
		f = s.try(b)
		<-s.again
	}
	return f
}

// pauseEnds waits until a write key is not paused. False when that takes too long.
func (s *sending) pauseEnds(key string) bool {
	now := time.Now()
	paused := s.h.keys.paused(key, now)
	return paused == nil || now.Add(paused.wait).Before(s.patient) && s.rest(paused.wait)
}

// tryInTurn sends a batch of the bulk queue again while it is throttled and there is time, after a
// first try that ended with f, up to maxTries times in all. It waits here and not in the queue,
// because an invocation that waits costs less than receiving its messages again, and no write key
// is paused, because what the bulk queue may not send, fresh events may.
func (s *sending) tryInTurn(b *batch, f *failure) *failure {
	for try := 1; f != nil && f.class == segment.Throttled; try++ {
		s.h.pace.throttle(time.Now(), f.wait)
		if try == maxTries {
			return noTurn()
		}
		if _, ok := s.h.pace.turn(s.ctx, len(b.Events)); !ok {
			return noTurn()
		}
		f = s.try(b)
	}
	if f == nil && b.waited {
		s.h.pace.accept(len(b.Events))
	}
	return f
}

// sendSpan sends some events of a batch. It tries up to maxTries times while Segment can't be
// reached, gave no Retry-After, and there is time. A probe is tried once; while the
// breaker is open Segment is not called.
func (s *sending) sendSpan(b *batch, events span) (f *failure) {
	piece := b.Batch
	piece.Events = b.Events[events.from:events.to]
	for try := 1; ; try++ {
		if s.ctx.Err() != nil {
			return newFailure(reasonNoTime, nil)
		}
		start := time.Now()
		ticket, refused := s.h.breaker.allow(start)
		switch {
		case refused != nil && f == nil:
			return refused
		case refused != nil:
			return f
		}
		f = s.attempt(&piece, ticket)
		s.ledger.recordAttempt(len(piece.Events), b.bulk(), time.Since(start), f)
		if f == nil {
			s.h.limit.grow(b.share())
			return nil
		}
		again := f.policy().RetryNow && f.wait == 0 && !ticket.Probe && try < maxTries
		if !again || !s.rest(betweenTries(try)) || s.ctx.Err() != nil {
			return f
		}
	}
}

// betweenTries is 200 ms, then twice as long, a random half of it.
func betweenTries(try int) time.Duration {
	delay := 100 * time.Millisecond << try
	return delay/2 + rand.N(delay/2)
}

// attempt makes one call and reports it to the breaker. A panic is a failed attempt, so that it
// does not end the process and the other batches.
func (s *sending) attempt(piece *event.Batch, ticket breaker.Ticket) (f *failure) {
	result := breaker.Unknown
	defer func() {
		if p := recover(); p != nil {
			f = newFailure(reasonPanic, nil)
			s.ledger.panicked()
			s.h.config.Logger.ErrorContext(s.ctx, "attempt panicked", "panic", harmless(p), "stack", string(debug.Stack()))
		}
		s.h.breaker.report(time.Now(), ticket, result, f)
	}()
	f = failureOf(s.h.config.Segment.Flush(s.ctx, piece))
	switch {
	case f == nil || !f.policy().CountsForBreaker:
		result = breaker.Success
	case s.ctx.Err() == nil: // otherwise our own deadline cut it short
		result = breaker.Failure
	}
	return f
}

// harmless describes a panic for the log: a runtime error's text, or the type of any other value,
// whose text may quote an event.
func harmless(p any) string {
	if e, ok := p.(runtime.Error); ok {
		return e.Error()
	}
	return fmt.Sprintf("%T", p)
}

// rest waits before another try. False when there is no time for that.
func (s *sending) rest(wait time.Duration) bool {
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-s.ctx.Done():
		return false
	}
}
