// Package alarms plays what can happen to a pipeline against its alarms: minute by minute, with the
// metrics that AWS and the functions would write, and with CloudWatch's rules.
//
// Each scenario says which alarms must fire and by when, who is notified, and that nothing else
// fires. It is judged under every lag and every assumption about what AWS does not document, because
// an alarm that works only with punctual metrics does not work.
package alarms

import (
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/infra/local/cloudwatch"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/integration/testutil"
)

func TestMain(m *testing.M) { testutil.MainInVirtualTime(m) }

// start is when a scenario begins: at midnight, a Monday.
var start = time.Date(2018, 9, 24, 0, 0, 0, 0, time.UTC)

// clears is how long after the cause and the backlog are gone everything must be over.
const clears = 15

// A minute is what CloudWatch has for one: samples by "subject name" or "subject name value", like
// "deliver EventsRetried transient". A metric that is not there is missing.
type minute map[string][]float64

// with returns the minute with other samples of some metrics.
func (m minute) with(changes minute) minute {
	changed := maps.Clone(m)
	maps.Copy(changed, changes)
	return changed
}

// without returns the minute without the metrics whose names begin so.
func (m minute) without(prefixes ...string) minute {
	left := maps.Clone(m)
	maps.DeleteFunc(left, func(name string, _ []float64) bool {
		return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(name, p) })
	})
	return left
}

func v(value float64) []float64 { return []float64{value} }

// flushes are requests to Segment that take so many milliseconds, of which so many fail.
func flushes(n, failed int, ms float64) minute {
	m := minute{"deliver FlushLatency": slices.Repeat([]float64{ms}, n)}
	if failed > 0 {
		m["deliver SegmentResponses transient"] = v(float64(failed))
	}
	return m
}

// quiet is a minute in which only the canary comes in.
func quiet() minute {
	return minute{
		"events ApproximateNumberOfMessagesVisible": v(0), "events ApproximateNumberOfMessagesNotVisible": v(0),
		"events NumberOfMessagesSent": v(1), "events NumberOfMessagesDeleted": v(1),
		"deliver Errors": v(0), "deliver Throttles": v(0), "deliver ConcurrentExecutions": v(1),
		"deliver EventAge": v(1), "deliver CanaryDelivered": v(1), "deliver BreakerOpen": v(0),
		"canary CanaryAccepted": v(1), "canary Paused": v(0), "canary PausedKeys": v(0),
		"ingest EventsAccepted": v(1), "ingest AcceptLatency": v(20),
		"ingest Throttles": v(0), "endpoint Requests": v(1), "endpoint ClientErrors": v(0), "endpoint ServerErrors": v(0),
	}
}

// busy is a minute of a large site, in events: 20,000 of SDKs and 20,000 of publishers, which come
// packed.
func busy() minute {
	return quiet().with(minute{
		"events ApproximateNumberOfMessagesVisible": v(2), "events ApproximateNumberOfMessagesNotVisible": v(300),
		"events NumberOfMessagesSent": v(4000), "events NumberOfMessagesDeleted": v(4000),
		"deliver ConcurrentExecutions": v(4), "ingest EventsAccepted": v(20_000), "publisher EventsPublished": v(20_000),
		"publisher EventsDropped": v(0), "publisher EventsSpilled": v(0),
		"endpoint Requests": v(20_000), "endpoint ClientErrors": v(40), "ingest RequestsRefused": v(40),
	}).with(flushes(8, 0, 120))
}

// A scenario is what happens, minute by minute.
type scenario struct {
	name    string
	options func(*topology.Options)

	// The cause begins with the minute from and is over, with its backlog, before the minute until.
	// All is well in the minutes around.
	from, until int
	well        minute
	bad         func(n int) minute // the n-th minute, from 0
	// at replaces all of that for scenarios of other shapes.
	at      func(n int) minute
	minutes int

	must   map[string]int // alarms that must fire, and after how many minutes, with punctual metrics
	may    string         // others that may
	notify string         // the alarms that notify, each once
	often  bool           // what may fire may do so more than once
	only   string         // of a scenario of many days: no other alarm is evaluated
	slow   bool           // of many days, and all alarms are evaluated: not by default
	goesOn bool           // it is not over at the end
}

