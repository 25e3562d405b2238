package lanes

import (
	"flag"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillwayhq/spillway/integration/testutil"
)

func TestMain(m *testing.M) { testutil.MainInVirtualTime(m) }

// The default run has a sample. CI drains a million.
var events = flag.Int("events", 15_000, "how many old events drain")

// many are so many old events that they show how fast they drain.
const many = 100_000

// segmentsLimit is what Segment takes of a workspace in events/s (Segment's documentation of the
// HTTP Tracking API, "Rate limits").
const segmentsLimit = 1000

// promised is the p99 of fresh events' way from SQS to Segment while old ones drain.
const promised = 5 * time.Second

// run plays a load and says what came out.
func run(t *testing.T, l load) (r *result) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r = play(t, l)
		t.Log(r)
	})
	return r
}

func TestOldEventsDrainAtSegmentsLimitAndFreshOnesHardlyNotice(t *testing.T) {
	for name, perBulk := range map[string]int{"packed": 250, "one event a message": 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := load{fresh: 300, perFresh: 20, bulk: *events, perBulk: perBulk, limit: segmentsLimit, lasts: 2 * time.Hour}
			// The rate is found in the first minute of half an hour, or of three minutes.
			part := 0.75
			if perBulk == 1 { // takes ten times as long to simulate
				l.bulk /= 10
				part = 0.65
			}
			r := run(t, l)
			if p99 := r.p(99); p99 > promised {
				t.Errorf("p99 of fresh events: %v, want at most %v", p99, promised)
			}
			if len(r.fired) > 0 {
				t.Errorf("alarms fired: %v", r.fired)
			}
			if left := segmentsLimit - l.fresh; l.bulk >= many && r.rate() < part*left {
				t.Errorf("old events drain at %.0f/s, want %.0f %% of the %.0f that fresh ones leave", r.rate(), 100*part, left)
			}
		})
	}
}

func TestOldEventsDrainFastWhereSegmentTakesThem(t *testing.T) {
	t.Parallel()
	r := run(t, load{fresh: 300, perFresh: 20, bulk: min(*events, many), perBulk: 250, lasts: 2 * time.Hour})
	if r.drain > time.Minute || r.p(99) > promised || len(r.fired) > 0 {
		t.Errorf("%v", r)
	}
}
