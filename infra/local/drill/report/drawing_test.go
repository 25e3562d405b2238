package report

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/infra/local/drill"
)

func at(values ...float64) []*float64 {
	var all []*float64
	for _, v := range values {
		if v < 0 {
			all = append(all, nil)
			continue
		}
		all = append(all, &v)
	}
	return all
}

func TestALineLeavesAGapWhereAValueIsMissing(t *testing.T) {
	s := scale{step: 5, top: 10}
	for _, c := range []struct {
		name   string
		values []*float64
		want   string
	}{
		{"nothing", nil, ""},
		{"one value", at(5), "M1 500h0"},
		{"two", at(0, 10), "M1 1000L3 0h0"},
		{"a flat part is one stroke", at(5, 5, 5, 5, 10), "M1 500H7L9 0h0"},
		{"flat to the end", at(5, 5, 5), "M1 500H5"},
		{"a gap", at(5, -1, -1, 10, 10), "M1 500h0M7 0H9"},
		{"gaps at both ends", at(-1, 5, 0, -1), "M3 500L5 1000h0"},
		{"above the scale", at(20), "M1 0h0"},
	} {
		if got := linePath(c.values, len(c.values), s); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestTheAreaOfALineEndsAtTheAxis(t *testing.T) {
	got := areaPath("M1 500L3 0h0M7 0H9")
	if want := "M1 500L3 0h0V1000H1ZM7 0H9V1000H7Z"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestALongLineKeepsItsPeaks(t *testing.T) {
	values := make([]float64, 10_080)
	values[7777], values[7778] = 10, 0
	for i := range values[:7000] {
		values[i] = 5
	}
	values[3333] = 0
	path := linePath(at(values...), len(values), scale{step: 5, top: 10})
	if !strings.Contains(path, "L15555 0L") { // 2 × 7777 + 1
		t.Errorf("the peak is not where it was: %s", path)
	}
	if !strings.Contains(path, "L6667 1000") {
		t.Errorf("the dip is not where it was: %s", path)
	}
}

func TestAScaleHasRoundSteps(t *testing.T) {
	for _, c := range []struct {
		highest float64
		unit    string
		want    string
	}{
		{0, drill.Seconds, "0 500 µs 1 ms"},
		{0.0041, drill.Seconds, "0 2 ms 4 ms 6 ms"},
		{0.9, drill.Seconds, "0 500 ms 1 s"},
		{12, drill.Seconds, "0 5 s 10 s 15 s"},
		{4 * 3600, drill.Seconds, "0 1 h 2 h 3 h 4 h"},
		{15600, drill.Seconds, "0 2 h 4 h 6 h"},
		{3 * 86400, drill.Seconds, "0 24 h 2 d 3 d"},
		{0, drill.EventCount, "0 1"},
		{3, drill.InvocationCount, "0 1 2 3"},
		{538_803, drill.EventCount, "0 200,000 400,000 600,000"},
		{60_000, drill.PerMinute, "0 20,000 40,000 60,000"},
		{189e6, drill.Bytes, "0 50 MB 100 MB 150 MB 200 MB"},
	} {
		var got []string
		for _, tk := range newScale(c.highest, c.unit).ticks(0, 100) {
			got = append(got, tk.Label)
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%v %s: %s, want %s", c.highest, c.unit, s, c.want)
		}
	}
}

func TestTheTimeAxisHasWholeHoursOrDays(t *testing.T) {
	for _, c := range []struct {
		start   time.Time
		minutes int
		want    string
	}{
		{sampleStart, 24 * 60, "00:00 03:00 06:00 09:00 12:00 15:00 18:00 21:00"},
		{sampleStart.Add(7 * time.Minute), 40, "00:10 00:15 00:20 00:25 00:30 00:35 00:40 00:45"},
		{sampleStart, 3 * 24 * 60, "24 Sep 12:00 25 Sep 12:00 26 Sep 12:00"},
		{sampleStart.Add(5 * time.Hour), 7 * 24 * 60, "25 Sep 26 Sep 27 Sep 28 Sep 29 Sep 30 Sep 1 Oct"},
		{sampleStart, 0, ""},
	} {
		var got []string
		for _, tk := range (clock{c.start, c.minutes}).timeTicks() {
			got = append(got, tk.Label)
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%v min from %v: %s, want %s", c.minutes, c.start, s, c.want)
		}
	}
}

func TestDurationsAreWrittenAsPeopleSayThem(t *testing.T) {
	for seconds, want := range map[float64]string{
		0: "0 s", 12e-9: "0.012 µs", 3.4e-6: "3.4 µs", 0.00123456: "1.23 ms", 0.9994: "999 ms", 0.9999: "1 s",
		12.34: "12.3 s",
		59.99: "1 min", 60: "1 min", 252: "4 min 12 s", 3599.9: "1 h", 15600: "4 h 20 min", 86400: "24 h",
		49 * 3600: "2 d 1 h",
		-60:       "−1 min",
	} {
		if got := duration(seconds); got != want {
			t.Errorf("%v: %s, want %s", seconds, got, want)
		}
	}
}

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
	c := clock{r.Start, r.Minutes}
	all := charts(r, c)
	if len(all) != 7 {
		t.Fatalf("%d charts, want one for each kind of series and the old design's", len(all))
	}
	// Segment is away from 10:00 to 14:20, of 24 hours.
	away := band{Class: "fault", Text: "Segment is away, 10:00 to 14:20", X: "41.667%", Width: "18.056%", Y: "22", Height: "150"}
	fires := band{Class: "alarm", Text: "An alarm fires, 09:24:20 to 14:31", X: "39.19%", Width: "21.296%", Y: "18", Height: "4"}
	gap := band{Class: "nodata", Text: "No data, 11:40 to 12:10", X: "48.611%", Width: "2.083%", Y: "22", Height: "150"}
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
		if len(ch.Moments) != 1 || ch.Moments[0] != (moment{X: "60.319%", Class: "outcome", Text: "The queue is empty again, 14:28:36"}) {
			t.Errorf("%s has the moments %v", ch.Title, ch.Moments)
		}
	}
	i := slices.IndexFunc(all, func(ch chart) bool { return ch.ID == oldID })
	if all[i-1].Title != drill.ChartBacklog || all[i].Bound == nil || all[i].Bound.Y != "43" {
		t.Errorf("the old design's chart is behind %s, and has the bound %v", all[i-1].Title, all[i].Bound)
	}
	if !slices.ContainsFunc(all[i].Bands, func(b band) bool { return b.Class == "down" && strings.Contains(b.Text, "10:28:35") }) {
		t.Errorf("the old design's chart shades %v", all[i].Bands)
	}
	if x := all[0].X; x[0].Odd || !x[1].Odd || x[2].Odd {
		t.Error("a phone has not every second label of the time axis")
	}
}

func TestAPaleBarIsAFiringThatToldNobody(t *testing.T) {
	r := sample()
	for _, row := range alarmRows(r, clock{r.Start, r.Minutes}) {
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
