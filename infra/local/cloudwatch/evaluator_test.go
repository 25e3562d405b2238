package cloudwatch

import (
	"strings"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/infra/topology"
)

// start is an hour at which no alarm of several days is evaluated in the first minutes.
var start = time.Date(2018, 9, 24, 10, 10, 0, 0, time.UTC)

func own(name string) topology.Metric {
	return topology.Metric{ID: "m", Own: "deliver", Pipeline: "spillway", Name: name, Statistic: "Sum"}
}

func newEvaluator(t *testing.T, s *Store, a Assumptions, alarms ...topology.Alarm) *Evaluator {
	t.Helper()
	e, err := New(&topology.Topology{Alarms: alarms}, s, a)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// firstAlarm evaluates each minute from start on, and returns after how many the first alarm fires;
// 0 if none does within an hour.
func firstAlarm(e *Evaluator) int {
	for minute := 1; minute <= 60; minute++ {
		for _, c := range e.Evaluate(start.Add(time.Duration(minute) * time.Minute)) {
			if c.To == Alarm {
				return minute
			}
		}
	}
	return 0
}

// What people forget about an alarm on a sign of life: missing data does not count while enough
// real data is in the range, which is longer than the alarm's own periods. The lag does not matter
// here: what is late is missing just as well.
func TestSilenceIsSeenWhenTheLastValueHasLeftTheRange(t *testing.T) {
	silent := topology.Alarm{
		Name: "silent", Metrics: []topology.Metric{own("CanaryDelivered")}, Threshold: 1, Below: true,
		Period: time.Minute, Periods: 3, Breaching: 3, Missing: topology.MissingIsBad,
	}
	for _, c := range []struct{ lag, beyond, want int }{{0, 0, 3}, {0, 2, 5}, {1, 2, 5}, {3, 2, 5}, {0, 5, 8}} {
		s := NewStore(time.Hour)
		for minute := range 30 {
			s.Put(start.Add(-time.Duration(minute+1)*time.Minute), KeyOf(own("CanaryDelivered")), 1)
		}
		late := time.Duration(c.lag) * time.Minute
		e := newEvaluator(t, s, Assumptions{Lags: Lags{Own: late}, BeyondRange: c.beyond}, silent)
		e.Evaluate(start)
		if got := firstAlarm(e); got != c.want {
			t.Errorf("with a lag of %d minutes and a range of 3 + %d the alarm fires after %d minutes, want %d", c.lag, c.beyond,
				got, c.want)
		}
	}
}

// The user guide's warning about FILL: with a lag the newest value is always the fill value, and an
// alarm that needs all of its values is stuck.
func TestFillUnderLagKeepsAnAlarmThatNeedsAllValuesInOK(t *testing.T) {
	volume := topology.Alarm{
		Name: "volume", Metrics: []topology.Metric{own("EventsAccepted")}, Expression: "FILL(m, 0)", Threshold: 100,
		Period: time.Minute, Periods: 5, Breaching: 5, Missing: topology.MissingIsGood,
	}
	for _, c := range []struct {
		lag     time.Duration
		periods int
		want    int
	}{{0, 5, 5}, {time.Minute, 5, 0}, {time.Minute, 8, 6}, {3 * time.Minute, 8, 8}} {
		s := NewStore(time.Hour)
		for minute := -30; minute < 60; minute++ {
			value := 1.0
			if minute >= 0 {
				value = 1000
			}
			s.Put(start.Add(time.Duration(minute)*time.Minute), KeyOf(own("EventsAccepted")), value)
		}
		volume.Periods = c.periods
		e := newEvaluator(t, s, Assumptions{Lags: Lags{Own: c.lag}, BeyondRange: 2}, volume)
		if got := firstAlarm(e); got != c.want {
			t.Errorf("5 of %d with a lag of %v: the alarm fires after %d minutes, want %d", c.periods, c.lag, got, c.want)
		}
	}
}

func TestAnAlarmThatCloudWatchWouldNotTakeIsNamed(t *testing.T) {
	valid := topology.Alarm{Name: "a", Metrics: []topology.Metric{own("X")}, Period: time.Minute, Periods: 1, Breaching: 1}
	for _, c := range []struct {
		change func(*topology.Alarm)
		want   string
	}{
		{func(a *topology.Alarm) { a.Expression = "m +" }, `alarm a: metric math "m +": at character 4`},
		{func(a *topology.Alarm) { a.Expression = "m + n" }, `there is no metric with the ID "n"`},
		{func(a *topology.Alarm) { a.Metrics[0].Statistic = "Median" }, `metric X: unknown statistic "Median"`},
		{func(a *topology.Alarm) { a.Periods = 0 }, "it needs at least one metric, one period"},
	} {
		a := valid
		a.Metrics = []topology.Metric{own("X")}
		c.change(&a)
		_, err := New(&topology.Topology{Alarms: []topology.Alarm{a}}, NewStore(time.Hour), Typical())
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want …%s…", err, c.want)
		}
	}
}

func TestTheDeployedAlarmsCanBeEvaluated(t *testing.T) {
	d := topology.Default()
	e, err := New(&d, NewStore(time.Hour), Typical())
	if err != nil {
		t.Fatal(err)
	}
	e.Evaluate(start)
	if got, want := len(e.States()), len(d.Alarms)+len(d.Composites); got != want {
		t.Errorf("%d states, want %d", got, want)
	}
}
