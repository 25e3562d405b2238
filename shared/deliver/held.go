package deliver

import (
	"time"

	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/operator"
)

// Paused is under what events are counted whose write key a person has paused, where those that are
// retried for another reason are counted under the class of Segment's answer.
const Paused = "paused"

// Paced is under what events of the bulk queue are counted that wait because Segment throttles or
// is to be left to fresh ones: that is what the queue is for, and needs nobody's attention.
const Paced = "paced"

// heldFor is how long after a pause its messages come back: one that was retained at its very end
// is tried again within the longest back-off, and an environment knows of the end two minutes later
// at most.
const heldFor = maxBackoff*11/10 + 2*time.Minute

// held reports whether a person has paused a write key.
func held(keys operator.Keys, id *event.LastKeyID, writeKey string) bool {
	if len(keys) == 0 || writeKey == "" {
		return false
	}
	m := keys[id.Of(writeKey)]
	return m.IsSet() && m.Resumed.IsZero()
}

// heldLately reports whether messages with a write key may have waited because a person had paused
// it.
func heldLately(keys operator.Keys, id *event.LastKeyID, writeKey string, now time.Time) bool {
	if len(keys) == 0 || writeKey == "" {
		return false
	}
	m := keys[id.Of(writeKey)]
	return m.IsSet() && (m.Resumed.IsZero() || now.Sub(m.Resumed) < heldFor)
}
