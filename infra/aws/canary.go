package main

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsevents"
	"github.com/aws/aws-cdk-go/awscdk/v2/awseventstargets"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/jsii-runtime-go"

	"github.com/spillwayhq/spillway/shared/canary"
)

// addCanary creates the function that sends a canary event to the ingest endpoint, and the schedule
// that invokes it.
func (p *pipeline) addCanary() {
	if !p.settings.Canary {
		return
	}
	p.newFunction(p.topology.Names.CanaryFunction, "sends a canary event to the ingest endpoint every minute",
		map[string]*string{
			"SPILLWAY_INGEST_URL": p.endpoint.url, "SPILLWAY_CANARY_WRITE_KEY": p.canaryKey(),
		})
	// No retries: the next canary comes in a minute, and a late one would report success for a
	// minute that failed. Rule and function both need this: the rule invokes through a queue of
	// Lambda's own, which retries errors and holds throttled invocations for 6 hours.
	retries, age := jsii.Number(0), awscdk.Duration_Minutes(jsii.Number(1))
	for _, s := range p.topology.Schedules {
		f := p.functions[s.Function].Function
		f.ConfigureAsyncInvoke(&awslambda.EventInvokeConfigOptions{RetryAttempts: retries, MaxEventAge: age})
		target := awseventstargets.NewLambdaFunction(f,
			&awseventstargets.LambdaFunctionProps{RetryAttempts: retries, MaxEventAge: age})
		awsevents.NewRule(p.Stack, jsii.String("CanarySchedule"), &awsevents.RuleProps{
			RuleName: jsii.String(s.Function), Description: jsii.String("invokes the canary function"),
			Schedule: awsevents.Schedule_Rate(seconds(s.Every)),
			Targets:  &[]awsevents.IRuleTarget{target},
		})
	}
}

// canaryKey is the write key of canary events: that of a Segment source for them, or one of no
// source. Events with the latter are never delivered, so nobody must be able to guess it: it ends
// with the random part of the stack's ID.
func (p *pipeline) canaryKey() *string {
	if key := p.settings.CanaryWriteKey; key != "" {
		return jsii.String(key)
	}
	id := awscdk.Fn_Select(jsii.Number(2), awscdk.Fn_Split(jsii.String("/"), p.StackId(), nil))
	return awscdk.Fn_Join(jsii.String("-"), &[]*string{jsii.String(canary.WriteKey), id})
}
