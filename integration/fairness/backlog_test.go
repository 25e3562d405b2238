package fairness

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillwayhq/spillway/infra/topology"
)

// A backlog keeps Segment busy: its messages do not wait while Segment would take them.
func TestABacklogDrainsNearSegmentsLimit(t *testing.T) {
	const limit = topology.SegmentEventsPerSecond
	// A sample is over in half a minute, of which finding the rate is a part.
	events, wanted := 20_000, 0.7
	if *every {
		events, wanted = 300_000, 0.8
	}
	for _, fresh := range []string{"app", "other"} {
		if fresh != "app" && !*every {
			continue
		}
		t.Run("beside fresh events of "+fresh, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := drain(t, limit, time.Hour, source{key: "app", perMessage: 100, perCall: 10, backlog: events},
					source{key: fresh, rate: limit / 5, perMessage: 10, perCall: 1})
				// The last few have been received so often that they wait for a quarter of their
				// age.
				if used := r.throughput(95) / limit; used < wanted {
					t.Errorf("%.1f %% of what Segment takes were used, want %.0f %%", 100*used, 100*wanted)
				}
				if p99 := r.latency(1, 99); fresh != "app" && p99 > promise {
					t.Errorf("p99 of another source is %v; the promise is %v", p99, promise)
				}
				t.Logf("%.0f events/s until 95 %%, %.0f until the end; %v", r.throughput(95), r.throughput(100), r)
			})
		})
	}
}
