package awssource

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/smithy-go"

	"github.com/spillwayhq/spillway/cmd/spillway/console"
	"github.com/spillwayhq/spillway/cmd/spillway/deployed"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/signed"
)

// beginTimeout bounds what is read before the page is there.
const beginTimeout = 15 * time.Second

// begun is what is read before the page is there.
type begun struct {
	queues    map[string]string // URLs, by the queue's name
	queuesErr error
	alarms    map[string]described
	functions map[string]signed.Function // by name
	missing   map[string]bool            // functions that do not exist
	sources   []signed.EventSource
}

// New finds a pipeline by its names. An error says that there is none, or that AWS can't be asked
// at all; what the viewer may not read is left out. dir is where the files of deleted dead letters
// are written.
func New(ctx context.Context, api API, names topology.Names, dir string) (*Source, error) {
	p := &pipeline{API: api, meter: &meter{}}
	alarms := newAlarmReader(api.CloudWatch, p.meter)
	b := p.begin(ctx, alarms, names)
	if b.queuesErr != nil && !deployed.Denied(b.queuesErr) {
		return nil, b.queuesErr
	}
	p.about = b.about(names, api.Region)
	if e, ok := endpointMetrics(&p.about.Topology, b.alarms); ok {
		p.endpoint.Store(&e)
	}
	p.metrics = newMetricReader(api.CloudWatch, p.meter)
	state := newStateReader(p, b.queues)
	senders := newSenderReader(p, state)
	return &Source{pipeline: p, state: state, alarms: alarms, lines: newLineReader(p), senders: senders,
		dead: newDeadLetters(p, senders, dir)}, nil
}

// begin reads what the page is of, all at the same time.
func (p *pipeline) begin(ctx context.Context, alarms *alarmReader, n topology.Names) begun {
	ctx, cancel := context.WithTimeout(ctx, beginTimeout)
	defer cancel()
	b := begun{queues: map[string]string{}, functions: map[string]signed.Function{}, missing: map[string]bool{}}
	all := topology.DefaultOptions()
	all.Names, all.ArchiveKept = n, topology.DefaultArchiveKept
	complete := topology.New(all)
	var mu sync.Mutex
	var reading sync.WaitGroup
	for _, queue := range []string{n.EventsQueue, n.DeadLetterQueue} {
		reading.Go(func() {
			url, err := p.queueURL(ctx, n.Pipeline, queue)
			mu.Lock()
			defer mu.Unlock()
			b.queues[queue] = url
			b.queuesErr = cmp.Or(b.queuesErr, err)
		})
	}
	for _, function := range []string{n.DeliverFunction, n.IngestFunction, n.CanaryFunction} {
		reading.Go(func() {
			f, err := p.Function(ctx, function)
			mu.Lock()
			defer mu.Unlock()
			b.functions[function], b.missing[function] = f, isMissing(err)
		})
	}
	// The page says why the alarms can't be read.
	reading.Go(func() { b.alarms, _ = alarms.describe(ctx, complete.AlarmNames()) })
	reading.Go(func() { b.sources, _ = p.EventSources(ctx, n.DeliverFunction) })
	reading.Wait()
	return b
}

// isMissing reports whether Lambda says that a function does not exist.
func isMissing(err error) bool {
	answer := (smithy.APIError)(nil)
	return errors.As(err, &answer) && answer.ErrorCode() == "ResourceNotFoundException"
}

// queueURL finds a queue.
func (p *pipeline) queueURL(ctx context.Context, pipeline, queue string) (string, error) {
	url, err := deployed.QueueURL(ctx, p.Queues, p.Region, pipeline, queue)
	if err != nil && !errors.Is(err, deployed.ErrNoQueue) {
		err = deployed.Explain(err, fmt.Sprintf("find the queue %s in %s", queue, p.Region), "sqs:GetQueueUrl")
	}
	p.meter.queueRequests(1)
	return url, err
}

// about is what the page is of. Of the topology only what the page shows matters: which parts there
// are, and the event source's numbers.
func (b *begun) about(n topology.Names, region string) console.About {
	o := topology.DefaultOptions()
	o.Names = n
	deployed.Feed(&o, b.sources)
	lacks := func(function, alarm string) bool {
		_, has := b.alarms[n.Alarm(alarm)]
		known := b.functions[function].Timeout > 0
		return b.missing[function] || !known && len(b.alarms) > 0 && !has
	}
	o.NoIngest = lacks(n.IngestFunction, "ingest-down")
	o.NoCanary = lacks(n.CanaryFunction, "canary-stopped")
	deliver := b.functions[n.DeliverFunction].Environment.Variables
	deployed.KeepArchive(&o, deliver)
	return console.About{Pipeline: n.Pipeline, Region: region, Topology: topology.New(o),
		Version: deliver[deployed.VarVersion], SegmentURL: deliver[deployed.VarEndpoint],
		IngestURL: cmp.Or(b.functions[n.IngestFunction].Environment.Variables[deployed.VarPublicURL],
			b.functions[n.CanaryFunction].Environment.Variables[deployed.VarIngestURL]),
		EventsURL: b.queues[n.EventsQueue], DeadLetterURL: b.queues[n.DeadLetterQueue],
		DashboardURL: n.DashboardURL(b.partition(), region),
		Command:      "AWS_REGION=" + region + " spillway", Flags: " --name " + n.Pipeline,
	}
}

// partition is that of the alarms' ARNs; aws if there is none.
func (b *begun) partition() string {
	for _, a := range b.alarms {
		if parsed, err := arn.Parse(a.arn); err == nil {
			return parsed.Partition
		}
	}
	return "aws"
}
