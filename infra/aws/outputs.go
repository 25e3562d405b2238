package main

import (
	"encoding/json"
	"strings"

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
		jsii.String(p.settings.kept()))
	p.output(topology.OutputCommand, "a command that lists the dead letters",
		jsii.String("AWS_REGION="+p.region+" go run ./cmd/spillway dlq ls --name "+p.topology.Names.Pipeline))
}

// maxKept is the length of a setting's text in the output, so that all of them stay well below the
// size of a parameter, 4 KB: long lists of tags or addresses are kept by their fingerprint.
const maxKept = 200

// kept are the effective settings as a JSON object.
func (s *settings) kept() string {
	texts := s.shown()
	for name, text := range texts {
		texts[name] = shortened(text)
	}
	object, _ := json.Marshal(texts) // a map of strings: it can't fail, and its keys are in order
	return string(object)
}

// shortened is a text of at most maxKept bytes that differs as the whole text does.
func shortened(text string) string {
	if len(text) <= maxKept {
		return text
	}
	return strings.ToValidUTF8(text[:maxKept/2], "") + "… (" + fingerprint(text) + ")"
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
