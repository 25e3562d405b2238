package status_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/shared/status"
)

// days observes at these times, each with the state of delivery, and returns delivery's days.
func days(t *testing.T, looks ...any) []status.Day {
	t.Helper()
	d := status.New()
	for i := 0; i < len(looks); i += 2 {
		now := at(looks[i].(string))
		d = status.Observe(d, look(now, status.Up, looks[i+1].(status.Sight), 0), now)
	}
	return d.Component("delivery-us-east-1").Days
}

// each is a minute by minute from one time until before another.
func each(from, until string, s status.Sight) (looks []any) {
	for t := at(from); t.Before(at(until)); t = t.Add(time.Minute) {
		looks = append(looks, t.Format("2006-01-02 15:04:05"), s)
	}
	return looks
}

func TestTheTimeBetweenTwoLooksCountsWithWhatTheFirstOneSaw(t *testing.T) {
	for _, c := range []struct {
		name  string
		looks []any
		want  []status.Day
	}{
		{"one look", []any{"2026-11-27 10:00:00", status.Up}, nil},
		{"a minute down", []any{"2026-11-27 10:00:00", status.Down, "2026-11-27 10:01:00", status.Up, "2026-11-27 10:01:07",
			status.Up},
			[]status.Day{{Date: "2026-11-27", Operational: 7, Outage: 60}}},
		{"over midnight", []any{"2026-11-27 23:59:20", status.Down, "2026-11-28 00:00:50", status.Slow, "2026-11-28 00:01:00",
			status.Up},
			[]status.Day{{Date: "2026-11-27", Outage: 40}, {Date: "2026-11-28", Outage: 50, Degraded: 10}}},
		{"exactly at midnight", []any{"2026-11-27 23:59:00", status.Up, "2026-11-28 00:00:00", status.Up},
			[]status.Day{{Date: "2026-11-27", Operational: 60}}},
		{"over a month's end", []any{"2026-11-30 23:59:30", status.Up, "2026-12-01 00:00:30", status.Up},
			[]status.Day{{Date: "2026-11-30", Operational: 30}, {Date: "2026-12-01", Operational: 30}}},
		{"over a leap day", each("2028-02-28 23:59:00", "2028-03-01 00:02:00", status.Down),
			[]status.Day{{Date: "2028-02-28", Outage: 60}, {Date: "2028-02-29", Outage: 86400},
				{Date: "2028-03-01", Outage: 60}}},
		{"no leap day", []any{"2027-02-28 23:59:30", status.Down, "2027-03-01 00:00:30", status.Up},
			[]status.Day{{Date: "2027-02-28", Outage: 30}, {Date: "2027-03-01", Outage: 30}}},
		{"a gap counts for three minutes, and then as unknown",
			[]any{"2026-11-27 10:00:00", status.Down, "2026-11-27 11:00:00", status.Up},
			[]status.Day{{Date: "2026-11-27", Outage: 180, Unknown: 3420}}},
		{"a gap over midnight", []any{"2026-11-27 23:58:00", status.Up, "2026-11-28 00:10:00", status.Up},
			[]status.Day{{Date: "2026-11-27", Operational: 120}, {Date: "2026-11-28", Operational: 60, Unknown: 540}}},
		{"a gap of days", []any{"2026-11-26 23:59:00", status.Up, "2026-11-29 00:00:10", status.Up},
			[]status.Day{{Date: "2026-11-26", Operational: 60}, {Date: "2026-11-27", Operational: 120, Unknown: 86280},
				{Date: "2026-11-28", Unknown: 86400}, {Date: "2026-11-29", Unknown: 10}}},
		{"nothing can be seen", []any{"2026-11-27 10:00:00", status.Unknown, "2026-11-27 10:01:00", status.Up},
			[]status.Day{{Date: "2026-11-27", Unknown: 60}}},
		{"an older look moves no time", []any{"2026-11-27 10:00:00", status.Up, "2026-11-27 10:01:00", status.Up,
			"2026-11-27 10:00:30", status.Down, "2026-11-27 10:02:00", status.Up},
			[]status.Day{{Date: "2026-11-27", Operational: 60, Outage: 60}}},
	} {
		if got := days(t, c.looks...); !slices.Equal(got, c.want) {
			t.Errorf("%s:\n got %+v\nwant %+v", c.name, got, c.want)
		}
	}
}

func TestADayHasAsManySecondsInEveryTimeZoneOfTheWriter(t *testing.T) {
	zone := time.FixedZone("UTC+14", 14*60*60)
	d := status.New()
	// Europe changes its clocks
	for _, text := range []string{"2026-03-29 00:30:00", "2026-03-29 00:31:00", "2026-03-29 00:32:00"} {
		now := at(text).In(zone)
		d = status.Observe(d, look(now, status.Up, status.Up, 0), now)
	}
	want := []status.Day{{Date: "2026-03-29", Operational: 120}}
	if got := d.Component("ingest-us-east-1").Days; !slices.Equal(got, want) {
		t.Errorf("the days are %+v, want %+v", got, want)
	}
}

func TestOnlyNinetyDaysAreKept(t *testing.T) {
	d := status.New()
	now := at("2026-01-01 12:00:00")
	for range 100 {
		d = status.Observe(d, look(now, status.Up, status.Up, 0), now)
		now = now.AddDate(0, 0, 1)
	}
	all := d.Component("ingest-us-east-1").Days
	if len(all) != status.History || all[0].Date != "2026-01-11" || all[89].Date != "2026-04-10" {
		t.Errorf("there are %d days, from %s to %s", len(all), all[0].Date, all[len(all)-1].Date)
	}
}

func TestTheWorstStateOfADay(t *testing.T) {
	for _, c := range []struct {
		day  status.Day
		want status.State
	}{
		{status.Day{}, status.NotKnown}, {status.Day{Unknown: 9}, status.NotKnown},
		{status.Day{Operational: 1, Unknown: 86399}, status.Operational},
		{status.Day{Operational: 9, Maintenance: 1}, status.UnderMaintenance},
		{status.Day{Operational: 9, Maintenance: 1, Degraded: 1}, status.Degraded},
		{status.Day{Operational: 9, Degraded: 9, Outage: 1, Unknown: 3}, status.Outage},
	} {
		if got := c.day.Worst(); got != c.want {
			t.Errorf("%+v is %s, want %s", c.day, got, c.want)
		}
	}
}

func TestTodaysBarHasTheStateOfThisMoment(t *testing.T) {
	d, now := play(status.New(), at("2026-11-27 13:00:00"), step{5, status.Up, status.Up})
	page := func() string { return string(status.Render(status.Site{}, d, nil)["index.html"]) }
	if strings.Contains(page(), "less than a minute") {
		t.Error("a calm day is not as usual")
	}
	d, _ = play(d, now, step{1, status.Up, status.Down})
	if !strings.Contains(page(), "down for less than a minute") {
		t.Errorf("an outage that begins has no bar: %s", page())
	}
	if days := d.Component("delivery-" + d.Components[0].Region).Days; days[0].Outage != 0 {
		t.Errorf("the document has %+v", days)
	}
}
