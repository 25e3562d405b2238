package drill

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/infra/topology"
)

// A mutation makes the deployment worse in one way. The drill must fail and say why.
type mutation struct {
	name     string
	scenario func() Scenario
	change   func(*testing.T, *topology.Topology)
	alarms   bool   // only alarms change: a recording of the unchanged pipeline can be judged
	want     string // in what is broken
}

var mutations = []mutation{
	{"without an age metric of our own", segmentAway, changeAlarm("backlog-age-critical", func(a *topology.Alarm) {
		queue := topology.DefaultNames().EventsQueue
		a.Metrics = []topology.Metric{{ID: "d", Queue: queue, Name: "ApproximateAgeOfOldestMessage", Statistic: "Maximum"}}
	}), true, "backlog-age-critical did not fire"},
	{"missing data is good", canaryOff, changeAlarm("canary-stopped", func(a *topology.Alarm) {
		a.Expression, a.Missing = "c", topology.MissingIsGood
	}), true, "canary-stopped did not fire"},
	{"without FILL", unreadable, changeAlarms(func(a *topology.Alarm) {
		a.Expression = filled.ReplaceAllString(a.Expression, "$1")
	}), true, "write-keys-old did not clear"},
	{"as many values must breach as are evaluated, where FILL may be the newest", consumerBug,
		changeAlarms(func(a *topology.Alarm) {
			if filled.MatchString(a.Expression) {
				a.Periods = a.Breaching
			}
		}), true, "did not fire"},
	{"more concurrency than is reserved", segmentSlow, func(_ *testing.T, d *topology.Topology) {
		d.Functions[0].ReservedConcurrency = 2
	}, false, "deliver-throttled must be silent"},
	{"five receives until SQS gives up", consumerBug, func(_ *testing.T, d *topology.Topology) {
		d.Queues[0].MaxReceiveCount = 5
	}, false, "are dead letters for the reason moved by SQS"},
	{"a deployment while CloudWatch gets no metrics", unseen, func(*testing.T, *topology.Topology) {}, false,
		"the deployment of a version with a bug did not go back"},
	{"the dead-letter alarm counts what was sent", poison, changeAlarm("dead-letters", func(a *topology.Alarm) {
		queue := topology.DefaultNames().DeadLetterQueue
		a.Metrics = []topology.Metric{{ID: "s", Queue: queue, Name: "NumberOfMessagesSent", Statistic: "Sum"}}
		a.Expression = ""
	}), true, "dead-letters did not fire"},
	{"without data each health check stays as it was", regionDown, func(_ *testing.T, d *topology.Topology) {
		for i := range d.Routing {
			d.Routing[i].Missing = topology.MissingIsUnknown
		}
	}, false, "eu-west-1 is healthy at Mon 00:29: true"},
}

// unseen is a deployment of a version with a bug that no alarm can see.
func unseen() Scenario {
	s := badDeployment()
	s.Lasts = 90 * time.Minute
	s.Failures = []Failure{{Span: from(18*time.Minute, 12*time.Minute), Kind: NoMetrics}}
	return s
}

// segmentAway is an outage of 100 minutes.
func segmentAway() Scenario {
	s := unpacked()
	s.Actions, s.Lasts, s.Played = nil, 4*time.Hour, []Span{{hm(0, 16), hm(2, 30)}}
	s.Failures = []Failure{{Span: from(20*time.Minute, 100*time.Minute), Kind: Segment, Rule: away}}
	s.Promises = []Promise{{Alarm: "backlog-age-critical", From: hm(1, 20), Within: 17 * time.Minute}}
	s.MayFire = append(s.MayFire, "delivery-down")
	return s
}

// unreadable is a short scenario in which the write-key document can't be read for 20 minutes. The
// metric about it is written only while that lasts.
func unreadable() Scenario {
	s := brokenDocument()
	s.Name, s.Lasts, s.Clears, s.Actions = "unreadable", 90*time.Minute, clearsUnreadable, nil
	s.Played = []Span{{hm(0, 16), hm(1, 10)}}
	s.Failures = []Failure{{Span: from(20*time.Minute, 20*time.Minute), Kind: BadDocument}}
	s.Promises = []Promise{{Alarm: "write-keys-old", From: hm(0, 20), Within: 9 * time.Minute}}
	return s
}

// clearsUnreadable is enough where FILL tells the alarm that the minutes since are good.
const clearsUnreadable = 8 * time.Minute

var filled = regexp.MustCompile(`FILL\(([a-z_0-9]+), ?[0-9.]+\)`)

func changeAlarms(change func(*topology.Alarm)) func(*testing.T, *topology.Topology) {
	return func(_ *testing.T, d *topology.Topology) {
		for i := range d.Alarms {
			change(&d.Alarms[i])
		}
	}
}

func changeAlarm(name string, change func(*topology.Alarm)) func(*testing.T, *topology.Topology) {
	return func(t *testing.T, d *topology.Topology) {
		t.Helper()
		i := slices.IndexFunc(d.Alarms, func(a topology.Alarm) bool { return a.Name == d.Names.Alarm(name) })
		if i < 0 {
			t.Fatalf("there is no alarm %s", name)
		}
		change(&d.Alarms[i])
	}
}

func TestADrillFindsWhatMakesADeploymentWorse(t *testing.T) {
	if *played != "all" && *played != "mutations" {
		t.Skip("it plays several drills, which takes a minute: run it with -scenarios all, or -scenarios mutations")
	}
	recordings := map[string]*recording{}
	for _, m := range mutations {
		worse := topology.Default()
		m.change(t, &worse)
		s := m.scenario()
		var broken []string
		r := recordings[s.Name]
		if !m.alarms || r == nil {
			o := Options{}
			if !m.alarms {
				o.Topology = &worse
			}
			sim, recorded, err := play(t.Context(), &s, o)
			if err != nil {
				t.Fatal(err)
			}
			e := sim.eventsResult()
			regions, err := sim.checkRegions()
			if err != nil {
				t.Fatalf("%s: %v", m.name, err)
			}
			broken = slices.Concat(sim.checkEvents(&e, recorded), regions)
			if r = recorded; m.alarms {
				recordings[s.Name] = r
			}
		}
		changed := *r
		changed.topology = &worse
		judged := assumptions(&s)
		all, err := changed.judgeAll(judged)
		if err != nil {
			t.Fatalf("%s: %v", m.name, err)
		}
		for i, f := range all {
			broken = append(broken, changed.broken(f, judged[i])...)
		}
		if !slices.ContainsFunc(broken, func(text string) bool { return strings.Contains(text, m.want) }) {
			t.Errorf("%s: the drill %s does not say %q: %q", m.name, s.Name, m.want, broken[:min(10, len(broken))])
			continue
		}
		i := slices.IndexFunc(broken, func(text string) bool { return strings.Contains(text, m.want) })
		t.Logf("%s: %d broken, such as: %s", m.name, len(broken), broken[i])
	}
}
