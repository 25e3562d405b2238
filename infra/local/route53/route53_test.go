package route53

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/infra/local/cloudwatch"
	"github.com/spillwayhq/spillway/infra/topology"
)

var start = time.Date(2018, time.September, 24, 0, 0, 0, 0, time.UTC)

func at(minute int) time.Time { return start.Add(time.Duration(minute) * time.Minute) }

// The alarms of a region in these tests.
const (
	refused = "p-refused" // its values are 1 while the region works; without data its check stays as it was
	gone    = "p-gone"    // there is a value while there is a region; without data its check fails
)

func region() *topology.Topology {
	alarm := func(name, statistic string, periods int, missing topology.Missing) topology.Alarm {
		return topology.Alarm{Name: name, Threshold: 1, Below: true, Period: time.Minute, Periods: periods,
			Breaching: periods, Missing: missing,
			Metrics: []topology.Metric{{ID: "m", Own: name, Pipeline: "p", Name: "M", Statistic: statistic}}}
	}
	return &topology.Topology{Routing: []topology.Alarm{
		alarm(refused, "Maximum", 3, topology.MissingIsUnknown), alarm(gone, "SampleCount", 5, topology.MissingIsBad),
	}}
}

// prompt are metrics without a lag.
var prompt = cloudwatch.Assumptions{BeyondRange: 2}

// health lets a check read values by minute, one character each: 1, 0, or - for none. It returns
// whether the region was healthy after each.
func health(t *testing.T, refusedValues, goneValues string, a cloudwatch.Assumptions) string {
	t.Helper()
	s := cloudwatch.NewStore(time.Hour)
	c, err := NewCheck(region(), s, a)
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for minute := range len(refusedValues) {
		for alarm, values := range map[string]string{refused: refusedValues, gone: goneValues} {
			if v := values[minute]; v != '-' {
				s.Put(at(minute), cloudwatch.Key{Own: alarm, Pipeline: "p", Name: "M"}, float64(v-'0'))
			}
		}
		healthy, err := c.Evaluate(at(minute + 1))
		if err != nil {
			t.Fatal(err)
		}
		if healthy != (len(c.Failing()) == 0) {
			t.Errorf("minute %d: healthy %v with %q failing", minute, healthy, c.Failing())
		}
		if healthy {
			all.WriteByte('h')
		} else {
			all.WriteByte('x')
		}
	}
	return all.String()
}

func TestARegionIsHealthyByTheDataOfItsAlarms(t *testing.T) {
	late := prompt
	late.Lags.Own = 2 * time.Minute
	for _, c := range []struct {
		name          string
		assumed       cloudwatch.Assumptions
		refused, gone string
		want          string
	}{
		{"it works", prompt, "11111111", "11111111", "hhhhhhhh"},
		{"two bad values are no outage", prompt, "11100111", "11111111", "hhhhhhhh"},
		{"three are, until a good one", prompt, "1110001111", "1111111111", "hhhhhxhhhh"},
		{"M of N is not known: bad values must follow each other", prompt, "1100100100", "1111111111", "hhhhhhhhhh"},
		{"a value that can't be written changes nothing", prompt, "111-------", "1111111111", "hhhhhhhhhh"},
		{"nor does it end an outage", prompt, "1000----------", "11111111111111", "hhhxxxxxxxxxxx"},
		{"a region without any value is gone", prompt, "1111----------", "1111----------", "hhhhhhhhhhxxxx"},
		{"and back with the first", prompt, "111111111111-1", "11--------1111", "hhhhhhhhxxhhhh"},
		{"a new one is healthy when it has data", prompt, "------1111", "---1111111", "xxxhhhhhhh"},
		{"late metrics are no region that is gone", late, "1111111111", "1111111111", "xxhhhhhhhh"},
		{"late metrics delay the switch by their lag", late, "111000111111", "111111111111", "xxhhhhhxhhhh"},
	} {
		if got := health(t, c.refused, c.gone, c.assumed); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// world is a name in front of two regions, whose values a test writes.
type world struct {
	*Name
	stores  map[string]*cloudwatch.Store
	minutes int
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{NewName(time.Minute), map[string]*cloudwatch.Store{}, 0}
	for _, r := range []string{"near", "far"} {
		w.stores[r] = cloudwatch.NewStore(time.Hour)
		c, err := NewCheck(region(), w.stores[r], prompt)
		if err != nil {
			t.Fatal(err)
		}
		w.Add(r, c)
	}
	return w
}

// minute passes with the canary's value of each region.
func (w *world) minute(t *testing.T, near, far float64) []Change {
	t.Helper()
	for r, v := range map[string]float64{"near": near, "far": far} {
		for alarm, value := range map[string]float64{refused: v, gone: 1} {
			w.stores[r].Put(at(w.minutes), cloudwatch.Key{Own: alarm, Pipeline: "p", Name: "M"}, value)
		}
	}
	w.minutes++
	changes, err := w.Evaluate(at(w.minutes))
	if err != nil {
		t.Fatal(err)
	}
	return changes
}

func TestAnAnswerIsTheNearestHealthyRegionAndIsKeptForItsTime(t *testing.T) {
	w := newWorld(t)
	w.minute(t, 1, 1)
	nearby, faraway := w.Resolver("near", "far"), w.Resolver("far", "near")
	if a, b := nearby.Region(at(1)), faraway.Region(at(1)); a != "near" || b != "far" {
		t.Fatalf("they are led to %s and %s", a, b)
	}
	var changes []Change
	for range 3 {
		changes = w.minute(t, 0, 1)
	}
	if len(changes) != 1 || changes[0].Region != "near" || changes[0].Healthy || !changes[0].At.Equal(at(4)) ||
		!slices.Equal(changes[0].Failing, []string{refused}) {
		t.Fatalf("changes: %+v", changes)
	}
	fresh := w.Resolver("near", "far")
	asked := at(3).Add(30 * time.Second) // just before the switch
	early := w.Resolver("near", "far")
	early.answer, early.until = "near", asked.Add(time.Minute)
	for _, c := range []struct {
		r    *Resolver
		at   time.Time
		want string
	}{
		{fresh, at(4), "far"},
		{early, at(4).Add(29 * time.Second), "near"},
		{early, at(4).Add(30 * time.Second), "far"},
		{faraway, at(5), "far"},
	} {
		if got := c.r.Region(c.at); got != c.want {
			t.Errorf("at %s it is led to %s, want %s", c.at.Format("15:04:05"), got, c.want)
		}
	}
	if changes := w.minute(t, 1, 1); len(changes) != 1 || !changes[0].Healthy || changes[0].Failing != nil {
		t.Errorf("changes: %+v", changes)
	}
	if got := w.Answer("near", "far"); got != "near" {
		t.Errorf("afterwards it leads to %s", got)
	}
}

func TestWithoutAHealthyRegionAllCountAsHealthy(t *testing.T) {
	w := newWorld(t)
	for range 3 {
		w.minute(t, 0, 0)
	}
	if a, b := w.Answer("near", "far"), w.Answer("far", "near"); a != "near" || b != "far" {
		t.Errorf("they are led to %s and %s", a, b)
	}
	if got := w.Answer(); got != "" {
		t.Errorf("without regions it leads to %q", got)
	}
}
