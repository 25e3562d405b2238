package estimate

import (
	"testing"
	"time"

	"github.com/spillwayhq/spillway/cmd/spillway/feed"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/archive"
	"github.com/spillwayhq/spillway/shared/price"
)

// The price counts with sizes that no frame exceeds, and not by much too large ones: made-up events
// compress better than real ones.
func TestFramesAreAsLargeAsThePriceCounts(t *testing.T) {
	p, err := archive.NewPacker()
	if err != nil {
		t.Fatal(err)
	}
	at := time.Now()
	for _, n := range []int{1, 2, 8, 100, 1000} {
		events, size := 0.0, 0
		for i := range n {
			e, err := feed.MadeUp(i, "")
			if err != nil {
				t.Fatal(err)
			}
			events += float64(len(e))
			at = at.Add(time.Millisecond)
			p.Add(&archive.Record{Time: at, ReceivedAt: at.Add(-2 * time.Second), Outcome: archive.Delivered, Event: e,
				WriteKey: "aVHjzjlgcmZb7aN1Xhzyq5SmCXrwUprC"}, i)
		}
		for _, f := range p.Frames() {
			size += len(f.Data)
		}
		if counted := price.ArchiveFrameBytes(float64(n), events/float64(n)); float64(size) > counted ||
			float64(size) < counted*0.4 {
			t.Errorf("%d events are a frame of %d bytes, counted are %.0f", n, size, counted)
		}
	}
}

func TestTheArchiveHasTheNumbersOfTheTopology(t *testing.T) {
	a := Archive(30*24*time.Hour, true)
	o := topology.DefaultOptions()
	o.ArchiveKept = 30 * 24 * time.Hour
	d := topology.New(o)
	// Of its three alarms one has three metrics, the others one.
	if a.Kept != o.ArchiveKept || a.BufferTime != d.Archive.BufferTime ||
		a.BufferBytes != float64(d.Archive.BufferBytes) ||
		a.AlarmMetrics != 5 || a.Metrics != 1 {
		t.Errorf("%+v", a)
	}
	if got := Archive(time.Hour*24, false); got.AlarmMetrics != 0 {
		t.Errorf("without alarms %d metrics are paid", got.AlarmMetrics)
	}
}