// evaluation is what an alarm did.
type evaluation struct {
	fired, over int // minutes; -1: it did not
	firings     int
	notified    int
}

// unwatched are metrics that exist, and mislead whoever watches them.
var unwatched = []string{"dead-letters NumberOfMessagesSent"}

// nameOf is how minutes call a metric.
func nameOf(m topology.Metric) string {
	subject := m.Queue + m.Function + m.Stream + m.Own
	if m.IngestEndpoint {
		subject = "endpoint"
	}
	return strings.TrimSpace(strings.TrimPrefix(subject, "spillway-") + " " + m.Name + " " + m.Value)
}

// record puts the scenario's metrics into a store.
func (s *scenario) record(t *testing.T, d *topology.Topology) *cloudwatch.Store {
	t.Helper()
	keys := map[string]cloudwatch.Key{}
	known := slices.Clone(unwatched)
	for _, a := range d.Alarms {
		for _, m := range a.Metrics {
			keys[nameOf(m)] = cloudwatch.KeyOf(m)
		}
	}
	for _, row := range d.Dashboard() {
		for _, w := range row {
			for _, l := range w.Lines {
				known = append(known, nameOf(l.Metric))
			}
		}
	}
	store := cloudwatch.NewStore(time.Duration(s.minutes+60) * time.Minute)
	for n := range s.minutes {
		for name, samples := range s.at(n) {
			key, ok := keys[name]
			if !ok && s.only == "" && s.options == nil && !slices.Contains(known, name) {
				t.Fatalf("nobody writes or watches %q; alarms watch %q", name, slices.Sorted(maps.Keys(keys)))
			}
			if !ok {
				continue
			}
			store.Put(start.Add(time.Duration(n)*time.Minute), key, samples...)
		}
	}
	if rejected := store.Rejected(); len(rejected) > 0 {
		t.Fatalf("the store rejected %v", rejected)
	}
	return store
}

// play evaluates the alarms over the scenario.
func play(t *testing.T, d *topology.Topology, store *cloudwatch.Store, minutes int,
	a cloudwatch.Assumptions) map[string]*evaluation {
	t.Helper()
	e, err := cloudwatch.New(d, store, a)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]*evaluation{}
	for n := 1; n <= minutes; n++ {
		for _, c := range e.Evaluate(start.Add(time.Duration(n) * time.Minute)) {
			name := strings.TrimPrefix(c.Alarm, d.Names.Alarm(""))
			x := all[name]
			if x == nil {
				x = &evaluation{fired: -1, over: -1}
				all[name] = x
			}
			if c.Notified {
				x.notified++
			}
			switch {
			case c.To == c.From:
			case c.To == cloudwatch.Alarm:
				if x.firings++; x.fired < 0 {
					x.fired = n
				}
				x.over = -1
			case c.From == cloudwatch.Alarm:
				x.over = n
			}
		}
	}
	return all
}

// judge compares what the alarms did with what the scenario says.
func (s *scenario) judge(t *testing.T, d *topology.Topology, store *cloudwatch.Store,
	a cloudwatch.Assumptions) (problems []string) {
	t.Helper()
	lag := max(a.Lags.Own, a.Lags.Queue, a.Lags.Lambda, a.Lags.Endpoint)
	late := int(lag/time.Minute) + a.CompositeDelay
	may := strings.Fields(s.may)
	notified := strings.Fields(s.notify)
	all := play(t, d, store, s.minutes, a)
	problem := func(format string, args ...any) {
		problems = append(problems, fmt.Sprintf("%s (lags %v, range + %d, fill of nothing %v)", fmt.Sprintf(format, args...),
			a.Lags, a.BeyondRange, a.FillEmpty))
	}
	for name, by := range s.must {
		x := all[name]
		switch {
		case x == nil || x.firings == 0:
			problem("%s does not fire", name)
		case x.fired < s.from:
			problem("%s fires before the cause begins", name)
		case x.fired-s.from > by+late:
			problem("%s fires after %d minutes, want %d and the lag", name, x.fired-s.from, by)
		}
	}
	for name, x := range all {
		_, must := s.must[name]
		if x.firings > 0 && !must && !slices.Contains(may, name) {
			problem("%s fires, after %d minutes", name, x.fired-s.from)
		}
		if x.firings > 0 && !s.goesOn && (x.over < 0 || x.over-s.until > clears+late) {
			problem("%s is not over %d minutes after its cause: %d", name, clears, x.over-s.until)
		}
		if want := slices.Contains(notified, name); !s.often && (x.notified > 1 || want != (x.notified == 1)) {
			problem("%s notifies %d times, want %v", name, x.notified, want)
		}
	}
	for _, name := range notified {
		if all[name] == nil {
			problem("%s does not notify", name)
		}
	}
	return problems
}

