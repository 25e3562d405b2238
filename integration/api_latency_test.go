package integration

import (
	"flag"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/infra/local/segmentd"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/integration/testutil/localtest"
)

var (
	latencyTime = flag.Duration("api-time", shortTime,
		"how long the API is under load for each row of the table, which -v prints")
	latencyRate = flag.Int("api-rate", 200, "requests a second to the API")
)

// shortTime is for a plain `go test`, which checks what arrives and not how fast: the rows are then
// measured in parallel, and the APIs of a row are under load at the same time.
const shortTime = 250 * time.Millisecond

// inParallel says that nobody looks at how fast the APIs are.
func inParallel() bool { return *latencyTime == shortTime }

// surroundings are what an API depends on.
type surroundings struct {
	queue   *faultyQueue
	segment *segmentd.Server
	dir     string // for the events that SQS does not take
}

// fault is what fails while the API serves.
type fault struct {
	name  string
	begin func(*testing.T, *surroundings)
	loses []string // the modes that must lose events, and report which
	like  string   // the fault that a plain `go test` has in its place; empty: it has this one
}

var faults = []fault{
	{"nothing", func(*testing.T, *surroundings) {}, nil, "Segment: 503"},
	{"Segment: 503", func(t *testing.T, s *surroundings) {
		if err := s.segment.SetScript(segmentd.Script{Rules: []segmentd.Rule{{Status: 503}}}); err != nil {
			t.Fatal(err)
		}
	}, nil, ""},
	{"SQS: connection refused", func(_ *testing.T, s *surroundings) { s.queue.refuse() }, nil, ""},
	{"SQS: no answer", func(_ *testing.T, s *surroundings) { s.queue.fail(s.queue.hang) }, nil, ""},
	{"SQS: answers after 5 s", func(_ *testing.T, s *surroundings) { s.queue.fail(s.queue.slow(5 * time.Second)) }, nil,
		"SQS: no answer"},
	{"SQS: 503", func(_ *testing.T, s *surroundings) { s.queue.fail(unavailable) }, nil, ""},
	{"SQS: throttled", func(_ *testing.T, s *surroundings) { s.queue.fail(throttled) }, nil, "SQS: 503"},
	// These modes write events to disk before they accept them. The others have them in memory.
	{"SQS: refused, disk full", func(t *testing.T, s *surroundings) { s.queue.refuse(); fullDisk(t, s.dir) },
		[]string{"process", "disk"}, ""},
}

// A side is one of the APIs that are compared.
type side struct {
	mode   string
	args   []string
	api    api
	result // of all turns
	turns  []*result
	lost   map[string]string
	grown  int64 // by how many bytes its memory grew at most during the fault
}

// mostGrown is the memory for which the publisher's default buffer is chosen.
const mostGrown = 64 << 20

// modes are the values of the API's --track. The first one is what the others are compared with.
var modes = []string{"none", "memory", "process", "disk"}

// TestTheAPIAnswersWhateverFails checks that during any fault every request is answered and memory
// is bounded, and that every event arrives afterwards. The table shows how long the requests took.
// The test does not assert it, because it depends on the machine.
func TestTheAPIAnswersWhateverFails(t *testing.T) {
	if inParallel() {
		t.Parallel()
	}
	tables := make([]strings.Builder, len(faults))
	for i, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			if inParallel() {
				if f.like != "" {
					t.Skipf("%q is a sample of this; -api-time 1s measures all", f.like)
				}
				t.Parallel()
			}
			sides := measure(t, f)
			for _, s := range sides {
				fmt.Fprintf(&tables[i], "%s\t%s\t%d\t", f.name, s.mode, len(s.latencies))
				for _, q := range []float64{0.5, 0.99, 0.999, 1} {
					fmt.Fprintf(&tables[i], "%.2f ms\t", s.quantile(q).Seconds()*1000)
				}
				for _, q := range []float64{0.5, 0.99} {
					fmt.Fprintf(&tables[i], "%+.2f ms\t", s.more(sides[0], q).Seconds()*1000)
				}
				fmt.Fprintf(&tables[i], "%d\t%d MB\t\n", len(s.lost), s.grown>>20)
			}
		})
	}
	t.Cleanup(func() { // after the parallel subtests
		var table strings.Builder
		w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprintln(w, "fault\ttracking\trequests\tp50\tp99\tp99.9\tmax\tp50 more\tp99 more\tlost\tgrew\t")
		for i := range tables {
			fmt.Fprint(w, tables[i].String())
		}
		w.Flush()
		t.Logf("latency of the API's requests, from when each was due, at %d requests/s; \"more\" than without "+
			"tracking in the median turn of %v:\n%s",
			*latencyRate, turnTime(), table.String())
	})
}

