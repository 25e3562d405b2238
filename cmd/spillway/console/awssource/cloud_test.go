package awssource

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	logtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"

	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/integration/testutil/localtest"
	"github.com/spillwayhq/spillway/shared/signed"
	"github.com/spillwayhq/spillway/shared/ssm"
)

// A cloud is an account with the pipeline shop in it. It records which permissions the calls need,
// and refuses those in denied. Its queues are those of the SQS emulator.
type cloud struct {
	names topology.Names
	queue *sqs.Client
	url   string

	mu      sync.Mutex
	needed  map[string]int
	denied  map[string]error
	metrics map[string]map[time.Time]float64 // by the name, and a further dimension's value
	metric  []types.MetricAlarm
	whole   []types.CompositeAlarm
	history map[string][]types.AlarmHistoryItem
	logs    map[string][]logtypes.FilteredLogEvent // by group
	queries []*cloudwatchlogs.StartQueryInput
	values  map[string]string // of parameters
	vars    map[string]map[string]string
	sources []signed.EventSource
	stays   bool // queries do not end
}

var denial = &smithy.GenericAPIError{Code: "AccessDeniedException", Message: "you are not authorized"}

func newCloud(t *testing.T) *cloud {
	t.Helper()
	names, err := topology.NewNames("shop")
	if err != nil {
		t.Fatal(err)
	}
	_, url := localtest.SQS(t)
	c := &cloud{names: names, url: url, needed: map[string]int{}, denied: map[string]error{},
		metrics: map[string]map[time.Time]float64{},
		history: map[string][]types.AlarmHistoryItem{}, logs: map[string][]logtypes.FilteredLogEvent{},
		values: map[string]string{}, vars: map[string]map[string]string{
			names.DeliverFunction: {"SPILLWAY_VERSION": "v1.2.3", "SPILLWAY_SEGMENT_ENDPOINT": "https://api.segment.io"},
			names.IngestFunction:  {"SPILLWAY_WRITE_KEYS_PARAMETER": "/shop/write-keys"},
			names.CanaryFunction:  {"SPILLWAY_INGEST_URL": "https://ingest.test"},
		},
		sources: []signed.EventSource{{State: "Enabled", BatchSize: 100, EventSourceArn: "arn:aws:sqs:x:1:shop-events"},
			{State: "Enabled", BatchSize: 100, EventSourceArn: "arn:aws:sqs:x:1:shop-bulk"}}}
	c.sources[0].ScalingConfig.MaximumConcurrency = 10
	c.queue = localtest.Client(url, func(o *sqs.Options) {
		o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
			return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("record",
				func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (
					middleware.InitializeOutput, middleware.Metadata, error) {
					if err := c.may("sqs:" + strings.TrimSuffix(awsmiddleware.GetOperationName(ctx), "Batch")); err != nil {
						return middleware.InitializeOutput{}, middleware.Metadata{}, err
					}
					return next.HandleInitialize(ctx, in)
				}), middleware.Before)
		})
	})
	for _, queue := range names.Queues() {
		if _, err := c.queue.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String(queue)}); err != nil {
			t.Fatal(err)
		}
	}
	c.needed = map[string]int{}
	c.deployAlarms()
	return c
}

// deployAlarms makes all alarms of the pipeline, which are OK for a day.
func (c *cloud) deployAlarms() {
	o := topology.DefaultOptions()
	o.Names = c.names
	all := topology.New(o)
	c.metric, c.whole = nil, nil
	since := time.Now().Add(-25 * time.Hour)
	for _, a := range all.Alarms {
		m := types.MetricAlarm{AlarmName: aws.String(a.Name), StateValue: types.StateValueOk, ActionsEnabled: aws.Bool(true),
			StateTransitionedTimestamp: aws.Time(since),
			AlarmArn:                   aws.String("arn:aws:cloudwatch:eu-west-1:123456789012:alarm:" + a.Name)}
		if all.Notifies(a.Name) != "" {
			m.AlarmActions = []string{"arn:aws:sns:eu-west-1:123456789012:topic"}
		}
		for _, metric := range a.Metrics {
			at := metric.Location(topology.HTTPAPIMetrics("api123"))
			q := query(0, at, key{statistic: metric.Statistic, period: a.Period})
			q.Id = aws.String(metric.ID)
			m.Metrics = append(m.Metrics, q)
		}
		c.metric = append(c.metric, m)
	}
	for _, a := range all.Composites {
		c.whole = append(c.whole, types.CompositeAlarm{AlarmName: aws.String(a.Name), StateValue: types.StateValueOk,
			ActionsEnabled: aws.Bool(true), StateTransitionedTimestamp: aws.Time(since),
			AlarmActions: []string{"arn:aws:sns:x:y:z"}})
	}
}