// prepare makes a scenario of the usual shape playable.
func (s *scenario) prepare() topology.Topology {
	if s.at == nil {
		if s.minutes == 0 {
			s.minutes = s.until + clears + 8
		}
		s.at = func(n int) minute {
			if n >= s.from && n < s.until {
				return s.bad(n - s.from)
			}
			return s.well
		}
	}
	o := topology.DefaultOptions()
	if s.options != nil {
		s.options(&o)
	}
	d := topology.New(o)
	if s.only != "" {
		d.Composites = nil
		d.Alarms = slices.DeleteFunc(d.Alarms, func(a topology.Alarm) bool {
			return !slices.Contains(strings.Fields(s.only), strings.TrimPrefix(a.Name, d.Names.Alarm("")))
		})
	}
	return d
}

var every = flag.Bool("every", false, "judge each scenario under every assumption, which takes minutes")

// assumptions are all plausible ones, and those in which one source is late and others are not. By
// default each scenario has its share of them: one of each of two lags, and one of those.
func assumptions(scenario int) []cloudwatch.Assumptions {
	plausible, mixed := cloudwatch.Plausible(), mixedLags()
	if *every {
		return append(plausible, mixed...)
	}
	share := []cloudwatch.Assumptions{mixed[scenario%len(mixed)]}
	lags := len(plausible) / 4
	for _, lag := range []int{scenario % 4, (scenario + 2) % 4} {
		share = append(share, plausible[lag*lags+(scenario+lag)%lags])
	}
	return share
}

func mixedLags() []cloudwatch.Assumptions {
	var all []cloudwatch.Assumptions
	const late = 3 * time.Minute
	for _, lags := range []cloudwatch.Lags{
		{Own: late}, {Queue: late}, {Lambda: late}, {Endpoint: late},
		{Queue: late, Lambda: late, Endpoint: late},
	} {
		lags.QueueAfterIdle = 15 * time.Minute
		for _, fill := range [...]bool{false, true} {
			all = append(all, cloudwatch.Assumptions{Lags: lags, BeyondRange: 2, FillEmpty: fill})
		}
	}
	return all
}

func TestAlarmsFireInTimeForTheirCauseAndForNothingElse(t *testing.T) {
	if testutil.Race {
		t.Skip("it computes, and what is judged here has no goroutines: .ci/run runs it without -race")
	}
	t.Parallel()
	for i, s := range scenarios() {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			if s.slow && !*every {
				t.Skip("takes a minute: go test ./integration/alarms -every")
			}
			d := s.prepare()
			store := s.record(t, &d)
			for _, a := range assumptions(i) {
				if problems := s.judge(t, &d, store, a); len(problems) > 0 {
					t.Fatal(strings.Join(problems, "\n")) // the other assumptions would say the same
				}
			}
		})
	}
}

