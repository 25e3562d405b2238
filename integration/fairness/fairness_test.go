package fairness

import (
	"flag"
	"fmt"
	"math"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillwayhq/spillway/infra/local/sqs"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/integration/testutil"
)

func TestMain(m *testing.M) { testutil.MainInVirtualTime(m) }

var every = flag.Bool("every", false, "play every flood at its full size, and without fair queues: about two minutes of CPU")

// promise is what the other sources wait at most for 99 of 100 events, from SQS to Segment.
const promise = 10 * time.Second

// A flood is a source that sends ten times what Segment takes.
type flood struct {
	name       string
	perMessage int     // events
	limit      float64 // of Segment, events/s
	lasts      time.Duration
	unfair     bool // without fair queues the promise does not hold
	plays      int  // an odd number, of which most decide: the pauses are random
}

// The default is a tenth of the size, which takes as much less CPU. A source's p99 is then that of a
// handful of messages, and one play in forty misses the promise.
func floods() []flood {
	if !*every {
		return []flood{{name: "single events", perMessage: 1, limit: topology.SegmentEventsPerSecond / 10,
			lasts: 5 * time.Second, plays: 5}}
	}
	return []flood{
		// It is over before its sources have sent many events, so that one play in twenty misses the
		// promise by half a second, and three of five in nine hundred.
		{name: "single events", perMessage: 1, limit: topology.SegmentEventsPerSecond, lasts: 10 * time.Second,
			unfair: true, plays: 5},
		{name: "ten events a message", perMessage: 10, limit: topology.SegmentEventsPerSecond, lasts: 20 * time.Second,
			plays: 3},
		// The slowest source's p99 is that of six events: 5.6 s on average of 28 plays, and 8.9 s once.
		{name: "packed messages", perMessage: 100, limit: topology.SegmentEventsPerSecond, lasts: time.Minute, plays: 3},
	}
}

func TestASourceThatFloodsTheQueueDoesNotDelayTheOthers(t *testing.T) {
	assumptions := map[string]sqs.Fairness{"as documented": sqs.FairAsDocumented, "late": sqs.FairLate, "unfair": sqs.Unfair}
	for _, f := range floods() {
		for name, fairness := range assumptions {
			if fairness == sqs.Unfair && !f.unfair {
				continue
			}
			t.Run(f.name+"/"+name, func(t *testing.T) {
				t.Parallel()
				f.test(t, fairness)
			})
		}
	}
}

// test plays the flood until most of its plays agree whether the promise was kept.
func (f *flood) test(t *testing.T, fairness sqs.Fairness) {
	var kept, broken []time.Duration
	for max(len(kept), len(broken)) <= f.plays/2 {
		synctest.Test(t, func(t *testing.T) {
			if worst := f.play(t, fairness); worst <= promise {
				kept = append(kept, worst)
			} else {
				broken = append(broken, worst)
			}
		})
	}
	if (len(kept) > len(broken)) != (fairness != sqs.Unfair) {
		t.Errorf("the other sources' p99 is %v; the promise is %v%s", slices.Concat(kept, broken), promise,
			map[bool]string{true: ", and without fair queues this flood does not show that they are needed"}[fairness == sqs.Unfair])
	}
}

// play plays the flood beside three sources that together send a tenth of what Segment takes, and
// returns the p99 of the slowest of them.
func (f *flood) play(t *testing.T, fairness sqs.Fairness) (worst time.Duration) {
	r := play(t, f.limit, fairness, f.lasts,
		source{key: "flood", rate: 10 * f.limit, perMessage: f.perMessage, perCall: 10},
		source{key: "packs", rate: f.limit / 20, perMessage: 10, perCall: 1},
		source{key: "packs-little", rate: f.limit / 20, perMessage: 2, perCall: 1},
		source{key: "single", rate: f.limit / 100, perMessage: 1, perCall: 1})
	for n := 1; n < len(r.sources); n++ {
		p99 := r.latency(n, 99)
		if p99 == math.MaxInt64 && fairness != sqs.Unfair {
			t.Errorf("more than 1 %% of the events of %q have not arrived", r.sources[n].key)
		}
		worst = max(worst, p99)
	}
	// Fairness must not cost the flood its throughput.
	if took := r.ended.Seconds(); float64(r.delivered()) < 0.8*f.limit*took {
		t.Errorf("Segment got %d events in %.0f s, less than 80 %% of what it takes", r.delivered(), took)
	}
	t.Log(fmt.Sprint(r))
	return worst
}