// may records that a permission is needed.
func (c *cloud) may(permission string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.needed[permission]++
	return c.denied[permission]
}

func (c *cloud) calls(permission string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.needed[permission]
}

func (c *cloud) put(metric string, at time.Time, value float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.metrics[metric] == nil {
		c.metrics[metric] = map[time.Time]float64{}
	}
	c.metrics[metric][at.Truncate(time.Minute).UTC()] = value
}

func (c *cloud) GetMetricData(_ context.Context, in *cloudwatch.GetMetricDataInput,
	_ ...func(*cloudwatch.Options)) (*cloudwatch.GetMetricDataOutput, error) {
	if err := c.may("cloudwatch:GetMetricData"); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	out := &cloudwatch.GetMetricDataOutput{}
	for _, q := range in.MetricDataQueries {
		name := aws.ToString(q.MetricStat.Metric.MetricName)
		for i, d := range q.MetricStat.Metric.Dimensions {
			if i > 1 || aws.ToString(d.Name) == "LogGroupName" || aws.ToString(d.Name) == "ApiId" {
				name += "/" + aws.ToString(d.Value)
			}
		}
		r := types.MetricDataResult{Id: q.Id, StatusCode: types.StatusCodeComplete}
		for at, v := range c.metrics[name] {
			if !at.Before(aws.ToTime(in.StartTime)) && at.Before(aws.ToTime(in.EndTime)) {
				r.Timestamps, r.Values = append(r.Timestamps, at), append(r.Values, v)
			}
		}
		out.MetricDataResults = append(out.MetricDataResults, r)
	}
	return out, nil
}

func (c *cloud) DescribeAlarms(_ context.Context, in *cloudwatch.DescribeAlarmsInput,
	_ ...func(*cloudwatch.Options)) (*cloudwatch.DescribeAlarmsOutput, error) {
	if err := c.may("cloudwatch:DescribeAlarms"); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	out := &cloudwatch.DescribeAlarmsOutput{}
	for _, a := range c.metric {
		if slices.Contains(in.AlarmNames, *a.AlarmName) {
			out.MetricAlarms = append(out.MetricAlarms, a)
		}
	}
	for _, a := range c.whole {
		if slices.Contains(in.AlarmNames, *a.AlarmName) {
			out.CompositeAlarms = append(out.CompositeAlarms, a)
		}
	}
	return out, nil
}

func (c *cloud) DescribeAlarmHistory(_ context.Context, in *cloudwatch.DescribeAlarmHistoryInput,
	_ ...func(*cloudwatch.Options)) (*cloudwatch.DescribeAlarmHistoryOutput, error) {
	if err := c.may("cloudwatch:DescribeAlarmHistory"); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	out := &cloudwatch.DescribeAlarmHistoryOutput{}
	for _, item := range slices.Backward(c.history[aws.ToString(in.AlarmName)]) {
		if !item.Timestamp.Before(aws.ToTime(in.StartDate)) {
			out.AlarmHistoryItems = append(out.AlarmHistoryItems, item)
		}
	}
	return out, nil
}

// changes makes an alarm have changed to these states, at these times before now; the last is how
// it stands.
func (c *cloud) changes(alarm, before string, changes ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	name := c.names.Alarm(alarm)
	for i := 0; i < len(changes); i += 2 {
		to, at := changes[i].(string), time.Now().Add(-changes[i+1].(time.Duration))
		c.history[name] = append(c.history[name], types.AlarmHistoryItem{AlarmName: aws.String(name), Timestamp: aws.Time(at),
			HistoryItemType: types.HistoryItemTypeStateUpdate, HistoryData: aws.String(fmt.Sprintf(
				`{"version":"1.0","oldState":{"stateValue":%q},"newState":{"stateValue":%q}}`, before, to))})
		before = to
		for j := range c.metric {
			if *c.metric[j].AlarmName == name {
				c.metric[j].StateValue, c.metric[j].StateTransitionedTimestamp = types.StateValue(to), aws.Time(at)
			}
		}
		for j := range c.whole {
			if *c.whole[j].AlarmName == name {
				c.whole[j].StateValue, c.whole[j].StateTransitionedTimestamp = types.StateValue(to), aws.Time(at)
			}
		}
	}
}

