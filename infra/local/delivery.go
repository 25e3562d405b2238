package local

import (
	"log/slog"

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
		DeadLetterQueueURL: QueueURL(sqsEndpoint, t.Names.DeadLetterQueue),
	}
}

// NewDelivery runs the topology's deliver function on the Lambda emulator, fed by the topology's
// event source from a queue. As on AWS the event source invokes an alias, topology.LiveAlias, which
// names the function's first version. onInvocation is told of each invocation; nil: nothing is.
func NewDelivery(t *topology.Topology, queue lambda.Queue, environment lambda.EnvironmentFactory,
	logger *slog.Logger, onInvocation func(lambda.Invoked)) (*lambda.Function, *lambda.EventSourceMapping, error) {
	source := t.EventSources[0]
	f, _ := t.Function(source.Function)
	function := lambda.NewFunction(lambda.FunctionConfig{
		Name: f.Name, Timeout: f.Timeout, ReservedConcurrency: f.ReservedConcurrency, MemoryMB: f.MemoryMB, Region: Region,
		NewEnvironment: environment,
	})
	live, err := function.CreateAlias(topology.LiveAlias, lambda.Routing{Version: function.Publish().Number()})
	if err != nil {
		return nil, nil, err
	}
	mapping, err := lambda.NewEventSourceMapping(lambda.MappingConfig{
		Queue: queue, QueueARN: QueueARN(source.Queue), Function: live,
		BatchSize: source.BatchSize, MaximumBatchingWindow: source.BatchingWindow,
		MaximumConcurrency:      source.MaximumConcurrency,
		ReportBatchItemFailures: source.ReportBatchItemFailures, Logger: logger,
		OnInvocation: onInvocation,
	})
	return function, mapping, err
}
