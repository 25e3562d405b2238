package alarms

import (
	"strings"
	"testing"

	"github.com/spillwayhq/spillway/infra/topology"
)

// written is a minute in which the status function ran, and wrote the site to all buckets.
func written() minute { return minute{"status Invocations": v(1), "status StatusWritten": v(1)} }

func statusScenarios() []scenario {
	const from, until = 20, 50
	stale := map[string]int{"status-stale": 6}
	always := func(m minute) func(int) minute { return func(int) minute { return m } }
	return []scenario{
		{name: "all is well", from: from, until: until, well: written(), bad: always(written())},
		{name: "two minutes are missed", from: from, until: from + 2, well: written(), bad: always(minute{})},
		{name: "every other minute can't be written", from: from, until: until, well: written(), bad: func(n int) minute {
			return written().with(minute{"status StatusWritten": v(float64(n % 2))})
		}},
		{name: "a bucket refuses", from: from, until: until, well: written(),
			bad: always(written().with(minute{"status StatusWritten": v(0)})), must: stale, notify: "status-stale"},
		{name: "the function crashes", from: from, until: until, well: written(),
			bad: always(minute{"status Invocations": v(1)}), must: stale, notify: "status-stale"},
		{name: "the schedule stops", from: from, until: until, well: written(), bad: always(minute{}), must: stale,
			notify: "status-stale"},
		{name: "the schedule stops for hours", from: from, until: 400, well: written(), bad: always(minute{}), must: stale,
			notify: "status-stale"},
		{name: "a first deployment", minutes: 60, at: func(n int) minute {
			if n < 20 {
				return minute{}
			}
			return written()
		}},
		{name: "a function that never worked", minutes: 60, at: always(minute{"status Invocations": v(1)}), must: stale,
			notify: "status-stale", goesOn: true},
	}
}

func TestTheAlarmOfTheStatusSiteFiresInTimeAndForNothingElse(t *testing.T) {
	t.Parallel()
	for i, s := range statusScenarios() {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			s.prepare()
			site := topology.NewStatusSite(topology.DefaultOptions())
			store := s.record(t, &site.Topology)
			for _, a := range assumptions(i) {
				if problems := s.judge(t, &site.Topology, store, a); len(problems) > 0 {
					t.Fatal(strings.Join(problems, "\n"))
				}
			}
		})
	}
}
