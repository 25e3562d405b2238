package report

import (
	"strings"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/infra/local/drill"
)

func TestTheTextTellsWhatHappenedAndWhatItCameTo(t *testing.T) {
	start := time.Date(2018, 9, 24, 9, 0, 0, 0, time.UTC)
	at := func(minutes int) time.Time { return start.Add(time.Duration(minutes) * time.Minute) }
	until := func(minutes int) *time.Time { to := at(minutes); return &to }
	most, drained := 438_469.0, 600.0
	r := &drill.Result{
		Scenario: "x", Title: "Segment is away", Story: "What happens.", Seed: 7, EventsPerSecond: 20, Start: start,
		Minutes: 2,
		Marks:   []drill.Mark{{Kind: drill.Fault, From: at(0), To: until(30), Text: "Segment answers nobody"}},
		Series:  []drill.Series{{Chart: drill.ChartBacklog, Values: []*float64{nil, &most}}},
		Alarms: []drill.Alarm{
			{Name: "s-flaps", Severity: "warning", Meaning: "it is slow. Nothing is lost.", Firings: []drill.Firing{
				{From: at(5), To: until(6), Notified: true}, {From: at(9), To: until(11), Notified: true},
				{From: at(40), Notified: true}}},
			{Name: "s-late", Severity: "critical", MustFireBy: until(4)},
			{Name: "s-silent", Severity: "critical", MustBeSilent: true},
			{Name: "s-part", Severity: "critical", Firings: []drill.Firing{{From: at(3), To: until(20)}}},
		},
		Events: drill.Events{Accepted: 10, Delivered: 7, Waiting: 1, DeadLettered: map[string]int64{"invalid": 2},
			Refused: map[string]int64{"429": 3, "invalid_write_key": 40}},
		Name: &drill.Name{Near: "eu-west-1", Far: "us-east-1", TTLSeconds: 60, FirstElsewhere: until(8),
			Left: []drill.Left{{From: at(7), To: until(31), Alarms: []string{"s-gone"}}}},
		DrainSeconds: &drained, Broken: []string{"s-late did not fire"},
	}
	var b strings.Builder
	if err := WriteText(&b, r); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	for _, want := range []string{
		"Segment is away\nx; seed 7, usually 20 events/s\n\nWhat happens.\n",
		"  Mon 09:00  fault    Segment answers nobody, for 30 min\n",
		"  Mon 09:05  warning  s-flaps fires: it is slow (and again, once)\n",
		"  Mon 09:11           s-flaps is over\n",
		"  Mon 09:40  warning  s-flaps fires: it is slow\n",
		"s-flaps  warning   Mon 09:05 (3 times)  not yet                 3 times\n",
		"s-late   critical  never                           Mon 09:04    no\n",
		"s-part   critical  Mon 09:03            Mon 09:20               no\n",
		"Silent, as they must be: 1.\n",
		"at most 438,469 events, on Mon 09:01",
		"10 accepted = 7 delivered + 2 dead letters + 1 waiting; 0 lost; 0 sent twice\n",
		"40 invalid_write_key, 3 429, before they were accepted\n", "10 min after the last fault\n",
		"led to us-east-1 7 min after this began: Segment answers nobody; an SDK's request was accepted there after 8 min\n",
		"\nPromises that were not kept:\n  - s-late did not fire\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the text lacks %q:\n%s", want, text)
		}
	}
	r.Name.Left = nil
	b.Reset()
	if err := WriteText(&b, r); err != nil || !strings.Contains(b.String(), "led to eu-west-1 all the time\n") {
		t.Errorf("with a name that was never switched: %v\n%s", err, b.String())
	}
	if strings.Contains(text, "s-part fires") || strings.Contains(text, "s-silent ") {
		t.Errorf("the text tells of an alarm that told nobody:\n%s", text)
	}
}
