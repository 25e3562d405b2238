package status

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/spillwayhq/spillway/shared/emf"
	"github.com/spillwayhq/spillway/shared/reload"
)

// regionTimeout bounds the reading of a region. All are read at the same time, so one that hangs
// costs only what is known of itself.
const regionTimeout = 10 * time.Second

// AlarmsAPI is what the package needs of an *cloudwatch.Client of the AWS SDK.
type AlarmsAPI interface {
	DescribeAlarms(context.Context, *cloudwatch.DescribeAlarmsInput, ...func(*cloudwatch.Options)) (
		*cloudwatch.DescribeAlarmsOutput, error)
	GetMetricStatistics(context.Context, *cloudwatch.GetMetricStatisticsInput, ...func(*cloudwatch.Options)) (
		*cloudwatch.GetMetricStatisticsOutput, error)
}

// QueueAPI is what the package needs of an *sqs.Client of the AWS SDK.
type QueueAPI interface {
	GetQueueAttributes(context.Context, *sqs.GetQueueAttributesInput, ...func(*sqs.Options)) (
		*sqs.GetQueueAttributesOutput, error)
}

// A Region is how a region of the pipeline is read. It needs the permissions
// cloudwatch:DescribeAlarms, cloudwatch:GetMetricStatistics, sqs:GetQueueAttributes for the events
// queue, and ssm:GetParameter for the parameter.
//
// GetMetricStatistics and not GetMetricData: both cost $0.01 for 1,000 metrics, but an account's
// first million requests a month of the former are free.
type Region struct {
	Name      string
	Alarms    AlarmsAPI
	Queue     QueueAPI
	QueueURL  string        // of the events queue
	IngestURL reload.Source // the parameter with the URL of the ingest endpoint; Read is nil: there is none
}

// errUnread is the error of a part until it has been read.
var errUnread = errors.New("it was not read")

// read reads everything that is to be known of a region at the same time.
func (f *Function) read(ctx context.Context, region *Region) *Reading {
	ctx, cancel := context.WithTimeout(ctx, regionTimeout)
	defer cancel()
	r := &Reading{Region: region.Name, NoIngest: region.IngestURL.Read == nil, URLErr: errUnread, AlarmsErr: errUnread,
		WaitingErr: errUnread, CanariesErr: errUnread}
	var all sync.WaitGroup
	for name, part := range map[string]func(){
		"alarms":   func() { r.Alarms, r.AlarmsErr = f.readAlarms(ctx, region, r.NoIngest) },
		"queue":    func() { f.readBacklog(ctx, region, r) },
		"canaries": func() { r.Canaries, r.CanariesErr = f.readCanaries(ctx, region, r.NoIngest) },
		"ingest":   func() { f.readHealth(ctx, region, r) },
	} {
		all.Go(func() {
			defer func() {
				if p := recover(); p != nil { // one that panics must not end the whole function
					f.parts.Logger.ErrorContext(ctx, "a region could not be read: it panicked", "region", region.Name, "part",
						name, "type", fmt.Sprintf("%T", p))
				}
			}()
			part()
		})
	}
	all.Wait()
	r.At = time.Now()
	return r
}

func (f *Function) readHealth(ctx context.Context, region *Region, r *Reading) {
	if r.NoIngest {
		return
	}
	url, err := f.urls.of(ctx, region)
	if err == nil {
		r.Health = AskHealth(ctx, f.parts.Transport, url)
	}
	r.URLErr = err
}

// readAlarms returns the states of those of Alarms that exist.
func (f *Function) readAlarms(ctx context.Context, region *Region, noIngest bool) (map[string]string, error) {
	out, err := region.Alarms.DescribeAlarms(ctx,
		&cloudwatch.DescribeAlarmsInput{AlarmNames: Alarms(f.options.Name, noIngest),
			AlarmTypes: []types.AlarmType{types.AlarmTypeCompositeAlarm}})
	if err != nil {
		return nil, fmt.Errorf("read the alarms: %w", err)
	}
	states := map[string]string{}
	for _, a := range out.CompositeAlarms {
		states[aws.ToString(a.AlarmName)] = string(a.StateValue)
	}
	return states, nil
}

