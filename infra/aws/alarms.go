package main

import (
	"strings"
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssns"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssnssubscriptions"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"github.com/spillwayhq/spillway/infra/topology"
)

// addAlarms creates the topology's alarms, which notify these topics, by their names.
func (s *stack) addAlarms(topics map[string]awssns.Topic) {
	made := map[string]constructs.IConstruct{}
	for _, a := range s.topology.Alarms {
		made[a.Name] = awscloudwatch.NewCfnAlarm(s.Stack, jsii.String(s.alarmID(a.Name)),
			s.alarm(a, s.actions(topics, a.Name)))
	}
	for _, a := range s.topology.Routing {
		awscloudwatch.NewCfnAlarm(s.Stack, jsii.String(s.alarmID(a.Name)), s.routingAlarm(a))
	}
	for _, c := range s.topology.Composites {
		made[c.Name] = awscloudwatch.NewCfnCompositeAlarm(s.Stack, jsii.String(s.alarmID(c.Name)),
			composite(c, s.actions(topics, c.Name)))
	}
	for _, c := range s.topology.Composites { // it has only names, of which CloudFormation infers no dependency
		for _, name := range c.Any {
			made[c.Name].Node().AddDependency(made[name])
		}
		if c.Suppressor != "" {
			made[c.Name].Node().AddDependency(made[c.Suppressor])
		}
	}
	n := s.topology.Names
	if topic, ok := topics[n.AlarmTopic]; ok {
		s.output(topology.OutputAlarmTopicARN, "the topic that alarms page", topic.TopicArn())
	}
	s.output(topology.OutputTicketTopicARN, "the topic of all other alarms", topics[n.TicketTopic].TopicArn())
}

// alarmActions are what an alarm does when it fires, and when it is over. Both are nil for one that
// is a part of a composite.
type alarmActions struct{ alarm, ok *[]any }

func (s *stack) actions(topics map[string]awssns.Topic, alarm string) alarmActions {
	topic, notifies := topics[s.topology.Notifies(alarm)]
	if !notifies {
		return alarmActions{}
	}
	notify := &[]any{topic.TopicArn()}
	if !s.settings.OKNotifications {
		return alarmActions{alarm: notify}
	}
	return alarmActions{notify, notify}
}

func composite(c topology.Composite, do alarmActions) *awscloudwatch.CfnCompositeAlarmProps {
	props := &awscloudwatch.CfnCompositeAlarmProps{
		AlarmName: jsii.String(c.Name), AlarmDescription: jsii.String(c.Description()), AlarmRule: jsii.String(rule(c)),
		AlarmActions: do.alarm, OkActions: do.ok,
	}
	if c.Suppressor != "" {
		props.ActionsSuppressor = jsii.String(c.Suppressor)
		props.ActionsSuppressorWaitPeriod = jsii.Number(c.Wait.Seconds())
		props.ActionsSuppressorExtensionPeriod = jsii.Number(c.Extension.Seconds())
	}
	return props
}

// alarmID is the alarm's logical ID: its name without the pipeline's, in CamelCase.
func (s *stack) alarmID(name string) string {
	var id strings.Builder
	for part := range strings.SplitSeq(strings.TrimPrefix(name, s.topology.Names.Alarm("")), "-") {
		id.WriteString(strings.ToUpper(part[:1]) + part[1:])
	}
	return id.String() + "Alarm"
}

