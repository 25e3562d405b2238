package route53

import (
	"slices"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/infra/local/cloudwatch"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/canary"
	"github.com/spillwayhq/spillway/shared/operator"
)

// left returns in which minutes a region with production's alarms is left, if bad says which of its
// canaries are refused and drained when a person has drained it.
func left(t *testing.T, minutes int, a cloudwatch.Assumptions, bad, drained func(minute int) bool) (when []int) {
	t.Helper()
	production := topology.Default()
	s := cloudwatch.NewStore(24 * time.Hour)
	c, err := NewCheck(&production, s, a)
	if err != nil {
		t.Fatal(err)
	}
	put := func(minute int, k cloudwatch.Key, is bool) {
		v := 0.0
		if is {
			v = 1
		}
		s.Put(at(minute), k, v)
	}
	n := production.Names
	for minute := range minutes {
		put(minute, cloudwatch.Key{Own: "canary", Pipeline: n.Pipeline, Name: canary.UnavailableMetric}, bad(minute))
		put(minute, cloudwatch.Key{Own: "canary", Pipeline: n.Pipeline, Name: operator.DrainedMetric}, drained(minute))
		put(minute, cloudwatch.Key{Queue: n.EventsQueue, Name: "ApproximateNumberOfMessagesVisible"}, false)
		healthy, err := c.Evaluate(at(minute + 1))
		if err != nil {
			t.Fatal(err)
		}
		if !healthy && minute > 10 { // before, a new region has no data
			when = append(when, minute)
		}
	}
	return when
}

func never(int) bool { return false }

func within(from, until int) func(int) bool {
	return func(minute int) bool { return minute >= from && minute < until }
}

// lateness is how many minutes late the metrics are.
func lateness(a cloudwatch.Assumptions) int { return int(a.Lags.Own / time.Minute) }

func TestOneOrTwoRefusedCanariesMoveNoTraffic(t *testing.T) {
	for _, a := range cloudwatch.Plausible() {
		for refused := 1; refused <= 2; refused++ {
			for from := 20; from < 22; from++ {
				if when := left(t, 40, a, within(from, from+refused), never); len(when) > 0 {
					t.Errorf("%d refused canaries: left in the minutes %v with %+v", refused, when, a)
				}
			}
		}
	}
}

func TestARegionThatRefusesIsLeftAndComesBack(t *testing.T) {
	for _, a := range cloudwatch.Plausible() {
		when := left(t, 80, a, within(20, 50), never)
		first, last := slices.Min(append(when, 999)), slices.Max(append(when, 0))
		if first > 23+lateness(a) || last < 49 || last > 53+lateness(a) || len(when) != last-first+1 {
			t.Errorf("refused in the minutes 20 to 49, left in %v with %+v", when, a)
		}
	}
}

func TestADrainedRegionIsLeftAndComesBack(t *testing.T) {
	for _, a := range cloudwatch.Plausible() {
		when := left(t, 80, a, never, within(20, 50))
		first, last := slices.Min(append(when, 999)), slices.Max(append(when, 0))
		if first > 21+lateness(a) || last < 49 || last > 51+lateness(a) || len(when) != last-first+1 {
			t.Errorf("drained in the minutes 20 to 49, left in %v with %+v", when, a)
		}
	}
}
