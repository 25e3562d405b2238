package price

import (
	"math"
	"testing"
	"time"
)

func TestAStatusSiteCostsWhatAManualCalculationSays(t *testing.T) {
	site := StatusSite{Regions: 1, Function: Function{MemoryMB: 256, LogBytes: 1000}, Every: time.Minute, AlarmMetrics: 2,
		Metrics: 1, Views: 100_000}
	for name, c := range map[string]struct {
		pipeline Pipeline
		regions  int
		want     Usage
	}{
		"a pipeline for publishers": {Pipeline{}, 1, Usage{
			Invocations: 43_200, GBSeconds: 10_800, ScheduledEvents: 43_200, LogBytes: 43.2e6, APIRequests: 3 * 43_200,
			SQSRequests: 43_200, S3Puts: 2*43_200 + 12*720, S3Gets: 43_200 + 100_000, S3Bytes: 0.6e9, Metrics: 1,
			AlarmMetrics: 2, Views: 100_000, ViewBytes: 0.8e9,
		}},
		"an HTTP API, asked for its health": {Pipeline{Endpoint: HTTPAPI, Ingest: Function{MemoryMB: 512}}, 1, Usage{
			Invocations: 2 * 43_200, GBSeconds: 10_800 + 43_200*0.5*0.015, ScheduledEvents: 43_200, LogBytes: 43.2e6,
			APIRequests: 3 * 43_200, SQSRequests: 43_200, HTTPRequests: 43_200, S3Puts: 2*43_200 + 12*720,
			S3Gets: 43_200 + 100_000, S3Bytes: 0.6e9, Metrics: 1, AlarmMetrics: 2, Views: 100_000, ViewBytes: 0.8e9,
		}},
		"two status regions that watch three": {Pipeline{Regions: 3}, 2, Usage{
			Invocations: 2 * 43_200, GBSeconds: 2 * 10_800, ScheduledEvents: 2 * 43_200, LogBytes: 2 * 43.2e6,
			APIRequests: 6 * 3 * 43_200, SQSRequests: 6 * 43_200, S3Puts: 2 * (2*43_200 + 12*720),
			S3Gets: 2*3*43_200 + 100_000, S3Bytes: 1.2e9, Metrics: 2, AlarmMetrics: 4, Views: 100_000, ViewBytes: 0.8e9,
		}},
		"none": {Pipeline{}, 0, Usage{}},
	} {
		site.Regions = c.regions
		got := c.pipeline.StatusMonth(site).Bill()
		for i, want := range c.want.Bill() {
			if math.Abs(got[i].Quantity-want.Quantity) > 1e-6*want.Quantity {
				t.Errorf("%s: %s is %v, want %v", name, want.Name, got[i].Quantity, want.Quantity)
			}
		}
	}
}
