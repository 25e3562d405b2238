package report

import (
	"slices"
	"strings"
	"testing"

	"github.com/spillwayhq/spillway/infra/local/drill"
	"github.com/spillwayhq/spillway/shared/chart"
)

func TestSumsOfMoneyHaveCents(t *testing.T) {
	for v, want := range map[float64]string{0: "$0.00", 0.00042: "$0.00042", 0.0949: "$0.095", 1.005: "$1.00",
		0.26:      "$0.26",
		12345.678: "$12,345.68", -0.5: "−$0.50"} {
		if got := dollars(v); got != want && !(v == 1.005 && got == "$1.01") {
			t.Errorf("%v: %s, want %s", v, got, want)
		}
	}
}

func TestTheTimesOfAlarmsAreJoined(t *testing.T) {
	alarms := []drill.Alarm{
		{Firings: []drill.Firing{{From: on(1, 0, 0), To: until(2, 0, 0), Notified: true},
			{From: on(5, 0, 0), Notified: true}}},
		{Firings: []drill.Firing{{From: on(1, 30, 0), To: until(3, 0, 0), Notified: true},
			{From: on(6, 0, 0), To: until(7, 0, 0), Notified: true}}},
		{Firings: []drill.Firing{{From: on(3, 30, 0), To: until(4, 0, 0)}}}, // told nobody
	}
	got := firingTimes(alarms)
	if len(got) != 2 || !got[0].From.Equal(on(1, 0, 0)) || !got[0].To.Equal(on(3, 0, 0)) || got[1].To != nil {
		t.Errorf("the times are %v", got)
	}
}

func TestEveryChartShowsFaultsAlarmsGapsAndMoments(t *testing.T) {
	r := sample()
	c := clockOf(r)
	all := charts(r, c)
	if len(all) != 7 {
		t.Fatalf("%d charts, want one for each kind of series and the old design's", len(all))
	}
	// Segment is away from 10:00 to 14:20, of 24 hours.
	away := chart.Band{Class: "fault", Text: "Segment is away, 10:00 to 14:20", X: "41.667%", Width: "18.056%", Y: "22",
		Height: "150"}
	fires := chart.Band{Class: "alarm", Text: "An alarm fires, 09:24:20 to 14:31", X: "39.19%", Width: "21.296%", Y: "18",
		Height: "4"}
	gap := chart.Band{Class: "nodata", Text: "No data, 11:40 to 12:10", X: "48.611%", Width: "2.083%", Y: "22",
		Height: "150"}
	for _, ch := range all {
		if ch.ID == oldID {
			continue
		}
		if !slices.Contains(ch.Bands, away) || !slices.Contains(ch.Bands, fires) {
			t.Errorf("%s shades %v", ch.Title, ch.Bands)
		}
		if got := slices.Contains(ch.Bands, gap); got != (ch.Title != drill.ChartAPILatency) {
			t.Errorf("%s shades the time without data: %v", ch.Title, got)
		}
		if len(ch.Moments) != 1 ||
			ch.Moments[0] != (chart.Moment{X: "60.319%", Class: "outcome", Text: "The queue is empty again, 14:28:36"}) {
			t.Errorf("%s has the moments %v", ch.Title, ch.Moments)
		}
	}
	i := slices.IndexFunc(all, func(ch chart.Chart) bool { return ch.ID == oldID })
	if all[i-1].Title != drill.ChartBacklog || len(all[i].Bounds) != 1 || all[i].Bounds[0].Y != "43" {
		t.Errorf("the old design's chart is behind %s, and has the bound %v", all[i-1].Title, all[i].Bounds)
	}
	if !slices.ContainsFunc(all[i].Bands,
		func(b chart.Band) bool { return b.Class == "down" && strings.Contains(b.Text, "10:28:35") }) {
		t.Errorf("the old design's chart shades %v", all[i].Bands)
	}
	if x := all[0].X; x[0].Odd || !x[1].Odd || x[2].Odd {
		t.Error("a phone has not every second label of the time axis")
	}
}

func TestAPaleBarIsAFiringThatToldNobody(t *testing.T) {
	r := sample()
	for _, row := range alarmRows(r, clockOf(r)) {
		if row.Label == "spillway-segment-slow" {
			if row.Bars[0].Class != "critical" || row.Bars[1].Class != "critical quiet" {
				t.Errorf("the bars are %v", row.Bars)
			}
			return
		}
	}
	t.Error("the alarm has no row")
}

func TestAFiringIsToldFromAFaultThatLasts(t *testing.T) {
	marks := []drill.Mark{
		{Kind: drill.Fault, From: on(1, 0, 0), To: until(5, 0, 0), Text: "long"},
		{Kind: drill.Fault, From: on(2, 0, 0), To: until(3, 0, 0), Text: "short"},
		{Kind: drill.Load, From: on(2, 30, 0), Text: "load"},
	}
	for hour, want := range map[int]string{0: "", 1: "long", 2: "short", 4: "long", 6: ""} {
		if m, _ := lastFault(marks, on(hour, 40, 0)); m.Text != want {
			t.Errorf("at %d:40: %q, want %q", hour, m.Text, want)
		}
	}
}

func TestTheBarOfTheEventsHasEveryPart(t *testing.T) {
	got := shares(drill.Events{Delivered: 50, DeadLettered: map[string]int64{"a": 20, "b": 5}, Waiting: 20, Lost: 5})
	want := []share{{"0%", "50%", "delivered", "50 delivered"}, {"50%", "25%", "dead", "25 dead letters"},
		{"75%", "20%", "waiting", "20 waiting"}, {"95%", "5%", "lost", "5 lost"}}
	if !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
