package awssource

import (
	"slices"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/cmd/spillway/console"
)

func TestAFiringIsKnownUntilItsEndIsOlderThanTheCharts(t *testing.T) {
	const ok, alarm = console.StateOK, console.StateAlarm
	hour := func(n int) time.Time { return time.Date(2026, 11, 27, n, 0, 0, 0, time.UTC) }
	// One read of an alarm's history serves as long as the alarm does not change, while the charts go on.
	changes := []change{{hour(2), ok, alarm}, {hour(4), alarm, ok}, {hour(6), ok, alarm}, {hour(7), alarm, ok}}
	quiet := console.Alarm{State: ok, Since: hour(7)}
	last := console.Span{From: hour(6), To: hour(7)}
	for name, c := range map[string]struct {
		changes []change
		alarm   console.Alarm
		since   time.Time
		want    []console.Span
	}{
		"all of them":           {changes, quiet, hour(1), []console.Span{{From: hour(2), To: hour(4)}, last}},
		"one that began before": {changes, quiet, hour(3), []console.Span{{From: hour(3), To: hour(4)}, last}},
		"one that ended before": {changes, quiet, hour(5), []console.Span{last}},
		"one whose beginning was not read": {changes[1:], quiet, hour(3),
			[]console.Span{{From: hour(3), To: hour(4)}, last}},
		"one that lasts": {changes[:3], console.Alarm{State: alarm, Since: hour(6)}, hour(5),
			[]console.Span{{From: hour(6)}}},
		"one that has lasted for longer": {changes[:3], console.Alarm{State: alarm, Since: hour(6)}, hour(8),
			[]console.Span{{From: hour(8)}}},
		"one whose end was not read": {changes[:3], quiet, hour(5), []console.Span{last}},
		"none":                       {nil, console.Alarm{State: ok}, hour(1), nil},
	} {
		if got := spans(c.changes, &c.alarm, c.since); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
