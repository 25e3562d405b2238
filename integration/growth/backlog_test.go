package growth

import (
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/infra/local/segmentd"
	"github.com/spillwayhq/spillway/integration/testutil"
)

// There is none by default, because it takes processes, and seconds.
var (
	backlogs = flag.String("backlogs", "", "`sizes` of backlogs in events, from small to large: 100000,1000000,10000000")
	single   = flag.Bool("single", false, "whether each event is a message of its own")
)

const (
	// meaningful is from which backlog on the cost of an event means something: starting takes
	// 0.2 s.
	meaningful = 100_000
	// restedMB is what a process without a backlog takes at most, with a margin.
	restedMB = 90
	// indexBytes is what a process has in memory of each message that waits, at most.
	indexBytes = 200
	// idleFiles is how many files there are besides those of the messages.
	idleFiles = 30
)

// A backlog is what a number of events took. CPU times are of an event, in microseconds.
type backlog struct {
	events              int
	accepting           float64
	rested, reopened    int64         // bytes of memory, with the whole backlog waiting
	disk, files         int64         // of the data directory, with the whole backlog
	opened              time.Duration // from the start of the program until it takes events
	delivered           time.Duration // from the start of the program until Segment has all
	delivering          float64
	peak                int64 // bytes of memory while it delivers
	diskAfter, filesEnd int64
}

func (b *backlog) String() string {
	const mb = 1 << 20
	return fmt.Sprintf("%d events: accepted with %.1f µs each; they wait in %d files of %d MB, with %d MB of memory; "+
		"opened again in %v with %d MB; delivered in %v with %.1f µs each and at most %d MB; then %d files of %d MB",
		b.events, b.accepting, b.files, b.disk/mb, b.rested/mb, b.opened.Round(10*time.Millisecond), b.reopened/mb,
		b.delivered.Round(10*time.Millisecond), b.delivering, b.peak/mb, b.filesEnd, b.diskAfter/mb)
}

func TestAnEventOfALargeBacklogCostsAsMuchAsOneOfASmallOne(t *testing.T) {
	if *backlogs == "" {
		t.Skip("no backlog is given: run it with -backlogs 100000,1000000, as .ci/run does with smaller ones")
	}
	if runtime.GOOS != "linux" {
		t.Skip("the memory of a process is read from /proc, which only Linux has")
	}
	var all []*backlog
	for size := range strings.SplitSeq(*backlogs, ",") {
		n, err := strconv.Atoi(size)
		if err != nil || n < 1 {
			t.Fatalf("-backlogs: %q must be a number of events", size)
		}
		b := measure(t, n)
		t.Log(b)
		all = append(all, b)
		if limit := int64(restedMB<<20 + n*indexBytes); b.rested > limit || b.reopened > limit ||
			b.peak > limit+restedMB<<20 {
			t.Errorf("%v: want at most %d MB while they wait", b, limit>>20)
		}
		if limit := idleFiles + b.disk/fileBytes; b.files > limit || b.filesEnd > idleFiles {
			t.Errorf("%v: want at most %d files, and %d in the end", b, limit, idleFiles)
		}
	}
	small, large := all[0], all[len(all)-1]
	if small.events >= meaningful && (large.accepting > flat*small.accepting || large.delivering > flat*small.delivering) {
		t.Errorf("an event costs more in the large backlog than in the small one")
	}
}

// measure takes a backlog, starts the program on it again, and delivers it.
func measure(t *testing.T, events int) *backlog {
	t.Helper()
	b := &backlog{events: events}
	program, dir := testutil.Build(t, "cmd/spillway"), t.TempDir()
	segment := testutil.Serve(t, exec.Command(program, "segmentd", "--port=0", "--latency=50ms"),
		regexp.MustCompile(`listens on (http://\S+)`))
	up := func(more ...string) *testutil.Process {
		return testutil.Serve(t, exec.Command(program,
			append([]string{"up", "--data-dir=" + dir, "--sqs-port=0", "--ingest-port=0",
				"--console=false", "--canary=false", "--archive-days=0", "--write-key=growth", "--segment=" + segment.Address},
				more...)...),
			regexp.MustCompile(`events queue\s+(http://\S+)`))
	}
	p := up("--deliver=false")
	send := exec.Command(program, "send", "--count="+strconv.Itoa(events), "--single="+strconv.FormatBool(*single),
		"--queue-url="+p.Address)
	if out, err := send.CombinedOutput(); err != nil {
		t.Fatalf("send: %v: %s", err, out)
	}
	b.rested = p.Memory(t, "VmRSS")
	b.files, b.disk = contents(t, dir)
	b.accepting = stop(t, p, events)

	began := time.Now()
	p = up("--deliver=false")
	b.opened, b.reopened = time.Since(began), p.Memory(t, "VmRSS")
	stop(t, p, events)

	began = time.Now()
	p = up()
	for received(t, segment.Address) < int64(events) {
		time.Sleep(20 * time.Millisecond)
	}
	b.delivered, b.peak = time.Since(began), p.Memory(t, "VmHWM")
	b.delivering = stop(t, p, events)
	b.filesEnd, b.diskAfter = contents(t, dir)
	return b
}

// stop ends a process, and returns what it has used for each event.
func stop(t *testing.T, p *testutil.Process, events int) float64 {
	t.Helper()
	if err := p.Stop(t); err != nil {
		t.Fatalf("%v: %s", err, &p.Log)
	}
	s := p.Cmd.ProcessState
	return micros(s.UserTime()+s.SystemTime(), events)
}

// received is how many events the Segment emulator has.
func received(t *testing.T, url string) int64 {
	t.Helper()
	resp, err := http.Get(url + "/_segmentd/stats")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var s segmentd.Stats
	if err := json.NewDecoder(resp.Body).Decode(&s); err != nil {
		t.Fatal(err)
	}
	if s.Duplicates > 0 {
		t.Fatalf("%d events were delivered twice", s.Duplicates)
	}
	return s.Distinct
}

// contents counts the files of a directory, and their bytes on disk.
func contents(t *testing.T, dir string) (files, bytes int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		files++
		bytes += info.Size()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files, bytes
}
