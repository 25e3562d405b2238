package sqsclient

import (
	"time"

	"github.com/spillwayhq/spillway/shared/breaker"
)

const (
	// breakAfter is how many calls to the queue in a row must fail before callers are refused
	// without a call: one may be an accident.
	breakAfter = 3
	// OpenFor is how long a queue's breaker refuses calls before it allows a probe. Ingest tells
	// the SDKs whose requests it refused to wait at least as long.
	OpenFor = time.Second
)

// NewBreaker returns the circuit breaker for one queue, so that callers do not wait for the
// timeout while a queue is down. Report a call that got no answer as [breaker.Hang].
func NewBreaker() *breaker.Breaker {
	return breaker.New(breaker.Settings{
		Failures: breakAfter,
		OpenFor:  func(time.Time, int) time.Duration { return OpenFor },
	})
}
