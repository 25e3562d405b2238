package main

import (
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awss3"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssns"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsssm"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"github.com/spillwayhq/spillway/infra/settings"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/status"
)

// A statusSite is the stack of one status region: a bucket with the site, the function that writes
// it every minute from what it sees of the pipeline's regions, and an alarm. It refers to nothing
// of the pipeline's stacks: what it reads has names that are known before, so that it is deployed,
// and goes on, without them.
type statusSite struct {
	stack
	site   topology.StatusSite
	bucket awss3.Bucket
}

// newStatusSite builds the stack of a status region. The first one has the distribution, which is
// in no region.
func newStatusSite(app constructs.Construct, region string, first bool, chosen *settings.Settings, env environment) {
	site := chosen.StatusTopology()
	s := &statusSite{
		stack: newStack(app, site.Names.StatusStack(region), region,
			"Spillway: the status site for customers, and the function that writes it", site.Topology, chosen, env),
		site: site,
	}
	s.addBucket()
	s.addFunction()
	s.addSchedules()
	s.addAlarms(map[string]awssns.Topic{
		site.Names.TicketTopic: s.newTopic("Tickets", site.Names.TicketTopic, " status site", chosen.TicketRecipients()),
	})
	s.output(topology.OutputStatusBucket, "the bucket of the status site", s.bucket.BucketName())
	if first {
		s.addDistribution()
	} else {
		// The distribution is in the other region's stack, whose ID is not known here.
		s.allowCloudFront(s.cloudFront("distribution/*"))
	}
	s.output(topology.OutputVersion, "the version of Spillway", jsii.String(s.version))
}

// addBucket creates the bucket of the site. Nobody but CloudFront and the function reads it.
//
// Deleting the stack retains it: customers may have been told to find the history of incidents
// there, and nothing else has it. It is created together with what may be deleted again when that
// fails. The deployment page says how a new stack takes it over.
//
// Versions are for a document that a person or a wrong version has broken.
func (s *statusSite) addBucket() {
	s.bucket = awss3.NewBucket(s.Stack, jsii.String("Site"), &awss3.BucketProps{
		BucketName:        s.bucketName(s.region),
		BlockPublicAccess: awss3.BlockPublicAccess_BLOCK_ALL(), EnforceSSL: jsii.Bool(true),
		Encryption: awss3.BucketEncryption_S3_MANAGED, Versioned: jsii.Bool(true),
		RemovalPolicy: awscdk.RemovalPolicy_RETAIN_ON_UPDATE_OR_DELETE,
		LifecycleRules: &[]*awss3.LifecycleRule{{
			Id: jsii.String("earlier-versions"), NoncurrentVersionExpiration: seconds(s.site.KeptVersions),
			AbortIncompleteMultipartUploadAfter: awscdk.Duration_Days(jsii.Number(1)),
		}},
	})
}

// bucketName is the name of a status region's bucket, which other stacks know without a reference.
func (s *statusSite) bucketName(region string) *string {
	return jsii.String(s.topology.Names.StatusBucket(*s.Account(), region))
}

// addFunction creates the function that writes the site to the buckets of all status regions, and
// may read what it shows in the pipeline's regions.
func (s *statusSite) addFunction() {
	n := s.topology.Names
	var queues, buckets []*string
	for _, region := range s.settings.Regions {
		queues = append(queues, s.queueURL(region, n.EventsQueue))
	}
	for _, region := range s.settings.StatusRegions {
		buckets = append(buckets, jsii.String(region+"="+*s.bucketName(region)))
	}
	variables := map[string]*string{
		"SPILLWAY_STATUS_REGIONS": jsii.String(strings.Join(s.settings.Regions, ",")),
		"SPILLWAY_STATUS_QUEUES":  awscdk.Fn_Join(jsii.String(","), &queues),
		"SPILLWAY_STATUS_BUCKETS": awscdk.Fn_Join(jsii.String(","), &buckets),
	}
	if s.settings.IngestEndpoint != settings.None {
		variables["SPILLWAY_STATUS_INGEST_URL_PARAMETER"] = jsii.String(n.Parameter(topology.IngestURLParameter))
	}
	if s.settings.SiteFile() != nil {
		variables["SPILLWAY_STATUS_SITE"] = jsii.String(topology.StatusFile)
	}
	f := s.newFunction(n.StatusFunction, "writes the status site every minute", variables)
	s.grantWatch(f.role)
	s.grantWrite(f.role)
}

