package cloudwatch

import (
	"fmt"
	"maps"
	"math"
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

// outage puts a metric above 0 in these minutes after start, ends excluded.
func outage(s *Store, name string, minutes ...int) {
	for i := 0; i+1 < len(minutes); i += 2 {
		for minute := minutes[i]; minute < minutes[i+1]; minute++ {
			s.Put(start.Add(time.Duration(minute)*time.Minute), KeyOf(own(name)), 1)
		}
	}
}

func fires(name string) topology.Alarm {
	return topology.Alarm{Name: name, Metrics: []topology.Metric{own(name)}, Period: time.Minute, Periods: 1, Breaching: 1,
		Missing: topology.MissingIsGood}
}

// A narrow composite names the wide one as its suppressor: one mail for an outage and not two.
func TestACompositeHoldsItsActionBackWhileItsSuppressorFires(t *testing.T) {
	d := &topology.Topology{
		Names:  topology.DefaultNames(),
		Alarms: []topology.Alarm{fires("narrow-cause"), fires("wide-cause")},
		Composites: []topology.Composite{
			{Name: "narrow", Any: []string{"narrow-cause"}, Suppressor: "wide", Wait: 2 * time.Minute,
				Extension: 3 * time.Minute},
			{Name: "wide", Any: []string{"wide-cause"}},
		},
	}
	for _, c := range []struct {
		name         string
		narrow, wide []int // from minute, until minute
		want         string
	}{
		{"the suppressor does not fire: the action waits", []int{0, 9}, nil, "narrow@3"},
		{"it fires first", []int{1, 9}, []int{0, 9}, "wide@1"},
		{"it fires while the action waits", []int{0, 9}, []int{1, 9}, "wide@2"},
		{"it fires when the action has run", []int{0, 9}, []int{4, 9}, "narrow@3 wide@5"},
		{"it ends first: the action runs after the extension", []int{0, 9}, []int{0, 3}, "wide@1 narrow@7"},
		{"it ends first, and the outage within the extension", []int{0, 5}, []int{0, 3}, "wide@1"},
		{"the outage begins in the extension", []int{4, 9}, []int{0, 3}, "wide@1 narrow@7"},
		{"the outage is over while the action waits", []int{0, 1}, nil, ""},
		{"two outages", []int{0, 4, 20, 24}, nil, "narrow@3 narrow@23"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := NewStore(time.Hour)
			outage(s, "narrow-cause", c.narrow...)
			outage(s, "wide-cause", c.wide...)
			e, err := New(d, s, Assumptions{})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for minute := 1; minute <= 30; minute++ {
				for _, c := range e.Evaluate(start.Add(time.Duration(minute) * time.Minute)) {
					if c.Notified {
						got = append(got, fmt.Sprintf("%s@%d", c.Alarm, minute))
					}
				}
			}
			if got := strings.Join(got, " "); got != c.want {
				t.Errorf("notified: %q, want %q", got, c.want)
			}
		})
	}
}

func TestAStateSaysWhatHoldsTheActionBack(t *testing.T) {
	d := &topology.Topology{
		Names:  topology.DefaultNames(),
		Alarms: []topology.Alarm{fires("narrow-cause"), fires("wide-cause")},
		Composites: []topology.Composite{
			{Name: "narrow", Any: []string{"narrow-cause"}, Suppressor: "wide", Wait: 2 * time.Minute, Extension: time.Minute},
			{Name: "wide", Any: []string{"wide-cause"}},
		},
	}
	s := NewStore(time.Hour)
	outage(s, "narrow-cause", 0, 9)
	outage(s, "wide-cause", 1, 3)
	e, err := New(d, s, Assumptions{})
	if err != nil {
		t.Fatal(err)
	}
	for minute, want := range []string{"", "waiting up to 2m0s for wide", "wide fires", "wide fires",
		"wide stopped less than 1m0s ago", ""} {
		e.Evaluate(start.Add(time.Duration(minute) * time.Minute))
		if got := e.States()[2]; got.SuppressedBy != want || got.Notified != (minute == 5) {
			t.Errorf("after %d minutes: suppressed by %q, notified %v; want %q", minute, got.SuppressedBy, got.Notified, want)
		}
	}
}

func TestAPartOfACompositeNotifiesNobodyAndItsCompositeFollowsIt(t *testing.T) {
	d := &topology.Topology{Names: topology.DefaultNames(), Alarms: []topology.Alarm{fires("part"), fires("other")},
		Composites: []topology.Composite{{Name: "whole", Any: []string{"part"}}}}
	for delay := range 2 {
		s := NewStore(time.Hour)
		outage(s, "part", 0, 2)
		outage(s, "other", 0, 2)
		e, err := New(d, s, Assumptions{CompositeDelay: delay})
		if err != nil {
			t.Fatal(err)
		}
		e.Evaluate(start)
		at := map[string]int{}
		for minute := 1; minute <= 5; minute++ {
			for _, c := range e.Evaluate(start.Add(time.Duration(minute) * time.Minute)) {
				if c.To == Alarm {
					at[c.Alarm] = minute
				}
				if c.Notified != (c.To == Alarm && c.Alarm != "part") {
					t.Errorf("%+v", c)
				}
			}
		}
		if want := map[string]int{"part": 1, "other": 1, "whole": 1 + delay}; !maps.Equal(at, want) {
			t.Errorf("with a delay of %d evaluations: fired at %v, want %v", delay, at, want)
		}
	}
}

