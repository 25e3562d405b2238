// Package estimate describes the deployed pipeline in the terms of a bill: how large its functions
// are, how much each invocation logs, how many metrics and alarms it has.
//
// It computes them with the code that is deployed, so that the estimate changes with the pipeline.
package estimate

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/canary"
	"github.com/spillwayhq/spillway/shared/deliver"
	"github.com/spillwayhq/spillway/shared/emf"
	"github.com/spillwayhq/spillway/shared/heavy"
	"github.com/spillwayhq/spillway/shared/ingest"
	"github.com/spillwayhq/spillway/shared/operator"
	"github.com/spillwayhq/spillway/shared/price"
	"github.com/spillwayhq/spillway/shared/segment"
	"github.com/spillwayhq/spillway/shared/traffic"
)

// Settings are what a deployment may choose.
type Settings struct {
	Ingest                    price.IngestEndpoint // what SDKs post to
	Regions                   int
	Canary, Alarms, Dashboard bool
	Domain                    bool // one name in front of all regions
	Rollout                   bool // a new version takes over by steps, with an alarm on it
}

// Pipeline describes the deployed topology with these settings.
func Pipeline(s Settings) price.Pipeline {
	options := topology.DefaultOptions()
	options.Rollout = s.Rollout
	options.NoCanary, options.NoIngest = !s.Canary, s.Ingest == price.NoIngestEndpoint
	t := topology.New(options)
	p := price.Pipeline{Endpoint: s.Ingest, EventSources: len(t.EventSources),
		ConcurrentFlushes: deliver.DefaultConcurrencyLimit, Regions: s.Regions}
	for _, source := range t.EventSources {
		p.BatchSize, p.BatchingWindow = source.BatchSize, source.BatchingWindow
	}
	for _, schedule := range t.Schedules {
		p.CanaryEvery = schedule.Every
	}
	if p.CanaryEvery > 0 { // the canary's function compares
		p.CompareEvery = traffic.Interval
	}
	p.SenderLineBytes = heavyLineBytes()
	for _, f := range []struct {
		name    string
		price   *price.Function
		metrics []emf.Metric
	}{
		{t.Names.DeliverFunction, &p.Deliver, deliverMetrics(s.Canary)},
		{t.Names.IngestFunction, &p.Ingest, ingestMetrics()},
		{t.Names.CanaryFunction, &p.Canary, canaryMetrics()},
	} {
		deployed, exists := t.Function(f.name)
		if !exists {
			continue
		}
		f.price.MemoryMB, f.price.LogBytes = deployed.MemoryMB, logBytes(deployed.Metrics, f.metrics)
		p.Metrics += paid(f.metrics)
		switch f.price {
		case &p.Ingest: // which writes no line of its own about a request that is well
			p.Ingest.LogBytes -= lineBytes
			p.Metrics += paid(noiseMetrics())
		case &p.Canary: // which compares the traffic too, once in five minutes
			compared := traffic.Result{HasRatio: true, HasGrowth: true}
			p.Metrics += paid(compared.Metrics())
		}
	}
	if p.Endpoint == price.HTTPAPI {
		p.Ingest.LogBytes += accessLogBytes
	}
	if s.Alarms {
		for _, a := range t.Alarms {
			p.AlarmMetrics += max(1, len(a.Metrics)) // an alarm on an expression is paid by its metrics
		}
		p.AlarmMetrics += len(t.Routing) + versionAlarms(t, s)
		p.CompositeAlarms = len(t.Composites)
	}
	if s.Dashboard {
		p.Dashboards = 1
	}
	if s.Domain && s.Regions > 1 && len(t.Routing) > 0 {
		p.HealthChecks = len(t.Routing) + 1 // one for each alarm, and one over them
	}
	return p
}

// versionAlarms are how many metrics the alarms on the versions of functions have.
func versionAlarms(t topology.Topology, s Settings) int {
	if !s.Rollout {
		return 0
	}
	n := len(t.VersionAlarm(t.Names.DeliverFunction, "1").Metrics)
	if s.Ingest == price.HTTPAPI { // a function URL has no versions behind it
		n += len(t.VersionAlarm(t.Names.IngestFunction, "1").Metrics)
	}
	return n
}

// StatusSite describes the deployed status site in so many regions, whose page is loaded so often
// in a month.
func StatusSite(regions int, views float64) price.StatusSite {
	site := topology.NewStatusSite(topology.DefaultOptions())
	s := price.StatusSite{Regions: regions, Views: views}
	var written []emf.Metric // those that its alarms watch
	for _, a := range site.Alarms {
		s.AlarmMetrics += len(a.Metrics)
		for _, m := range a.Metrics {
			if m.Own != "" {
				written = append(written, emf.Metric{Name: m.Name, Unit: emf.Count, Values: []float64{1}})
			}
		}
	}
	s.Metrics = len(written)
	for _, f := range site.Functions {
		s.Function = price.Function{MemoryMB: f.MemoryMB, LogBytes: logBytes(f.Metrics, written)}
	}
	for _, schedule := range site.Schedules {
		s.Every = schedule.Every
	}
	return s
}

