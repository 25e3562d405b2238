package status

import (
	"context"
	"fmt"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/spillwayhq/spillway/shared/emf"
	"github.com/spillwayhq/spillway/shared/signed"
	"github.com/spillwayhq/spillway/shared/ssm"
)

// againAfter is the pause before the second try of a call. It is made whatever the error of the
// first one: it costs nothing, and what is not read is a minute that is not known.
const againAfter = 300 * time.Millisecond

// A deployed is a Source of a region on AWS. It needs the permissions cloudwatch:DescribeAlarms,
// cloudwatch:GetMetricStatistics, sqs:GetQueueAttributes for the events queue, and ssm:GetParameter
// for the parameter.
//
// GetMetricStatistics and not GetMetricData: both cost $0.01 for 1,000 metrics, but an account's
// first million requests a month of the former are free.
type deployed struct {
	pipeline, queueURL, parameter string
	cloudWatch, sqs               *signed.Client
	ssm                           ssm.API
}

func newDeployed(c aws.Config, region string, o *Options, queueURL string) *deployed {
	c.Region = region
	return &deployed{o.Name, queueURL, o.IngestURLParameter, signed.CloudWatch(c), signed.SQS(c), ssm.New(c)}
}

func twice(ctx context.Context, call func() error) error {
	err := call()
	if err == nil {
		return nil
	}
	select {
	case <-ctx.Done():
		return err
	case <-time.After(againAfter):
	}
	return call()
}

const cloudWatchVersion = "2010-08-01"

// Alarms implements Source.
func (d *deployed) Alarms(ctx context.Context, names []string) (map[string]string, error) {
	// Without a type only metric alarms are returned.
	in := url.Values{"AlarmTypes.member.1": {"CompositeAlarm"}}
	for i, name := range names {
		in.Set(fmt.Sprint("AlarmNames.member.", i+1), name)
	}
	var out struct {
		Alarms []struct{ AlarmName, StateValue string } `xml:"DescribeAlarmsResult>CompositeAlarms>member"`
	}
	err := twice(ctx, func() error { return d.cloudWatch.XML(ctx, "DescribeAlarms", cloudWatchVersion, in, &out) })
	if err != nil {
		return nil, fmt.Errorf("read the alarms: %w", err)
	}
	states := map[string]string{}
	for _, a := range out.Alarms {
		states[a.AlarmName] = a.StateValue
	}
	return states, nil
}

// Ages implements Source.
func (d *deployed) Ages(ctx context.Context) ([]Point, error) {
	ages, err := d.statistics(ctx, ageWindow, "Maximum", d.own(AgeMetric))
	if err != nil || len(ages) > 0 {
		return ages, err
	}
	// Deliver writes no age, perhaps because it can't start: then SQS knows it, which leaves out
	// messages that were received three times.
	return d.statistics(ctx, ageWindow, "Maximum", metric{"AWS/SQS", "ApproximateAgeOfOldestMessage",
		[]string{"QueueName", path.Base(d.queueURL)}})
}

// Canaries implements Source.
func (d *deployed) Canaries(ctx context.Context) ([]Point, error) {
	return d.statistics(ctx, canaryWindow, "Sum", d.own(CanaryMetric))
}

// A metric is one of CloudWatch. dimensions are pairs.
type metric struct {
	namespace, name string
	dimensions      []string
}

// own is a metric that deliver writes.
func (d *deployed) own(name string) metric {
	return metric{emf.Namespace, name, []string{emf.PipelineDimension, d.pipeline, emf.FunctionDimension, "deliver"}}
}

// statistics are a metric's values of the last minutes.
func (d *deployed) statistics(ctx context.Context, window time.Duration, statistic string, m metric) ([]Point, error) {
	now := time.Now().UTC().Truncate(time.Minute)
	in := url.Values{"Namespace": {m.namespace}, "MetricName": {m.name}, "Period": {"60"},
		"Statistics.member.1": {statistic}, "StartTime": {now.Add(-window - time.Minute).Format(time.RFC3339)},
		"EndTime": {now.Add(time.Minute).Format(time.RFC3339)}}
	for i := 0; i < len(m.dimensions); i += 2 {
		in.Set(fmt.Sprintf("Dimensions.member.%d.Name", i/2+1), m.dimensions[i])
		in.Set(fmt.Sprintf("Dimensions.member.%d.Value", i/2+1), m.dimensions[i+1])
	}
	var out struct {
		Points []struct {
			Timestamp    time.Time
			Sum, Maximum float64
		} `xml:"GetMetricStatisticsResult>Datapoints>member"`
	}
	err := twice(ctx, func() error { return d.cloudWatch.XML(ctx, "GetMetricStatistics", cloudWatchVersion, in, &out) })
	if err != nil {
		return nil, fmt.Errorf("read the metric %s: %w", m.name, err)
	}
	var points []Point
	for _, p := range out.Points {
		points = append(points, Point{p.Timestamp, max(p.Sum, p.Maximum)}) // only one of the two was asked for
	}
	return points, nil
}

// waitingAttributes are the messages that wait, that are being delivered or wait for their next
// attempt, and that are delayed.
var waitingAttributes = []string{"ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible",
	"ApproximateNumberOfMessagesDelayed"}

// Waiting implements Source.
func (d *deployed) Waiting(ctx context.Context) (waiting int64, err error) {
	var out struct{ Attributes map[string]string }
	err = twice(ctx, func() error {
		return d.sqs.Call(ctx, "AmazonSQS.GetQueueAttributes",
			map[string]any{"QueueUrl": d.queueURL, "AttributeNames": waitingAttributes}, &out)
	})
	if err != nil {
		return 0, fmt.Errorf("read the events queue: %w", err)
	}
	for _, name := range waitingAttributes {
		n, err := strconv.ParseInt(out.Attributes[name], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read the events queue: %s must be a number, is %q", name, out.Attributes[name])
		}
		waiting += n
	}
	return waiting, nil
}

// IngestURL implements Source.
func (d *deployed) IngestURL(ctx context.Context) (string, error) {
	value, err := d.ssm.GetParameter(ctx, d.parameter, false)
	ingestURL := strings.TrimSpace(value.Text)
	if err == nil && ingestURL == "" {
		err = fmt.Errorf("its value must be the URL of the ingest endpoint, is %q", value.Text)
	}
	if err != nil {
		return "", fmt.Errorf("read the parameter %s: %w", d.parameter, err)
	}
	return ingestURL, nil
}