// CloudWatch evaluates an alarm over more than a day once an hour.
func TestAnAlarmOverSeveralDaysIsEvaluatedOnceAnHour(t *testing.T) {
	old := fires("old")
	old.Metrics[0].Statistic, old.Period, old.Periods, old.Breaching = "Minimum", 6*time.Hour, 28, 28
	s := NewStore(time.Hour)
	e := newEvaluator(t, s, Assumptions{BeyondRange: 2}, old)
	var fired []string
	for minute := range 9 * 24 * 60 {
		now := start.Add(time.Duration(minute) * time.Minute)
		s.Put(now, KeyOf(old.Metrics[0]), 1)
		for _, c := range e.Evaluate(now) {
			fired = append(fired, fmt.Sprint(c.To, " after ", now.Sub(start)))
		}
	}
	// Until the first evaluation nothing is known: then 7 days are needed, the first of which is
	// not whole.
	if got, want := strings.Join(fired, ", "), "OK after 53m0s, ALARM after 162h53m0s"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// An idle queue has no metrics, and its first ones come up to 15 minutes late.
func TestTheFirstDeadLetterIsSeenLateBecauseTheQueueWasIdle(t *testing.T) {
	dead := topology.Alarm{Name: "dead", Metrics: []topology.Metric{{ID: "v", Queue: "dead", Name: "Visible",
		Statistic: "Maximum"}}, Period: time.Minute, Periods: 1, Breaching: 1, Missing: topology.MissingIsGood}
	for _, c := range []struct {
		idle   time.Duration
		polled bool
		want   int
	}{{5 * time.Hour, false, 2}, {7 * time.Hour, false, 15}, {7 * time.Hour, true, 2}} {
		s := NewStore(24 * time.Hour)
		key := KeyOf(dead.Metrics[0])
		s.Put(start.Add(-c.idle), key, 1)
		for minute := range 120 {
			s.Put(start.Add(time.Duration(minute-60)*time.Minute), key, max(0, float64(minute-59)))
		}
		d := &topology.Topology{Alarms: []topology.Alarm{dead}}
		if c.polled {
			d.EventSources = []topology.EventSource{{Queue: "dead"}}
		}
		e, err := New(d, s, Typical())
		if err != nil {
			t.Fatal(err)
		}
		if got := firstAlarm(e); got != c.want {
			t.Errorf("after %v without activity, polled %v: the alarm fires after %d minutes, want %d", c.idle, c.polled, got,
				c.want)
		}
	}
}

func BenchmarkEvaluate(b *testing.B) {
	d := topology.Default()
	s := NewStore(24 * time.Hour)
	e, err := New(&d, s, Typical())
	if err != nil {
		b.Fatal(err)
	}
	for _, a := range d.Alarms {
		for _, m := range a.Metrics {
			for minute := range 24 * 60 {
				s.Put(start.Add(time.Duration(minute-24*60)*time.Minute), KeyOf(m), 1, 2, 3)
			}
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		e.Evaluate(start)
	}
}

// A canary that is delivered after an hour has the minute for which it was sent. A recording that
// is judged afterwards must not know it before.
func TestAValueThatWasWrittenLateIsNotSeenBefore(t *testing.T) {
	s := NewStore(24 * time.Hour)
	now := start
	s.Now = func() time.Time { return now }
	write := func(stamped time.Time) {
		t.Helper()
		if err := s.PutEMF(fmt.Appendf(nil, `{"_aws":{"Timestamp":%d,"CloudWatchMetrics":[{"Namespace":"Spillway",`+
			`"Dimensions":[["Pipeline","Function"]],"Metrics":[{"Name":"C"}]}]},"Pipeline":"spillway","Function":"deliver","C":1}`,
			stamped.UnixMilli())); err != nil {
			t.Fatal(err)
		}
	}
	write(start)
	now = start.Add(time.Hour)
	write(start.Add(time.Minute))
	write(start) // there is one already: the minute was known before
	all := s.series[Key{Own: "deliver", Pipeline: "spillway", Name: "C"}]
	count, err := parseStatistic("SampleCount")
	if err != nil {
		t.Fatal(err)
	}
	for after, want := range map[time.Duration][2]float64{
		10 * time.Minute: {2, math.NaN()}, time.Hour: {2, math.NaN()}, time.Hour + time.Minute: {2, 1},
	} {
		var got [2]float64
		all.read(got[:], minuteOf(start), 1, count, &visibility{until: minuteOf(start.Add(after))})
		if got[0] != want[0] || got[1] != want[1] && !(math.IsNaN(got[1]) && math.IsNaN(want[1])) {
			t.Errorf("after %v: %v, want %v", after, got, want)
		}
	}
}
