package segmentd

import (
	"math"
	"math/rand/v2"
	"sync"
	"time"
)

// activeScript is the current script and the state of its rules. It is safe for concurrent use.
type activeScript struct {
	script Script
	start  time.Time

	mu    sync.Mutex
	rng   *rand.Rand
	used  []int // requests that each rule applied to
	rates []bucket
}

func newActiveScript(s Script, now time.Time) *activeScript {
	s = s.clone()
	a := &activeScript{
		script: s, start: now, rng: rand.New(rand.NewPCG(s.Seed, 0)),
		used: make([]int, len(s.Rules)), rates: make([]bucket, len(s.Rules)),
	}
	for i, r := range s.Rules {
		a.rates[i] = bucket{rate: r.EventsPerSecond, tokens: max(r.EventsPerSecond, 1), at: now}
	}
	return a
}

// plan is what the script asks for one request. The zero value asks for nothing.
type plan struct {
	rule    *Rule // the one that decides the answer, or nil
	latency time.Duration
	status  int           // 0: Segment's own
	wait    time.Duration // for Retry-After; 0: none
}

func (p plan) fault() Fault {
	if p.rule == nil {
		return ""
	}
	return p.rule.Fault
}

// overrules reports whether the script decides the answer instead of Segment's rules.
func (p plan) overrules() bool { return p.status != 0 || p.fault().replacesAnswer() }

// acceptsEvents reports whether the events count as received.
func (p plan) acceptsEvents() bool {
	return !p.overrules() || p.rule.Accept || p.status/100 == 2
}

// decide applies the rules to a request that arrives now.
func (a *activeScript) decide(now time.Time, path string, b *batch) (p plan) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range a.script.Rules {
		r := &a.script.Rules[i]
		if !a.applies(i, now, path, b) {
			continue
		}
		wait := time.Duration(r.RetryAfter)
		status := r.Status
		if r.EventsPerSecond > 0 {
			needed, ok := a.rates[i].take(now, eventCount(b))
			if ok {
				continue
			}
			status = 429
			if wait == 0 {
				wait = wholeSeconds(needed)
			}
		}
		if len(r.Statuses) > 0 {
			status = r.Statuses[a.used[i]]
		}
		a.used[i]++
		p.latency = min(p.latency+time.Duration(r.Latency)+a.jitter(r), maxDuration)
		if status == 0 && len(r.Statuses) == 0 && r.Fault == "" {
			continue // latency only
		}
		if status == 200 {
			status = 0
		}
		p.rule, p.status = r, status
		if status/100 != 2 {
			p.wait = wait
		}
		return p
	}
	return p
}

func (a *activeScript) applies(i int, now time.Time, path string, b *batch) bool {
	r := &a.script.Rules[i]
	switch {
	case !r.From.IsZero() && now.Before(r.From.since(a.start)),
		!r.Until.IsZero() && !now.Before(r.Until.since(a.start)),
		r.Times > 0 && a.used[i] >= r.Times,
		len(r.Statuses) > 0 && a.used[i] >= len(r.Statuses),
		!r.Match.matches(path, b):
		return false
	}
	return r.Percent == 0 || a.rng.Float64()*100 < r.Percent
}

func (a *activeScript) jitter(r *Rule) time.Duration {
	if r.Jitter == 0 {
		return 0
	}
	return time.Duration(a.rng.Int64N(int64(r.Jitter) + 1))
}

func (m Match) matches(path string, b *batch) bool {
	if m.Path != "" && m.Path != path {
		return false
	}
	if m.WriteKey != "" && m.WriteKey != b.writeKey &&
		(b.writeKey != "" || !b.has(func(e *event) bool { return e.writeKey == m.WriteKey })) {
		return false
	}
	return m.MessageID == "" || b.has(func(e *event) bool { return e.messageID == m.MessageID })
}

func (b *batch) has(is func(*event) bool) bool {
	for i := range b.events {
		if is(&b.events[i]) {
			return true
		}
	}
	return false
}

// eventCount is how many events a request counts against a rate: at least 1.
func eventCount(b *batch) float64 { return float64(max(b.rejectedEvents, len(b.events), 1)) }

// wholeSeconds rounds up to at least 1: a Retry-After of 0 would mean no wait.
func wholeSeconds(d time.Duration) time.Duration {
	return max((d+time.Second-1)/time.Second, 1) * time.Second
}

// bucket is a token bucket of one second's tokens, at least one.
type bucket struct {
	rate, tokens float64
	at           time.Time
}

// take takes n tokens and reports true, or returns the wait until they are available. If n is more
// than the bucket holds, it is available when the bucket is full and leaves a debt, so that the rate
// is right over time.
func (b *bucket) take(now time.Time, n float64) (time.Duration, bool) {
	full := max(b.rate, 1)
	b.tokens = min(full, b.tokens+b.rate*now.Sub(b.at).Seconds())
	b.at = now
	if missing := min(n, full) - b.tokens; missing > 1e-9 {
		seconds := min(missing/b.rate, maxDuration.Seconds())
		return time.Duration(math.Ceil(seconds * float64(time.Second))), false
	}
	b.tokens -= n
	return 0, true
}
