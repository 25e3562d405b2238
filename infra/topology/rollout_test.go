package topology

import (
	"math"
	"strings"
	"testing"

	"github.com/spillwayhq/spillway/infra/topology/metricmath"
)

func TestOnlyARolloutByStepsHasAFunctionThatTriesNewVersions(t *testing.T) {
	o := DefaultOptions()
	for _, o.Rollout = range []bool{false, true} {
		d := New(o)
		if _, found := d.Function(o.Names.RolloutFunction); found != o.Rollout {
			t.Errorf("rollout %v: the function exists: %v", o.Rollout, found)
		}
		if err := d.Validate(); err != nil {
			t.Errorf("rollout %v: %v", o.Rollout, err)
		}
	}
}

// A versionMinute is what deliver counts in one minute: events, and invocations that crashed.
type versionMinute struct{ handled, failed, deadLettered, panics, crashed float64 }

func (m versionMinute) values() map[string]float64 {
	return map[string]float64{"h": m.handled - m.failed - m.deadLettered, "f": m.failed, "d": m.deadLettered,
		"p": m.panics, "e": m.crashed}
}

// breaches reports whether a minute of the new version, and one of the old, breach the alarm. What
// is 0 has no value in CloudWatch.
func breaches(t *testing.T, a *Alarm, version, old versionMinute) bool {
	t.Helper()
	e, err := metricmath.Parse(a.Expression)
	if err != nil {
		t.Fatal(err)
	}
	before := old.values()
	series := map[string][]float64{}
	for id, n := range version.values() {
		for id, value := range map[string]float64{id: n, id + "a": n + before[id]} {
			if value == 0 {
				value = math.NaN()
			}
			series[id] = []float64{value}
		}
	}
	value := e.Evaluate(metricmath.Data{Periods: 1, Period: a.Period, FillEmpty: true,
		Values: func(id string) []float64 { return series[id] }})[0]
	return value > a.Threshold
}

func TestADeploymentGoesBackWhenTheNewVersionFailsMoreOftenThanTheOthers(t *testing.T) {
	d := Default()
	a := d.VersionAlarm(d.Names.DeliverFunction, "8")
	for _, c := range []struct {
		name         string
		version, old versionMinute
		want         bool
	}{
		{"it dead-letters everything", versionMinute{handled: 100, deadLettered: 100}, versionMinute{handled: 900}, true},
		{"… of a quiet site", versionMinute{handled: 2, deadLettered: 2}, versionMinute{handled: 18}, true},
		{"it retries everything", versionMinute{handled: 100, failed: 100}, versionMinute{handled: 900}, true},
		{"it dead-letters one event in five", versionMinute{handled: 100, deadLettered: 20},
			versionMinute{handled: 900, deadLettered: 9}, true},
		{"it panics for every event", versionMinute{handled: 3, failed: 3, panics: 3}, versionMinute{handled: 30}, true},
		{"it crashes before it counts anything", versionMinute{crashed: 2}, versionMinute{handled: 18}, true},
		{"a fifth of all invocations were its", versionMinute{handled: 200, failed: 200}, versionMinute{handled: 800}, true},

		{"nothing came", versionMinute{}, versionMinute{}, false},
		{"nothing came to it", versionMinute{}, versionMinute{handled: 20, failed: 20}, false},
		{"all is well", versionMinute{handled: 100}, versionMinute{handled: 900}, false},
		{"a customer's broken event came to it", versionMinute{handled: 5, deadLettered: 1}, versionMinute{handled: 45},
			false},
		{"customers break one event in ten", versionMinute{handled: 100, deadLettered: 14},
			versionMinute{handled: 900, deadLettered: 90}, false},
		{"Segment fails", versionMinute{handled: 100, failed: 100}, versionMinute{handled: 900, failed: 900}, false},
		{"Segment fails, and a third of all invocations are its", versionMinute{handled: 30, failed: 30},
			versionMinute{handled: 60, failed: 60}, false},
		{"it mends what the old one dead-letters", versionMinute{handled: 100},
			versionMinute{handled: 900, deadLettered: 900}, false},
		{"it mends a crash of the old one", versionMinute{handled: 2}, versionMinute{handled: 1, crashed: 20}, false},
		{"one event panics in both", versionMinute{handled: 100, panics: 1}, versionMinute{handled: 900, panics: 9}, false},
		{"it is the only one, and fails",
			versionMinute{handled: 100, failed: 60, deadLettered: 40, panics: 100, crashed: 9},
			versionMinute{}, false},
	} {
		if got := breaches(t, &a, c.version, c.old); got != c.want {
			t.Errorf("%s: the minute breaches the alarm: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestTheAlarmOfAVersionIsOneThatCloudWatchTakes(t *testing.T) {
	d := Default()
	for _, function := range []string{d.Names.DeliverFunction, d.Names.IngestFunction} {
		a := d.VersionAlarm(function, "8")
		if a.Name != function+"-version-8" {
			t.Errorf("its name is %s", a.Name)
		}
		for _, m := range a.Metrics {
			var dimensions []string
			for _, at := range m.Location(EndpointMetrics{}).Dimensions {
				dimensions = append(dimensions, at.Name+"="+at.Value)
			}
			all := strings.Join(dimensions, " ")
			ofVersion := strings.HasSuffix(all, "Version=8") || m.Function != "" &&
				all == "FunctionName="+function+" Resource="+function+":live ExecutedVersion=8"
			if ofVersion == strings.HasSuffix(m.ID, "a") {
				t.Errorf("%s: the metric %s is that of %s", a.Name, m.ID, all)
			}
		}
		if a.Metrics[0].Own != strings.TrimPrefix(function, "spillway-") {
			t.Errorf("%s watches %s", a.Name, a.Metrics[0].Own)
		}
		d.Alarms = append(d.Alarms, a)
	}
	if err := d.Validate(); err != nil {
		t.Error(err)
	}
}

func TestOneOfTheReservedInvocationsIsLeftToTryANewVersion(t *testing.T) {
	for _, c := range []struct{ reserved, set, want int }{
		{0, 0, defaultConcurrency}, {4, 0, 2}, {5, 0, 2}, {12, 0, 9}, {12, 10, 10},
	} {
		o := DefaultOptions()
		o.Rollout, o.ReservedConcurrency, o.MaximumConcurrency = true, c.reserved, c.set
		d := New(o)
		if got := d.EventSources[0].MaximumConcurrency; got != c.want {
			t.Errorf("reserved %d, set %d: the event source may use %d, want %d", c.reserved, c.set, got, c.want)
		}
	}
}
