package drill

import (
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/integration/testutil"
)

// sample is what the default run plays, with less traffic than usual.
const sample = "deployment"

var played = flag.String("scenarios", sample,
	"the scenarios whose promises are checked, with commas between; or all")

// chosen are the scenarios of the flag.
func chosen(t *testing.T) (some []Scenario) {
	t.Helper()
	if *played == "all" {
		return Scenarios()
	}
	if *played == "mutations" {
		return nil
	}
	for name := range strings.SplitSeq(*played, ",") {
		s, err := Find(name)
		if err != nil {
			t.Fatal(err)
		}
		some = append(some, *s)
	}
	return some
}

// Each scenario is played once, and judged under every lag of the metrics and everything that AWS
// does not document.
func TestPromisesAreKeptUnderEveryLagAndAssumption(t *testing.T) {
	if testutil.Race {
		t.Skip("other tests play drills with the race detector: .ci/run plays all scenarios without it")
	}
	t.Run("scenarios", func(t *testing.T) {
		for _, s := range chosen(t) {
			t.Run(s.Name, func(t *testing.T) {
				t.Parallel()
				began := time.Now()
				o := Options{}
				if *played == sample {
					o.Rate = 2
				}
				sim, r, err := play(t.Context(), &s, o)
				if err != nil {
					t.Fatal(err)
				}
				e := sim.eventsResult()
				simulated := time.Since(began)
				regions, err := sim.checkRegions()
				if err != nil {
					t.Fatal(err)
				}
				for _, text := range slices.Concat(sim.checkEvents(&e, r), regions) {
					t.Error(text)
				}
				broken := map[string][]string{} // the assumptions, by what is broken
				judged := assumptions(&s)
				all, err := r.judgeAll(judged)
				if err != nil {
					t.Fatal(err)
				}
				for i, f := range all {
					a := judged[i]
					for _, text := range r.broken(f, a) {
						what, _, _ := strings.Cut(text, "; ")
						what, _, _ = strings.Cut(what, " until ")
						broken[what] = append(broken[what], fmt.Sprintf("%+v: %s", a, text))
					}
				}
				for _, what := range slices.Sorted(maps.Keys(broken)) {
					t.Errorf("%s, under %d of %d assumptions, such as\n%s", what, len(broken[what]), len(judged),
						broken[what][0])
				}
				t.Logf("simulated in %v, judged in %v: %+v", simulated, time.Since(began)-simulated, e)
			})
		}
	})
}

// elsewhere are the alarms that no drill can make fire, and the tests that do.
var elsewhere = map[string]string{
	"deliver-saturated": "Lambda adds pollers only for a backlog of minutes at full speed; integration/alarms plays it",
	"bulk-stuck":        "no scenario redrives for an hour in vain; integration/alarms plays it",
	"publisher-drops":   "the drill's API has a disk, with which nothing is dropped; integration/alarms plays it",
}

func TestEveryAlarmIsPromisedInAScenario(t *testing.T) {
	promised := map[string]bool{}
	for _, s := range Scenarios() {
		for _, p := range s.Promises {
			promised[p.Alarm] = true
		}
	}
	production := topology.Default()
	for _, a := range production.Alarms {
		if name := strings.TrimPrefix(a.Name, production.Names.Alarm("")); !promised[name] && elsewhere[name] == "" {
			t.Errorf("no scenario promises that %s fires", name)
		}
	}
	for _, c := range production.Composites {
		if name := strings.TrimPrefix(c.Name, production.Names.Alarm("")); !promised[name] {
			t.Errorf("no scenario promises that %s fires", name)
		}
	}
}

func TestPromisesNameAlarms(t *testing.T) {
	production := topology.Default()
	exists := func(name string) bool {
		name = production.Names.Alarm(name)
		_, alarm := production.Alarm(name)
		_, composite := production.Composite(name)
		return alarm || composite
	}
	for _, s := range Scenarios() {
		names := slices.Concat(s.MayFire, s.Stays)
		for _, p := range s.Promises {
			names = append(names, p.Alarm)
		}
		for _, name := range names {
			if !exists(name) {
				t.Errorf("%s: there is no alarm %s", s.Name, name)
			}
		}
	}
}
