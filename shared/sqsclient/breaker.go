package sqsclient

import (
	"time"

	"github.com/spillwayhq/spillway/shared/breaker"
)

const (
	// breakAfter is how many calls to the queue in a row must fail before callers are refused
	// without a call: one may be an accident.
	breakAfter = 3
	// OpenFor is how long the breaker of a queue refuses calls before one finds out whether the
	// queue is back. Ingest asks SDKs whose requests it refused to wait at least as long.
	OpenFor = time.Second
)

// NewBreaker returns the circuit breaker for one queue, so that callers do not wait for the whole
// time-out of a queue that is down. A call that got no answer is to be reported as [breaker.Hang].
func NewBreaker() *breaker.Breaker {
	return breaker.New(breaker.Settings{
		Failures: breakAfter,
		OpenFor:  func(time.Time, int) time.Duration { return OpenFor },
	})
}

// CallResult is what a call says about the queue: whether it failed for every message, and whether
// it got no answer in time.
func CallResult(failed, hung bool) breaker.Result {
	switch {
	case !failed:
		return breaker.Success
	case hung:
		return breaker.Hang
	}
	return breaker.Failure
}
