package console

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// A reading is one thing that is read of the source, for all who look at it. A source that fails or
// hangs costs no more than the reading's deadline, and leaves its last good value.
type reading[T any] struct {
	read     func(ctx context.Context) (T, error)
	fresh    time.Duration // how long a value is good for
	deadline time.Duration // of one call of read

	mu      sync.Mutex
	running *call
	value   T
	at      time.Time // of the value; zero: there is none
	err     error     // of the last call, if it failed, or what the value lacks
	ended   time.Time // of the last call
}

func newReading[T any](fresh, deadline time.Duration, read func(context.Context) (T, error)) *reading[T] {
	return &reading[T]{read: read, fresh: fresh, deadline: deadline}
}

// A call is one call of the source, which may outlast those who wait for it.
type call struct {
	done  chan struct{}
	until time.Time // when those who wait give up
}

// Seen is what a reading knows.
type seen[T any] struct {
	Value T
	At    time.Time // of the value; zero: there is none
	Err   error     // why there is no newer one, or what it lacks; nil: the value is current
}

// Known reports whether there is a value.
func (s seen[T]) Known() bool { return !s.At.IsZero() }

// errLate says that a source has not answered. Nobody waits again until it has.
var errLate = errors.New("there was no answer in time")

// get returns the value, read anew if it is no longer fresh. All who ask at the same time share one
// call.
func (r *reading[T]) get(ctx context.Context) seen[T] {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.ended.IsZero() && time.Since(r.ended) < r.fresh {
		return seen[T]{r.value, r.at, r.err}
	}
	if r.running == nil {
		r.begin(ctx)
	}
	c := r.running
	if wait := time.Until(c.until); wait > 0 {
		r.mu.Unlock()
		timer := time.NewTimer(wait)
		select {
		case <-c.done:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
		r.mu.Lock()
	}
	if r.running == c { // it still runs
		return seen[T]{r.value, r.at, fmt.Errorf("%w, within %v", errLate, r.deadline)}
	}
	return seen[T]{r.value, r.at, r.err}
}

// begin calls the source. The call ends with its own deadline, not with that of whoever happens to
// be the first who asks.
func (r *reading[T]) begin(ctx context.Context) {
	c := &call{done: make(chan struct{}), until: time.Now().Add(r.deadline)}
	r.running = c
	go func() {
		ctx, cancel := context.WithDeadline(context.WithoutCancel(ctx), c.until)
		defer cancel()
		value, err := r.try(ctx)
		if errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("%w, within %v", errLate, r.deadline)
		}
		r.mu.Lock()
		r.running, r.err, r.ended = nil, err, time.Now()
		if err == nil || errors.Is(err, ErrPartial) {
			r.value, r.at = value, r.ended
		}
		r.mu.Unlock()
		close(c.done)
	}()
}

// try calls the source. A page must not take the pipeline down that runs in the same process.
func (r *reading[T]) try(ctx context.Context) (value T, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("reading it failed, which is a bug: %v", p)
		}
	}()
	return r.read(ctx)
}

// expire makes the next get read anew.
func (r *reading[T]) expire() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = time.Time{}
}

// last returns what was read last, and reads nothing.
func (r *reading[T]) last() seen[T] {
	r.mu.Lock()
	defer r.mu.Unlock()
	return seen[T]{r.value, r.at, r.err}
}
