package main

import (
	"os"
	"strings"
	"testing"

	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/price"
)

func TestTheBillCountsWhatTheTopologyHas(t *testing.T) {
	f := costFlags{door: "http-api", regions: 1, canary: true, alarms: true, dashboard: true}
	p := f.pipeline()
	d := topology.Default()
	deliver, _ := d.Function(topology.DefaultNames().DeliverFunction)
	source := d.EventSources[0]
	if p.Deliver.MemoryMB != deliver.MemoryMB || p.BatchSize != source.BatchSize ||
		p.BatchingWindow != source.BatchingWindow ||
		p.CanaryEvery != d.Schedules[0].Every {
		t.Errorf("%+v", p)
	}
	if p.AlarmMetrics < len(d.Alarms) || p.CompositeAlarms != len(d.Composites) || p.Dashboards != 1 {
		t.Errorf("%d metrics in %d alarms, %d composite ones", p.AlarmMetrics, len(d.Alarms), p.CompositeAlarms)
	}
	if p.Metrics < 15 {
		t.Errorf("%d metrics", p.Metrics)
	}
	for name, function := range map[string]price.Function{"deliver": p.Deliver, "ingest": p.Ingest, "canary": p.Canary} {
		if function.LogBytes < 1000 || function.LogBytes > 4000 {
			t.Errorf("%s writes %.0f bytes an invocation", name, function.LogBytes)
		}
	}
	without := costFlags{door: "none", regions: 1}
	bare := without.pipeline()
	if bare.AlarmMetrics != 0 || bare.CompositeAlarms != 0 || bare.Dashboards != 0 || bare.CanaryEvery != 0 ||
		bare.Ingest.MemoryMB != 0 || bare.Metrics >= p.Metrics {
		t.Errorf("%+v", bare)
	}
}

func TestTheReadmesBillIsWhatTheCommandPrints(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, found := strings.Cut(string(readme), "\n    go run ./cmd/spillway cost ")
	line, text, _ := strings.Cut(text, "\n")
	if !found {
		t.Fatal("the README has no such command")
	}
	out, _, err := spillway(t.Context(), "", append([]string{"cost"}, strings.Fields(line)...)...)
	if err != nil {
		t.Fatal(err)
	}
	printed := strings.Split(strings.TrimSpace(out), "\n")
	for _, l := range printed[:len(printed)-3] { // the prices' date and sources stand in the text
		if l != "" && !strings.Contains(text, "\n    "+l+"\n") {
			t.Errorf("the README does not have the line %q of what `spillway cost %s` prints now: write it anew", l, line)
		}
	}
}

func TestDollarsAreReadable(t *testing.T) {
	for d, want := range map[float64]string{0: "0.00", 0.0123: "0.012", 0.1: "0.10", 1.999: "2.00", 1234.5: "1,234.50",
		9080.674: "9,080.67"} {
		if got := dollars(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}

func TestTheExamplesOfCostCanBeRun(t *testing.T) {
	for line := range strings.Lines(newCost().Example) {
		args := strings.Fields(line)[1:] // without "spillway"
		if _, _, err := spillway(t.Context(), "", args...); err != nil {
			t.Errorf("%s: %v", strings.TrimSpace(line), err)
		}
	}
}