// grantWatch allows the role what it reads in the pipeline's regions. Metrics have no resource that
// a policy could name, and DescribeAlarms returns no composite alarm to who may read only some
// alarms.
func (s *statusSite) grantWatch(role awsiam.Role) {
	n := s.topology.Names
	role.AddToPolicy(awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
		Actions:    jsii.Strings("cloudwatch:DescribeAlarms", "cloudwatch:GetMetricStatistics"),
		Resources:  jsii.Strings("*"),
		Conditions: &map[string]any{"StringEquals": map[string]any{"aws:RequestedRegion": s.settings.Regions}},
	}))
	var queues, parameters []*string
	for _, region := range s.settings.Regions {
		queues = append(queues, s.arnIn(region, "sqs", n.EventsQueue))
		parameters = append(parameters, s.arnIn(region, "ssm",
			"parameter"+n.Parameter(topology.IngestURLParameter)))
	}
	allow(role, queues, "sqs:GetQueueAttributes")
	if s.settings.IngestEndpoint != settings.None {
		allow(role, parameters, "ssm:GetParameter")
	}
}

// grantWrite allows the role to read and write the sites of all status regions. That it may list
// tells a file that is not there from one that it may not read.
func (s *statusSite) grantWrite(role awsiam.Role) {
	var buckets, objects []*string
	for _, region := range s.settings.StatusRegions {
		bucket := "arn:" + *s.Partition() + ":s3:::" + *s.bucketName(region)
		buckets = append(buckets, jsii.String(bucket))
		for _, folder := range []string{status.SiteFolder, status.StateFolder} {
			objects = append(objects, jsii.String(bucket+"/"+folder+"/*"))
		}
	}
	allow(role, objects, "s3:GetObject", "s3:PutObject")
	allow(role, buckets, "s3:ListBucket")
}

// arnIn is the ARN of a resource in another region of this stack's account.
func (s *stack) arnIn(region, service, resource string) *string {
	return s.FormatArn(&awscdk.ArnComponents{Service: jsii.String(service), Region: jsii.String(region),
		Resource: jsii.String(resource)})
}

// tellOfStatus writes parameters, only where there is a status site: the ingest endpoint's URL for
// the status function, which is in another region, because API Gateway makes up the host; and for
// `spillway doctor` where the site is.
func (p *pipeline) tellOfStatus() {
	n := p.topology.Names
	tell := func(id, name, description string, value *string) {
		awsssm.NewStringParameter(p.Stack, jsii.String(id), &awsssm.StringParameterProps{
			ParameterName: jsii.String(n.Parameter(name)), StringValue: value, Description: jsii.String(description),
		})
	}
	if len(p.settings.StatusRegions) == 0 {
		return
	}
	tell("StatusRegionsParameter", topology.StatusRegionsParameter, "the regions with the status site",
		jsii.String(strings.Join(p.settings.StatusRegions, ",")))
	if p.endpoint.url != nil {
		url := p.endpoint.url
		if p.endpoint.target != nil { // other regions share the URL's host: see AskHealth of shared/app/status
			url = awscdk.Fn_Join(jsii.String("#"), &[]*string{url, p.endpoint.target})
		}
		tell("IngestUrlParameter", topology.IngestURLParameter, "ingest endpoint of this region, for the status function",
			url)
	}
}
