package lambda

import (
	"context"
	"iter"
	"sync"
)

// SetEnabled enables or disables the mapping, as the property Enabled does on AWS; a new mapping is
// enabled. A disabled one receives nothing more, and finishes what it has received. It is safe for
// concurrent use, before and during Run.
func (m *EventSourceMapping) SetEnabled(enabled bool) { m.state.set(enabled) }

// Enabled reports whether the mapping is enabled. One that has just been disabled may still finish
// invocations: see Stats.
func (m *EventSourceMapping) Enabled() bool {
	m.state.mu.Lock()
	defer m.state.mu.Unlock()
	return !m.state.disabled
}

// state is whether a mapping is enabled. The zero value is.
type state struct {
	mu       sync.Mutex
	disabled bool
	stop     context.CancelFunc // of the period that lasts; nil: none does
	changed  chan struct{}      // closed at the next change; nil: nobody waits for it
}

func (s *state) set(enabled bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.disabled == !enabled {
		return
	}
	s.disabled = !enabled
	if s.disabled && s.stop != nil {
		s.stop()
	}
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

// enabled returns a context for each period in which the mapping is enabled, until ctx is done.
func (s *state) enabled(ctx context.Context) iter.Seq[context.Context] {
	return func(yield func(context.Context) bool) {
		for s.wait(ctx) {
			period, stop := s.begin(ctx)
			more := yield(period)
			stop()
			if !more {
				return
			}
		}
	}
}

// begin begins a period. One that ended already is done at once.
func (s *state) begin(ctx context.Context) (context.Context, context.CancelFunc) {
	period, stop := context.WithCancel(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stop = stop
	if s.disabled {
		stop()
	}
	return period, stop
}

// wait waits until the mapping is enabled; false: ctx is done.
func (s *state) wait(ctx context.Context) bool {
	for {
		s.mu.Lock()
		if !s.disabled {
			s.mu.Unlock()
			return ctx.Err() == nil
		}
		if s.changed == nil {
			s.changed = make(chan struct{})
		}
		changed := s.changed
		s.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}
