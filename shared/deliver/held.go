package deliver

import (
	"maps"
	"sync"
	"time"

	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/operator"
)

// Paused is under what events are counted whose write key a person has paused, where those that are
// retried for another reason are counted under the class of Segment's answer.
const Paused = "paused"

// heldKeys knows which write keys a person has paused, or had until lately. The zero value is ready.
// It is safe for concurrent use.
type heldKeys struct {
	mu   sync.Mutex
	held map[string]time.Time // by event.KeyID: when the pause was last seen
}

// see is called at the beginning of each invocation with the keys that are paused.
func (h *heldKeys) see(paused operator.Keys, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	maps.DeleteFunc(h.held, func(_ string, seen time.Time) bool { return !heldLately(seen, now) })
	if len(paused) > 0 && h.held == nil {
		h.held = map[string]time.Time{}
	}
	for id := range paused {
		h.held[id] = now
	}
}

// lately reports whether messages with a key may have waited because a person had paused it.
func (h *heldKeys) lately(id *event.LastKeyID, writeKey string, now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.held) == 0 {
		return false
	}
	seen, held := h.held[id.Of(writeKey)]
	return held && heldLately(seen, now)
}

// heldLately: a message that was retained in the last invocation of a pause is tried again within the
// longest back-off after it.
func heldLately(seen, now time.Time) bool { return now.Sub(seen) < maxBackoff*11/10 }
