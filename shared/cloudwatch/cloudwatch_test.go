package cloudwatch

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	logtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"

	"github.com/spillwayhq/spillway/shared/heavy"
	"github.com/spillwayhq/spillway/shared/insights"
	"github.com/spillwayhq/spillway/shared/traffic"
)

var _ traffic.Source = (*Source)(nil)

var noon = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)

// fakeMetrics answers in two pages, with the newest value first, as CloudWatch does.
type fakeMetrics struct{ asked []string }

func (f *fakeMetrics) GetMetricData(_ context.Context, in *cloudwatch.GetMetricDataInput,
	_ ...func(*cloudwatch.Options)) (*cloudwatch.GetMetricDataOutput, error) {
	out := &cloudwatch.GetMetricDataOutput{}
	for i, q := range in.MetricDataQueries {
		m := q.MetricStat
		f.asked = append(f.asked,
			fmt.Sprint(aws.ToString(m.Metric.MetricName), " ", aws.ToString(m.Metric.Dimensions[0].Value), " ",
				aws.ToString(m.Metric.Dimensions[1].Value), " ", aws.ToString(m.Stat), " ", aws.ToInt32(m.Period)))
		out.MetricDataResults = append(out.MetricDataResults, types.MetricDataResult{Id: q.Id,
			Timestamps: []time.Time{noon.Add(5 * time.Minute).Local(), noon}, Values: []float64{float64(10 + i), 5}})
	}
	if in.NextToken == nil {
		out.NextToken = aws.String("more")
	}
	return out, nil
}

func TestTrafficAddsUpWhatCameInByAllWays(t *testing.T) {
	f := &fakeMetrics{}
	s := &Source{Metrics: f, Pipeline: "shop"}
	got, err := s.Traffic(t.Context(), noon, noon.Add(10*time.Minute))
	if err != nil || len(got) != 2 || got[noon] != 20 || got[noon.Add(5*time.Minute)] != 42 {
		t.Errorf("%v, %v", got, err)
	}
	if asked := strings.Join(f.asked[:2],
		", "); asked != "EventsAccepted shop ingest Sum 300, EventsPublished shop publisher Sum 300" {
		t.Errorf("asked for %s", asked)
	}
}

// fakeLogs has the lines of log groups, and returns of a query at most as many as it says.
type fakeLogs struct {
	groups map[string][]heavy.Line

	mu      sync.Mutex
	queries []*cloudwatchlogs.StartQueryInput
}

func (f *fakeLogs) StartQuery(_ context.Context, in *cloudwatchlogs.StartQueryInput,
	_ ...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.StartQueryOutput, error) {
	if _, ok := f.groups[aws.ToString(in.LogGroupName)]; !ok {
		return nil, &logtypes.ResourceNotFoundException{}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.queries = append(f.queries, in)
	return &cloudwatchlogs.StartQueryOutput{QueryId: aws.String(fmt.Sprint(len(f.queries) - 1))}, nil
}

func (f *fakeLogs) GetQueryResults(_ context.Context, in *cloudwatchlogs.GetQueryResultsInput,
	_ ...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.GetQueryResultsOutput, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var i int
	if _, err := fmt.Sscan(aws.ToString(in.QueryId), &i); err != nil {
		return nil, err
	}
	q := f.queries[i]
	out := &cloudwatchlogs.GetQueryResultsOutput{Status: logtypes.QueryStatusComplete,
		Statistics: &logtypes.QueryStatistics{BytesScanned: 1000}}
	for _, l := range f.groups[aws.ToString(q.LogGroupName)] {
		if at := l.Time.Unix(); at < aws.ToInt64(q.StartTime) || at > aws.ToInt64(q.EndTime) || len(out.Results) == insights.MaxRows {
			continue
		}
		var b strings.Builder
		if _, err := l.WriteTo(&b); err != nil {
			return nil, err
		}
		out.Results = append(out.Results,
			[]logtypes.ResultField{{Field: aws.String("@message"), Value: aws.String(b.String())}})
	}
	return out, nil
}

func (f *fakeLogs) StopQuery(context.Context, *cloudwatchlogs.StopQueryInput,
	...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.StopQueryOutput, error) {
	return nil, errors.New("not expected")
}

func line(at time.Time, part string) heavy.Line {
	return heavy.Line{Time: at, From: at.Add(-time.Minute), Message: heavy.Message, Pipeline: "shop", Part: part,
		Events: 1}
}

func TestLinesOfAllPartsAreReadWholeEvenIfAQueryCanNotReturnThem(t *testing.T) {
	logs := &fakeLogs{groups: map[string][]heavy.Line{"ingest": nil, "deliver": nil}}
	const each = 700
	for m := range 30 {
		for i := range each {
			logs.groups["ingest"] = append(logs.groups["ingest"],
				line(noon.Add(time.Duration(m)*time.Minute+time.Duration(i)*time.Millisecond), heavy.PartIngest))
		}
		logs.groups["deliver"] = append(logs.groups["deliver"],
			line(noon.Add(time.Duration(m)*time.Minute), heavy.PartDeliver))
	}
	s := &Source{Logs: logs, Pipeline: "shop", LogGroups: []string{"ingest", "deliver"}}
	lines, err := s.Lines(t.Context(), noon, noon.Add(20*time.Minute))
	if err != nil || len(lines) != 20*(each+1) {
		t.Errorf("%d lines, want %d: %v", len(lines), 20*(each+1), err)
	}
	if n := int64(len(logs.queries)); n < 4 || s.Scanned() != 1000*n {
		t.Errorf("%d queries scanned %d bytes", n, s.Scanned())
	}
	s.Pipeline = "other"
	if lines, err := s.Lines(t.Context(), noon, noon.Add(time.Minute)); err != nil || len(lines) > 0 {
		t.Errorf("another pipeline has %d lines: %v", len(lines), err)
	}
}

// A pipeline for publishers alone has no ingest function, and so no log group of one.
func TestLinesAreReadWithoutAnIngestFunction(t *testing.T) {
	logs := &fakeLogs{groups: map[string][]heavy.Line{"deliver": {line(noon, heavy.PartDeliver)}}}
	s := &Source{Logs: logs, Pipeline: "shop", LogGroups: []string{"ingest", "deliver"}}
	if lines, err := s.Lines(t.Context(), noon, noon.Add(time.Minute)); err != nil || len(lines) != 1 {
		t.Errorf("%v, %v", lines, err)
	}
	delete(logs.groups, "deliver")
	if _, err := s.Lines(t.Context(), noon, noon.Add(time.Minute)); !errors.Is(err, insights.ErrNoLogGroup) {
		t.Errorf("without any log group: %v", err)
	}
}

func TestWindowsAreFoundByTheTimeTheyAreAbout(t *testing.T) {
	window := func(from time.Time) heavy.Line {
		l := line(from.Add(8*time.Minute), heavy.PartAll)
		l.From = from
		return l
	}
	logs := &fakeLogs{groups: map[string][]heavy.Line{"canary": {window(noon.Add(-5 * time.Minute)), window(noon),
		window(noon.Add(5 * time.Minute)), window(noon.Add(10 * time.Minute)),
		line(noon.Add(time.Minute), heavy.PartIngest)}}}
	s := &Source{Logs: logs, Pipeline: "shop", OwnLogGroup: "canary"}
	windows, err := s.Windows(t.Context(), noon, noon.Add(10*time.Minute))
	if err != nil || len(windows) != 2 || !windows[0].From.Equal(noon) {
		t.Errorf("%v, %v", windows, err)
	}
}
