// Package awssource reads a pipeline on AWS for the operator's page, with the credentials of who
// watches.
//
// What it reads costs the watcher's account a little, so it is read once for all viewers: metrics
// once a minute, because CloudWatch has no newer ones, all in one call; the history of an alarm
// only when it has changed; log lines by FilterLogEvents, which is free. Logs Insights, which
// charges for each GB, is asked only on request. [Source.Cost] says what it all has cost.
//
// The names of everything follow from the pipeline's name, so no stack is read. What the viewer may
// not read, or AWS does not answer, is missing with a sentence that says why; the rest is there.
package awssource

import (
	"context"
	"math"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/spillwayhq/spillway/cmd/spillway/console"
	"github.com/spillwayhq/spillway/cmd/spillway/console/contents"
	"github.com/spillwayhq/spillway/cmd/spillway/deployed"
	"github.com/spillwayhq/spillway/cmd/spillway/health"
	"github.com/spillwayhq/spillway/cmd/spillway/top"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/insights"
	"github.com/spillwayhq/spillway/shared/signed"
	"github.com/spillwayhq/spillway/shared/ssm"
)

// CloudWatchAPI is what the package needs of a *cloudwatch.Client.
type CloudWatchAPI interface {
	cloudwatch.GetMetricDataAPIClient
	AlarmAPI
}

// An API is what the package needs of AWS.
type API struct {
	Region     string
	CloudWatch CloudWatchAPI
	Queues     QueueAPI
	Logs       cloudwatchlogs.FilterLogEventsAPIClient
	Insights   insights.API
	Parameters ssm.API
	// Object is deployed.ReadObject.
	Object func(ctx context.Context, uri string) ([]byte, error)
	// Function and EventSources are signed.Configuration and signed.EventSources.
	Function     func(ctx context.Context, name string) (signed.Function, error)
	EventSources func(ctx context.Context, function string) ([]signed.EventSource, error)
	// Health is health.Check.
	Health func(ctx context.Context, queueURL string) error
}

// NewAPI makes the clients.
func NewAPI(c aws.Config) API {
	logs := cloudwatchlogs.NewFromConfig(c)
	return API{Region: c.Region, CloudWatch: cloudwatch.NewFromConfig(c), Queues: sqs.NewFromConfig(c), Logs: logs,
		Insights: logs, Parameters: ssm.New(c), Health: health.Check,
		Object: func(ctx context.Context, uri string) ([]byte, error) { return deployed.ReadObject(ctx, c, uri) },
		Function: func(ctx context.Context, name string) (signed.Function, error) {
			return signed.Configuration(ctx, c, name)
		},
		EventSources: func(ctx context.Context, function string) ([]signed.EventSource, error) {
			return signed.EventSources(ctx, c, function)
		}}
}

// A pipeline is what the readers of its parts share.
type pipeline struct {
	API
	about    console.About
	meter    *meter
	metrics  *metricReader
	endpoint atomic.Pointer[topology.EndpointMetrics] // nil: not known
}

// locate returns the metrics that CloudWatch can be asked for, and the places of these among all:
// those of the ingest endpoint only if its alarms have told where they are.
func (p *pipeline) locate(metrics []topology.Metric) (found []wanted, places []int) {
	endpoint := p.endpoint.Load()
	for i, m := range metrics {
		if m.IngestEndpoint && endpoint == nil {
			continue
		}
		var e topology.EndpointMetrics
		if endpoint != nil {
			e = *endpoint
		}
		found, places = append(found, wanted{m.Location(e), m.Statistic}), append(places, i)
	}
	return found, places
}

// values returns n values of each metric, as console.Source's Metrics does.
func (p *pipeline) values(ctx context.Context, metrics []topology.Metric, from time.Time, period time.Duration,
	n int) ([][]float64, error) {
	located, places := p.locate(metrics)
	all := make([][]float64, len(metrics))
	found, err := p.metrics.values(ctx, located, from, period, n)
	if err != nil {
		return nil, err
	}
	for i, place := range places {
		all[place] = found[i]
	}
	for i := range all {
		for len(all[i]) < n {
			all[i] = append(all[i], math.NaN())
		}
	}
	return all, nil
}

// own is one of the metrics that a function of the pipeline writes.
func (p *pipeline) own(function, name, statistic string) topology.Metric {
	return topology.Metric{Pipeline: p.about.Pipeline, Own: function, Name: name, Statistic: statistic}
}

// logGroup is that of the function deliver, ingest or canary.
func (p *pipeline) logGroup(function string) string {
	return p.about.Topology.Names.FunctionLog(p.about.Pipeline + "-" + function)
}

// hasIngest reports whether the pipeline has an ingest endpoint, and hasCanary a canary.
func (p *pipeline) hasIngest() bool { return p.about.Topology.IngestEndpoint.Function != "" }

func (p *pipeline) hasCanary() bool {
	_, ok := p.about.Topology.Function(p.about.Topology.Names.CanaryFunction)
	return ok
}

// A Source is a pipeline on AWS. It implements console.Source and console.Priced, and is safe for
// concurrent use. Close it at the end.
type Source struct {
	*pipeline
	state   *stateReader
	alarms  *alarmReader
	lines   *lineReader
	senders *senderReader
	dead    *contents.Deployed
}

var (
	_ console.Source = (*Source)(nil)
	_ console.Priced = (*Source)(nil)
)

// About implements console.Source.
func (s *Source) About() console.About { return s.about }

// Metrics implements console.Source. Metrics of publishers are there if they write any.
func (s *Source) Metrics(ctx context.Context, metrics []topology.Metric, from time.Time, period time.Duration,
	n int) ([][]float64, error) {
	return s.values(ctx, metrics, from, period, n)
}

// Now implements console.Source.
func (s *Source) Now(ctx context.Context) (console.Now, error) { return s.state.read(ctx) }

// Alarms implements console.Source. An error may come with the alarms: then it is not known when
// they fired before.
func (s *Source) Alarms(ctx context.Context, since time.Time) ([]console.Alarm, error) {
	found, err := s.alarms.describe(ctx, s.about.Topology.AlarmNames())
	if err != nil {
		return nil, err
	}
	if e, ok := endpointMetrics(&s.about.Topology, found); ok {
		s.endpoint.Store(&e)
	}
	all := standing(&s.about.Topology, found)
	return all, s.alarms.firings(ctx, all, since)
}

// Refusals implements console.Source.
func (s *Source) Refusals(ctx context.Context, from, to time.Time) (console.Refusals, error) {
	return s.lines.refused(ctx, from, to)
}

// Samples implements console.Source.
func (s *Source) Samples(ctx context.Context, q console.SampleQuery) ([]console.Sample, error) {
	return s.lines.samples(ctx, q)
}

// Senders implements console.Source. Logs Insights charges for it, see SendersPrice.
func (s *Source) Senders(ctx context.Context, since time.Duration) (top.Report, error) {
	return s.senders.read(ctx, since)
}

// SendersPrice implements console.Priced.
func (s *Source) SendersPrice(ctx context.Context, since time.Duration) (string, error) {
	return s.senders.price(ctx, since)
}

// WriteKeys implements console.Source.
func (s *Source) WriteKeys(ctx context.Context) ([]console.WriteKey, error) {
	return s.senders.writeKeys(ctx)
}

// Switches implements console.Source: Segment itself has none.
func (s *Source) Switches() console.Switches { return nil }

// Cost implements console.Source.
func (s *Source) Cost() string { return s.meter.String() }
