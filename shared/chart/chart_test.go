package chart

import (
	"math"
	"strings"
	"testing"
	"time"
)

var day = time.Date(2018, 9, 24, 0, 0, 0, 0, time.UTC)

// at are values; those below 0 are missing.
func at(values ...float64) []float64 {
	for i, v := range values {
		if v < 0 {
			values[i] = math.NaN()
		}
	}
	return values
}

func TestALineLeavesAGapWhereAValueIsMissing(t *testing.T) {
	s := scale{step: 5, top: 10}
	for _, c := range []struct {
		name   string
		values []float64
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

func TestAValueWithoutNeighboursIsADot(t *testing.T) {
	if got, want := dotsPath("M1 500L3 0h0M7 0h0M11 20H19M23 40h0"), "M7 0h0M23 40h0"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := dotsPath(""); got != "" {
		t.Errorf("without a value: %q", got)
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
		{0, Seconds, "0 500 µs 1 ms"},
		{0.0041, Seconds, "0 2 ms 4 ms 6 ms"},
		{0.9, Seconds, "0 500 ms 1 s"},
		{12, Seconds, "0 5 s 10 s 15 s"},
		{4 * 3600, Seconds, "0 1 h 2 h 3 h 4 h"},
		{15600, Seconds, "0 2 h 4 h 6 h"},
		{3 * 86400, Seconds, "0 24 h 2 d 3 d"},
		{0, "events", "0 1"},
		{3, "events", "0 1 2 3"},
		{538_803, "events", "0 200,000 400,000 600,000"},
		{60_000, PerMinute, "0 20,000 40,000 60,000"},
		{189e6, Bytes, "0 50 MB 100 MB 150 MB 200 MB"},
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
		{day, 24 * 60, "00:00 03:00 06:00 09:00 12:00 15:00 18:00 21:00"},
		{day.Add(7 * time.Minute), 40, "00:10 00:15 00:20 00:25 00:30 00:35 00:40 00:45"},
		{day, 3 * 24 * 60, "24 Sep 12:00 25 Sep 12:00 26 Sep 12:00"},
		{day.Add(5 * time.Hour), 7 * 24 * 60, "25 Sep 26 Sep 27 Sep 28 Sep 29 Sep 30 Sep 1 Oct"},
		{day, 0, ""},
	} {
		var got []string
		for _, tk := range (Clock{Start: c.start, N: c.minutes}).Ticks() {
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
		if got := Duration(seconds); got != want {
			t.Errorf("%v: %s, want %s", seconds, got, want)
		}
	}
}

func TestASecondRowHasTheSameTimesInAnotherZone(t *testing.T) {
	zone := time.FixedZone("IST", 5*3600+1800)
	ch := New("c", "a", []Series{{Name: "s", Values: at(1, 2)}}, 0,
		Clock{Start: day.Add(22 * time.Hour), Step: 5 * time.Minute, N: 36, Zone: zone})
	var got []string
	for _, tk := range ch.X {
		got = append(got, tk.Label+"="+tk.Second)
	}
	if s := strings.Join(got, " "); s != "22:30=04:00 23:00=04:30 23:30=05:00 00:00=05:30 00:30=06:00" {
		t.Errorf("the labels are %s", s)
	}
	if len(ch.Zones) != 2 || ch.Zones[1].Label != "IST" {
		t.Errorf("the rows are called %v", ch.Zones)
	}
	if ch.Readouts[0].Text != "22:00 · s 1" || ch.Numbers.Rows[1].Head != "22:10" {
		t.Errorf("a step has not its length: %v, %v", ch.Readouts[0], ch.Numbers.Rows[1])
	}
}

func TestALimitIsDrawnOnlyWhereTheScaleReaches(t *testing.T) {
	ch := New("c", "a", []Series{{Name: "s", Values: at(1, 10)}}, 0, Clock{Start: day, N: 2})
	ch.Limit(5, "half")
	ch.Limit(50, "far above")
	if len(ch.Bounds) != 1 || ch.Bounds[0].Label != "half" {
		t.Errorf("the limits are %v", ch.Bounds)
	}
	if !New("c", "a", []Series{{Name: "s", Values: at(-1)}}, 0, Clock{Start: day, N: 1}).Empty || ch.Empty {
		t.Error("a chart does not know whether it is empty")
	}
}
