package main

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsevents"
	"github.com/aws/aws-cdk-go/awscdk/v2/awseventstargets"
	"github.com/aws/jsii-runtime-go"

	"github.com/spillwayhq/spillway/infra/topology"
)

// addCanary makes the function that sends an event through the public door again and again, and what calls it.
func (p *pipeline) addCanary() {
	if !p.settings.Canary {
		return
	}
	p.newFunction(topology.CanaryFunction, "sends an event through the public door every minute", map[string]*string{
		"SPILLWAY_INGEST_URL": p.door.url, "SPILLWAY_CANARY_WRITE_KEY": p.canaryKey(),
	})
	for _, s := range p.topology.Schedules {
		// Not tried again: the next one comes in a minute, and a late one would say that all is well when it was not.
		target := awseventstargets.NewLambdaFunction(p.functions[s.Function].Function, &awseventstargets.LambdaFunctionProps{
			RetryAttempts: jsii.Number(0), MaxEventAge: awscdk.Duration_Minutes(jsii.Number(1)),
		})
		awsevents.NewRule(p.Stack, jsii.String("CanarySchedule"), &awsevents.RuleProps{
			Description: jsii.String("sends a canary event"), Schedule: awsevents.Schedule_Rate(seconds(s.Every)), Targets: &[]awsevents.IRuleTarget{target},
		})
	}
}
