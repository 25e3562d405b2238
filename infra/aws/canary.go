package main

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/jsii-runtime-go"

	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/canary"
)

// addCanary creates the function that sends a canary event to the ingest endpoint. A schedule
// invokes it.
func (p *pipeline) addCanary() {
	if !p.settings.Canary {
		return
	}
	n := p.topology.Names
	variables := map[string]*string{
		"SPILLWAY_INGEST_URL": p.endpoint.url, "SPILLWAY_CANARY_WRITE_KEY": p.canaryKey(),
		"SPILLWAY_COMPARE_LOG_GROUPS":    jsii.String(n.FunctionLog(n.IngestFunction) + "," + n.FunctionLog(n.DeliverFunction)),
		"SPILLWAY_PAUSED_PARAMETER":      jsii.String(n.Parameter(topology.PausedParameter)),
		"SPILLWAY_PAUSED_KEYS_PARAMETER": jsii.String(n.Parameter(topology.PausedKeysParameter)),
		"SPILLWAY_DRAINED_PARAMETER":     jsii.String(n.Parameter(topology.DrainedParameter)),
	}
	if p.endpoint.target != nil { // it proves its own region, wherever the name leads at the moment
		variables["SPILLWAY_INGEST_DIAL"] = p.endpoint.target
	}
	fn := p.newFunction(n.CanaryFunction,
		"sends a canary event to the ingest endpoint every minute, and compares the traffic with what is usual", variables)
	p.grantReadPlain(fn.role, n.Parameter(topology.PausedParameter), n.Parameter(topology.PausedKeysParameter),
		n.Parameter(topology.DrainedParameter))
	p.grantComparison(fn)
}

// grantComparison allows the function what package traffic reads. Metrics and the results of
// queries have no resource that a policy could name.
func (p *pipeline) grantComparison(f function) {
	var logs []*string
	for _, name := range []string{p.topology.Names.IngestFunction, p.topology.Names.DeliverFunction,
		p.topology.Names.CanaryFunction} {
		logs = append(logs, p.functions[name].logs.LogGroupArn())
	}
	allow(f.role, logs, "logs:StartQuery")
	allow(f.role, []*string{jsii.String("*")}, "logs:GetQueryResults", "logs:StopQuery", "cloudwatch:GetMetricData")
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