// turnTime is how long an API is under load before the next one's turn.
func turnTime() time.Duration { return min(*latencyTime, 500*time.Millisecond) }

// more is by how much a quantile is higher than the base's. It is the median over the turns,
// because a high quantile of all would only show what else the machine did in some of them.
func (s *side) more(base *side, q float64) time.Duration {
	var by []time.Duration
	for i, turn := range s.turns {
		by = append(by, turn.quantile(q)-base.turns[i].quantile(q))
	}
	return quantile(by, 0.5)
}

// measure puts the APIs of all modes under load during a fault. They take turns, so that what else
// the machine does slows all of them.
func measure(t *testing.T, f fault) []*side {
	o := localtest.NewArrivals()
	s := &surroundings{dir: t.TempDir()}
	var segmentURL string
	s.segment, segmentURL = localtest.Segment(t, segmentd.Options{OnEvent: o.Add, EventLimit: -1})
	config := local.Config{Segment: segmentURL, WriteKey: local.WriteKey, Dir: t.TempDir()}
	p, stop := localtest.StartStoppable(t, config)
	s.queue = newFaultyQueue(t, p.QueueURL(topology.DefaultNames().EventsQueue))
	if f.loses != nil {
		smallDisk(t, s.dir)
	}
	g := newGenerator(t, *latencyRate)
	var sides []*side
	for _, mode := range modes {
		one := &side{mode: mode, args: []string{"--track=" + mode, "--queue-url=" + s.queue.url,
			"--dir=" + filepath.Join(s.dir, mode)}}
		one.api = startAPI(t, one.args...)
		g.run(t.Context(), one.api.Address, mode+"-warm", *latencyTime/5, &one.result)
		one.latencies = nil
		one.grown = -one.api.Memory(t, "VmRSS")
		sides = append(sides, one)
	}
	f.begin(t, s)
	for i := range int(*latencyTime / turnTime()) {
		var loading sync.WaitGroup
		for j := range sides {
			one, turn := sides[(i+j)%len(sides)], &result{}
			one.turns = append(one.turns, turn)
			loading.Go(func() { g.run(t.Context(), one.api.Address, fmt.Sprint(one.mode, "-", i), turnTime(), turn) })
			if !inParallel() {
				loading.Wait()
			}
		}
		loading.Wait()
		for _, one := range sides {
			one.add(one.turns[i])
		}
	}
	g.client.CloseIdleConnections() // an API that ends waits for those that carried no request yet
	s.queue.heal(t)
	if err := s.segment.SetScript(segmentd.Script{}); err != nil {
		t.Fatal(err)
	}
	// The queue starts again, so that what was retained for retry is visible now and not in 30 s.
	stop()
	s.queue.leadTo(t, localtest.Start(t, config).QueueURL(topology.DefaultNames().EventsQueue))
	for _, one := range sides {
		if len(one.failed) > 0 {
			t.Errorf("%s: %d requests were not answered 200, the first: %v", one.mode, len(one.failed), one.failed[0])
		}
		if one.grown += one.api.Memory(t, "VmHWM"); one.grown > mostGrown {
			t.Errorf("%s: it grew by %d MB, more than %d MB", one.mode, one.grown>>20, mostGrown>>20)
		}
		one.api.Ask(t) // all of them, because some take a second to send what they hold
	}
	for _, one := range sides {
		one.api.stop(t) // the next process sends what is on disk
		one.lost = one.api.lost()
		if mayLose := slices.Contains(f.loses, one.mode); mayLose != (len(one.lost) > 0) {
			t.Errorf("%s: %d of %d events were reported as lost: %v", one.mode, len(one.lost), len(one.issued), one.lost)
		}
		one.api = startAPI(t, one.args...)
	}
	var sent []string
	for _, one := range sides[1:] {
		awaitAll(t, o, one.issued, one.lost)
		one.api.stop(t)
		sent = append(sent, one.issued...)
	}
	noneElse(t, o, sent)
	return sides
}
