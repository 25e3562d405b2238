package traffic

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/integration/testutil"
	"github.com/spillwayhq/spillway/shared/heavy"
)

// A site is a Source whose senders follow a function of the time. It remembers the lines of the
// comparisons, as a log does.
type site struct {
	// sends is what a name sends in the minute from a time on.
	sends   func(name int, at time.Time) float64
	names   int
	windows map[time.Time]heavy.Line
	failing error
	totals  map[time.Time]float64 // by Interval
	until   time.Time             // the end of what totals has
	counter *heavy.Counter
}

func (s *site) Traffic(_ context.Context, from, to time.Time) (map[time.Time]float64, error) {
	if s.totals == nil {
		s.totals, s.until = map[time.Time]float64{}, from
	}
	for ; s.until.Before(to); s.until = s.until.Add(Interval) {
		for m := range int(Interval / time.Minute) {
			for name := range s.names {
				s.totals[s.until] += math.Floor(s.sends(name, s.until.Add(time.Duration(m)*time.Minute)))
			}
		}
	}
	return s.totals, s.failing
}

func (s *site) Lines(_ context.Context, from, to time.Time) ([]heavy.Line, error) {
	var lines []heavy.Line
	if s.counter == nil {
		s.counter = heavy.NewCounter("shop", heavy.PartIngest)
	}
	c := s.counter
	for at := from; at.Before(to); at = at.Add(time.Minute) {
		for name := range s.names {
			key, event := heavy.Key{ID: fmt.Sprintf("%08x", name%3), Name: fmt.Sprintf("key %d", name%3)},
				fmt.Appendf(nil, "event %d", name)
			c.Count(key, int(s.sends(name, at)), func(int) heavy.Event { return heavy.Event{Name: event, Size: 1000} })
		}
		if l, ok := c.Take(at); ok {
			lines = append(lines, l)
		}
	}
	return lines, s.failing
}

func (s *site) Windows(_ context.Context, from, to time.Time) ([]heavy.Line, error) {
	var found []heavy.Line
	for at := from; at.Before(to); at = at.Add(Interval) {
		if l, ok := s.windows[at]; ok {
			found = append(found, l)
		}
	}
	return found, nil
}

// compared are the results of a site's comparisons of a time.
func compared(t *testing.T, s *site, from, to time.Time, see func(at time.Time, r *Result)) {
	t.Helper()
	s.windows = map[time.Time]heavy.Line{}
	for now := from; now.Before(to); now = now.Add(time.Minute) {
		interval, due := Due(now)
		if !due {
			continue
		}
		r, err := Compare(t.Context(), s, "shop", interval)
		if err != nil {
			t.Fatal(err)
		}
		s.windows[interval] = *r.Window
		see(now, &r)
	}
}

var monday = time.Date(2026, 10, 19, 0, 0, 0, 0, time.UTC) // a week before the clocks change in Europe

// local is the time of day in Berlin, which the users live by: from the last Sunday of October on
// an hour later by UTC.
func local(at time.Time) float64 {
	summer := time.Date(2026, 10, 25, 1, 0, 0, 0, time.UTC)
	at = at.Add(time.Hour)
	if at.Add(-time.Hour).Before(summer) {
		at = at.Add(time.Hour)
	}
	return float64(at.Hour()) + float64(at.Minute())/60
}

// evening rises to ten times as much within two hours, and falls as fast.
func evening(hour float64) float64 {
	return 1 + 9*max(0, min(1, (hour-17)/2, (23-hour)/2))
}

var days = flag.Int("days", 2, "how many days of calm traffic are compared, up to the Monday after the clocks change: "+
	"with 8 also with a week ago")

