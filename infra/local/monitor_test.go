package local

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillwayhq/spillway/infra/local/cloudwatch"
	"github.com/spillwayhq/spillway/infra/local/lambda"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/emf"
	"github.com/spillwayhq/spillway/shared/ingest"
)

// watched is a topology with an alarm about each source of metrics, and a composite.
func watched() *topology.Topology {
	alarm := func(name string, m topology.Metric) topology.Alarm {
		m.ID, m.Statistic = "m", "Sum"
		return topology.Alarm{Name: name, Severity: topology.Warning, Metrics: []topology.Metric{m}, Threshold: 2,
			Period: time.Minute, Periods: 1, Breaching: 1, Missing: topology.MissingIsGood,
			Meaning: "it is " + name + ".", First: "look.", Section: name}
	}
	n := topology.DefaultNames()
	return &topology.Topology{Names: n,
		Alarms: []topology.Alarm{
			alarm("own", topology.Metric{Own: "deliver", Pipeline: n.Pipeline, Name: "EventsDelivered"}),
			alarm("lambda", topology.Metric{Function: n.DeliverFunction, Name: "Errors"}),
			alarm("endpoint", topology.Metric{IngestEndpoint: true, Name: "ServerErrors"}),
		},
		Composites: []topology.Composite{{Name: "any", Severity: topology.Critical, Any: []string{"lambda"},
			Meaning: "it is.",
			First:   "look.", Section: "any"}},
	}
}

// notes collect what the monitor tells. They are safe for concurrent use.
type notes struct {
	mu   sync.Mutex
	text strings.Builder
}

func (n *notes) add(text string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.text.WriteString(text)
}

// take returns what was told since the last call.
func (n *notes) take() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	defer n.text.Reset()
	return n.text.String()
}

// Each source of metrics reaches the alarms, each change is told with what to do, and the status
// has it.
func TestTheMonitorTellsOfEachAlarmThatBeginsAndEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		var told notes
		m, err := newMonitor(watched(), slog.New(slog.DiscardHandler), func(c AlarmChange) {
			verb := "begins"
			if c.Ends() {
				verb = "ends after " + c.After.String()
			}
			told.add(fmt.Sprintf("%s %s, notified %v\n", c.Alarm, verb, c.Notified))
			if !strings.Contains(c.Text, "First: look.") {
				t.Errorf("%s does not say what to do: %q", c.Alarm, c.Text)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { m.run(ctx) })
		time.Sleep(time.Until(time.Now().Truncate(time.Minute).Add(3*time.Minute + time.Second)))
		if got := told.take(); got != "" {
			t.Errorf("before anything happens it tells %s", got)
		}
		metrics := emf.NewWriter(m.tee(&log), "spillway", "deliver")
		if err := metrics.Write(time.Now(), emf.Metric{Name: "EventsDelivered", Values: []float64{3}}); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			m.invoked(lambda.Invoked{End: time.Now(), Err: errors.New("it crashes")})
			m.requested(ingest.Summary{Status: 500, Latency: time.Millisecond})
		}
		time.Sleep(time.Minute)
		for _, a := range m.alarms() {
			if a.Fires() || a.Coming != 1 && !a.Composite {
				t.Errorf("a minute later, before CloudWatch has the values: %+v", a)
			}
		}
		time.Sleep(time.Minute)
		const begun = "own begins, notified true\nlambda begins, notified false\nendpoint begins, notified " +
			"true\nany begins, " +
			"notified true\n"
		if got := told.take(); got != begun {
			t.Errorf("it tells\n%swant\n%s", got, begun)
		}
		if !strings.Contains(log.String(), `"EventsDelivered":3`) {
			t.Errorf("the log lacks the line of metrics: %s", &log)
		}
		for _, a := range m.alarms() {
			if f := m.firings.since(a.Name, time.Now().Add(-time.Hour)); len(f) != 1 || f[0].From != a.Since || !f[0].To.IsZero() {
				t.Errorf("%s fires since %v, and has fired %+v", a.Name, a.Since, f)
			}
			if !a.Fires() || a.Coming != 0 || a.Reason == "" || a.Text == "" || a.Notified == (a.Name == "lambda") {
				t.Errorf("%+v", a)
			}
		}
		time.Sleep(5 * time.Minute)
		if got := told.take(); strings.Count(got, "ends after 2m0s") != 4 {
			t.Errorf("it tells\n%swant that all four end, as soon as the value has left the range", got)
		}
		for _, a := range m.alarms() {
			if f := m.firings.since(a.Name, time.Now().Add(-time.Hour)); len(f) != 1 || f[0].To.Sub(f[0].From) != 2*time.Minute ||
				len(m.firings.since(a.Name, f[0].To)) != 0 {
				t.Errorf("%s has fired %+v", a.Name, f)
			}
		}
		cancel()
		running.Wait()
	})
}