// The scenarios must see what people get wrong about alarms on a queue.
func TestAScenarioFailsWithoutWhatMakesTheAlarmWork(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		mistake  string
		alarm    string
		change   func(*topology.Alarm)
		scenario string
		want     string
	}{
		{"SQS's age instead of our own", "backlog-age-critical", func(a *topology.Alarm) {
			a.Metrics = []topology.Metric{{ID: "d", Queue: "spillway-events", Name: "ApproximateAgeOfOldestMessage",
				Statistic: "Maximum"}}
		}, "Segment is away for two hours", "backlog-age-critical does not fire"},
		{"missing data is good", "canary-stopped", func(a *topology.Alarm) {
			a.Metrics, a.Expression, a.Missing = a.Metrics[1:], "c", topology.MissingIsGood
		}, "the canary's schedule is off", "canary-stopped does not fire"},
		{"no FILL", "gzip-mangled", func(a *topology.Alarm) { a.Expression = "g" },
			"one gzip body is carried as text", "gzip-mangled is not over"},
		{"M = N over FILL", "sudden-volume", func(a *topology.Alarm) { a.Periods = a.Breaching },
			"Segment takes 1,000 events/s of 3,000", "sudden-volume does not fire"},
		{"M = N of late values", "in-flight", func(a *topology.Alarm) { a.Periods = a.Breaching },
			"110,000 messages wait for their next attempt", "in-flight does not fire"},
		{"what is sent to the dead-letter queue instead of what is in it", "dead-letters", func(a *topology.Alarm) {
			a.Metrics, a.Expression = []topology.Metric{{ID: "s", Queue: "spillway-dead-letters",
				Name: "NumberOfMessagesSent", Statistic: "Sum"}}, "s"
		}, "SQS itself moves messages to the dead-letter queue", "dead-letters does not fire"},
		{"a failed request instead of a rate", "ingest-errors", func(a *topology.Alarm) {
			a.Metrics, a.Expression, a.Threshold = a.Metrics[:1], "e", 0
		}, "one request of 20,000 a minute fails, for ever", "ingest-errors fires"},
		{"dead letters that people list count as none", "dead-letters-old", func(a *topology.Alarm) {
			a.Metrics, a.Expression = a.Metrics[:1], "v"
		}, "a dead letter for eight days, which people list each hour", "dead-letters-old does not fire"},
		{"records that are refused within 15 minutes, which are tried again each quarter of an hour", "archive-failing",
			func(a *topology.Alarm) { a.Periods = 15 }, "on a quiet site a record is refused, and again each 16 minutes",
			"archive-failing does not fire"},
		{"an answer of S3 that fails counts as none", "archive-undelivered", func(a *topology.Alarm) { a.Threshold = 0 },
			"the bucket refuses Firehose", "archive-undelivered does not fire"},
	} {
		t.Run(c.mistake, func(t *testing.T) {
			t.Parallel()
			all := scenarios()
			i := slices.IndexFunc(all, func(s *scenario) bool { return s.name == c.scenario })
			if i < 0 {
				t.Fatalf("there is no scenario %q", c.scenario)
			}
			d := all[i].prepare()
			for n := range d.Alarms {
				if a := &d.Alarms[n]; a.Name == d.Names.Alarm(c.alarm) {
					c.change(a)
				}
			}
			store := all[i].record(t, &d)
			seen := slices.ContainsFunc(cloudwatch.Plausible(), func(a cloudwatch.Assumptions) bool {
				return strings.Contains(strings.Join(all[i].judge(t, &d, store, a), "\n"), c.want)
			})
			if !seen {
				t.Errorf("the scenario %q does not see it: it never says %q", c.scenario, c.want)
			}
		})
	}
}

func TestEveryAlarmFiresInAScenario(t *testing.T) {
	fires := map[string]bool{}
	for _, s := range scenarios() {
		for name := range s.must {
			fires[name] = true
		}
	}
	o := topology.DefaultOptions()
	archived(&o)
	d := topology.New(o)
	for _, a := range d.Alarms {
		if name := strings.TrimPrefix(a.Name, d.Names.Alarm("")); !fires[name] {
			t.Errorf("%s must fire in no scenario", name)
		}
	}
	for _, c := range d.Composites {
		if name := strings.TrimPrefix(c.Name, d.Names.Alarm("")); !fires[name] {
			t.Errorf("%s must fire in no scenario", name)
		}
	}
}