func TestInACalmWeekNothingIsUnusual(t *testing.T) {
	if testutil.Race {
		t.Skip("it computes, and has no goroutines: .ci/run runs it without -race")
	}
	for name, sends := range map[string]func(int, time.Time) float64{
		"a daily peak of ten times": func(name int, at time.Time) float64 {
			return 40 / float64(1+name) * evening(local(at))
		},
		"a quiet site without an event at night": func(name int, at time.Time) float64 {
			if hour := local(at); hour < 7 || hour > 22 {
				return 0
			}
			return 6 / float64(1+name)
		},
		"many names of the same size, of which a line lists others each minute": func(name int, at time.Time) float64 {
			return 60 + float64((at.Minute()+name)%13)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &site{sends: sends, names: 13}
			ratios, growths := 0, 0
			end := monday.Add(8 * day)
			compared(t, s, end.Add(-day*time.Duration(*days)), end, func(at time.Time, r *Result) {
				if r.HasRatio {
					ratios++
					if r.Ratio < 0.4 || r.Ratio > 2.5 {
						t.Errorf("%v: the ratio is %v", at, r.Ratio)
					}
				}
				if r.HasGrowth {
					growths++
					if len(r.Grown) > 0 && r.Grown[0].Times > 3 {
						t.Errorf("%v: %+v", at, r.Grown[0])
					}
				}
			})
			if growths < (*days-1)*280 || ratios < (*days-1)*180 && !strings.Contains(name, "quiet") {
				t.Errorf("only %d ratios and %d growths", ratios, growths)
			}
		})
	}
}

func TestWhoSendsTenTimesAsMuchIsNamed(t *testing.T) {
	begin := monday.Add(2*day + 9*time.Hour + 7*time.Minute)
	s := &site{names: 25, sends: func(name int, at time.Time) float64 {
		n := 100 / float64(1+name)
		if name == 4 && !at.Before(begin) {
			n *= 10
		}
		return n
	}}
	var first, last time.Time
	compared(t, s, monday.Add(day-2*time.Hour), begin.Add(2*time.Hour), func(at time.Time, r *Result) {
		if !r.HasGrowth || len(r.Grown) == 0 || r.Grown[0].Times < 3 {
			return
		}
		if g := r.Grown[0]; g.Name != "event 4" && g.Name != "key 1" || g.Events < 3*uint64(g.Usual) {
			t.Errorf("%v: %+v has grown", at, g)
		}
		if first.IsZero() {
			first = at
		}
		last = at
	})
	if took := first.Sub(begin); first.IsZero() || took > Interval+Delay+Interval {
		t.Errorf("it is named %v after it began", took)
	}
	if last.Sub(begin) < 45*time.Minute {
		t.Errorf("it is named for %v only", last.Sub(begin))
	}
}

func TestTrafficThatStopsIsSeen(t *testing.T) {
	begin := monday.Add(day + 12*time.Hour)
	for part, most := range map[float64]float64{0: 0, 0.1: 0.11, 0.5: 0.51} {
		s := &site{names: 3, sends: func(_ int, at time.Time) float64 {
			if !at.Before(begin) {
				return 200 * part
			}
			return 200
		}}
		seen := false
		compared(t, s, begin, begin.Add(Interval+Delay+Interval), func(_ time.Time, r *Result) {
			seen = seen || r.HasRatio && r.Ratio <= most
		})
		if !seen {
			t.Errorf("traffic of %v of the usual is not seen in time", part)
		}
	}
}

func TestRatio(t *testing.T) {
	from := monday.Add(9 * day)
	series := func(now float64, days ...float64) map[time.Time]float64 {
		traffic := map[time.Time]float64{from: now}
		compared := spans(from)
		for i, n := range days {
			for at := compared[yesterday+i].from; at.Before(compared[yesterday+i].to); at = at.Add(Interval) {
				traffic[at] = n
			}
		}
		return traffic
	}
	rising := series(0, 1000, 1000)
	rising[spans(from)[weekAgo].from] = 10
	for name, c := range map[string]struct {
		traffic map[time.Time]float64
		ratio   float64
		ok      bool
	}{
		"no earlier day":                {series(9000), 0, false},
		"no events at all":              {nil, 0, false},
		"too few, now and before":       {series(299, 10, 10), 0, false},
		"as usual":                      {series(1000, 1000, 1000), 1, true},
		"between the days":              {series(500, 200, 1000), 1, true},
		"a tenth":                       {series(100, 1000, 2000), 0.1, true},
		"nothing":                       {series(0, 1000), 0, true},
		"twice":                         {series(4000, 1000, 2000), 2, true},
		"much where little is usual":    {series(3000, 10, 20), 10, true},
		"little where little was usual": {series(0, 200, 1000), 1, true},
		"the hour of the rise":          {rising, 1, true},
	} {
		if ratio, ok := Ratio(c.traffic, from); ratio != c.ratio || ok != c.ok {
			t.Errorf("%s: %v %v, want %v %v", name, ratio, ok, c.ratio, c.ok)
		}
	}
}

