package deliver

import "sync"

// span is a range of a batch's events.
type span struct{ from, to int }

// bisection isolates the events of a batch that Segment rejects. It sends both halves of a rejected
// span at the same time if the concurrency limit allows it, otherwise one after the other.
type bisection struct {
	s         *sending
	b         *batch
	alongside sync.WaitGroup

	mu       sync.Mutex
	rejected map[int]*failure // by index in the batch
	stopped  *failure         // why it ended early
	left     []span           // what it did not get to
}

// bisect settles all events of a rejected batch. If it ends early, the rest is retried and the
// failure says why: Segment failed, or rejected more than maxRejected events, which is not the
// events' fault.
func bisect(s *sending, b *batch) *failure {
	x := &bisection{s: s, b: b, rejected: map[int]*failure{}}
	x.split(span{0, len(b.Events)})
	x.alongside.Wait()
	for i, f := range x.rejected {
		s.ledger.settle(b, span{i, i + 1}, f)
	}
	for _, events := range x.left {
		s.ledger.settle(b, events, x.stopped)
	}
	return x.stopped
}

func (x *bisection) split(events span) {
	middle := (events.from + events.to) / 2
	if x.s.tryAcquire(x.b) {
		x.alongside.Go(func() {
			defer x.s.release(x.b)
			x.send(span{middle, events.to})
		})
		x.send(span{events.from, middle})
		return
	}
	x.send(span{events.from, middle})
	x.send(span{middle, events.to})
}

func (x *bisection) send(events span) {
	if x.skip(events) {
		return
	}
	f := x.s.sendSpan(x.b, events)
	switch {
	case f == nil:
		x.s.ledger.settle(x.b, events, nil)
	case !f.policy().Bisect:
		x.stop(events, f)
	case events.to-events.from > 1:
		x.split(events)
	default:
		x.isolate(events, f)
	}
}

// skip leaves events unsent if the bisection was stopped.
func (x *bisection) skip(events span) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.stopped == nil {
		return false
	}
	x.left = append(x.left, events)
	return true
}

// stop ends the bisection with events left; the first reason counts.
func (x *bisection) stop(events span, f *failure) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.left = append(x.left, events)
	if x.stopped == nil {
		x.stopped = f
	}
}

// isolate records that Segment rejected an event that was sent alone. After more than maxRejected
// all of them are retried instead.
func (x *bisection) isolate(one span, f *failure) {
	x.mu.Lock()
	defer x.mu.Unlock()
	tooMany := x.stopped != nil && x.stopped.reason == reasonTooManyRejected
	if len(x.rejected) < maxRejected && !tooMany {
		x.rejected[one.from] = f
		return
	}
	x.left = append(x.left, one)
	for i := range x.rejected {
		x.left = append(x.left, span{i, i + 1})
	}
	clear(x.rejected)
	x.stopped = newFailure(reasonTooManyRejected, nil)
	x.stopped.earlier = f
}
