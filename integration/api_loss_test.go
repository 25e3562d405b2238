package integration

import (
	"bufio"
	"bytes"
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/spill"
)

var (
	apiKills = flag.Int("api-kills", 10, "how many times the API is killed")
	apiAway  = flag.Duration("api-away", 5*time.Second, "how long SQS is away from the API whose memory is measured")
)

// TestKilledAtAnyMomentTheAPILosesNoEventThatItAccepted, with Durability Process: an answer of 200 means that Enqueue has returned.
func TestKilledAtAnyMomentTheAPILosesNoEventThatItAccepted(t *testing.T) {
	o := newOracle()
	p := pipeline(t, local.Config{OnEvent: o.note})
	q := newFaultyQueue(t, p.QueueURL(topology.EventsQueue))
	args := []string{"--track=process", "--queue-url=" + q.url, "--dir=" + filepath.Join(t.TempDir(), "spill")}
	g := newGenerator(t, 500)
	var r result
	for round := range *apiKills {
		switch rand.IntN(4) {
		case 0:
			q.refuse()
		case 1:
			q.fail(unavailable)
		case 2:
			q.fail(q.hang)
		}
		a := startAPI(t, args...)
		ctx, cancel := context.WithCancel(t.Context())
		var loading sync.WaitGroup
		loading.Go(func() { g.run(ctx, a.url, fmt.Sprint("life", round), patience, &r) })
		time.Sleep(time.Duration(rand.IntN(500)) * time.Millisecond)
		if rand.IntN(2) == 0 { // SQS comes back before the kill, or after it
			q.heal(t)
		}
		time.Sleep(time.Duration(rand.IntN(500)) * time.Millisecond)
		a.kill()
		cancel()
		loading.Wait()
		q.heal(t)
	}
	a := startAPI(t, args...)
	o.awaitAll(t, r.accepted, nil)
	a.stop(t)
	t.Logf("%d kills, %d requests answered, %d cut off", *apiKills, len(r.accepted), len(r.failed))
	noneElse(t, o, r.issued)
	if lost := a.lost(t); len(lost) > 0 {
		t.Errorf("lost: %v", lost)
	}
}

// TestWithSQSAwayTheAPIGrowsByLessThan64MB: what SQS does not take is kept up to a bound, and named as lost beyond it.
func TestWithSQSAwayTheAPIGrowsByLessThan64MB(t *testing.T) {
	if _, err := os.Stat("/proc/self/status"); err != nil {
		t.Skip("how much memory a process takes is read from /proc, which only Linux has")
	}
	const bound = 64 << 20
	for name, args := range map[string][]string{
		"memory": {"--track=memory"}, "memory and disk": {"--track=memory", "--dir=" + t.TempDir()}, "process": {"--track=process", "--dir=" + t.TempDir()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOracle()
			p := pipeline(t, local.Config{OnEvent: o.note})
			q := newFaultyQueue(t, p.QueueURL(topology.EventsQueue))
			args := append(args, "--queue-url="+q.url)
			a := startAPI(t, args...)
			g := newGenerator(t, 300)
			g.note = strings.Repeat("A note of a run. ", 600) // 10 KB, so that memory is full in seconds
			var r result
			g.run(t.Context(), a.url, "before", time.Second, &r)
			before := memory(t, a, "VmRSS")
			q.refuse()
			g.run(t.Context(), a.url, "away", *apiAway, &r)
			grown := memory(t, a, "VmHWM") - before
			t.Logf("from %d MB it grew by at most %d MB while %d requests were answered without SQS", before>>20, grown>>20, len(r.accepted))
			if grown > bound {
				t.Errorf("it grew by %d MB, more than %d MB", grown>>20, bound>>20)
			}
			if len(r.failed) > 0 {
				t.Errorf("%d requests were not answered 200, the first: %v", len(r.failed), r.failed[0])
			}
			q.heal(t)
			a.stop(t)
			lost := a.lost(t)
			next := startAPI(t, args...)
			o.awaitAll(t, r.accepted, lost)
			next.stop(t)
			noneElse(t, o, r.issued)
			t.Logf("%d events were named as lost", len(lost))
			if name != "memory" && len(lost) > 0 && len(r.issued)*len(g.note) < spill.DefaultMaxBytes/2 {
				t.Errorf("%d events were lost, and the disk had room", len(lost))
			}
		})
	}
}

// memory reads a field of /proc/PID/status, in bytes.
func memory(t *testing.T, a *api, field string) int64 {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", a.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for s := bufio.NewScanner(bytes.NewReader(b)); s.Scan(); {
		if name, value, _ := strings.Cut(s.Text(), ":"); name == field {
			kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return kb << 10
		}
	}
	t.Fatalf("no %s in %s", field, b)
	return 0
}
