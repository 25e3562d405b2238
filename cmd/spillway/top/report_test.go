package top

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillwayhq/spillway/shared/heavy"
)

var both = []heavy.By{heavy.ByEvent, heavy.ByWriteKey}

// A source is a name with its write key and the events that it sends in a second.
type source struct {
	name, key string
	rate      int
}

// second counts what sources send in a second.
func second(c *heavy.Counter, sources []source) {
	for _, s := range sources {
		c.Count(heavy.Key{ID: s.key, Name: "key " + s.key}, s.rate, func(int) heavy.Event {
			return heavy.Event{Name: []byte(s.name), Size: 1000}
		})
	}
}

// The promise of the runbook. The line that a part of the pipeline writes once a minute is read
// half a minute later, as on AWS.
func TestWhoBeginsToSendTenTimesAsMuchIsNamedWithinTwoMinutes(t *testing.T) {
	const late = 30 * time.Second
	for _, part := range []string{heavy.PartIngest, heavy.PartDeliver} {
		for offset := range 6 { // in the minute in which it begins
			synctest.Test(t, func(t *testing.T) {
				sources := []source{{"Run", "1", 50}, {"Page", "2", 30}, {"Loop", "3", 5}, {"Other", "4", 15}}
				c := heavy.NewCounter("shop", part)
				var lines []heavy.Line
				var begun time.Time
				for s := range 4 * 3600 {
					now := time.Now()
					if s == 4200+10*offset {
						sources[2].rate *= 10
						begun = now
					}
					second(c, sources)
					if c.Due(now) {
						l, _ := c.Take(now)
						lines = append(lines, l)
					}
					if s%10 == 0 && (begun.IsZero() && s > 1200 && s%300 == 0 || !begun.IsZero()) {
						r := New("shop", now.Add(-late), time.Hour, lines, both, 10)
						named := grownNames(&r)
						switch {
						case begun.IsZero() && named != "":
							t.Fatalf("%s has grown before it did", named)
						case named == "event Loop, write-key key 3":
							return
						case !begun.IsZero() && now.Sub(begun) > 2*time.Minute:
							t.Fatalf("%s, begun %d s after the minute: after %v only these have grown: %q", part, 10*offset,
								now.Sub(begun), named)
						}
					}
					time.Sleep(time.Second)
				}
				t.Error("it was never named")
			})
		}
	}
}

// Retried events have come in: they are in the row's events already.
func TestRowsAreInTheOrderOfWhatWasSentAlsoWhenItIsRetried(t *testing.T) {
	now := time.Now()
	entry := func(name, code string, events uint64) heavy.Entry {
		return heavy.Entry{By: heavy.ByEvent, Name: name, Code: code, Events: events}
	}
	lines := []heavy.Line{
		{Time: now.Add(-time.Minute), Part: heavy.PartDeliver, Events: 100, Refused: 60, Heaviest: []heavy.Entry{
			entry("Delivered", "", 100), entry("Retried", "retried/transient", 60)}},
		{Time: now.Add(-time.Minute), Part: heavy.PartIngest, Refused: 80, Heaviest: []heavy.Entry{
			entry("Refused", "invalid_write_key", 80)}},
	}
	r := New("shop", now, time.Hour, lines, []heavy.By{heavy.ByEvent}, 10)
	var got []string
	for _, row := range r.Tables[0].Heaviest {
		got = append(got, fmt.Sprint(row.Name, " ", row.Events))
	}
	if want := "Delivered 100, Refused 0, Retried 60"; strings.Join(got, ", ") != want {
		t.Errorf("%s, want %s", strings.Join(got, ", "), want)
	}
}

func grownNames(r *Report) string {
	var names []string
	for _, t := range r.Tables {
		for _, g := range t.Grown {
			names = append(names, fmt.Sprint(t.By, " ", g.Name))
		}
	}
	return strings.Join(names, ", ")
}

var noon = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)

// minutes are the lines of one part of a time before noon, one a minute.
func minutes(part string, before, length time.Duration, sources ...source) []heavy.Line {
	c := heavy.NewCounter("shop", part)
	var lines []heavy.Line
	for at := noon.Add(-before); at.Before(noon.Add(length - before)); at = at.Add(time.Minute) {
		for range 60 {
			second(c, sources)
		}
		l, _ := c.Take(at.Add(time.Second))
		l.From = at.Add(-time.Minute)
		lines = append(lines, l)
	}
	return lines
}

