package publishing

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/integration/testutil"
	"github.com/spillwayhq/spillway/shared/publisher"
)

var (
	away = flag.Duration("away", 500*time.Millisecond,
		"how long the queue is down in the memory test; 10m for the documented case")
	kind = flag.String("away-child", "", "set by the test: run as the measured process")
	url  = flag.String("away-url", "", "set by the test: the queue")
	dir  = flag.String("away-dir", "", "set by the test: the directory, or none")
)

func TestMain(m *testing.M) { testutil.Main(m) }

// rate is how many events a second the measured process enqueues.
const rate = 5000

// most is how much a process may grow while the queue is down.
const most = 64 << 20

// measured is what the measured process reports.
type measured struct {
	Before, Peak int64 // resident memory in bytes
	Enqueued     int
	P50, P999    time.Duration // of Enqueue
	Max          time.Duration
	Stats        publisher.Stats
}

// TestProcessGrowsByAtMost64MBWhileTheQueueIsDown runs a process that enqueues 5,000
// events a second and has no queue.
func TestProcessGrowsByAtMost64MBWhileTheQueueIsDown(t *testing.T) {
	if *kind != "" {
		t.Skip("this is the measured process")
	}
	if testutil.Race {
		t.Skip("the race detector takes several times the memory: run this test without -race, as .ci/run does")
	}
	blackHole, err := net.Listen("tcp", "127.0.0.1:0") // accepts connections and never answers
	if err != nil {
		t.Fatal(err)
	}
	defer blackHole.Close()
	refusing := "127.0.0.1:" + testutil.FreePort(t)
	for _, c := range []struct{ name, address, dir string }{
		{"refused", refusing, ""}, {"black hole", blackHole.Addr().String(), ""},
		{"refused, with a disk", refusing, t.TempDir()},
		{"black hole, with a disk", blackHole.Addr().String(), t.TempDir()},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			self, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(self, "-test.run=^TestTheMeasuredProcess$", "-away-child=yes", "-away="+away.String(),
				"-away-url=http://"+c.address+"/000000000000/events", "-away-dir="+c.dir)
			var out, errOut bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &errOut
			if err := cmd.Run(); err != nil {
				t.Fatalf("%v: %s%s", err, out.String(), errOut.String())
			}
			var m measured
			if err := json.NewDecoder(&out).Decode(&m); err != nil {
				t.Fatalf("%v: %s", err, out.String())
			}
			t.Logf("%v down, %d events: %.1f MB before, %.1f MB at most; Enqueue p50 %v, p99.9 %v, max %v; %+v", *away,
				m.Enqueued, mb(m.Before), mb(m.Peak), m.P50, m.P999, m.Max, m.Stats)
			if m.Peak-m.Before > most {
				t.Errorf("the process grew by %.1f MB, from %.1f to %.1f MB", mb(m.Peak-m.Before), mb(m.Before), mb(m.Peak))
			}
			if c.dir != "" && m.Stats.Dropped[publisher.Full] > 0 {
				t.Errorf("%d events were dropped although the disk had room", m.Stats.Dropped[publisher.Full])
			}
		})
	}
}

func mb(n int64) float64 { return float64(n) / (1 << 20) }

// TestTheMeasuredProcess is that process, not a test.
func TestTheMeasuredProcess(t *testing.T) {
	if *kind == "" {
		t.Skip("started by TestProcessGrowsByAtMost64MBWhileTheQueueIsDown")
	}
	m := measured{Before: resident(t)}
	client, err := publisher.New(t.Context(),
		publisher.Config{QueueURL: *url, Dir: *dir, CloseTimeout: 10 * time.Millisecond, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	var took histogram
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for start := time.Now(); time.Since(start) < *away; <-tick.C {
		for due := int(time.Since(start).Seconds() * rate); m.Enqueued < due; m.Enqueued++ {
			event := typical(m.Enqueued)
			began := time.Now()
			_ = client.Enqueue(event) // ErrFull is counted
			took.add(time.Since(began))
		}
		if m.Enqueued%50 == 0 {
			m.Peak = max(m.Peak, resident(t))
		}
	}
	m.Stats = client.Stats()
	_ = client.Close() // events that are not on disk are lost here
	m.P50, m.P999, m.Max = took.quantile(0.5), took.quantile(0.999), took.max
	out, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println(string(out))
}

// histogram counts durations by the microsecond, in little memory, because the test measures the
// memory of its process.
type histogram struct {
	counts [10_000]int32 // the last counts all longer ones
	n      int
	max    time.Duration
}

func (h *histogram) add(d time.Duration) {
	h.counts[min(int(d/time.Microsecond), len(h.counts)-1)]++
	h.n++
	h.max = max(h.max, d)
}

// quantile returns the upper end of the microsecond in which it lies.
func (h *histogram) quantile(q float64) time.Duration {
	seen := 0
	for us, n := range h.counts {
		if seen += int(n); float64(seen) >= q*float64(h.n) {
			return time.Duration(us+1) * time.Microsecond
		}
	}
	return h.max
}

// resident returns the resident memory of this process.
func resident(t *testing.T) int64 {
	t.Helper()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.ParseInt(string(bytes.Fields(text)[1]), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}
