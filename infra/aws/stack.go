package main

import (
	"maps"
	"slices"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"github.com/spillwayhq/spillway/infra/topology"
)

// An environment is what stacks are deployed to and with: the account, empty for that of the
// caller; what each region has already; and the built functions.
type environment struct {
	account  string
	version  string // of Spillway; empty: not known
	deployed map[string]deployed
	assets   assets
}

// A pipeline is the stack of one region while it is built.
type pipeline struct {
	awscdk.Stack
	region   string
	version  string
	settings *settings
	topology topology.Topology
	assets   assets
	deployed deployed

	queues    map[string]queue
	functions map[string]function
	endpoint  endpoint
}

// newStack builds the pipeline of one region. Stacks share nothing: neither those of several
// regions, nor those of several pipelines in one region.
func newStack(app constructs.Construct, region string, settings *settings, env environment) awscdk.Stack {
	t := settings.topology()
	before, asked := env.deployed[region]
	if !asked {
		before.err = errNotAsked
	}
	p := &pipeline{
		Stack: awscdk.NewStack(app, jsii.String(t.Names.Stack(region)), &awscdk.StackProps{
			Description:           jsii.String("Spillway: events queue, delivery to Segment, ingest endpoint for SDKs, alarms"),
			Env:                   &awscdk.Environment{Account: optional(env.account), Region: jsii.String(region)},
			AnalyticsReporting:    jsii.Bool(false),
			TerminationProtection: jsii.Bool(settings.TerminationProtection),
			// On the stack and not in the template, so that another version of unchanged resources changes none.
			Tags: &map[string]*string{"version": jsii.String(env.version)},
		}),
		region: region, version: env.version, settings: settings, topology: t, assets: env.assets, deployed: before,
		queues: map[string]queue{}, functions: map[string]function{},
	}
	tags := settings.tags()
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		awscdk.Tags_Of(p.Stack).Add(jsii.String(key), jsii.String(tags[key]), &awscdk.TagProps{
			// CloudFormation does not accept tags for dashboards in every region.
			ExcludeResourceTypes: jsii.Strings("AWS::CloudWatch::Dashboard"),
		})
	}
	if arn := settings.PermissionsBoundary; arn != "" {
		awsiam.PermissionsBoundary_Of(p.Stack).Apply(
			awsiam.ManagedPolicy_FromManagedPolicyArn(p.Stack, jsii.String("Boundary"), jsii.String(arn)))
	}
	p.addQueues()
	p.addDeliver()
	p.addIngest()
	p.addCanary()
	p.addAlarms()
	p.addDashboard()
	p.addOutputs()
	return p.Stack
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
func (p *pipeline) arn(service, resource string) *string {
	return p.FormatArn(&awscdk.ArnComponents{Service: jsii.String(service), Resource: jsii.String(resource)})
}

// allow allows the role these actions on these resources.
func allow(role awsiam.Role, resources []*string, actions ...string) {
	role.AddToPolicy(awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{Actions: jsii.Strings(actions...),
		Resources: &resources}))
}

func (p *pipeline) output(id, description string, value *string) {
	awscdk.NewCfnOutput(p.Stack, jsii.String(id),
		&awscdk.CfnOutputProps{Value: value, Description: jsii.String(description)})
}
