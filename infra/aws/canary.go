package main

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsevents"
	"github.com/aws/aws-cdk-go/awscdk/v2/awseventstargets"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/jsii-runtime-go"

	"github.com/spillwayhq/spillway/shared/canary"
)

// addCanary makes the function that sends an event through the public door again and again, and
// what calls it.
func (p *pipeline) addCanary() {
	if !p.settings.Canary {
		return
	}
	p.newFunction(p.topology.Names.CanaryFunction, "sends an event through the public door every minute",
		map[string]*string{
			"SPILLWAY_INGEST_URL": p.door.url, "SPILLWAY_CANARY_WRITE_KEY": p.canaryKey(),
		})
	// Not tried again: the next one comes in a minute, and a late one would say that all is well
	// when it was not. That must be said twice: the rule hands the event to a queue of Lambda's
	// own, which tries again what failed and keeps what was throttled for 6 hours.
	retries, age := jsii.Number(0), awscdk.Duration_Minutes(jsii.Number(1))
	for _, s := range p.topology.Schedules {
		f := p.functions[s.Function].Function
		f.ConfigureAsyncInvoke(&awslambda.EventInvokeConfigOptions{RetryAttempts: retries, MaxEventAge: age})
		target := awseventstargets.NewLambdaFunction(f,
			&awseventstargets.LambdaFunctionProps{RetryAttempts: retries, MaxEventAge: age})
		awsevents.NewRule(p.Stack, jsii.String("CanarySchedule"), &awsevents.RuleProps{
			RuleName: jsii.String(s.Function), Description: jsii.String("sends a canary event"),
			Schedule: awsevents.Schedule_Rate(seconds(s.Every)),
			Targets:  &[]awsevents.IRuleTarget{target},
		})
	}
}

// canaryKey is the write key of canary events: that of a Segment source which is there for them, or
// one that is nobody's. Whoever knew the latter could send events that are never delivered, so it
// must not be guessed: it ends in the random part of the stack's ID.
func (p *pipeline) canaryKey() *string {
	if key := p.settings.CanaryWriteKey; key != "" {
		return jsii.String(key)
	}
	id := awscdk.Fn_Select(jsii.Number(2), awscdk.Fn_Split(jsii.String("/"), p.StackId(), nil))
	return awscdk.Fn_Join(jsii.String("-"), &[]*string{jsii.String(canary.WriteKey), id})
}
