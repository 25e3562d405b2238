package estimate

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/emf"
	"github.com/spillwayhq/spillway/shared/ingest"
	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/price"
)

func TestPipelineHasTheNumbersOfTheTopology(t *testing.T) {
	p := Pipeline(Settings{Ingest: price.HTTPAPI, Regions: 1, Canary: true, Alarms: true, Dashboard: true})
	d := topology.Default()
	deliver, _ := d.Function(d.Names.DeliverFunction)
	source := d.EventSources[0]
	if p.Deliver.MemoryMB != deliver.MemoryMB || p.BatchSize != source.BatchSize ||
		p.BatchingWindow != source.BatchingWindow ||
		p.CanaryEvery != d.Schedules[0].Every {
		t.Errorf("%+v", p)
	}
	if p.AlarmMetrics < len(d.Alarms) || p.CompositeAlarms != len(d.Composites) || p.Dashboards != 1 {
		t.Errorf("%d metrics in %d alarms, %d composite alarms", p.AlarmMetrics, len(d.Alarms), p.CompositeAlarms)
	}
	if p.Metrics < 10 {
		t.Errorf("%d metrics", p.Metrics)
	}
	for name, function := range map[string]price.Function{"deliver": p.Deliver, "ingest": p.Ingest, "canary": p.Canary} {
		if function.LogBytes < 800 || function.LogBytes > 4000 {
			t.Errorf("%s logs %.0f bytes per invocation", name, function.LogBytes)
		}
	}
	// Package heavy promises about 1.2 KB.
	if p.SenderLineBytes < 1000 || p.SenderLineBytes > 2500 || p.CompareEvery != 5*time.Minute {
		t.Errorf("a line of the heaviest senders has %.0f bytes, compared is every %v", p.SenderLineBytes, p.CompareEvery)
	}
	bare := Pipeline(Settings{Ingest: price.NoIngestEndpoint, Regions: 1})
	if bare.AlarmMetrics != 0 || bare.CompositeAlarms != 0 || bare.Dashboards != 0 || bare.CanaryEvery != 0 ||
		bare.Ingest.MemoryMB != 0 || bare.Metrics >= p.Metrics {
		t.Errorf("%+v", bare)
	}
	if public := p.Metrics - bare.Metrics; public < len(ingestMetrics())+2 {
		t.Errorf("a public endpoint has %d metrics, want those of events and 2 of noise", public)
	}
	// `cost --ingest none` is what the CDK deploys with ingestEndpoint=none.
	o := topology.DefaultOptions()
	o.NoIngest = true
	without := topology.New(o)
	watched := 0
	for _, a := range without.Alarms {
		watched += len(a.Metrics)
	}
	if got := Pipeline(Settings{Ingest: price.NoIngestEndpoint, Alarms: true}); got.AlarmMetrics != watched ||
		got.CompositeAlarms != len(without.Composites) || watched >= p.AlarmMetrics {
		t.Errorf("without an ingest endpoint %d metrics in alarms and %d composites, want %d and %d", got.AlarmMetrics,
			got.CompositeAlarms, watched, len(without.Composites))
	}
}