// Archive describes the deployed archive of a region that keeps events for so long.
func Archive(kept time.Duration, alarms bool) price.Archive {
	options := topology.DefaultOptions()
	without := topology.New(options)
	options.ArchiveKept = kept
	t := topology.New(options)
	a := price.Archive{Kept: t.Archive.Kept, BufferBytes: float64(t.Archive.BufferBytes), BufferTime: t.Archive.BufferTime}
	r := deliver.Report{Archived: 1}
	a.Metrics = paid(r.Metrics()) - paid(new(deliver.Report).Metrics())
	for _, alarm := range t.Alarms {
		if _, always := without.Alarm(alarm.Name); alarms && !always {
			a.AlarmMetrics += len(alarm.Metrics)
		}
	}
	return a
}

// paid is how many metrics CloudWatch counts: one for each set of dimensions.
func paid(metrics []emf.Metric) int {
	n := len(metrics)
	for i := range metrics {
		if metrics[i].ByVersion {
			n++
		}
	}
	return n
}

// deliverMetrics are the metrics that deliver writes while nothing fails. Metrics of failures cost
// little, because AWS charges by the hour in which they are written.
func deliverMetrics(withCanary bool) []emf.Metric {
	r := deliver.Report{Messages: 1, Events: 1, Delivered: 1, Ages: []time.Duration{time.Second},
		Flushes: []deliver.Flush{{Events: 1, Class: segment.Delivered}}}
	if withCanary {
		r.CanaryEvents, r.CanaryAges, r.CanaryTimes = 1, []time.Duration{time.Second}, []time.Time{time.Unix(0, 0)}
	}
	return r.Metrics()
}

// canaryMetrics are those that the canary's function writes each minute.
func canaryMetrics() []emf.Metric {
	metrics := new(canary.Result).Metrics()
	for _, name := range []string{operator.PausedMetric, operator.PausedKeysMetric, operator.DrainedMetric} {
		metrics = append(metrics, emf.Metric{Name: name, Unit: emf.Count, Values: []float64{0}})
	}
	return metrics
}

// heavyLineBytes is the size of a full line with the heaviest senders, whose names are of a usual
// length.
func heavyLineBytes() float64 {
	const names, keys = 2 * heavy.Accepted, heavy.Accepted
	c := heavy.NewCounter(emf.DefaultPipeline, heavy.PartIngest)
	for key := range keys {
		c.Count(heavy.Key{ID: "1a2b3c4d", Name: fmt.Sprint("source ", key)}, names, func(i int) heavy.Event {
			return heavy.Event{Name: fmt.Appendf(nil, "Product Viewed %d", i), Size: 1000}
		})
	}
	var written byteCount
	_ = c.Write(&written, time.Unix(0, 0)) // a byteCount can't fail
	return float64(written)
}

// ingestMetrics are those that ingest writes of a request while nothing fails.
func ingestMetrics() []emf.Metric {
	t := ingest.Totals{Requests: map[int]int{http.StatusOK: 1}, Accepted: 1, Latencies: []time.Duration{time.Second}}
	return t.Metrics()
}

// noiseMetrics are those of what is no SDK's event. Scanners find a public endpoint in hours and
// never leave it, so ingest writes these in nearly every hour.
func noiseMetrics() []emf.Metric {
	t := ingest.Totals{Refused: map[string]int{"": 2}, KeysRefused: 1}
	t.Caused[ingest.CauseRequest], t.Caused[ingest.CauseWriteKey] = 1, 1
	usual := ingestMetrics()
	return slices.DeleteFunc(t.Metrics(), func(m emf.Metric) bool {
		return slices.ContainsFunc(usual, func(u emf.Metric) bool { return u.Name == m.Name })
	})
}

// What else an invocation logs, in bytes, about, each line with the 26 bytes that CloudWatch adds.
const (
	lambdaLogBytes = 420 // Lambda's START, END and REPORT
	lineBytes      = 480 // the function's own line
	accessLogBytes = 350 // of the HTTP API
)

// logBytes is about how much an invocation logs: its metrics, as they really are written, and its
// other lines.
func logBytes(function string, metrics []emf.Metric) float64 {
	var written byteCount
	// A byteCount can't fail.
	_ = emf.NewVersionWriter(&written, emf.DefaultPipeline, function, "100").Write(time.Unix(0, 0), metrics...)
	return float64(written) + lambdaLogBytes + lineBytes
}

// byteCount is a Writer that only counts.
type byteCount int

func (c *byteCount) Write(p []byte) (int, error) {
	*c += byteCount(len(p))
	return len(p), nil
}
