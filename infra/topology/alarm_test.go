package topology

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/shared/canary"
	"github.com/spillwayhq/spillway/shared/deliver"
	"github.com/spillwayhq/spillway/shared/emf"
	"github.com/spillwayhq/spillway/shared/ingest"
	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/operator"
	"github.com/spillwayhq/spillway/shared/publisher"
	"github.com/spillwayhq/spillway/shared/segment"
	"github.com/spillwayhq/spillway/shared/traffic"
)

// alarm is one of the default ones.
func alarm(t *testing.T, name string) Alarm {
	t.Helper()
	d := Default()
	a, ok := d.Alarm(name)
	if !ok {
		t.Fatalf("the alarm %s does not exist", name)
	}
	return a
}

func TestEveryAlarmSaysWhatItMeansAndWhatToDoFirst(t *testing.T) {
	d := Default()
	anchor := regexp.MustCompile(`: \S.*\. First: .+\. More: https://github\.com/spillwayhq/spillway/blob/main/docs/runbook\.md#[a-z0-9-]+$`)
	var texts []string
	for _, a := range d.Alarms {
		texts = append(texts, a.Description())
	}
	for _, a := range d.Routing {
		texts = append(texts, a.Description())
	}
	for _, c := range d.Composites {
		texts = append(texts, c.Description())
	}
	for _, text := range texts {
		if !anchor.MatchString(text) {
			t.Errorf("%q does not end in what to do first and a section of the runbook", text)
		}
	}
	if len(texts) < 20 {
		t.Errorf("%d alarms", len(texts))
	}
}

// An alarm about a metric that no function writes would never fire.
func TestAlarmsWatchMetricsThatTheFunctionsWrite(t *testing.T) {
	delivered := deliver.Report{CanaryEvents: 1, CanaryAges: []time.Duration{0}, CanaryTimes: []time.Time{{}},
		Retried: map[string]int{}, DeadLettered: map[string]int{message.ReasonRejected: 1}, DeadLetterErrors: 1,
		ArchiveDeferred: 1, NotArchived: 1}
	for _, c := range segment.Classes() {
		delivered.Retried[c.String()] = 1
		delivered.Flushes = append(delivered.Flushes, deliver.Flush{Class: c})
	}
	totals := ingest.Totals{KeysRefused: 1, DeadLetterErrors: 1, GzipMangled: 1}
	totals.Caused[ingest.CauseRequest], totals.Caused[ingest.CauseService] = 1, 1
	accepted := canary.Result{}
	compared := traffic.Result{HasRatio: true, HasGrowth: true}
	written := map[string][]emf.Metric{
		"deliver": delivered.Metrics(),
		"ingest": append(slices.Concat(totals.Metrics(), ingest.KeysOld.Metrics(), ingest.KeysUnread.Metrics()),
			emf.Metric{Name: "MessagesSpilled"}, // by the server: metrics in shared/app/ingest/queues.go
			emf.Metric{Name: "SpilledMessagesDropped"},
			emf.Metric{Name: "EventsNotArchived"}), // in shared/app/ingest/archive.go
		"publisher": publisherMetrics(t),
		"canary": append(slices.Concat(accepted.Metrics(), compared.Metrics()),
			emf.Metric{Name: operator.PausedMetric}, // by shared/app/canary
			emf.Metric{Name: operator.PausedKeysMetric}, emf.Metric{Name: operator.DrainedMetric}),
	}
	o := DefaultOptions()
	o.ArchiveKept = DefaultArchiveKept
	d := New(o)
	watched := 0
	for _, a := range append(d.Alarms, d.Routing...) {
		for _, m := range a.Metrics {
			metrics, ok := written[m.Own]
			if !ok { // SQS's and Lambda's
				continue
			}
			watched++
			if !slices.ContainsFunc(metrics, func(w emf.Metric) bool {
				return w.Name == m.Name && w.Dimension == m.Dimension && w.Value == m.Value
			}) {
				t.Errorf("%s: %s does not write %s with %q=%q", a.Name, m.Own, m.Name, m.Dimension, m.Value)
			}
		}
	}
	if watched < 15 {
		t.Errorf("only %d metrics of the functions are watched", watched)
	}
}