// newTopic creates a topic to which the addresses are subscribed. It has no KMS key, whose policy
// would have to allow CloudWatch to use it; an alarm has nothing of an event in it. A mail comes
// from the display name: Spillway, the stack, and suffix.
func (s *stack) newTopic(id, name, suffix string, addresses []string) awssns.Topic {
	topic := awssns.NewTopic(s.Stack, jsii.String(id),
		&awssns.TopicProps{
			TopicName:   jsii.String(name),
			DisplayName: jsii.String("Spillway " + s.topology.Names.Stack(s.region) + suffix), EnforceSSL: jsii.Bool(true),
		})
	// This policy replaces a topic's default policy, so it must allow CloudWatch.
	topic.AddToResourcePolicy(awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
		Sid:        jsii.String("Alarms"),
		Principals: &[]awsiam.IPrincipal{awsiam.NewServicePrincipal(jsii.String("cloudwatch.amazonaws.com"), nil)},
		Actions:    jsii.Strings("sns:Publish"), Resources: &[]*string{topic.TopicArn()},
		Conditions: &map[string]any{"StringEquals": map[string]*string{"aws:SourceAccount": s.Account()}},
	}))
	for _, address := range addresses {
		topic.AddSubscription(awssnssubscriptions.NewEmailSubscription(jsii.String(address), nil))
	}
	return topic
}

// routingAlarm names its metric itself and not in a query, as Route 53 knows alarms: queries are for
// metric math, which it does not read.
func (s *stack) routingAlarm(a topology.Alarm) *awscloudwatch.CfnAlarmProps {
	props, stat := alarmProps(a), s.stat(a.Metrics[0], a.Period)
	metric := stat.Metric.(*awscloudwatch.CfnAlarm_MetricProperty)
	props.Namespace, props.MetricName, props.Dimensions = metric.Namespace, metric.MetricName, metric.Dimensions
	props.Statistic, props.Period = stat.Stat, stat.Period
	return props
}

// alarmProps are those of an alarm but its metrics and actions.
func alarmProps(a topology.Alarm) *awscloudwatch.CfnAlarmProps {
	comparison := "GreaterThanThreshold"
	if a.Below {
		comparison = "LessThanThreshold"
	}
	return &awscloudwatch.CfnAlarmProps{
		AlarmName: jsii.String(a.Name), AlarmDescription: jsii.String(a.Description()),
		ComparisonOperator: jsii.String(comparison), Threshold: jsii.Number(a.Threshold),
		EvaluationPeriods: jsii.Number(a.Periods),
		DatapointsToAlarm: jsii.Number(a.Breaching), TreatMissingData: jsii.String(string(a.Missing)),
	}
}

func (s *stack) alarm(a topology.Alarm, do alarmActions) *awscloudwatch.CfnAlarmProps {
	props := alarmProps(a)
	props.AlarmActions, props.OkActions = do.alarm, do.ok
	var queries []any
	for _, m := range a.Metrics {
		queries = append(queries, &awscloudwatch.CfnAlarm_MetricDataQueryProperty{
			Id: jsii.String(m.ID), MetricStat: s.stat(m, a.Period), ReturnData: jsii.Bool(a.Expression == ""),
		})
	}
	if a.Expression != "" {
		queries = append(queries, &awscloudwatch.CfnAlarm_MetricDataQueryProperty{
			Id: jsii.String("value"), Expression: jsii.String(a.Expression), Label: jsii.String(a.Name),
			ReturnData: jsii.Bool(true),
		})
	}
	props.Metrics = &queries
	return props
}

func (s *stack) stat(m topology.Metric, period time.Duration) *awscloudwatch.CfnAlarm_MetricStatProperty {
	at := m.Location(s.endpoint.metrics)
	metric := &awscloudwatch.CfnAlarm_MetricProperty{Namespace: jsii.String(at.Namespace),
		MetricName: jsii.String(at.Name)}
	var all []any
	for _, d := range at.Dimensions {
		all = append(all, &awscloudwatch.CfnAlarm_DimensionProperty{Name: jsii.String(d.Name), Value: jsii.String(d.Value)})
	}
	metric.Dimensions = &all
	return &awscloudwatch.CfnAlarm_MetricStatProperty{Metric: metric, Period: jsii.Number(period.Seconds()),
		Stat: jsii.String(m.Statistic)}
}

// rule is the rule of a composite alarm in CloudWatch's language.
func rule(c topology.Composite) string {
	terms := make([]string, len(c.Any))
	for i, name := range c.Any {
		terms[i] = `ALARM("` + name + `")`
	}
	return strings.Join(terms, " OR ")
}
