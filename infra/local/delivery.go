package local

import (
	"context"
	"log/slog"
	"sync"

	"github.com/spillwayhq/spillway/infra/local/lambda"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/app/pipeline"
)

// PipelineOptions returns the options that follow from the topology, for queues at the given SQS
// endpoint.
func PipelineOptions(t *topology.Topology, sqsEndpoint string) pipeline.Options {
	return pipeline.Options{
		Name:               t.Names.Pipeline,
		QueueURL:           QueueURL(sqsEndpoint, t.Names.EventsQueue),
		BulkQueueURL:       QueueURL(sqsEndpoint, t.Names.BulkQueue),
		DeadLetterQueueURL: QueueURL(sqsEndpoint, t.Names.DeadLetterQueue),
	}
}

// A Delivery is the topology's deliver function on the Lambda emulator, fed by the topology's event
// sources. It is safe for concurrent use.
type Delivery struct {
	Function *lambda.Function
	sources  []*lambda.EventSourceMapping // in the topology's order
}

// NewDelivery makes a Delivery. As on AWS the event sources invoke an alias, topology.LiveAlias,
// which names the function's first version. feed has the queue of each name, like FeedFrom;
// onInvocation is told of each invocation; nil: nothing is. The caller closes the function.
func NewDelivery(t *topology.Topology, feed func(queue string) lambda.Queue, environment lambda.EnvironmentFactory,
	logger *slog.Logger, onInvocation func(lambda.Invoked)) (*Delivery, error) {
	f, _ := t.Function(t.Names.DeliverFunction)
	d := &Delivery{Function: lambda.NewFunction(lambda.FunctionConfig{
		Name: f.Name, Timeout: f.Timeout, ReservedConcurrency: f.ReservedConcurrency, MemoryMB: f.MemoryMB, Region: Region,
		NewEnvironment: environment,
	})}
	live, err := d.Function.CreateAlias(topology.LiveAlias, lambda.Routing{Version: d.Function.Publish().Number()})
	if err != nil {
		return nil, err
	}
	for _, source := range t.EventSources {
		mapping, err := lambda.NewEventSourceMapping(lambda.MappingConfig{
			Queue: feed(source.Queue), QueueARN: QueueARN(source.Queue), Function: live,
			BatchSize: source.BatchSize, MaximumBatchingWindow: source.BatchingWindow,
			MaximumConcurrency:      source.MaximumConcurrency,
			ReportBatchItemFailures: source.ReportBatchItemFailures, Logger: logger,
			OnInvocation: onInvocation,
		})
		if err != nil {
			return nil, err
		}
		d.sources = append(d.sources, mapping)
	}
	return d, nil
}

// Run runs the event sources until ctx ends, see lambda.EventSourceMapping.Run.
func (d *Delivery) Run(ctx context.Context) error {
	var running sync.WaitGroup
	failed := make([]error, len(d.sources))
	for i, source := range d.sources {
		running.Go(func() { failed[i] = source.Run(ctx) })
	}
	running.Wait()
	for _, err := range failed {
		if err != nil {
			return err
		}
	}
	return nil
}

// SetEnabled enables or disables all event sources, see lambda.EventSourceMapping.SetEnabled.
func (d *Delivery) SetEnabled(enabled bool) {
	for _, source := range d.sources {
		source.SetEnabled(enabled)
	}
}

// Stats are those of all event sources together.
func (d *Delivery) Stats() (all lambda.Stats) {
	for _, source := range d.sources {
		all = all.Add(source.Stats())
	}
	return all
}
