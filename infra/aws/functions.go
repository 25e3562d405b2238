package main

import (
	"strings"
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsevents"
	"github.com/aws/aws-cdk-go/awscdk/v2/awseventstargets"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslogs"
	"github.com/aws/jsii-runtime-go"

	"github.com/spillwayhq/spillway/infra/functions"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/version"
)

// assets are the archives with the built functions, by the function's name.
type assets map[string]string

type function struct {
	awslambda.Function
	role awsiam.Role
	logs awslogs.LogGroup
	live awslambda.Alias // of the version that is in use; nil: the function is invoked without a version
}

// newFunction creates a function with its own role and log group. The role may only write the log.
// It may not create the log group, so that none is left whose lines never expire.
func (s *stack) newFunction(name, description string, variables map[string]*string) function {
	f, _ := s.topology.Function(name)
	id := constructID(f)
	logs := s.newLogGroup(id+"Log", s.topology.Names.FunctionLog(f.Name), f.LogRetention)
	role := awsiam.NewRole(s.Stack, jsii.String(id+"Role"), &awsiam.RoleProps{
		AssumedBy:   awsiam.NewServicePrincipal(jsii.String("lambda.amazonaws.com"), nil),
		Description: jsii.String("role of " + f.Name),
	})
	allow(role, []*string{logs.LogGroupArn()}, "logs:CreateLogStream", "logs:PutLogEvents")
	policy := role.Node().FindChild(jsii.String("DefaultPolicy")).Node().DefaultChild()
	policy.(awsiam.CfnPolicy).SetPolicyName(jsii.String(f.Name))
	variables["SPILLWAY_NAME"] = jsii.String(s.topology.Names.Pipeline)
	variables["SPILLWAY_LOG_LEVEL"] = jsii.String(s.settings.LogLevel)
	variables[version.Variable] = jsii.String(s.version)
	props := &awslambda.FunctionProps{
		FunctionName: jsii.String(f.Name), Description: jsii.String(description), Role: role, LogGroup: logs,
		Runtime: awslambda.Runtime_PROVIDED_AL2023(), Architecture: awslambda.Architecture_ARM_64(),
		Code: awslambda.Code_FromAsset(jsii.String(s.assets[name]), nil), Handler: jsii.String(functions.Bootstrap),
		Timeout: seconds(f.Timeout), MemorySize: jsii.Number(f.MemoryMB), Environment: &variables,
		CurrentVersionOptions: &awslambda.VersionOptions{RemovalPolicy: awscdk.RemovalPolicy_RETAIN_ON_UPDATE_OR_DELETE},
	}
	if s.settings.Architecture == "x86_64" {
		props.Architecture = awslambda.Architecture_X86_64()
	}
	if f.ReservedConcurrency > 0 {
		props.ReservedConcurrentExecutions = jsii.Number(f.ReservedConcurrency)
	}
	made := function{Function: awslambda.NewFunction(s.Stack, jsii.String(id), props), role: role, logs: logs}
	s.functions[name] = made
	return made
}

// constructID is the ID of a function's construct, with which those of its parts begin.
func constructID(f topology.Function) string { return strings.ToUpper(f.Metrics[:1]) + f.Metrics[1:] }

// addSchedules creates what invokes functions at regular intervals.
//
// Nothing is retried: the next invocation comes in a minute, and a late one would report success
// for a minute that failed. Rule and function both need this: the rule invokes through a queue of
// Lambda's own, which retries errors and holds throttled invocations for 6 hours.
func (s *stack) addSchedules() {
	retries, age := jsii.Number(0), awscdk.Duration_Minutes(jsii.Number(1))
	for _, schedule := range s.topology.Schedules {
		of, _ := s.topology.Function(schedule.Function)
		f := s.functions[schedule.Function].Function
		f.ConfigureAsyncInvoke(&awslambda.EventInvokeConfigOptions{RetryAttempts: retries, MaxEventAge: age})
		target := awseventstargets.NewLambdaFunction(f,
			&awseventstargets.LambdaFunctionProps{RetryAttempts: retries, MaxEventAge: age})
		awsevents.NewRule(s.Stack, jsii.String(constructID(of)+"Schedule"), &awsevents.RuleProps{
			RuleName:    jsii.String(schedule.Function),
			Description: jsii.String("invokes the " + of.Metrics + " function"),
			Schedule:    awsevents.Schedule_Rate(seconds(schedule.Every)),
			Targets:     &[]awsevents.IRuleTarget{target},
		})
	}
}

// newLogGroup creates a log group that is deleted with the stack: it has nothing of an event in it.
func (s *stack) newLogGroup(id, name string, retention time.Duration) awslogs.LogGroup {
	group := awslogs.NewLogGroup(s.Stack, jsii.String(id), &awslogs.LogGroupProps{
		LogGroupName: jsii.String(name), RemovalPolicy: awscdk.RemovalPolicy_DESTROY,
		Retention: awslogs.RetentionDays_ONE_DAY,
	})
	group.Node().DefaultChild().(awslogs.CfnLogGroup).SetRetentionInDays(jsii.Number(retention.Hours() / 24))
	return group
}

// grantRead allows the role to read parameters in SSM, also SecureStrings of the setting's KMS key.
func (p *pipeline) grantRead(role awsiam.Role, parameters ...string) {
	p.grantReadPlain(role, parameters...)
	if key := p.settings.KMSKey(p.region); key != "" {
		allow(role, []*string{jsii.String(key)}, "kms:Decrypt")
	}
}

// grantReadPlain lets a role read parameters that are not encrypted.
func (p *pipeline) grantReadPlain(role awsiam.Role, parameters ...string) {
	var resources []*string
	for _, name := range parameters {
		resources = append(resources, p.arn("ssm", "parameter/"+strings.TrimPrefix(name, "/")))
	}
	allow(role, resources, "ssm:GetParameter")
}

func seconds(d time.Duration) awscdk.Duration {
	return awscdk.Duration_Seconds(jsii.Number(d.Seconds()))
}
