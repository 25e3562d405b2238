package topology

import (
	"strings"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/shared/deliver"
)

func TestTheDefaultTopologyIsValid(t *testing.T) {
	d := Default()
	if err := d.Validate(); err != nil {
		t.Fatal(err)
	}
	events, _ := d.Queue(d.Names.EventsQueue)
	if events.VisibilityTimeout != 361*time.Second {
		t.Errorf("visibility timeout is %v, want 361 s: 6 x 60 s + 1 s", events.VisibilityTimeout)
	}
	if left := events.Retention - deliver.MaxAge; left < 3*24*time.Hour {
		t.Errorf("dead letters are retained for only %v after deliver has given up", left)
	}
}

// Whoever publishes from an API only needs no public endpoint.
func TestWithoutAnIngestEndpointNothingOfItIsLeft(t *testing.T) {
	o := DefaultOptions()
	o.NoIngest = true
	without := New(o)
	if err := without.Validate(); err != nil {
		t.Fatal(err)
	}
	if len(without.Functions) != 1 || len(without.Schedules) != 0 || len(without.Composites) != 2 ||
		without.IngestEndpoint != (IngestEndpoint{}) {
		t.Errorf("%+v", without)
	}
	for _, a := range without.Alarms {
		for _, m := range a.Metrics {
			alone := len(a.Metrics) == 1 // others count what publishers send too
			if m.IngestEndpoint || m.Function == o.Names.IngestFunction || alone && m.Own == "ingest" || m.Own == "canary" {
				t.Errorf("%s watches %+v", a.Name, m)
			}
		}
	}
	d := Default()
	if len(without.Alarms) >= len(d.Alarms) || len(without.Dashboard()) != len(d.Dashboard())-1 {
		t.Errorf("%d alarms and %d rows on the dashboard, with an endpoint %d and %d", len(without.Alarms),
			len(without.Dashboard()), len(d.Alarms), len(d.Dashboard()))
	}
}

func TestTenDaysOfRetriesNeedFewerReceivesThanTheMaximum(t *testing.T) {
	d := Default()
	events, _ := d.Queue(d.Names.EventsQueue)
	for _, retryAfter := range []time.Duration{0, time.Second, time.Minute} {
		receives := 0
		for waited := time.Duration(0); waited < deliver.MaxAge; receives++ {
			waited += deliver.Backoff(receives+1, retryAfter, waited, 0.5)
		}
		if receives >= events.MaxReceiveCount {
			t.Errorf("Retry-After %v: %d receives in %v, SQS gives up at %d", retryAfter, receives, deliver.MaxAge,
				events.MaxReceiveCount)
		}
	}
}

func TestValidateNamesThePartAndWhatItsValueMustBe(t *testing.T) {
	for _, c := range []struct {
		name   string
		breach func(*Topology)
		want   string
	}{
		{"visibility", func(t *Topology) { t.Queues[0].VisibilityTimeout = 6 * time.Minute }, "must be at least 6m1s"},
		{"the sum of concurrencies above the reserved", func(t *Topology) { t.EventSources[0].MaximumConcurrency = 11 },
			"must be at most its reserved 12 in all, are 13"},
		{"concurrency below 2", func(t *Topology) { t.EventSources[0].MaximumConcurrency = 1 }, "must be 2 to 1000"},
		{"no batching window", func(t *Topology) { t.EventSources[0].BatchingWindow = 0 },
			"batching window must be at least 1s for a batch size of 100, is 0s"},
		{"batch size", func(t *Topology) { t.EventSources[0].BatchSize = 10_001 }, "must be 1 to 10000"},
		{"dead letters retained for a shorter time", func(t *Topology) { t.Queues[2].Retention = time.Hour },
			"must be at least 336h0m0s"},
		{"unknown queue", func(t *Topology) { t.EventSources[0].Queue = "x" }, "the queue does not exist"},
		{"unknown function", func(t *Topology) { t.EventSources[0].Function = "x" }, "the function does not exist"},
		{"unknown dead-letter queue", func(t *Topology) { t.Queues[0].DeadLetterQueue = "x" },
			"dead-letter queue x does not exist"},
		{"timeout", func(t *Topology) { t.Functions[0].Timeout = time.Hour }, "must be 1s to 15m0s"},
		{"log retention", func(t *Topology) { t.Functions[0].LogRetention = 2 * day },
			"log retention must be one of [1 3 5 7"},
		{"schedule of nothing", func(t *Topology) { t.Schedules[0].Function = "x" },
			"schedule of x: the function does not exist"},
		{"schedule in seconds", func(t *Topology) { t.Schedules[0].Every = time.Second }, "must be whole minutes"},
		{"ingest endpoint of nothing", func(t *Topology) { t.IngestEndpoint.Function = "x" },
			"ingest endpoint: the function x does not exist"},
		{"no burst", func(t *Topology) { t.IngestEndpoint.Burst = 0 }, "requests a second and burst must be at least 1"},
		{"receive count", func(t *Topology) { t.Queues[0].MaxReceiveCount = 1001 }, "must be 1 to 1000"},
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

func TestConcurrencyNeedNotBeReserved(t *testing.T) {
	d := Default()
	d.Functions[0].ReservedConcurrency = 0
	if err := d.Validate(); err != nil {
		t.Error(err)
	}
}
