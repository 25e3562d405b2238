package lambda

import (
	"context"
	"time"
)

// slowdown is why a poller slows down. AWS says that pollers do, and not by how much: the times are
// ours.
type slowdown int

const (
	noSlowdown slowdown = iota
	// slowdownForThrottle: the function has no concurrency left. Every throttled receive counts
	// against the queue's maxReceiveCount, so polling on at full speed would make dead letters of
	// good messages.
	slowdownForThrottle
	// slowdownForFailure: the invocation failed and partial batch responses are off. With them on,
	// Lambda doesn't slow down (Lambda developer guide, implementing partial batch responses).
	slowdownForFailure
)

const (
	slowdownBase, slowdownLimit = time.Second, time.Minute
	receiveBase, receiveLimit   = 200 * time.Millisecond, 20 * time.Second
	deleteBase, deleteLimit     = 100 * time.Millisecond, time.Second
)

// backoff returns the wait before a retry (attempt 1 is the first). The wait is base, doubled for
// each further attempt, up to limit; its upper half is random (random is 0 to 1), so that pollers
// that failed together do not retry together.
func backoff(attempt int, base, limit time.Duration, random float64) time.Duration {
	d := base
	for i := 1; i < attempt && d < limit; i++ {
		d *= 2
	}
	d = min(d, limit)
	return d/2 + time.Duration(random*float64(d/2))
}

// sleep waits for d and reports true, or returns false as soon as ctx is done.
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
