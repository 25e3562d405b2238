package deliver

import (
	"math/rand/v2"
	"sync"
	"time"

	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/segment"
)

const (
	firstBackoff = 30 * time.Second
	maxBackoff   = 15 * time.Minute
	// trusted is the number of receives up to which Segment's Retry-After alone decides. After that
	// the delay is at least the schedule's of ten receives earlier: with a Retry-After of 1 s for
	// days, a message would be received so often that SQS moves it to the dead-letter queue.
	trusted = 10
	// agePart: but beyond 30 s it need not be more than this part of the message's age. A backlog
	// that drains at Segment's limit is received often, and must not wait for 15 min when its turn
	// is in one. With a third, a backlog of 300,000 events uses 78 % of the limit.
	agePart = 4
)

// Backoff returns the visibility timeout of a message that is retained for retry: Segment's
// Retry-After, at most 15 min, or without one 30 s, doubled with every receive up to 15 min. Ten
// days of it are 965 to 992 receives, fewer than the 1,000 after which SQS would move the message
// to the dead-letter queue; and after an outage every message is retried within 17 min. age is the
// message's, which bounds the schedule after a Retry-After; 0: not known. jitter, between 0 and 1,
// spreads it over ±10 %, so that messages that failed together are not retried together.
func Backoff(receives int, retryAfter, age time.Duration, jitter float64) time.Duration {
	wait := schedule(receives)
	if retryAfter > 0 {
		wait = max(min(retryAfter, maxBackoff), time.Second)
		if receives > trusted {
			rising := schedule(receives - trusted)
			if age > 0 {
				rising = min(rising, max(firstBackoff, age/agePart))
			}
			wait = max(wait, rising)
		}
	}
	return time.Duration(float64(wait) * (0.9 + 0.2*jitter))
}

func schedule(receives int) time.Duration {
	wait := firstBackoff
	for ; receives > 1 && wait < maxBackoff; receives-- {
		wait *= 2
	}
	return min(wait, maxBackoff)
}

// maxPausedKeys bounds memory. A key that is dropped is only tried once too often.
const maxPausedKeys = 1000

// pausedKeys holds the write keys that are not used for a while, so that a key that Segment
// throttles or refuses does not delay the others. The zero value is ready. It is safe for
// concurrent use.
type pausedKeys struct {
	mu   sync.Mutex
	keys map[string]*pause
}

type pause struct {
	until time.Time
	times int // in a row
	cause *failure
}

// paused returns why a key is paused, and for how long; nil when it is not.
func (p *pausedKeys) paused(key string, now time.Time) *failure {
	p.mu.Lock()
	defer p.mu.Unlock()
	k := p.keys[key]
	if k == nil || !now.Before(k.until) {
		return nil
	}
	return &failure{reason: reasonKeyPaused, class: k.cause.class, earlier: k.cause, wait: k.until.Sub(now)}
}

// pause begins a key's pause and reports whether it did: a key that is paused already stays as it
// is, because the batch was under way when its pause began. Each pause in a row is longer.
func (p *pausedKeys) pause(key string, cause *failure, now time.Time) (began bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	k := p.keys[key]
	if k == nil {
		if len(p.keys) >= maxPausedKeys {
			for other := range p.keys {
				delete(p.keys, other)
				break
			}
		}
		if p.keys == nil {
			p.keys = map[string]*pause{}
		}
		k = &pause{}
		p.keys[key] = k
	}
	if now.Before(k.until) {
		return false
	}
	k.times++
	k.cause = cause
	// Nobody counts how often a key is tried: a Retry-After is always trusted.
	k.until = now.Add(Backoff(min(k.times, trusted), cause.wait, 0, rand.Float64()))
	return true
}

// A Pause is a time in which nothing is sent to Segment with a write key.
type Pause struct {
	Key   string // by event.KeyID
	Why   string // quotes no event
	Until time.Time
}

// lasting returns the pauses that last, in no order.
func (p *pausedKeys) lasting(now time.Time) []Pause {
	p.mu.Lock()
	defer p.mu.Unlock()
	var pauses []Pause
	for key, k := range p.keys {
		if now.Before(k.until) {
			pauses = append(pauses, Pause{event.KeyID(key), k.cause.summary(), k.until})
		}
	}
	return pauses
}

// resume forgets a key's pauses after Segment took a batch of it, except that refusedLately still
// knows them. It does not end a pause: that batch was under way when the pause began, and Segment
// has asked for the pause since.
func (p *pausedKeys) resume(key string, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	k := p.keys[key]
	switch {
	case k == nil || now.Before(k.until):
	case k.refused(now):
		k.times = 0
	default:
		delete(p.keys, key)
	}
}

// refusedLately reports whether Segment refused the key so lately that messages with it may have
// waited for that alone.
func (p *pausedKeys) refusedLately(key string, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	k := p.keys[key]
	return k != nil && k.refused(now)
}

// refused: a message that was retained in the last pause is tried again within the longest back-off
// after it.
func (k *pause) refused(now time.Time) bool {
	return k.cause.class == segment.Misconfigured && now.Sub(k.until) < maxBackoff*11/10
}