func TestSendersOfAllPartsAreCountedOnce(t *testing.T) {
	lines := []heavy.Line{
		{Part: heavy.PartIngest, Unlisted: map[heavy.By]uint64{heavy.ByEvent: 3}, Heaviest: []heavy.Entry{
			{By: heavy.ByEvent, Name: "a", Events: 10, Bytes: 100}, {By: heavy.ByEvent, Name: "a", Code: "no_user", Events: 7},
			{By: heavy.ByWriteKey, Name: "web", ID: "01020304", Events: 10, Bytes: 100}}},
		{Part: heavy.PartIngest, Heaviest: []heavy.Entry{{By: heavy.ByEvent, Name: "b", Events: 5, Bytes: 50}}},
		{Part: heavy.PartDeliver, Heaviest: []heavy.Entry{
			{By: heavy.ByEvent, Name: "a", Events: 4, Bytes: 40}, {By: heavy.ByEvent, Name: "b", Events: 6, Bytes: 60},
			{By: heavy.ByEvent, Name: "b", Code: "retried/transient", Events: 2, Bytes: 20},
			{By: heavy.ByWriteKey, Name: "01020304", Events: 30, Bytes: 300}}},
	}
	const want = "[{write-key web 01020304 30 300 30} {event a  10 100 10} {event b  8 80 8}]"
	if got := fmt.Sprint(Senders(lines)); got != want {
		t.Errorf("the senders are %s, want %s", got, want)
	}
	l := Sum("shop", monday, lines)
	if l.Part != heavy.PartAll || !l.From.Equal(monday) || len(l.Heaviest) != 3 {
		t.Errorf("the line of the comparison is %+v", l)
	}
}

func TestWithoutADayToCompareWithNothingHasGrown(t *testing.T) {
	s := &site{names: 1, sends: func(int, time.Time) float64 { return 10_000 }}
	compared(t, s, monday, monday.Add(11*time.Hour), func(at time.Time, r *Result) {
		if r.HasGrowth || len(r.Metrics()) > 1 {
			t.Errorf("%v: %+v", at, r)
		}
	})
}

func TestAFailureLeavesTheRestOfTheComparison(t *testing.T) {
	s := &site{names: 1, sends: func(int, time.Time) float64 { return 200 }, failing: errors.New("AccessDenied")}
	r, err := Compare(t.Context(), s, "shop", monday)
	if err == nil || !r.HasRatio || r.Window == nil ||
		!strings.Contains(err.Error(), "read how many events came in: AccessDenied") ||
		!strings.Contains(err.Error(), "read the lines of the heaviest: AccessDenied") {
		t.Errorf("%+v: %v", r, err)
	}
	empty := &site{failing: errors.New("AccessDenied")}
	if r, err := Compare(t.Context(), empty, "shop", monday); err == nil || r.Window != nil {
		t.Errorf("a line is written although none could be read: %+v, %v", r, err)
	}
}

func TestMetrics(t *testing.T) {
	r := Result{Ratio: 0.5, HasRatio: true, HasGrowth: true, Grown: []Growth{{Times: 12}, {Times: 3}}}
	got := ""
	for _, m := range r.Metrics() {
		got += fmt.Sprintln(m.Name, m.Dimension, m.Values)
	}
	if got != "TrafficRatio  [0.5]\nLargestGrowth  [12]\n" {
		t.Errorf("the metrics are %s", got)
	}
	if got := new(Result).Metrics(); len(got) > 0 {
		t.Errorf("a comparison without anything to compare has the metrics %v", got)
	}
}

func TestAComparisonIsDueEveryFiveMinutes(t *testing.T) {
	var due []string
	for m := range 15 {
		if from, ok := Due(monday.Add(time.Duration(m)*time.Minute + 17*time.Second)); ok {
			due = append(due, fmt.Sprintf("%d: %s", m, from.Format("15:04")))
		}
	}
	if got := strings.Join(due, ", "); got != "3: 23:55, 8: 00:00, 13: 00:05" {
		t.Errorf("comparisons are due at minutes %s", got)
	}
}
