package main

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/jsii-runtime-go"
)

// queueURL is the URL of a queue in a region. The names of queues are fixed, so no stack depends on
// another.
func (s *stack) queueURL(region, name string) *string {
	return awscdk.Fn_Join(jsii.String(""), &[]*string{
		jsii.String("https://sqs." + region + "."), s.UrlSuffix(), jsii.String("/"), s.Account(), jsii.String("/" + name),
	})
}

// fallbackRegions are the other regions to whose queues the ingest function sends what its own
// region's do not take, in order of preference.
func (p *pipeline) fallbackRegions() (others []string) {
	for _, region := range p.settings.Regions {
		if region != p.region && p.settings.IngestFallbacks {
			others = append(others, region)
		}
	}
	return others
}

// fallbackURLs are the URLs of a queue in the fallback regions.
func (p *pipeline) fallbackURLs(name string) *string {
	var urls []*string
	for _, region := range p.fallbackRegions() {
		urls = append(urls, p.queueURL(region, name))
	}
	return awscdk.Fn_Join(jsii.String(","), &urls)
}

// grantFallbacks lets the ingest function send to the queues of the fallback regions.
func (p *pipeline) grantFallbacks(ingest function) {
	n := p.topology.Names
	for _, region := range p.fallbackRegions() {
		arn := func(name string) *string { return p.arnIn(region, "sqs", name) }
		allow(ingest.role, []*string{arn(n.EventsQueue), arn(n.DeadLetterQueue)}, "sqs:SendMessage")
		if key := p.settings.KMSKey(region); key != "" {
			allow(ingest.role, []*string{jsii.String(key)}, "kms:GenerateDataKey", "kms:Decrypt")
		}
	}
}
