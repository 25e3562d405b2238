package main

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscodedeploy"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"github.com/spillwayhq/spillway/infra/settings"
	"github.com/spillwayhq/spillway/infra/topology"
)

// canaryConfig is how CodeDeploy shifts the invocations: topology.CanaryShare at once, and the rest
// after topology.CanaryTime.
const canaryConfig = "CodeDeployDefault.LambdaCanary10Percent5Minutes"

// addLive gives the function a version, which each changed deployment makes anew, and an alias for
// it, which is what others invoke.
//
// Versions before are retained, so that one can be brought back in seconds; Lambda deletes them with
// the function. One that a deployment made and took back is deleted: with it there, Lambda would
// refuse to make the same version again.
func (p *pipeline) addLive(name string) awslambda.Alias {
	f := p.functions[name]
	f.live = awslambda.NewAlias(p.Stack, jsii.String(*f.Node().Id()+"Live"), &awslambda.AliasProps{
		AliasName: jsii.String(topology.LiveAlias), Version: f.CurrentVersion(),
		Description: jsii.String("the version that is in use"),
	})
	p.functions[name] = f
	return f.live
}

// addRollout lets CodeDeploy move the aliases to new versions: step by step, and back when the alarm
// on the version fires or when the rollout function refuses the version.
//
// CloudFormation has to do it in an order, of which it infers too little: version, alarm on it,
// deployment group, rollout function, and only then the alias. An alarm that were made later would
// miss the first minutes. Nothing of it may depend on an alias, or it would be a cycle; so roles and
// metrics have the names of aliases and deployment groups as texts.
func (p *pipeline) addRollout() {
	n := p.topology.Names
	if p.settings.Rollout != settings.RolloutCanary {
		return
	}
	var live []topology.Function
	for _, f := range p.topology.Functions {
		if p.functions[f.Name].live != nil {
			live = append(live, f)
		}
	}
	application := awscodedeploy.NewCfnApplication(p.Stack, jsii.String("RolloutApplication"),
		&awscodedeploy.CfnApplicationProps{ApplicationName: jsii.String(n.RolloutFunction),
			ComputePlatform: jsii.String("Lambda")})
	rollout := p.addRolloutFunction(live)
	role := p.newDeploymentRole(live)
	for _, f := range live {
		alarm := p.addVersionAlarm(f)
		group := awscodedeploy.NewCfnDeploymentGroup(p.Stack, jsii.String(constructID(f)+"Deployment"),
			&awscodedeploy.CfnDeploymentGroupProps{
				ApplicationName: application.Ref(), DeploymentGroupName: jsii.String(f.Name),
				DeploymentConfigName: jsii.String(canaryConfig), ServiceRoleArn: role.RoleArn(),
				DeploymentStyle: &awscodedeploy.CfnDeploymentGroup_DeploymentStyleProperty{
					DeploymentType: jsii.String("BLUE_GREEN"), DeploymentOption: jsii.String("WITH_TRAFFIC_CONTROL")},
				AlarmConfiguration: &awscodedeploy.CfnDeploymentGroup_AlarmConfigurationProperty{Enabled: jsii.Bool(true),
					Alarms: &[]any{&awscodedeploy.CfnDeploymentGroup_AlarmProperty{Name: alarm.Ref()}}},
				AutoRollbackConfiguration: &awscodedeploy.CfnDeploymentGroup_AutoRollbackConfigurationProperty{
					Enabled: jsii.Bool(true),
					Events:  jsii.Strings("DEPLOYMENT_FAILURE", "DEPLOYMENT_STOP_ON_ALARM", "DEPLOYMENT_STOP_ON_REQUEST")},
			})
		group.Node().AddDependency(role) // with its policy
		alias := p.functions[f.Name].live.Node().DefaultChild().(awslambda.CfnAlias)
		alias.CfnOptions().SetUpdatePolicy(&awscdk.CfnUpdatePolicy{
			CodeDeployLambdaAliasUpdate: &awscdk.CfnCodeDeployLambdaAliasUpdate{
				ApplicationName: application.Ref(), DeploymentGroupName: group.Ref(),
				BeforeAllowTrafficHook: rollout.FunctionName()},
		})
		for _, before := range []constructs.IConstruct{alarm, group, rollout.Function, rollout.role} {
			alias.Node().AddDependency(before)
		}
	}
}

