package ingest

import (
	"context"
	"net/http"
	"sync"
	"time"
)

const (
	// healthFor is how long a result is reused, because load balancers, and anyone else, may ask as
	// often as they like.
	healthFor = time.Second
	// healthTimeout bounds one check.
	healthTimeout = 2 * time.Second
)

// oldKeys is the answer to GET /health while an earlier set of write keys is used: requests are
// accepted, so no load balancer must go elsewhere.
var oldKeys = answer{http.StatusOK, jsonType, []byte(`{"success":true,"warning":"write_keys_old"}`)}

// healthy answers GET /health.
func (h *Handler) healthy(ctx context.Context) (answer, *refusal) {
	keys := KeysCurrent
	if h.config.Keys != nil {
		keys = h.config.Keys.State()
	}
	switch {
	case h.inFlight.isDraining() || h.health.ask(ctx) != nil:
		return answer{}, refusalHealth
	case keys == KeysUnread:
		return answer{}, refusalHealthKeys
	case keys == KeysOld:
		return oldKeys, nil
	}
	return success, nil
}

// healthCheck checks whether the queue is reachable, once for all concurrent requests. It is safe
// for concurrent use.
type healthCheck struct {
	check func(context.Context) error

	mu  sync.Mutex // held during a check: others wait for the same result
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
