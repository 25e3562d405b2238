package deliver

import (
	"math/rand/v2"
	"sync"
	"time"

	"github.com/spillwayhq/spillway/shared/segment"
)

const (
	firstPause = 30 * time.Second
	maxPause   = 15 * time.Minute
	// trusted is for how many receives Segment's Retry-After alone decides. Later the schedule is
	// the least, ten steps behind: a Retry-After of 1 s for days would use up the receives that SQS
	// allows a message before it calls it dead.
	trusted = 10
)

// Pause is how long a message that was received for the nth time stays hidden: Segment's
// Retry-After, at most 15 min, or without one 30 s, doubled with every receive up to 15 min. Ten
// days of it are about 965 receives, below the 1,000 after which SQS would move the message to the
// dead letters by itself; and once Segment is back, everything has been tried within 17 min.
// jitter, between 0 and 1, spreads the pause over ±10 %, so that messages that failed together do
// not come back together.
func Backoff(receives int, retryAfter time.Duration, jitter float64) time.Duration {
	pause := schedule(receives)
	if retryAfter > 0 {
		pause = max(min(retryAfter, maxPause), time.Second)
		if receives > trusted {
			pause = max(pause, schedule(receives-trusted))
		}
	}
	return time.Duration(float64(pause) * (0.9 + 0.2*jitter))
}

func schedule(receives int) time.Duration {
	pause := firstPause
	for ; receives > 1 && pause < maxPause; receives-- {
		pause *= 2
	}
	return min(pause, maxPause)
}

// maxPausedKeys bounds what an environment remembers. A key that is forgotten is tried once more
// often.
const maxPausedKeys = 1000

// pauses remembers which write keys are not to be sent with for now, so that one that Segment
// throttles or refuses costs the others nothing. The zero value is ready.
type pauses struct {
	mu   sync.Mutex
	keys map[string]*pause
}

type pause struct {
	until time.Time
	times int // in a row
	err   *segment.Error
}

// paused returns why a key is paused and for how long still; nil when it is not.
func (p *pauses) paused(key string, now time.Time) (*segment.Error, time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if k := p.keys[key]; k != nil && now.Before(k.until) {
		return k.err, k.until.Sub(now)
	}
	return nil, 0
}

// pause begins a key's pause, longer each time in a row, and reports whether it did. Batches that
// were already under way when it began do not lengthen it.
func (p *pauses) pause(key string, err *segment.Error, now time.Time) (began bool) {
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
	k.err = err
	k.until = now.Add(Backoff(k.times, err.RetryAfter, rand.Float64()))
	return true
}

// resume forgets a key's pauses: Segment took something of it. While one lasts it does not: what
// was taken was under way when it began, and Segment has asked for it since.
func (p *pauses) resume(key string, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if k := p.keys[key]; k != nil && !now.Before(k.until) {
		delete(p.keys, key)
	}
}
