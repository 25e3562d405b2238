package main

import (
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/jsii-runtime-go"

	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/eventbridge"
)

// addDeliver creates the function that delivers events to Segment, and its event sources.
func (p *pipeline) addDeliver() {
	n := p.topology.Names
	events, bulk, dead := p.queues[n.EventsQueue], p.queues[n.BulkQueue], p.queues[n.DeadLetterQueue]
	variables := map[string]*string{
		"SPILLWAY_QUEUE_URL": events.QueueUrl(), "SPILLWAY_BULK_QUEUE_URL": bulk.QueueUrl(),
		"SPILLWAY_DEAD_LETTER_QUEUE_URL": dead.QueueUrl(),
	}
	if name := p.settings.EndpointParameter; name != "" {
		variables["SPILLWAY_SEGMENT_ENDPOINT_PARAMETER"] = jsii.String(name)
	} else {
		variables["SPILLWAY_SEGMENT_ENDPOINT"] = jsii.String(p.settings.SegmentEndpoint)
	}
	if name := p.settings.WriteKeyParameter; name != "" {
		variables["SPILLWAY_WRITE_KEY_PARAMETER"] = jsii.String(name)
	}
	pausedKeys := p.topology.Names.Parameter(topology.PausedKeysParameter)
	variables["SPILLWAY_PAUSED_KEYS_PARAMETER"] = jsii.String(pausedKeys)
	if p.settings.Canary {
		variables["SPILLWAY_CANARY_WRITE_KEY"] = p.canaryKey()
		variables["SPILLWAY_DRILL_PARAMETER"] = jsii.String(p.topology.Names.Parameter(topology.DrillParameter))
	}
	if p.settings.EventBridge {
		variables["SPILLWAY_EVENTBRIDGE"] = jsii.String("true")
	}
	if p.archive.stream != nil {
		variables["SPILLWAY_ARCHIVE_STREAM"] = p.archive.stream.Ref()
	}
	deliver := p.newFunction(p.topology.Names.DeliverFunction, "delivers the events of the queue to Segment", variables)
	events.grantReceive(deliver.role)
	bulk.grantReceive(deliver.role)
	bulk.grantSend(deliver.role) // what could not be archived
	dead.grantSend(deliver.role)
	p.grantArchive(deliver)
	for _, name := range []string{p.settings.WriteKeyParameter, p.settings.EndpointParameter} {
		if name != "" {
			p.grantRead(deliver.role, name)
		}
	}
	p.grantReadPlain(deliver.role, pausedKeys)
	if p.settings.Canary {
		p.grantRead(deliver.role, p.topology.Names.Parameter(topology.DrillParameter))
	}
	if p.settings.EventBridge {
		deliver.role.AddToPolicy(awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
			Actions: jsii.Strings("events:PutEvents"), Resources: &[]*string{p.arn("events", "event-bus/default")},
			Conditions: &map[string]any{"StringEquals": map[string]string{"events:source": eventbridge.Source}},
		}))
	}
	live := p.addLive(n.DeliverFunction)
	for _, s := range p.topology.EventSources {
		id := "DeliverSource"
		if s.Queue == n.BulkQueue {
			id = "BulkSource"
		}
		awslambda.NewEventSourceMapping(p.Stack, jsii.String(id), &awslambda.EventSourceMappingProps{
			Target: live, EventSourceArn: p.queues[s.Queue].QueueArn(),
			BatchSize:         jsii.Number(s.BatchSize),
			MaxBatchingWindow: seconds(s.BatchingWindow), MaxConcurrency: jsii.Number(s.MaximumConcurrency),
			ReportBatchItemFailures: jsii.Bool(s.ReportBatchItemFailures),
		})
	}
}
