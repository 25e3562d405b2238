package growth

import (
	"flag"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// The default is a sample. A thousand events/s for an hour are 3.6 million, which is what Segment
// takes of a workspace. If each key sent as many, they would be 3,600 million, which no pipeline of
// one workspace may send, and which would take this test five days.
var (
	keys  = flag.Int("keys", 1000, "how many write keys send")
	rate  = flag.Int("rate", 1000, "how many events/s they send together; a multiple of 100")
	lasts = flag.Duration("lasts", 2*time.Second, "for how long they send: 1h is the whole")
)

const (
	// parts is into how many parts a run is divided, so that they can be compared.
	parts = 10
	tick  = 10 * time.Millisecond
	// longEnough is for how long keys send before the CPU time of a part means something.
	longEnough = time.Minute
)

// Bounds of what the whole holds while as much is delivered as comes in, however many events there
// were.
const (
	mostLatency    = 1500 * time.Millisecond // at p99: the batching window, and two calls of SQS and one of Segment
	mostGoroutines = 1500
	mostBytes      = 64 << 20 // of memory and of the files, which are in it
	// The Segment emulator remembers the last million messageIds, which takes this for each.
	bytesPerID = 56
	mostIDs    = 1_000_000
)

func TestAnEventOfAThousandWriteKeysCostsTheSameHoweverLongTheySend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, usualLatency)
		p.deliver()
		p.began, p.pauses = time.Now(), time.Second/time.Duration(*rate)
		var costs []float64
		for part := range parts {
			before, sent := cpu(t), p.sent
			for range int(*lasts / parts / tick) {
				p.send(*keys, *rate/int(time.Second/tick))
				time.Sleep(tick)
			}
			cost := micros(cpu(t)-before, p.sent-sent)
			costs = append(costs, cost)
			l, s, h := p.percentiles(50, 99, 100), p.world.Events().Stats(), p.holds()
			t.Logf("part %d: %d events, %.0f µs each, p50 %v, p99 %v, max %v; %d messages wait; %v", part+1, p.sent-sent, cost,
				l[0], l[1], l[2], s.Visible, h)
			if l[1] > mostLatency {
				t.Errorf("part %d: the p99 is %v, want at most %v: %d messages wait", part+1, l[1], mostLatency, s.Visible)
			}
			if bytes := int64(mostBytes + bytesPerID*min(p.sent, mostIDs)); h.memory > bytes || h.tooManyFiles() ||
				h.goroutines > mostGoroutines {
				t.Errorf("part %d: the pipeline holds %v; want at most %d MB and %d goroutines", part+1, h, bytes>>20,
					mostGoroutines)
			}
		}
		first, second := median(costs[:parts/2]), median(costs[parts/2:])
		if *lasts >= longEnough && second > flat*first {
			t.Errorf("an event of the first half took %.0f µs, and of the second half %.0f µs", first, second)
		}
		p.end()
	})
}

func median(of []float64) float64 {
	sorted := slices.Sorted(slices.Values(of))
	return sorted[len(sorted)/2]
}
