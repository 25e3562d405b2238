package main

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/jsii-runtime-go"
)

// addOutputs says what a user needs next. cmd/spillway reads them by their names.
func (p *pipeline) addOutputs() {
	p.output("IngestUrl", "what SDKs take for their host", p.door.url)
	p.output("EventsQueueUrl", "where messages are sent", p.queues[p.topology.Names.EventsQueue].QueueUrl())
	p.output("DeadLetterQueueUrl", "where the dead letters are", p.queues[p.topology.Names.DeadLetterQueue].QueueUrl())
	p.output("PublisherQueueUrls", "the queues of all regions for a publisher in this one, in order of preference",
		p.publisherQueues())
	p.output("DeliverLogGroup", "the log of the deliver function",
		p.functions[p.topology.Names.DeliverFunction].logs.LogGroupName())
	p.output("DashboardUrl", "is everything all right?",
		jsii.String("https://"+p.region+".console.aws.amazon.com/cloudwatch/home?region="+p.region+"#dashboards/dashboard/"+p.topology.Names.Stack(p.region)))
	p.output("SpillwayCommand", "lists the dead letters",
		jsii.String("AWS_REGION="+p.region+" go run ./cmd/spillway dlq ls --stack "+p.topology.Names.Stack(p.region)))
}

// publisherQueues are the events queues of all regions, this one's first: their names are fixed, so
// that no stack has to wait for another one.
func (p *pipeline) publisherQueues() *string {
	var urls []*string
	add := func(region string) {
		urls = append(urls, awscdk.Fn_Join(jsii.String(""), &[]*string{
			jsii.String("https://sqs." + region + "."), p.UrlSuffix(), jsii.String("/"), p.Account(),
			jsii.String("/" + p.topology.Names.EventsQueue),
		}))
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
