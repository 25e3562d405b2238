package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	cftypes "github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	logtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
)

type fakeStacks map[string]map[string]string

func (f fakeStacks) DescribeStacks(_ context.Context, in *cloudformation.DescribeStacksInput,
	_ ...func(*cloudformation.Options)) (*cloudformation.DescribeStacksOutput, error) {
	outputs, ok := f[aws.ToString(in.StackName)]
	if !ok {
		return nil, errors.New("ValidationError: Stack with id " + aws.ToString(in.StackName) + " does not exist")
	}
	var stack cftypes.Stack
	for k, v := range outputs {
		stack.Outputs = append(stack.Outputs, cftypes.Output{OutputKey: aws.String(k), OutputValue: aws.String(v)})
	}
	return &cloudformation.DescribeStacksOutput{Stacks: []cftypes.Stack{stack}}, nil
}

func TestAStackSaysWhereItsQueuesAre(t *testing.T) {
	api := fakeStacks{"spillway-eu": {outputEvents: "https://e", outputDeadLetters: "https://d"}, "other": {"Bucket": "b"}}
	got, err := stackOutputs(t.Context(), api, "spillway-eu", outputEvents, outputDeadLetters)
	if err != nil || got[outputEvents] != "https://e" || got[outputDeadLetters] != "https://d" {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := stackOutputs(t.Context(), api, "other", outputEvents); err == nil ||
		!strings.Contains(err.Error(), "is it one of Spillway's?") {
		t.Errorf("another's stack: %v", err)
	}
	if _, err := stackOutputs(t.Context(), api, "none", outputEvents); err == nil ||
		!strings.Contains(err.Error(), "does not exist") {
		t.Errorf("no stack: %v", err)
	}
}

// fakeMetrics has values by the name of a metric and of a class.
type fakeMetrics map[string]map[time.Time]float64

func (f fakeMetrics) GetMetricData(_ context.Context, in *cloudwatch.GetMetricDataInput,
	_ ...func(*cloudwatch.Options)) (*cloudwatch.GetMetricDataOutput, error) {
	if f == nil {
		return nil, errors.New("AccessDenied")
	}
	out := &cloudwatch.GetMetricDataOutput{}
	for _, q := range in.MetricDataQueries {
		m := q.MetricStat.Metric
		name := aws.ToString(m.MetricName)
		for _, d := range m.Dimensions[2:] {
			name += "/" + aws.ToString(d.Value)
		}
		if aws.ToString(m.Namespace) != "Spillway" ||
			aws.ToString(m.Dimensions[0].Name)+aws.ToString(m.Dimensions[0].Value) != "Pipelinespillway" ||
			aws.ToString(m.Dimensions[1].Name)+aws.ToString(m.Dimensions[1].Value) != "Functiondeliver" ||
			aws.ToInt32(q.MetricStat.Period) != 60 {
			return nil, fmt.Errorf("nobody writes the metric %+v", m)
		}
		r := cwtypes.MetricDataResult{Id: q.Id}
		for at, v := range f[name] {
			if !at.Before(aws.ToTime(in.StartTime)) && at.Before(aws.ToTime(in.EndTime)) {
				r.Timestamps, r.Values = append(r.Timestamps, at), append(r.Values, v)
			}
		}
		out.MetricDataResults = append(out.MetricDataResults, r)
	}
	return out, nil
}

func TestCloudWatchSaysWhetherSegmentFails(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 30, 0, time.UTC)
	at := func(minutes int) time.Time {
		return now.Truncate(time.Minute).Add(time.Duration(-minutes) * time.Minute)
	}
	for name, c := range map[string]struct {
		metrics fakeMetrics
		want    string
	}{
		"nothing was delivered": {fakeMetrics{}, "<nil>"},
		"it answers": {fakeMetrics{"SegmentResponses/delivered": {at(1): 9, at(2): 1},
			"SegmentResponses/transient": {at(1): 2, at(2): 50}, "BreakerOpen": {at(1): 0, at(2): 1}}, "<nil>"},
		"it fails": {fakeMetrics{"SegmentResponses/rejected": {at(1): 1},
			"SegmentResponses/delivered": {at(2): 900}, "SegmentResponses/throttled": {at(1): 1},
			"SegmentResponses/transient": {at(1): 1}},
			"calls to Segment are failing: it answered 1 of 3 calls in the minute of 11:59"},
		"it is not called": {fakeMetrics{"SegmentResponses/delivered": {at(5): 9}, "BreakerOpen": {at(1): 1, at(5): 0}},
			"calls to Segment are failing: the circuit breaker is open"},
		"that was long ago": {fakeMetrics{"BreakerOpen": {at(20): 1}}, "<nil>"},
		"quiet since": {fakeMetrics{"BreakerOpen": {at(1): 0, at(3): 0}, "SegmentResponses/delivered": {at(3): 4}},
			"<nil>"},
	} {
		minute, err := lastMinute(t.Context(), c.metrics, now)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(minute.Failing(now)); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
	if _, err := lastMinute(t.Context(), fakeMetrics(nil), now); err == nil || !strings.Contains(err.Error(), "--force") {
		t.Errorf("nobody may ask: %v", err)
	}
}

// fakeLogs has a page a call, and repeats what the one before had.
type fakeLogs struct {
	lines []string
	calls int
	since []int64
}

func (f *fakeLogs) FilterLogEvents(_ context.Context, in *cloudwatchlogs.FilterLogEventsInput,
	_ ...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.FilterLogEventsOutput, error) {
	if aws.ToString(in.LogGroupName) != "log" {
		return nil, &logtypes.ResourceNotFoundException{}
	}
	f.calls++
	f.since = append(f.since, aws.ToInt64(in.StartTime))
	out := &cloudwatchlogs.FilterLogEventsOutput{}
	for i := range min(f.calls, len(f.lines)) {
		out.Events = append(out.Events,
			logtypes.FilteredLogEvent{EventId: aws.String(fmt.Sprint(i)), Timestamp: aws.Int64(time.Now().UnixMilli()),
				Message: aws.String(f.lines[i])})
	}
	if f.calls == 1 {
		out.NextToken = aws.String("more")
	}
	return out, nil
}

func TestTailOnAWSShowsEachInvocationOnce(t *testing.T) {
	const fine = `{"time":"2026-11-24T12:00:00Z","level":"INFO","msg":"delivered","messages":2,"events":1234,"delivered":1234,"retried":{},"dead_lettered":{},"flushes":3,"slowest_flush_ms":81,"oldest_ms":1500,"duration_ms":90,"breaker":"closed"}` + "\n"
	const bad = `{"time":"2026-11-24T12:00:01Z","level":"WARN","msg":"delivered","messages":2,"events":9,"delivered":1,"retried":{"transient":5},"dead_lettered":{"rejected":1,"invalid":2},"flushes":1,"slowest_flush_ms":10000,"oldest_ms":7200000,"breaker":"open"}`
	for outcome, want := range map[string]string{
		"": "1,234 events: 1,234 delivered, slowest of 3 calls 81 ms, oldest 1s, breaker closed|" +
			"9 events: 1 delivered, retried 5 transient, dead letters 2 invalid, 1 rejected, slowest of 1 call 10000 ms, " +
			"oldest 2h00m, breaker open|",
		"retried": "9 events: 1 delivered, retried 5 transient, dead letters 2 invalid, 1 rejected, slowest of 1 call " +
			"10000 ms, oldest 2h00m, breaker open|",
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			var out bytes.Buffer
			api := &fakeLogs{lines: []string{fine, "no JSON", bad}}
			if err := (&tailFlags{outcome: outcome}).follow(ctx, &out, api, "log"); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("it ends with %v", err)
			}
			got := ""
			for line := range strings.Lines(out.String()) {
				_, text, _ := strings.Cut(strings.TrimSpace(line), "  ")
				got += text + "|"
			}
			if got != want {
				t.Errorf("%q: got\n%s\nwant\n%s", outcome, got, want)
			}
			if api.calls < 29 || api.calls > 32 || api.since[api.calls-1] <= api.since[0] {
				t.Errorf("%d calls in a minute, since %v", api.calls, api.since)
			}
		})
	}
	if err := (&tailFlags{}).follow(t.Context(), &bytes.Buffer{}, &fakeLogs{}, "none"); err == nil ||
		!strings.Contains(err.Error(), "--log-group") {
		t.Errorf("no such log: %v", err)
	}
}

func TestWrongUseOnAWSIsOneLine(t *testing.T) {
	t.Setenv("AWS_REGION", "")
	t.Setenv("AWS_DEFAULT_REGION", "")
	t.Setenv("AWS_CONFIG_FILE", "/does/not/exist")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", "/does/not/exist")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	check := func(want string, args ...string) {
		t.Helper()
		_, _, err := spillway(t.Context(), "", args...)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v: %v", args, err)
		}
	}
	check("write it into AWS_REGION", "dlq", "ls", "--stack=spillway")
	check("leave --queue-url", "dlq", "ls", "--stack=spillway", "--queue-url=http://localhost:1/a/b")
	check("nothing of an event", "tail", "--stack=spillway", "--payload")
	check("leave --log-group out", "tail", "--stack=spillway", "--log-group=x")
	check("there are no AWS credentials", "dlq", "ls",
		"--queue-url=https://sqs.eu-west-1.amazonaws.com/123456789012/spillway-events")
	t.Setenv("AWS_REGION", "eu-west-1")
	check("there are no AWS credentials", "tail", "--log-group=x")
}
