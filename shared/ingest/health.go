package ingest

import (
	"context"
	"sync"
	"time"
)

const (
	// healthFor is how long an answer is used again: load balancers, and anybody else, may ask as
	// often as they like.
	healthFor = time.Second
	// healthTimeout bounds the question.
	healthTimeout = 2 * time.Second
)

// healthCheck asks whether the queue can be reached, for all that want to know at a time once. It
// may be used by several goroutines at the same time.
type healthCheck struct {
	check func(context.Context) error

	mu  sync.Mutex // held while it asks: others wait for the same answer
	at  time.Time
	err error
}

func (h *healthCheck) ask(ctx context.Context) error {
	if h.check == nil {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.at.IsZero() && time.Since(h.at) < healthFor {
		return h.err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), healthTimeout)
	defer cancel()
	h.err = h.check(ctx)
	h.at = time.Now()
	return h.err
}
