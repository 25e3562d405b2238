package lambda

import (
	"context"
	"time"
)

// pause is a reason for a poller to slow down. AWS says that pollers do and not by how much; the
// times are ours.
type pause int

const (
	noPause pause = iota
	// pauseForThrottle: the function has no concurrency left. Every receive that is throttled
	// counts against the queue's maxReceiveCount, so to go on at full speed would send good
	// messages to the dead letters.
	pauseForThrottle
	// pauseForFailure: the invocation failed and partial batch responses are off. With them on,
	// Lambda doesn't slow down (Lambda developer guide, implementing partial batch responses).
	pauseForFailure
)

const (
	pauseBase, pauseLimit     = time.Second, time.Minute
	receiveBase, receiveLimit = 200 * time.Millisecond, 20 * time.Second
	deleteBase, deleteLimit   = 100 * time.Millisecond, time.Second
)

// backoff is the wait before try number attempt (1 is the first repetition): base doubled each time
// up to limit, of which the upper half is left to chance (random is 0 to 1), so that pollers that
// failed together don't come back together.
func backoff(attempt int, base, limit time.Duration, random float64) time.Duration {
	d := base
	for i := 1; i < attempt && d < limit; i++ {
		d *= 2
	}
	d = min(d, limit)
	return d/2 + time.Duration(random*float64(d/2))
}

// sleep waits, and says whether it could until the end: ctx done ends it.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
