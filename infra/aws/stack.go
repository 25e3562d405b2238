package main

import (
	"errors"
	"maps"
	"slices"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssns"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"github.com/spillwayhq/spillway/infra/settings"
	"github.com/spillwayhq/spillway/infra/topology"
)

// An environment is what stacks are deployed to and with: the account, empty for that of the
// caller; what each region has already; and the built functions.
type environment struct {
	account  string
	version  string // of Spillway; empty: not known
	deployed map[string]deployed
	zoneID   string // of the hosted zone; empty: the settings have none
	assets   assets
}

// addStacks adds the stacks of all regions to the app. The error says which of them must not be
// deployed.
func addStacks(app constructs.Construct, s *settings.Settings, env environment) error {
	var errs []error
	for _, region := range s.Regions {
		errs = append(errs, newPipeline(app, region, s, env).refuseOtherQueues())
	}
	for i, region := range s.StatusRegions {
		newStatusSite(app, region, i == 0, s, env)
	}
	return errors.Join(errs...)
}

// A stack is what every stack has while it is built: where it is, and what it is made of.
type stack struct {
	awscdk.Stack
	region   string
	version  string
	settings *settings.Settings
	topology topology.Topology // what is made
	assets   assets

	functions map[string]function
	endpoint  endpoint // of ingest, whose metrics alarms watch; zero: there is none
}

// newStack begins a stack. Stacks share nothing: neither those of several regions, nor those of
// several pipelines in one region.
func newStack(app constructs.Construct, name, region, description string, t topology.Topology,
	chosen *settings.Settings, env environment) stack {
	s := stack{
		Stack: awscdk.NewStack(app, jsii.String(name), &awscdk.StackProps{
			Description:           jsii.String(description),
			Env:                   &awscdk.Environment{Account: optional(env.account), Region: jsii.String(region)},
			AnalyticsReporting:    jsii.Bool(false),
			TerminationProtection: jsii.Bool(chosen.TerminationProtection),
			// On the stack and not in the template, so that another version of unchanged resources
			// changes none.
			Tags: &map[string]*string{"version": jsii.String(env.version)},
		}),
		region: region, version: env.version, settings: chosen, topology: t, assets: env.assets,
		functions: map[string]function{},
	}
	tags := chosen.AllTags()
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		awscdk.Tags_Of(s.Stack).Add(jsii.String(key), jsii.String(tags[key]), &awscdk.TagProps{
			// CloudFormation does not accept tags for dashboards in every region.
			ExcludeResourceTypes: jsii.Strings("AWS::CloudWatch::Dashboard"),
		})
	}
	if arn := chosen.PermissionsBoundary; arn != "" {
		awsiam.PermissionsBoundary_Of(s.Stack).Apply(
			awsiam.ManagedPolicy_FromManagedPolicyArn(s.Stack, jsii.String("Boundary"), jsii.String(arn)))
	}
	return s
}

// A pipeline is the stack of one of the pipeline's regions.
type pipeline struct {
	stack
	deployed deployed
	zoneID   string  // as in the environment
	domain   *domain // of the ingest endpoint; nil: it has none
	queues   map[string]queue
	archive  archive
}

// newPipeline builds the pipeline of one region.
func newPipeline(app constructs.Construct, region string, chosen *settings.Settings, env environment) *pipeline {
	t := chosen.Topology()
	before, asked := env.deployed[region]
	if !asked {
		before.err = errNotAsked
	}
	p := &pipeline{
		stack: newStack(app, t.Names.Stack(region), region,
			"Spillway: events queue, delivery to Segment, ingest endpoint for SDKs, alarms", t, chosen, env),
		deployed: before, zoneID: env.zoneID, queues: map[string]queue{},
	}
	p.addQueues()
	p.addArchive()
	p.addDeliver()
	p.addIngest()
	p.addCanary()
	p.addRollout()
	p.addSchedules()
	p.addAlarms(map[string]awssns.Topic{
		t.Names.AlarmTopic:  p.newTopic("Alarms", t.Names.AlarmTopic, "", chosen.Emails),
		t.Names.TicketTopic: p.newTopic("Tickets", t.Names.TicketTopic, " tickets", chosen.TicketRecipients()),
	})
	p.addRecords()
	p.addDashboard()
	p.tellOfStatus()
	p.addOutputs()
	return p
}

// optional is nil for an empty text.
func optional(text string) *string {
	if text == "" {
		return nil
	}
	return jsii.String(text)
}

// arn is the ARN of a resource in this stack's account and region. AWS makes it of the name, so it
// needs no reference to the resource.
func (s *stack) arn(service, resource string) *string {
	return s.FormatArn(&awscdk.ArnComponents{Service: jsii.String(service), Resource: jsii.String(resource)})
}

// allow allows the role these actions on these resources.
func allow(role awsiam.Role, resources []*string, actions ...string) {
	role.AddToPolicy(awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{Actions: jsii.Strings(actions...),
		Resources: &resources}))
}

func (s *stack) output(id, description string, value *string) {
	awscdk.NewCfnOutput(s.Stack, jsii.String(id),
		&awscdk.CfnOutputProps{Value: value, Description: jsii.String(description)})
}