// backlogAttributes are the messages that wait, that are being delivered or wait for their next
// attempt, and that are delayed.
var backlogAttributes = []sqstypes.QueueAttributeName{sqstypes.QueueAttributeNameApproximateNumberOfMessages,
	sqstypes.QueueAttributeNameApproximateNumberOfMessagesNotVisible,
	sqstypes.QueueAttributeNameApproximateNumberOfMessagesDelayed}

// readBacklog reads if something waits, and only then for how long.
func (f *Function) readBacklog(ctx context.Context, region *Region, r *Reading) {
	r.Waiting, r.WaitingErr = readWaiting(ctx, region)
	if r.WaitingErr == nil && r.Waiting == 0 {
		return
	}
	r.Ages, r.AgesErr = f.statistics(ctx, region, ageWindow, types.StatisticMaximum, own("deliver", AgeMetric))
	if r.AgesErr == nil && len(r.Ages) == 0 {
		// Deliver writes no age, perhaps because it can't start: then SQS knows it, which leaves
		// out messages that were received three times.
		queue := path.Base(region.QueueURL)
		r.Ages, r.AgesErr = f.statistics(ctx, region, ageWindow, types.StatisticMaximum,
			metric{"AWS/SQS", "ApproximateAgeOfOldestMessage", map[string]string{"QueueName": queue}})
	}
}

func readWaiting(ctx context.Context, region *Region) (waiting int64, err error) {
	out, err := region.Queue.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: aws.String(region.QueueURL),
		AttributeNames: backlogAttributes})
	if err != nil {
		return 0, fmt.Errorf("read the events queue: %w", err)
	}
	for _, name := range backlogAttributes {
		n, err := strconv.ParseInt(out.Attributes[string(name)], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read the events queue: %s must be a number, is %q", name, out.Attributes[string(name)])
		}
		waiting += n
	}
	return waiting, nil
}

func (f *Function) readCanaries(ctx context.Context, region *Region, noIngest bool) ([]Point, error) {
	if noIngest { // there is no canary, which goes through it
		return nil, nil
	}
	return f.statistics(ctx, region, canaryWindow, types.StatisticSum, own("deliver", CanaryMetric))
}

// A metric is one of CloudWatch.
type metric struct {
	namespace, name string
	dimensions      map[string]string
}

// own is a metric that a function of ours writes.
func own(function, name string) metric {
	return metric{emf.Namespace, name, map[string]string{emf.FunctionDimension: function}}
}

// statistics are a metric's values of the last minutes.
func (f *Function) statistics(ctx context.Context, region *Region, window time.Duration, statistic types.Statistic,
	m metric) ([]Point, error) {
	now := time.Now().Truncate(time.Minute)
	in := &cloudwatch.GetMetricStatisticsInput{Namespace: aws.String(m.namespace), MetricName: aws.String(m.name),
		Period: aws.Int32(60), Statistics: []types.Statistic{statistic}, StartTime: aws.Time(now.Add(-window - time.Minute)),
		EndTime: aws.Time(now.Add(time.Minute))}
	for name, value := range m.dimensions {
		in.Dimensions = append(in.Dimensions, types.Dimension{Name: aws.String(name), Value: aws.String(value)})
	}
	if m.namespace == emf.Namespace {
		in.Dimensions = append(in.Dimensions, types.Dimension{Name: aws.String(emf.PipelineDimension),
			Value: aws.String(f.options.Name)})
	}
	out, err := region.Alarms.GetMetricStatistics(ctx, in)
	if err != nil {
		return nil, fmt.Errorf("read the metric %s: %w", m.name, err)
	}
	var points []Point
	for _, d := range out.Datapoints {
		value := d.Sum
		if statistic == types.StatisticMaximum {
			value = d.Maximum
		}
		if d.Timestamp != nil && value != nil {
			points = append(points, Point{*d.Timestamp, *value})
		}
	}
	return points, nil
}
