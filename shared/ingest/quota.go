package ingest

import (
	"sync"
	"time"
)

// burstSeconds is a quota's burst where none is set: SDKs send what they have collected at once.
const burstSeconds = 10

// bucket is a quota's account in events. It admits by debt: a request is taken as long as the
// account is above zero, however many events it has, and what it overdraws has to be made up before
// the next one. So a batch larger than the burst passes, and the rate holds all the same.
type bucket struct {
	tokens float64
	at     time.Time
}

// take withdraws n events at a rate; when the account is overdrawn it is left alone, and wait is
// when it no longer is.
func (b *bucket) take(n int, rate, burst float64, now time.Time) (wait time.Duration, ok bool) {
	if b.at.IsZero() {
		b.tokens = burst
		b.at = now
	} else if elapsed := now.Sub(b.at); elapsed > 0 { // time that went by once must not count twice
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

// quotas are the accounts of the keys that have a quota, by name: they outlive a reload of the set.
// Each Handler keeps its own, so behind several environments of a function or several servers a key
// gets as many times its quota. It may be used by several goroutines at the same time.
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
	burst := key.Burst
	if burst == 0 {
		burst = max(1, burstSeconds*key.Quota)
	}
	return b.take(n, key.Quota, burst, time.Now())
}

// refund gives back what take withdrew for a request that was not accepted after all.
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
