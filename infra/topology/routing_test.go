package topology

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestNobodyIsNotifiedOfAnAlarmForRoute53(t *testing.T) {
	d := Default()
	if len(d.Routing) == 0 {
		t.Fatal("there is none")
	}
	for _, a := range d.Routing {
		if topic := d.Notifies(a.Name); topic != "" || slices.Contains(d.AlarmNames(), a.Name) {
			t.Errorf("%s notifies %q, or is among the alarms for people", a.Name, topic)
		}
	}
	o := DefaultOptions()
	o.NoCanary = true
	if without := New(o); len(without.Routing) > 0 {
		t.Error("without a canary nothing writes the metrics, and there are alarms")
	}
}

func TestARegionIsLeftAfterThreeCanariesAndADrainedOneAtOnce(t *testing.T) {
	d := Default()
	for name, want := range map[string]struct {
		periods int
		period  time.Duration
	}{"route-ingest": {2, 2 * time.Minute}, "drained": {1, 2 * time.Minute}} {
		i := slices.IndexFunc(d.Routing, func(a Alarm) bool { return a.Name == d.Names.Alarm(name) })
		if i < 0 || d.Routing[i].Periods != want.periods || d.Routing[i].Period != want.period || d.Routing[i].Below {
			t.Errorf("%s: %+v, want %+v above the threshold", name, d.Routing, want)
		}
	}
}

func TestValidateRefusesAnAlarmThatRoute53CantRead(t *testing.T) {
	for _, c := range []struct {
		name   string
		breach func(*Alarm)
		want   string
	}{
		{"metric math", func(a *Alarm) { a.Expression = "FILL(u, 0)" }, "reads one metric and no metric math"},
		{"two metrics", func(a *Alarm) { a.Metrics = append(a.Metrics, a.Metrics...) }, "reads one metric"},
		{"M of N", func(a *Alarm) { a.Breaching = 1 }, "wants 1 of 2"},
		{"a percentile", func(a *Alarm) { a.Metrics[0].Statistic = "p99" }, "the statistic must be one of [Average"},
		{"missing data is good", func(a *Alarm) { a.Missing = MissingIsGood }, "must be missing, so that Route 53 changes"},
		{"it pages", func(a *Alarm) { a.Severity = Critical }, "severity must be routing"},
		{"seconds", func(a *Alarm) { a.Period = 10 * time.Second }, "standard resolution"},
		{"no text", func(a *Alarm) { a.First = "" }, "what to do first"},
		{"a name twice", func(a *Alarm) { a.Name = "spillway-drained" }, "another alarm has this name"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := Default()
			c.breach(&d.Routing[0])
			if err := d.Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}