// publisherMetrics are the metrics that a publisher without events writes.
func publisherMetrics(t *testing.T) (metrics []emf.Metric) {
	t.Helper()
	var lines bytes.Buffer
	client, err := publisher.New(t.Context(), publisher.Config{
		QueueURL: "http://localhost/000000000000/events", Metrics: &lines,
		SQS: func(string) (publisher.SQS, error) { return nil, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	for decoder := json.NewDecoder(&lines); decoder.More(); {
		var line struct {
			AWS struct {
				CloudWatchMetrics []struct{ Metrics []struct{ Name string } }
			} `json:"_aws"`
		}
		if err := decoder.Decode(&line); err != nil {
			t.Fatal(err)
		}
		for _, directive := range line.AWS.CloudWatchMetrics {
			for _, m := range directive.Metrics {
				metrics = append(metrics, emf.Metric{Name: m.Name})
			}
		}
	}
	return metrics
}

// Deliver sees a retried message once in each visibility timeout, and the last minutes are late. An
// alarm that looked back for less would end and fire again with each attempt.
func TestAnAlarmAboutRetriedMessagesLooksBackLongerThanTheLongestPause(t *testing.T) {
	longest := deliver.Backoff(1000, 0, 0, 1)
	a := alarm(t, "spillway-wrong-credentials")
	if lookback := a.Period * time.Duration(a.Periods-maxLag); lookback <= longest || a.Breaching != 1 {
		t.Errorf("%s looks back for %v and wants %d values; a message may be invisible for %v", a.Name, lookback, a.Breaching,
			longest)
	}
}

// Lambda may wait for a batch to be filled for up to 5 minutes. Then the newest canaries are not
// delivered, and nothing is done for as long: both are as it was set.
func TestABatchingWindowOfMinutesFiresNothing(t *testing.T) {
	for seconds := 1; seconds <= 300; seconds++ {
		o := DefaultOptions()
		o.BatchingWindow = time.Duration(seconds) * time.Second
		d := New(o)
		if err := d.Validate(); err != nil {
			t.Fatal(err)
		}
		silent, _ := d.Alarm(d.Names.Alarm("canary-silent"))
		if undelivered := o.BatchingWindow + canary.Interval; time.Duration(silent.Breaching)*silent.Period <= undelivered {
			t.Errorf("a window of %d s leaves the canaries of %v undelivered, and %d of %v fire", seconds, undelivered,
				silent.Breaching, silent.Period)
		}
		stalled, _ := d.Alarm(d.Names.Alarm("delivery-stalled"))
		if stalled.Period <= o.BatchingWindow {
			t.Errorf("a window of %d s leaves periods of %v without a batch", seconds, stalled.Period)
		}
		if late := maxLag * time.Minute; time.Duration(stalled.Periods-stalled.Breaching)*stalled.Period < late {
			t.Errorf("a window of %d s: %d of %d x %v leave no room for %v", seconds, stalled.Breaching, stalled.Periods,
				stalled.Period, late)
		}
	}
}

// fillValue is what FILL puts into the place of a metric's missing values.
var fillValue = regexp.MustCompile(`FILL\((\w+), (\d+)\)`)

// With a lag the newest values of FILL are always the fill value (CloudWatch user guide, "Using metric
// math"), so an alarm that needs all of its values would never fire.
func TestAnAlarmOverFilledValuesNeedsFewerThanAreNotLate(t *testing.T) {
	d := Default()
	filled := 0
	for _, a := range d.Alarms {
		if !fillValue.MatchString(a.Expression) {
			continue
		}
		filled++
		late := (maxLag*time.Minute + a.Period - 1) / a.Period
		if room := a.Periods - a.Breaching; room < int(late) {
			t.Errorf("%s: %d of %d leave out %d values, and %d are late", a.Name, a.Breaching, a.Periods, room, late)
		}
	}
	if filled < 10 {
		t.Errorf("only %d alarms fill missing values", filled)
	}
}

func TestACriticalAlarmPagesAWarningIsATicketAndAPartOfACompositeNotifiesNobody(t *testing.T) {
	d := Default()
	for _, c := range d.Composites {
		for _, name := range c.Any {
			if topic := d.Notifies(name); topic != "" {
				t.Errorf("%s, which is part of %s, notifies %s itself", name, c.Name, topic)
			}
		}
	}
	for name, want := range map[string]string{
		"spillway-ingest-down": d.Names.AlarmTopic, "spillway-publisher-drops": d.Names.AlarmTopic,
		"spillway-ingest-slow": d.Names.TicketTopic, "spillway-nothing": "",
	} {
		if topic := d.Notifies(name); topic != want {
			t.Errorf("%s notifies %q, want %q", name, topic, want)
		}
	}
}

func TestAnAlarmRefersToTheRunbookOfTheDeployment(t *testing.T) {
	o := DefaultOptions()
	o.Runbook = "https://wiki.example.com/spillway"
	d := New(o)
	const want = " More: https://wiki.example.com/spillway#"
	for _, a := range d.Alarms {
		if !strings.Contains(a.Description(), want) {
			t.Errorf("%s: %s", a.Name, a.Description())
		}
	}
	for _, c := range d.Composites {
		if !strings.Contains(c.Description(), want) {
			t.Errorf("%s: %s", c.Name, c.Description())
		}
	}
}

func TestWithoutACanaryNoAlarmExpectsOne(t *testing.T) {
	s := DefaultOptions()
	s.NoCanary = true
	d := New(s)
	if err := d.Validate(); err != nil {
		t.Error(err)
	}
	if _, ok := d.Function(d.Names.CanaryFunction); ok || len(d.Schedules) > 0 {
		t.Error("there is a canary")
	}
	for _, a := range d.Alarms {
		for _, m := range a.Metrics {
			if strings.HasPrefix(m.Name, "Canary") {
				t.Errorf("%s waits for %s", a.Name, m.Name)
			}
		}
	}
}

func TestValidateNamesTheAlarmAndWhatItsValueMustBe(t *testing.T) {
	for _, c := range []struct {
		name   string
		breach func(*Topology)
		want   string
	}{
		{"same name", func(t *Topology) { t.Alarms[1].Name = t.Alarms[0].Name }, "another alarm has this name"},
		{"too long", func(t *Topology) { t.Alarms[0].Meaning = strings.Repeat("a", 1024) }, "must have at most 1024"},
		{"no text", func(t *Topology) { t.Alarms[0].First = "" },
			"what to do first or the section of docs/runbook.md is missing"},
		{"severity", func(t *Topology) { t.Alarms[0].Severity = "" }, "must be critical or warning"},
		{"seconds", func(t *Topology) { t.Alarms[0].Period = time.Second }, "must be whole minutes"},
		{"two days of minutes", func(t *Topology) { t.Alarms[0].Periods = 2880 }, "at most 24h0m0s in all"},
		{"eight days of hours", func(t *Topology) { t.Alarms[0].Period, t.Alarms[0].Periods = time.Hour, 192 },
			"at most 168h0m0s in all"},
		{"never", func(t *Topology) { t.Alarms[0].Breaching = 0 }, "must be 1 to 14"},
		{"missing", func(t *Topology) { t.Alarms[0].Missing = "perhaps" }, "must be notBreaching, breaching, ignore or missing"},
		{"no expression", func(t *Topology) { t.Alarms[2].Expression = "" }, "an expression is missing"},
		{"eleven metrics", func(t *Topology) { t.Alarms[0].Metrics = make([]Metric, 11) }, "must have 1 to 10 metrics"},
		{"metric of nothing", func(t *Topology) { t.Alarms[0].Metrics[0].Own = "" },
			"one of Queue, Function, Stream, IngestEndpoint and Own"},
		{"another pipeline's metric", func(t *Topology) { t.Alarms[0].Metrics[0].Pipeline = "staging" },
			`the pipeline must be spillway, is "staging"`},
		{"an ID twice", func(t *Topology) { t.Alarms[2].Metrics[1].ID = t.Alarms[2].Metrics[0].ID },
			`another metric has the ID "v"`},
		{"an ID in capitals", func(t *Topology) { t.Alarms[0].Metrics[0].ID = "Q" }, "must be a lower-case letter"},
		{"unknown queue", func(t *Topology) { t.Alarms[2].Metrics[0].Queue = "x" }, "the queue x does not exist"},
		{"unknown function", func(t *Topology) { t.Alarms[0].Metrics[0] = ofFunction("q", "x", "Errors", "Sum") },
			"the function x does not exist"},
		{"composite of nothing", func(t *Topology) { t.Composites[0].Any = nil }, "must be over at least one alarm"},
		{"composite of an unknown one", func(t *Topology) { t.Composites[0].Any[0] = "x" },
			"the alarm x does not exist"},
		{"part of two", func(t *Topology) { t.Composites[1].Any[0] = t.Composites[0].Any[0] }, "is part of spillway-ingest-down already"},
		{"unknown suppressor", func(t *Topology) { t.Composites[0].Suppressor = "x" }, `its suppressor "x" must be another alarm`},
		{"suppressor without a wait", func(t *Topology) { t.Composites[0].Suppressor = t.Composites[1].Name },
			"it must wait for its suppressor"},
		{"wait without a suppressor", func(t *Topology) { t.Composites[0].Wait = time.Second }, "without a suppressor"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := Default()
			c.breach(&d)
			if err := d.Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}
