package local

import (
	"fmt"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/shared/deliver"
)

func TestDegradedNamesTheCauseOfMostRetriesUntilEventsAreDelivered(t *testing.T) {
	a := newActivity()
	for _, c := range []struct {
		report deliver.Report
		want   string
	}{
		{deliver.Report{Delivered: 1, Causes: map[string]int{"no time": 3, "throttled": 2}}, "no time"},
		{deliver.Report{}, "no time"},
		{deliver.Report{Delivered: 1}, ""},
	} {
		a.invoked(c.report)
		var s Status
		if a.addTo(&s); s.Degraded != c.want {
			t.Errorf("degraded %q after %+v, want %q", s.Degraded, c.report, c.want)
		}
	}
}

func TestPausesThatAreOverDoNotPileUp(t *testing.T) {
	a := newActivity()
	now := time.Now()
	for i := range 100 {
		a.pause([]deliver.Pause{{Key: fmt.Sprint("made up ", i), Until: now.Add(-time.Second)}})
	}
	a.pause([]deliver.Pause{{Key: "shop", Until: now.Add(time.Minute)}})
	if len(a.paused) != 1 || a.pauses(now)["shop"].Until.IsZero() {
		t.Errorf("%d pauses are remembered: %v", len(a.paused), a.paused)
	}
}
