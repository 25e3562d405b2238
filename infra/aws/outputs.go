package main

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/regioninfo"
	"github.com/aws/jsii-runtime-go"

	"github.com/spillwayhq/spillway/infra/topology"
)

// addOutputs adds what a user needs next. cmd/spillway reads some of the outputs.
func (p *pipeline) addOutputs() {
	if p.endpoint.url != nil {
		p.output(topology.OutputIngestURL, "the host for SDKs", p.endpoint.url)
	}
	n := p.topology.Names
	p.output(topology.OutputEventsQueueURL, "the events queue", p.queues[n.EventsQueue].QueueUrl())
	p.output(topology.OutputBulkQueueURL, "the queue of what is not urgent", p.queues[n.BulkQueue].QueueUrl())
	p.output(topology.OutputDeadLetterQueueURL, "the dead-letter queue", p.queues[n.DeadLetterQueue].QueueUrl())
	p.output(topology.OutputPublisherQueueURLs,
		"the events queues of all regions, in order of preference for a publisher in this region",
		p.publisherQueues())
	p.output(topology.OutputDeliverLogGroup, "the log of the deliver function",
		p.functions[p.topology.Names.DeliverFunction].logs.LogGroupName())
	partition := *regioninfo.RegionInfo_Get(jsii.String(p.region)).Partition()
	if url := p.topology.Names.DashboardURL(partition, p.region); url != "" {
		p.output(topology.OutputDashboardURL, "the dashboard", jsii.String(url))
	}
	if p.archive.bucket != nil {
		p.output(topology.OutputArchiveBucket, "the bucket of the archive", p.archive.bucket.BucketName())
	}
	p.output(topology.OutputVersion, "the version of Spillway", jsii.String(p.version))
	p.output(topology.OutputSettings, "the settings of this deployment, with which the next one is compared",
		jsii.String(p.settings.Kept()))
	p.output(topology.OutputCommand, "a command that lists the dead letters",
		jsii.String("AWS_REGION="+p.region+" go run ./cmd/spillway dlq ls --name "+p.topology.Names.Pipeline))
}

// publisherQueues are the events queues of all regions, this region's first.
func (p *pipeline) publisherQueues() *string {
	var urls []*string
	add := func(region string) {
		urls = append(urls, p.queueURL(region, p.topology.Names.EventsQueue))
	}
	add(p.region)
	for _, region := range p.settings.Regions {
		if region != p.region {
			add(region)
		}
	}
	if len(urls) == 1 {
		return urls[0]
	}
	return awscdk.Fn_Join(jsii.String(","), &urls)
}
