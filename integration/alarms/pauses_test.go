package alarms

import (
	"slices"
	"strings"
	"testing"

	"github.com/spillwayhq/spillway/infra/local/cloudwatch"
	"github.com/spillwayhq/spillway/infra/topology"
)

// pausedFor is a pause by hand of a busy site for so many minutes, and so many in which what has come
// in meanwhile is delivered. The canary's function sees the mark a minute late.
func pausedFor(minutes, draining int) func(n int) minute {
	return func(n int) minute {
		if n < minutes {
			return pausedFrom(n, busy(), 4000)
		}
		m := drain(n-minutes, draining, 4000*float64(minutes))
		m["deliver EventAge"] = v(60 * float64(minutes) * (1 - float64(n-minutes)/float64(draining)))
		if n == minutes {
			m["canary Paused"] = v(1) // also when it ends
		}
		return m
	}
}

// pausedFrom is the n-th minute of a pause in which so many messages a minute come in.
func pausedFrom(n int, well minute, comeIn float64) minute {
	m := well.without("deliver ").with(minute{"events NumberOfMessagesDeleted": v(0),
		"events ApproximateNumberOfMessagesVisible":    v(comeIn * float64(n+1)),
		"events ApproximateNumberOfMessagesNotVisible": v(0)})
	if n > 0 {
		m["canary Paused"] = v(1)
	}
	return m
}

// pauses are those that a person makes. Delivery's own alarms fire, and tell nobody.
func pauses() []*scenario {
	const at, hour = 20, 60
	down := and(must(3, "paused"), must(4, "canary-silent", "delivery-down"), must(8, "delivery-stalled"),
		must(13, "backlog-growing", "delivery-slow"))
	const drains = "backlog-age-warning backlog-age-critical deliver-saturated segment-throttling"
	return []*scenario{
		{name: "a person pauses delivery for half an hour", from: at, until: at + 40, well: busy(), bad: pausedFor(30, 10),
			must: down, may: drains, notify: "paused"},
		{name: "a person pauses delivery for two hours", from: at, until: at + 2*hour + 15, well: busy(), bad: pausedFor(2*hour, 15),
			must: and(down, must(70, "paused-long")), may: drains, notify: "paused paused-long"},
		{name: "a person pauses delivery of a quiet site", from: at, until: at + 30, well: quiet(),
			bad:  func(n int) minute { return pausedFrom(n, quiet(), 1) },
			must: and(must(3, "paused"), must(4, "canary-silent", "delivery-down")),
			may:  "delivery-stalled backlog-growing delivery-slow", notify: "paused"},
		{name: "the canary's function stops during a pause", from: at, until: at + 90, well: busy(),
			bad: func(n int) minute {
				if n < 10 {
					return pausedFrom(n, busy(), 4000)
				}
				return pausedFrom(n, busy(), 4000).without("canary ")
			},
			must: and(down, must(20, "canary-stopped")), may: drains, notify: "paused canary-stopped delivery-down"},
		{name: "Segment is away when a pause ends", from: at, until: at + 150, well: busy(),
			bad: func(n int) minute {
				switch {
				case n < 30:
					return pausedFor(30, 1)(n)
				case n < 130:
					return segmentIsAway(n - 30)
				}
				return drain(n-130, 20, 110_000)
			},
			must: and(down, must(40, "segment-failing"), must(45, "backlog-age-warning"), must(95, "backlog-age-critical")),
			may:  drains + " in-flight segment-slow", notify: "paused delivery-down"},
		{name: "a person pauses a write key for two hours", from: at, until: at + 2*hour, well: busy(),
			bad:  always(busy().with(minute{"canary PausedKeys": v(2)})),
			must: must(70, "paused-keys"), notify: "paused-keys"},
		{name: "a person pauses a write key for half an hour", from: at, until: at + 30, well: busy(),
			bad: always(busy().with(minute{"canary PausedKeys": v(1)}))},
		{name: "what a person has paused can't be read in every third minute", minutes: 200,
			at: oneIn(3, busy().without("canary Paused"), busy())},
	}
}

// Without the suppressor a planned pause pages, and with one that never ends an outage after it tells
// nobody.
func TestAPauseIsTheReasonThatNobodyIsPaged(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		mistake, scenario, want string
		change                  func(*topology.Composite)
	}{
		{"no suppressor", "a person pauses delivery for half an hour", "delivery-down notifies 1 times, want false",
			func(c *topology.Composite) { c.Suppressor, c.Wait, c.Extension = "", 0, 0 }},
		{"a suppressor that counts for a day", "Segment is away when a pause ends", "delivery-down notifies 0 times, want true",
			func(c *topology.Composite) { c.Extension *= 48 }},
	} {
		all := pauses()
		s := all[slices.IndexFunc(all, func(s *scenario) bool { return s.name == c.scenario })]
		d := s.prepare()
		for i := range d.Composites {
			if d.Composites[i].Name == d.Names.Alarm("delivery-down") {
				c.change(&d.Composites[i])
			}
		}
		if got := strings.Join(s.judge(t, &d, s.record(t, &d), cloudwatch.Typical()), "\n"); !strings.Contains(got, c.want) {
			t.Errorf("%s: the scenario %q says %q, want %q", c.mistake, c.scenario, got, c.want)
		}
	}
}