// write adds a line to the log of a function.
func (c *cloud) write(function string, at time.Time, line string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	group := "/aws/lambda/shop-" + function
	c.logs[group] = append(c.logs[group],
		logtypes.FilteredLogEvent{Timestamp: aws.Int64(at.UnixMilli()), Message: aws.String(line)})
}

func (c *cloud) FilterLogEvents(_ context.Context, in *cloudwatchlogs.FilterLogEventsInput,
	_ ...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.FilterLogEventsOutput, error) {
	if err := c.may("logs:FilterLogEvents"); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	out := &cloudwatchlogs.FilterLogEventsOutput{}
	for _, line := range c.logs[aws.ToString(in.LogGroupName)] {
		if at := aws.ToInt64(line.Timestamp); at >= aws.ToInt64(in.StartTime) && at <= aws.ToInt64(in.EndTime) {
			out.Events = append(out.Events, line)
		}
	}
	return out, nil
}

func (c *cloud) StartQuery(_ context.Context, in *cloudwatchlogs.StartQueryInput,
	_ ...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.StartQueryOutput, error) {
	if err := c.may("logs:StartQuery"); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.queries = append(c.queries, in)
	return &cloudwatchlogs.StartQueryOutput{QueryId: aws.String(fmt.Sprint(len(c.queries) - 1))}, nil
}

func (c *cloud) GetQueryResults(_ context.Context, in *cloudwatchlogs.GetQueryResultsInput,
	_ ...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.GetQueryResultsOutput, error) {
	if err := c.may("logs:GetQueryResults"); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var i int
	if _, err := fmt.Sscan(aws.ToString(in.QueryId), &i); err != nil {
		return nil, err
	}
	if c.stays {
		return &cloudwatchlogs.GetQueryResultsOutput{Status: logtypes.QueryStatusRunning}, nil
	}
	q := c.queries[i]
	out := &cloudwatchlogs.GetQueryResultsOutput{Status: logtypes.QueryStatusComplete,
		Statistics: &logtypes.QueryStatistics{BytesScanned: 1e9}}
	for _, line := range c.logs[aws.ToString(q.LogGroupName)] {
		if at := aws.ToInt64(line.Timestamp) / 1000; at >= aws.ToInt64(q.StartTime) && at <= aws.ToInt64(q.EndTime) &&
			strings.Contains(*line.Message, `"msg":"heaviest"`) {
			out.Results = append(out.Results, []logtypes.ResultField{{Field: aws.String("@message"), Value: line.Message}})
		}
	}
	return out, nil
}

func (c *cloud) StopQuery(context.Context, *cloudwatchlogs.StopQueryInput,
	...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.StopQueryOutput, error) {
	return nil, c.may("logs:StopQuery")
}

func (c *cloud) GetParameter(_ context.Context, name string, _ bool) (ssm.Value, error) {
	if err := c.may("ssm:GetParameter"); err != nil {
		return ssm.Value{}, err
	}
	text, ok := c.values[name]
	if !ok {
		return ssm.Value{}, &smithy.GenericAPIError{Code: "ParameterNotFound"}
	}
	return ssm.Value{Text: text}, nil
}

func (c *cloud) api() API {
	return API{Region: "eu-west-1", CloudWatch: c, Queues: c.queue, Logs: c, Insights: c, Parameters: c,
		Function: func(_ context.Context, name string) (signed.Function, error) {
			if err := c.may("lambda:GetFunctionConfiguration"); err != nil {
				return signed.Function{}, err
			}
			f := signed.Function{Timeout: 60}
			variables, ok := c.vars[name]
			if !ok {
				return signed.Function{}, &smithy.GenericAPIError{Code: "ResourceNotFoundException"}
			}
			f.Environment.Variables = variables
			return f, nil
		},
		EventSources: func(context.Context, string) ([]signed.EventSource, error) {
			if err := c.may("lambda:ListEventSourceMappings"); err != nil {
				return nil, err
			}
			return c.sources, nil
		},
		Health: func(context.Context, string) error { return errors.Join(c.may("cloudwatch:GetMetricData")) },
	}
}

// open finds the pipeline.
func (c *cloud) open(t *testing.T) *Source {
	t.Helper()
	s, err := New(t.Context(), c.api(), c.names, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}
