package estimate

import (
	"testing"

	"github.com/spillwayhq/spillway/infra/topology"
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
	if p.Metrics < 15 {
		t.Errorf("%d metrics", p.Metrics)
	}
	for name, function := range map[string]price.Function{"deliver": p.Deliver, "ingest": p.Ingest, "canary": p.Canary} {
		if function.LogBytes < 1000 || function.LogBytes > 4000 {
			t.Errorf("%s logs %.0f bytes per invocation", name, function.LogBytes)
		}
	}
	bare := Pipeline(Settings{Ingest: price.NoIngestEndpoint, Regions: 1})
	if bare.AlarmMetrics != 0 || bare.CompositeAlarms != 0 || bare.Dashboards != 0 || bare.CanaryEvery != 0 ||
		bare.Ingest.MemoryMB != 0 || bare.Metrics >= p.Metrics {
		t.Errorf("%+v", bare)
	}
}
