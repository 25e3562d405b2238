package growth

import (
	"flag"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillwayhq/spillway/infra/local/segmentd"
)

// The default is a sample.
var (
	waiting = flag.Int("waiting", 200, "how many messages wait for Segment: 121000 are more than SQS lets be in flight")
	away    = flag.Duration("away", time.Hour, "for how long Segment is away: 24h is the whole")
)

const (
	// looks is how often a run is looked at.
	looks = 12
	// inFlightLimit is how many messages of a queue SQS lets be in flight.
	inFlightLimit = 120_000
	// manyWaiting is how many messages must wait before the CPU time of a receive means something.
	manyWaiting = 10_000
	// allTried is how long after an outage every message in flight has been tried.
	allTried = 17 * time.Minute
	// bytesPerMessage is what a message that waits takes: 1,170 bytes in the queue's files, and what
	// the emulators remember of it.
	bytesPerMessage = 1536
	// bytesOfReceives is what the queue's files have of receives, however many there were: 17 bytes
	// each, until there are as many as a file has and the files are compacted. They are in up to
	// three files, which have room for a quarter more in memory.
	bytesOfReceives = 60 << 20
)

func TestADayOfRetriesTakesNoMoreForEachReceiveThanItsBeginning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, segmentd.Rule{Status: 503, Until: segmentd.Moment{After: *away}}, usualLatency)
		p.deliver()
		p.began = time.Now()
		p.send(*keys, *waiting)
		var costs []float64
		most := int64(0) // in flight
		for look := range looks {
			before, received := cpu(t), p.world.Events().Stats().Received
			least, largest := p.diskRange(0, 0)
			for end := p.began.Add(*away * time.Duration(look+1) / looks); time.Now().Before(end); time.Sleep(10 * time.Second) {
				most = max(most, p.world.Events().Stats().InFlight)
				least, largest = p.diskRange(least, largest)
			}
			s, used := p.world.Events().Stats(), cpu(t)-before
			cost, h := micros(used, int(s.Received-received)), p.holds()
			if s.Received-received >= most { // all were, so that what is besides weighs little
				costs = append(costs, cost)
			}
			t.Logf("after %v: %d receives, %.0f µs each; at most %d messages were in flight, %d are visible; %v, since "+
				"the last look %.0f to %.0f MB", time.Since(p.began).Round(time.Second), s.Received-received, cost, most, s.Visible, h,
				float64(least)/(1<<20), float64(largest)/(1<<20))
			if bytes := mostBytes + bytesPerMessage*int64(*waiting) + bytesOfReceives; h.memory > bytes || largest > bytes ||
				h.tooManyFiles() || h.goroutines > mostGoroutines {
				t.Errorf("after %v: the pipeline holds %v; want at most %d MB and %d goroutines",
					time.Since(p.began), h, bytes>>20, mostGoroutines)
			}
		}
		if want := min(int64(*waiting), inFlightLimit); most != want {
			t.Errorf("at most %d messages were in flight, want %d", most, want)
		}
		if n := len(costs); *waiting >= manyWaiting && n >= 4 {
			if first, second := median(costs[:n/2]), median(costs[n/2:]); second > flat*first {
				t.Errorf("a receive of the first half took %.0f µs, and of the second half %.0f µs", first, second)
			}
		}
		p.recover()
	})
}

// recover waits until everything is delivered after an outage.
func (p *pipeline) recover() {
	ended := time.Now()
	p.send(*keys, 1)
	for !p.lastArrived() && time.Since(ended) < time.Hour {
		time.Sleep(time.Second)
	}
	fresh := time.Since(ended)
	p.end()
	all := time.Since(ended)
	p.Logf("after the outage a fresh event has taken %v, and all %v", fresh, all)
	// Then what was never received comes, as fast as Segment answers.
	if drains := allTried + time.Duration(p.sent)*time.Millisecond; all > drains {
		p.Errorf("everything was delivered %v after the outage, want %v", all, drains)
	}
}