func TestOnlyTheLastFiringsOfAnAlarmAreKept(t *testing.T) {
	t.Parallel()
	var f firings
	at := time.Date(2018, 9, 24, 10, 0, 0, 0, time.UTC)
	state := cloudwatch.InsufficientData
	for range 2 * (maxFirings + 10) {
		to := cloudwatch.Alarm
		if state == to {
			to = cloudwatch.OK
		}
		f.record(&cloudwatch.Change{At: at, Alarm: "a", From: state, To: to})
		f.record(&cloudwatch.Change{At: at, Alarm: "a", From: to, To: to, Notified: true})
		state, at = to, at.Add(time.Minute)
	}
	if all := f.since("a", time.Time{}); len(all) != maxFirings || all[0].To.Sub(all[0].From) != time.Minute ||
		all[maxFirings-1].To != at.Add(-time.Minute) {
		t.Errorf("%d are kept: %+v", len(all), all[:1])
	}
}

func TestALineOfMetricsThatIsCutIsLoggedAndGoesOnToTheLog(t *testing.T) {
	var log, warned bytes.Buffer
	m, err := newMonitor(watched(), slog.New(slog.NewJSONHandler(&warned, nil)), nil)
	if err != nil {
		t.Fatal(err)
	}
	const line = `{"_aws":{"Timestamp":1`
	if n, err := m.tee(&log).Write([]byte(line)); n != len(line) || err != nil || log.String() != line {
		t.Errorf("%d bytes, %v: %s", n, err, &log)
	}
	if !strings.Contains(warned.String(), cloudwatch.RejectedBroken) {
		t.Errorf("the log says %s", &warned)
	}
}

func TestTheStatusHasEveryAlarmAsJSON(t *testing.T) {
	m, err := newMonitor(watched(), slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(Status{Alarms: m.alarms()})
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"name":"any","severity":"critical","composite":true,"state":"INSUFFICIENT_DATA","reason":"","notified":false,` +
		`"text":"CRITICAL: it is. First: look. More: #any"}`
	if !strings.Contains(string(text), want) {
		t.Errorf("%s\nlacks\n%s", text, want)
	}
}

// A name that an alarm reads and the emulators do not write would be a metric without data, which
// is OK for most alarms: they would be blind here.
func TestTheEmulatorsWriteEveryMetricThatAnAlarmReads(t *testing.T) {
	t.Parallel()
	p, err := Start(Config{Dir: t.TempDir(), SQSAddr: "127.0.0.1:0", IngestAddr: "127.0.0.1:0",
		SegmentAddr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := p.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	defer func() { cancel(); running.Wait() }()
	track(ctx, t, p)
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for patience := time.After(30 * time.Second); p.Status().Delivered == 0; {
		select {
		case <-look.C:
		case <-patience:
			t.Fatalf("the event has not arrived: %+v", p.Status())
		}
	}
	cancel()
	running.Wait()
	p.monitor.sample(time.Now().Truncate(time.Minute))

	d := topology.Default()
	written := p.Metrics().Keys()
	for _, a := range d.Alarms {
		for _, m := range a.Metrics {
			// Only deliver is a Lambda function here, and our own metrics are tested where they are
			// written.
			if m.Own == "" && m.Function != d.Names.IngestFunction && m.Function != d.Names.CanaryFunction &&
				!slices.Contains(written, cloudwatch.KeyOf(m)) {
				t.Errorf("%s reads %v, which nothing writes", a.Name, cloudwatch.KeyOf(m))
			}
		}
	}
	if own := (cloudwatch.Key{Own: "deliver", Pipeline: "spillway", Name: "EventsDelivered"}); !slices.Contains(written,
		own) {
		t.Errorf("the metrics that deliver writes are not read: %v", written)
	}
}

func TestAMachineThatHasSleptWasNotSilent(t *testing.T) {
	d := topology.Default()
	var told []string
	m, err := newMonitor(&d, slog.New(slog.DiscardHandler), func(c AlarmChange) { told = append(told, c.Alarm) })
	if err != nil {
		t.Fatal(err)
	}
	own := func(function, name string) cloudwatch.Key {
		return cloudwatch.Key{Own: function, Pipeline: d.Names.Pipeline, Name: name}
	}
	end := time.Date(2018, 9, 24, 10, 0, 0, 0, time.UTC)
	minutes := func(n int, alive bool) {
		for range n {
			at := end.Add(-time.Minute)
			m.store.Put(at, cloudwatch.Key{Queue: d.Names.EventsQueue, Name: "ApproximateNumberOfMessagesVisible"}, 0)
			if alive {
				m.store.Put(at, own("canary", "CanaryAccepted"), 1)
				m.store.Put(at, own("deliver", "CanaryDelivered"), 1)
			}
			m.minute(t.Context(), end)
			end = end.Add(time.Minute)
		}
	}
	minutes(20, true)
	end = end.Add(3 * time.Hour)
	minutes(20, true)
	if len(told) != 0 {
		t.Errorf("after a sleep %v are told", told)
	}
	minutes(10, false)
	if want := []string{d.Names.Alarm("canary-stopped")}; !slices.Equal(told, want) {
		t.Errorf("of a silence that lasts %v are told, want %v", told, want)
	}
}
