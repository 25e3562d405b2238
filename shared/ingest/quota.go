package ingest

import (
	"sync"
	"time"
)

// burstSeconds is the default burst, in seconds of the quota. SDKs send many collected events at
// once.
const burstSeconds = 10

// EffectiveBurst is how many events may come at once before the quota counts.
func (k *Key) EffectiveBurst() float64 {
	if k.Burst == 0 {
		return max(1, burstSeconds*k.Quota)
	}
	return k.Burst
}

// bucket is a token bucket, a token for each event, that admits by debt: a request is admitted as
// long as the balance is above zero, however many events it has, and the next one must wait until
// the debt is paid. So a batch larger than the burst is admitted, and the average rate is still the
// quota.
type bucket struct {
	tokens float64
	at     time.Time
}

// take withdraws n tokens. When the balance is not above zero it withdraws nothing, and wait is how
// long until the balance is one token.
func (b *bucket) take(n int, rate, burst float64, now time.Time) (wait time.Duration, ok bool) {
	if b.at.IsZero() {
		b.tokens = burst
		b.at = now
	} else if elapsed := now.Sub(b.at); elapsed > 0 { // not when the clock goes back: no time counts twice
		b.tokens = min(burst, b.tokens+rate*elapsed.Seconds())
		b.at = now
	}
	if b.tokens <= 0 {
		seconds := -b.tokens/rate + 1/rate // until there is one
		return time.Duration(min(seconds, maxRetryAfter.Seconds()) * float64(time.Second)), false
	}
	b.tokens -= float64(n)
	return 0, true
}

// quotas are the buckets of the keys that have a quota, by name, so that they outlive a reload of
// the set. Each Handler has its own: n environments of a function or n servers admit n times the
// quota. It is safe for concurrent use.
type quotas struct {
	mu      sync.Mutex
	buckets map[string]*bucket
}

func (q *quotas) take(key *Key, n int) (wait time.Duration, ok bool) {
	if key.Quota <= 0 {
		return 0, true
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	b := q.buckets[key.Name]
	if b == nil {
		if q.buckets == nil {
			q.buckets = map[string]*bucket{}
		}
		b = new(bucket)
		q.buckets[key.Name] = b
	}
	return b.take(n, key.Quota, key.EffectiveBurst(), time.Now())
}

// refund returns what take withdrew for a request that was refused after all.
func (q *quotas) refund(key *Key, n int) {
	if key.Quota <= 0 {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if b := q.buckets[key.Name]; b != nil {
		b.tokens += float64(n)
	}
}
