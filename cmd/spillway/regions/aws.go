package regions

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"github.com/spillwayhq/spillway/cmd/spillway/deployed"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/emf"
	"github.com/spillwayhq/spillway/shared/operator"
)

const (
	// callTimeout bounds each call: a region that is down answers none.
	callTimeout = 10 * time.Second
	// lookBack is how far back a metric's newest value is looked for: more than it may be late.
	lookBack = 5 * time.Minute
)

// AWS is the Cloud of these credentials. Config names the home region.
type AWS struct {
	Config aws.Config
	Names  topology.Names
}

// Home implements Cloud.
func (a *AWS) Home() string { return a.Config.Region }

// in is the configuration for a region.
func (a *AWS) in(region string) aws.Config {
	c := a.Config.Copy()
	c.Region = region
	return c
}

// Outputs implements Cloud.
func (a *AWS) Outputs(ctx context.Context, region string) (map[string]string, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	stack := a.Names.Stack(region)
	outputs, err := deployed.Outputs(ctx, a.in(region), stack)
	if deployed.NoStack(err) {
		return nil, ErrNoStack
	}
	return outputs, deployed.Explain(err, "read the stack "+stack+" in "+region, "cloudformation:DescribeStacks")
}

// Mark implements Cloud.
func (a *AWS) Mark(ctx context.Context, region string) (operator.Mark, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	name := a.Names.Parameter(topology.DrainedParameter)
	text, err := deployed.ReadParameter(ctx, a.in(region), name)
	if err != nil {
		return operator.Mark{}, err
	}
	m, err := operator.Parse([]byte(text))
	if err != nil {
		return m, fmt.Errorf("the parameter %s in %s is no mark: %w: %w", name, region, err, ErrBroken)
	}
	return m, nil
}

// SetMark implements Cloud.
func (a *AWS) SetMark(ctx context.Context, region string, m operator.Mark) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return deployed.WriteParameter(ctx, a.in(region), a.Names.Parameter(topology.DrainedParameter), string(m.Document()))
}

// RemoveMark implements Cloud.
func (a *AWS) RemoveMark(ctx context.Context, region string) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return deployed.RemoveParameter(ctx, a.in(region), a.Names.Parameter(topology.DrainedParameter))
}

// Alarms implements Cloud. names must be at most 100, which is what CloudWatch takes.
func (a *AWS) Alarms(ctx context.Context, region string, names []string) (map[string]string, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	out, err := cloudwatch.NewFromConfig(a.in(region)).DescribeAlarms(ctx, &cloudwatch.DescribeAlarmsInput{
		AlarmNames: names, AlarmTypes: []types.AlarmType{types.AlarmTypeMetricAlarm, types.AlarmTypeCompositeAlarm}})
	if err != nil {
		return nil, deployed.Explain(err, "read the alarms in "+region, "cloudwatch:DescribeAlarms")
	}
	states := map[string]string{}
	for i := range out.MetricAlarms {
		states[aws.ToString(out.MetricAlarms[i].AlarmName)] = string(out.MetricAlarms[i].StateValue)
	}
	for i := range out.CompositeAlarms {
		states[aws.ToString(out.CompositeAlarms[i].AlarmName)] = string(out.CompositeAlarms[i].StateValue)
	}
	return states, nil
}

// OldestAge implements Cloud.
func (a *AWS) OldestAge(ctx context.Context, region string) (*time.Duration, error) {
	seconds, err := newest(ctx, a.in(region), types.Metric{
		Namespace: aws.String(emf.Namespace), MetricName: aws.String("EventAge"),
		Dimensions: []types.Dimension{
			{Name: aws.String(emf.PipelineDimension), Value: aws.String(a.Names.Pipeline)},
			{Name: aws.String(emf.FunctionDimension), Value: aws.String("deliver")},
		}}, "Maximum")
	if err != nil || seconds == nil {
		return nil, deployed.Explain(err, "read the age of the oldest event in "+region, "cloudwatch:GetMetricData")
	}
	age := time.Duration(*seconds * float64(time.Second))
	return &age, nil
}

// Healthy implements Cloud. Route 53 tells the status of a health check that reads alarms only as a
// metric, and writes it in one region of each partition (Route 53 developer guide, "Monitoring
// health checks using CloudWatch").
func (a *AWS) Healthy(ctx context.Context, region, check string) (*bool, error) {
	status, err := newest(ctx, a.in(metricsRegion(region)), types.Metric{
		Namespace: aws.String("AWS/Route53"), MetricName: aws.String("HealthCheckStatus"),
		Dimensions: []types.Dimension{{Name: aws.String("HealthCheckId"), Value: aws.String(check)}}}, "Minimum")
	if err != nil || status == nil {
		return nil, deployed.Explain(err, "read the health check "+check+" in "+metricsRegion(region),
			"cloudwatch:GetMetricData")
	}
	healthy := *status >= 1
	return &healthy, nil
}

// metricsRegion is the region in which Route 53 writes the metrics of a region's partition.
func metricsRegion(region string) string {
	switch {
	case strings.HasPrefix(region, "cn-"):
		return "cn-northwest-1"
	case strings.HasPrefix(region, "us-gov-"):
		return "us-gov-west-1"
	}
	return "us-east-1"
}

// newest is the newest value of a metric, by the minute; nil: there is none.
func newest(ctx context.Context, c aws.Config, m types.Metric, statistic string) (*float64, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	now := time.Now()
	out, err := cloudwatch.NewFromConfig(c).GetMetricData(ctx, &cloudwatch.GetMetricDataInput{
		StartTime: aws.Time(now.Add(-lookBack)), EndTime: aws.Time(now), ScanBy: types.ScanByTimestampDescending,
		MetricDataQueries: []types.MetricDataQuery{{Id: aws.String("m"), MetricStat: &types.MetricStat{
			Metric: &m, Period: aws.Int32(60), Stat: aws.String(statistic)}}},
	})
	if err != nil {
		return nil, err
	}
	for _, r := range out.MetricDataResults {
		if len(r.Values) > 0 {
			return &r.Values[0], nil
		}
	}
	return nil, nil
}

// Caller implements Cloud.
func (a *AWS) Caller(ctx context.Context) (string, error) {
	return deployed.Caller(ctx, a.Config)
}
