package deliver

import (
	"context"
	"sync"
	"time"
)

// How an environment paces the bulk queue. Rates are events a second.
const (
	// paceFirst is what an environment begins with. While Segment throttles nothing, the rate grows
	// e-fold in paceGrowth: a million events without a limit take about a minute.
	paceFirst  = 200.0
	paceGrowth = 6 * time.Second
	// paceCut is what a throttled answer leaves of the rate, and paceRise what each second of
	// sending then adds to it. So at 350/s, half of what fresh events leave of Segment's usual
	// 1,000, the rate is found too high once in 3.5 minutes.
	paceCut  = 0.7
	paceRise = 0.5
	// paceCutAgain is what another throttled answer within paceSurge leaves: then it was not the
	// rate that rose too high, but more fresh events have come.
	paceCutAgain = 0.5
	paceSurge    = 20 * time.Second
	// paceLeast is what is sent even while fresh events alone are too many for Segment.
	paceLeast = 25.0
	// paceHold is how long nothing is sent after a throttled answer, at least: so that the fresh
	// events that were throttled too are delivered first. It costs 2 % of the time. There is no
	// second cut within pacePerCut, because the answers that were under way are about the same
	// second.
	paceHold   = 5 * time.Second
	pacePerCut = time.Second
	// maxBulkBatch is how many events a batch of the bulk queue holds. A full batch, of 2,500,
	// would use up more than two seconds of Segment's limit at once, and fresh events would be
	// throttled for as long.
	maxBulkBatch = 250
	// paceAgain is when a message comes back that an invocation had no time for.
	paceAgain = 5 * time.Second
)

// pace is how fast an environment sends events of the bulk queue, so that they use what fresh
// events leave of Segment's limit. Nobody tells an environment what the limit is, or what others
// send: it knows only that Segment throttles. So the rate rises slowly, and falls at once when a
// batch of the bulk queue is throttled, which happens to it before it does to fresh ones, because
// its batches are larger. It is safe for concurrent use.
//
// It is the simplest of the designs that keeps what is promised. Played with integration/lanes,
// 400,000 old events beside 300 fresh ones a second and Segment's limit of 1,000, of which 700 are
// left:
//
//	no pace                       50 to 600/s   p99 of fresh events 9 to 18 s
//	half, then 10/s more a second 630 to 680/s  p99 3 s, but some are throttled in nearly every
//	                                            minute: the alarm segment-throttling fires
//	CUBIC (RFC 9438), 5 minutes   460 to 600/s  p99 1 s, which is the batching window
//	this                          600/s         p99 1 s, some are throttled in a minute of three
type pace struct {
	mu        sync.Mutex
	rate      float64
	throttled bool      // Segment has throttled since the beginning
	free      time.Time // when the next batch may be sent
	cut       time.Time // when the rate was cut last
}

func newPace() *pace { return &pace{rate: paceFirst} }

// turn waits until a batch of n events may be sent. It reports whether it had to wait for the batch
// before: only then does the answer tell whether the rate could be higher. ok is false when there
// is no time left.
func (p *pace) turn(ctx context.Context, n int) (waited, ok bool) {
	for ctx.Err() == nil {
		wait := p.take(time.Now(), n)
		if wait <= 0 {
			return waited, true
		}
		waited = true
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
		}
	}
	return waited, false
}

// take takes the turn of a batch of n events, or returns how long it is until then.
func (p *pace) take(now time.Time, n int) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if wait := p.free.Sub(now); wait > 0 {
		return wait
	}
	p.free = now.Add(time.Duration(float64(n) / p.rate * float64(time.Second)))
	return 0
}

// accept raises the rate after a batch of n events that Segment accepted.
func (p *pace) accept(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.throttled {
		p.rate += paceRise * float64(n) / p.rate
	} else {
		p.rate += float64(n) / paceGrowth.Seconds()
	}
}

// throttle cuts the rate and lets nothing be sent for as long as Segment asks for; 0: it did not
// say.
func (p *pace) throttle(now time.Time, wait time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.throttled = true
	if since := now.Sub(p.cut); since >= pacePerCut {
		left := paceCut
		if since < paceSurge {
			left = paceCutAgain
		}
		p.cut, p.rate = now, max(paceLeast, p.rate*left)
	}
	if until := now.Add(max(wait, paceHold)); until.After(p.free) {
		p.free = until
	}
}