func TestGrowthIsComparedWithTheHourBeforeAndTheSameHourYesterday(t *testing.T) {
	quiet, loud := source{"Run", "1", 10}, source{"Run", "1", 100}
	now := minutes(heavy.PartIngest, 5*time.Minute, 5*time.Minute, loud)
	hour := func(s ...source) []heavy.Line { return minutes(heavy.PartIngest, 65*time.Minute, time.Hour, s...) }
	day := func(s ...source) []heavy.Line { return minutes(heavy.PartIngest, 25*time.Hour, time.Hour, s...) }
	for name, c := range map[string]struct {
		lines []heavy.Line
		want  string
	}{
		"against both":              {append(hour(quiet), day(quiet)...), "true Run 10.0 10.0 10.0"},
		"usual at this time of day": {append(hour(quiet), day(loud)...), "true"},
		"as in the hour before":     {append(hour(loud), day(quiet)...), "true"},
		"the first day":             {hour(quiet), "true Run 10.0 - 10.0"},
		"only yesterday":            {day(quiet), "true Run - 10.0 10.0"},
		"the first minutes":         {minutes(heavy.PartIngest, 8*time.Minute, 3*time.Minute, quiet), "false"},
		"a name that is new":        {hour(source{"Page", "1", 10}), "true Run 0.0 - 0.0"},
		"what comes in twice counts once": {append(append(hour(quiet), day(quiet)...),
			minutes(heavy.PartDeliver, 5*time.Minute, 5*time.Minute, loud)...), "true Run 10.0 10.0 10.0"},
		"a publisher, which only deliver sees": {append(hour(quiet), append(day(quiet),
			minutes(heavy.PartDeliver, 5*time.Minute, 5*time.Minute, loud, source{"Job", "9", 500})...)...),
			"true Job 0.0 0.0 0.0 Run 10.0 10.0 10.0"},
	} {
		r := New("shop", noon.Add(time.Second), time.Hour, append(c.lines, now...), both[:1], 10)
		got := fmt.Sprint(r.Tables[0].Compared)
		for _, g := range r.Tables[0].Grown {
			got += fmt.Sprintf(" %s %s %s %.1f", g.Name, text(g.Before), text(g.Yesterday), g.Times)
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func text(rate *float64) string {
	if rate == nil {
		return "-"
	}
	return fmt.Sprintf("%.1f", *rate)
}

func TestTheHeaviestHaveTheirShareAndWhatWasRefused(t *testing.T) {
	c := heavy.NewCounter("shop", heavy.PartIngest)
	count := func(key heavy.Key, name, code string, n int) {
		c.Count(key, n, func(int) heavy.Event { return heavy.Event{Name: []byte(name), Size: 10, Code: code} })
	}
	web, partner := heavy.Key{ID: "01", Name: "web"}, heavy.Key{ID: "02", Name: "partner"}
	count(web, "Run", "", 75)
	count(partner, "Page", "", 25)
	count(partner, "Page", "quota_exceeded", 400)
	count(partner, "Page", "no_user_anon_id", 5)
	count(heavy.Key{ID: "03"}, "Run", "invalid_write_key", 50)
	l, _ := c.Take(noon)
	received := heavy.Line{Time: noon, From: l.From, Part: heavy.PartDeliver, Heaviest: []heavy.Entry{
		{By: heavy.ByWriteKey, Name: "01", Events: 70, Bytes: 700},
		{By: heavy.ByWriteKey, Name: "01", Code: "retried/transient", Events: 2}}}
	r := New("shop", noon.Add(time.Second), time.Hour, []heavy.Line{l, received}, both, 10)
	const want = "[{partner 02 25 0.25 250 map[no_user_anon_id:5 quota_exceeded:400]} " +
		"{web 01 75 0.75 750 map[retried/transient:2]} {03  0 0 0 map[invalid_write_key:50]}]"
	if got := fmt.Sprint(r.Tables[1].Heaviest); got != want {
		t.Errorf("the write keys are\n%s, want\n%s", got, want)
	}
	if r.Events != 100 || r.Refused != 455 || r.Bytes != 1000 {
		t.Errorf("the sums are %+v", r)
	}
	if r := New("shop", noon.Add(time.Second), time.Hour, []heavy.Line{l}, both, 1); len(r.Tables[1].Heaviest) != 1 {
		t.Error("more rows than asked for")
	}
	if r := New("shop", noon, time.Minute, nil, both, 1); r.Events > 0 || len(r.Tables) != 2 ||
		len(r.Tables[0].Heaviest) > 0 {
		t.Errorf("without lines the report is %+v", r)
	}
}
