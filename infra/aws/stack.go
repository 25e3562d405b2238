package main

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"github.com/spillwayhq/spillway/infra/topology"
)

// An environment is where stacks are deployed to: the account, empty for that of whoever deploys,
// and the built functions.
type environment struct {
	account string
	assets  assets
}

// A pipeline is the stack of one region while it is put together.
type pipeline struct {
	awscdk.Stack
	region   string
	settings *Settings
	topology topology.Topology
	assets   assets

	queues    map[string]queue
	functions map[string]function
	door      door
}

// newStack puts the pipeline of one region together. Stacks of several regions share nothing.
func newStack(app constructs.Construct, region string, settings *Settings, env environment) awscdk.Stack {
	t := settings.Topology()
	p := &pipeline{
		Stack: awscdk.NewStack(app, jsii.String(t.Names.Stack(region)), &awscdk.StackProps{
			Description:        jsii.String("Spillway: events queue, delivery to Segment, door for SDKs, alarms"),
			Env:                &awscdk.Environment{Account: optional(env.account), Region: jsii.String(region)},
			AnalyticsReporting: jsii.Bool(false),
		}),
		region: region, settings: settings, topology: t, assets: env.assets,
		queues: map[string]queue{}, functions: map[string]function{},
	}
	awscdk.Tags_Of(p.Stack).Add(jsii.String("application"), jsii.String("spillway"), &awscdk.TagProps{
		// which CloudFormation takes no tags for in every region
		ExcludeResourceTypes: jsii.Strings("AWS::CloudWatch::Dashboard"),
	})
	p.addQueues()
	p.addDeliver()
	p.addIngest()
	p.addCanary()
	p.addAlarms()
	p.addDashboard()
	p.addOutputs()
	return p.Stack
}

// optional is nil for no text.
func optional(text string) *string {
	if text == "" {
		return nil
	}
	return jsii.String(text)
}

// arn is that of a resource of this stack's account and region, which AWS names so: it needs no
// reference to it.
func (p *pipeline) arn(service, resource string) *string {
	return p.FormatArn(&awscdk.ArnComponents{Service: jsii.String(service), Resource: jsii.String(resource)})
}

// allow lets the role do these things, and only with these resources.
func allow(role awsiam.Role, resources []*string, actions ...string) {
	role.AddToPolicy(awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{Actions: jsii.Strings(actions...),
		Resources: &resources}))
}

func (p *pipeline) output(id, description string, value *string) {
	awscdk.NewCfnOutput(p.Stack, jsii.String(id),
		&awscdk.CfnOutputProps{Value: value, Description: jsii.String(description)})
}