// The estimate names metrics of the ingest endpoint, which must be those that scanners make.
func TestScannersMakeTheMetricsThatAreCountedAsNoise(t *testing.T) {
	var counters ingest.Counters
	handler, err := ingest.New(ingest.Config{Queue: nowhere{}, DeadLetters: nowhere{}, Report: counters.Add,
		Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []struct{ method, path, body string }{
		{http.MethodGet, "/.env", ""}, {http.MethodPut, "/v1/batch", ""}, {http.MethodPost, "/v1/batch", "<xml/>"},
		{http.MethodPost, "/v1/track", `{"userId":"u","event":"E"}`}, {http.MethodOptions, "/v1/batch", ""},
	} {
		request := httptest.NewRequest(r.method, r.path, strings.NewReader(r.body))
		if r.body == "<xml/>" {
			request.SetBasicAuth("wk", "")
		}
		handler.ServeHTTP(httptest.NewRecorder(), request)
	}
	usual := ingestMetrics()
	names := func(metrics []emf.Metric) []string {
		var all []string
		for _, m := range metrics {
			if !slices.ContainsFunc(usual, func(u emf.Metric) bool { return u.Name == m.Name }) {
				all = append(all, m.Name)
			}
		}
		slices.Sort(all)
		return all
	}
	totals := counters.Totals()
	if got, want := names(totals.Metrics()), names(noiseMetrics()); !slices.Equal(got, want) {
		t.Errorf("scanners make the metrics %q, counted are %q", got, want)
	}
}

// nowhere is a queue that takes everything.
type nowhere struct{}

func (nowhere) Send(context.Context, []message.Message) error { return nil }

func (nowhere) Refusing(time.Time) bool { return false }

func TestAnAlarmOnAVersionIsPaidByItsMetrics(t *testing.T) {
	for endpoint, want := range map[price.IngestEndpoint]int{price.HTTPAPI: 20, price.FunctionURL: 10,
		price.NoIngestEndpoint: 10} {
		s := Settings{Ingest: endpoint, Regions: 1, Alarms: true}
		atOnce := Pipeline(s)
		s.Rollout = true
		if got := Pipeline(s).AlarmMetrics - atOnce.AlarmMetrics; got != want {
			t.Errorf("endpoint %v: %d metrics, want %d", endpoint, got, want)
		}
		s.Alarms = false
		if got := Pipeline(s).AlarmMetrics; got != 0 {
			t.Errorf("without alarms %d metrics are paid", got)
		}
	}
}

// aMillion events of 1 KB a day is what the cost page is about. It returns what a million cost, by
// line, without what is paid whatever comes in.
func aMillion(p price.Pipeline, perMessage float64) map[string]float64 {
	l := price.Load{EventsPerDay: 1e6, EventBytes: 1000, EventsPerMessage: perMessage, EventsPerRequest: perMessage}
	fixed := p.Month(price.Load{}).Bill()
	lines := map[string]float64{}
	for i, line := range p.Month(l).Bill() {
		lines[line.Name] = (line.Dollars() - fixed[i].Dollars()) / 30
		lines["all"] += lines[line.Name]
	}
	return lines
}

func TestAMillionPackedEventsCostThreeCents(t *testing.T) {
	lines := aMillion(Pipeline(Settings{Ingest: price.NoIngestEndpoint, Regions: 1}), 430)
	sum := 0.0
	for _, name := range []string{"SQS requests", "Lambda invocations", "Lambda compute", "egress to Segment"} {
		sum += lines[name]
	}
	page, err := os.ReadFile("../../../docs/cost.md")
	if want := fmt.Sprintf("of a million packed events cost $%.3f", sum); err != nil ||
		!strings.Contains(string(page), want) {
		t.Errorf("docs/cost.md does not say %q: %v", want, err)
	}
	if sum <= 0.01 || sum > 0.03 || lines["egress to Segment"] < sum/2 {
		t.Errorf("SQS, Lambda and egress: $%.4f a million, want at most $0.03, most of it egress: %v", sum, lines)
	}
}

func TestTwoSettingsHalveTheCostOfOneEventPerRequest(t *testing.T) {
	p := Pipeline(Settings{Ingest: price.HTTPAPI, Regions: 1, Canary: true, Rollout: true})
	deployed := aMillion(p, 1)
	p = Pipeline(Settings{Ingest: price.FunctionURL, Regions: 1, Canary: true, Rollout: true})
	byURL := aMillion(p, 1)
	p.BatchingWindow = 5 * time.Second
	got := aMillion(p, 1)
	page, err := os.ReadFile("../../../docs/cost.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		fmt.Sprintf("a million costs $%.2f as deployed. The HTTP API takes $%.2f of it, logs $%.2f, SQS $%.2f, Lambda's "+
			"computing $%.2f and its invocations $%.2f", deployed["all"], deployed["HTTP API"], deployed["logs"],
			deployed["SQS requests"], deployed["Lambda compute"], deployed["Lambda invocations"]),
		fmt.Sprintf("to $%.2f at a million events a day", got["all"]), fmt.Sprintf("ends too: $%.2f.", byURL["all"]),
	} {
		if !strings.Contains(string(page), want) {
			t.Errorf("docs/cost.md does not say %q", want)
		}
	}
	if got["all"] > deployed["all"]/2 {
		t.Errorf("$%.3f a million with a function URL and a window of 5 s, and $%.3f as deployed: %v", got["all"],
			deployed["all"], got)
	}
	if deployed["HTTP API"] < 0.25*deployed["all"] || deployed["logs"] < 0.2*deployed["all"] {
		t.Errorf("the HTTP API and the logs are not what dominates: %v", deployed)
	}
}