// addRolloutFunction creates the function that tries new versions before they get events. It tries
// the versions of all functions whichever alias moves, because CodeDeploy does not tell it.
func (p *pipeline) addRolloutFunction(live []topology.Function) function {
	n := p.topology.Names
	variables := map[string]*string{}
	var versions, groups []*string
	for _, f := range live {
		variable := map[string]string{n.DeliverFunction: "SPILLWAY_DELIVER_VERSION",
			n.IngestFunction: "SPILLWAY_INGEST_VERSION"}[f.Name]
		variables[variable] = p.functions[f.Name].live.Version().FunctionArn()
		// Of any version: the permission for a new one would come too late, because IAM takes a while.
		versions = append(versions, p.functionARN(f.Name+":*"))
		groups = append(groups, p.arn("codedeploy", "deploymentgroup:"+n.RolloutFunction+"/"+f.Name))
	}
	rollout := p.newFunction(n.RolloutFunction, "tries a new version before it gets events", variables)
	allow(rollout.role, versions, "lambda:InvokeFunction")
	// Without the second it would try the version that a deployment goes back from, and be in its way.
	allow(rollout.role, groups, "codedeploy:PutLifecycleEventHookExecutionStatus", "codedeploy:GetDeployment")
	return rollout
}

// newDeploymentRole is what CodeDeploy may do. AWS's own policy for it allows it for all functions of
// the account, and does not allow the name of ours.
func (p *pipeline) newDeploymentRole(live []topology.Function) awsiam.Role {
	role := awsiam.NewRole(p.Stack, jsii.String("DeploymentRole"), &awsiam.RoleProps{
		AssumedBy:   awsiam.NewServicePrincipal(jsii.String("codedeploy.amazonaws.com"), nil),
		Description: jsii.String("role of CodeDeploy for " + p.topology.Names.RolloutFunction),
	})
	var functions, qualified []*string
	for _, f := range live {
		functions = append(functions, p.functionARN(f.Name), p.functionARN(f.Name+":"+topology.LiveAlias))
		qualified = append(qualified, p.functionARN(f.Name+":*"))
	}
	allow(role, functions, "lambda:GetAlias", "lambda:UpdateAlias")
	allow(role, qualified, "lambda:GetProvisionedConcurrencyConfig")
	allow(role, []*string{p.functionARN(p.topology.Names.RolloutFunction)}, "lambda:InvokeFunction")
	// Of all, as in AWS's policy: an answer without composite alarms might be none to CodeDeploy, which
	// then refuses every deployment.
	allow(role, []*string{jsii.String("*")}, "cloudwatch:DescribeAlarms")
	policy := role.Node().FindChild(jsii.String("DefaultPolicy")).Node().DefaultChild()
	policy.(awsiam.CfnPolicy).SetPolicyName(jsii.String(p.topology.Names.RolloutFunction + "-deployment"))
	return role
}

// addVersionAlarm creates the alarm on the version that this deployment makes. Another version makes
// another name, so it is another alarm, which begins without a state.
func (p *pipeline) addVersionAlarm(f topology.Function) awscloudwatch.CfnAlarm {
	version := p.functions[f.Name].live.Version().Version()
	return awscloudwatch.NewCfnAlarm(p.Stack, jsii.String(constructID(f)+"VersionAlarm"),
		p.alarm(p.topology.VersionAlarm(f.Name, *version), alarmActions{}))
}

// functionARN is that of a function by its name, perhaps with a qualifier.
func (s *stack) functionARN(name string) *string { return s.arn("lambda", "function:"+name) }
