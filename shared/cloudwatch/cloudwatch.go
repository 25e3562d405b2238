// Package cloudwatch reads from CloudWatch what package traffic compares and what `spillway top`
// shows: how many events came in, by the metrics, and who sent them, by the lines of package heavy
// in the functions' logs.
//
// Metrics cost $0.01 for 1,000 that are read, and Logs Insights $0.005 for each GB that it scans:
// all lines of a log group in the time that is asked about, not only those that it finds.
package cloudwatch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"github.com/spillwayhq/spillway/shared/emf"
	"github.com/spillwayhq/spillway/shared/heavy"
	"github.com/spillwayhq/spillway/shared/insights"
)

// A Source reads what a deployed pipeline has written. It implements traffic.Source, and is safe
// for concurrent use.
type Source struct {
	Metrics  cloudwatch.GetMetricDataAPIClient
	Logs     insights.API
	Pipeline string
	// LogGroups are those of the parts that write lines: ingest and deliver.
	LogGroups []string
	// OwnLogGroup is the one to which the comparisons are written: the canary's.
	OwnLogGroup string
	// Running is insights.Query.Running; may be nil.
	Running func(after time.Duration, bytes int64)

	scanned atomic.Int64
}

// Scanned is how many bytes of logs have been scanned so far.
func (s *Source) Scanned() int64 { return s.scanned.Load() }

// period is how many seconds of a metric are added up: traffic.Interval.
const period = 300

// Traffic returns the accepted events of each five minutes, by their begin.
func (s *Source) Traffic(ctx context.Context, from, to time.Time) (map[time.Time]float64, error) {
	in := &cloudwatch.GetMetricDataInput{StartTime: aws.Time(from), EndTime: aws.Time(to),
		MetricDataQueries: []types.MetricDataQuery{
			s.query("ingest", "EventsAccepted"), s.query("publisher", "EventsPublished"),
		}}
	traffic := map[time.Time]float64{}
	for pages := cloudwatch.NewGetMetricDataPaginator(s.Metrics, in); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("read CloudWatch metrics: %w", err)
		}
		for _, r := range page.MetricDataResults {
			for i := range min(len(r.Timestamps), len(r.Values)) {
				traffic[r.Timestamps[i].UTC()] += r.Values[i]
			}
		}
	}
	return traffic, nil
}

func (s *Source) query(function, metric string) types.MetricDataQuery {
	dimension := func(name, value string) types.Dimension {
		return types.Dimension{Name: aws.String(name), Value: aws.String(value)}
	}
	return types.MetricDataQuery{Id: aws.String(function), MetricStat: &types.MetricStat{
		Metric: &types.Metric{Namespace: aws.String(emf.Namespace), MetricName: aws.String(metric),
			Dimensions: []types.Dimension{dimension(emf.PipelineDimension, s.Pipeline),
				dimension(emf.FunctionDimension, function)}},
		Period: aws.Int32(period), Stat: aws.String("Sum"),
	}}
}

// Lines returns the lines that the parts wrote from a time on and before another one. A log group
// may be missing, but not all: a pipeline without an ingest endpoint has none of ingest.
func (s *Source) Lines(ctx context.Context, from, to time.Time) ([]heavy.Line, error) {
	type result struct {
		lines []heavy.Line
		err   error
	}
	results := make(chan result, len(s.LogGroups))
	for _, group := range s.LogGroups {
		go func() {
			lines, err := s.read(ctx, group, from, to)
			results <- result{lines, err}
		}()
	}
	var all []heavy.Line
	var failed, missing error
	found := 0
	for range s.LogGroups {
		switch r := <-results; {
		case errors.Is(r.err, insights.ErrNoLogGroup):
			missing = r.err
		case r.err != nil:
			failed = r.err
		default:
			found++
			all = append(all, r.lines...)
		}
	}
	if found == 0 {
		failed = cmp.Or(failed, missing)
	}
	if failed != nil {
		return nil, failed
	}
	return all, nil
}

// maxDelay is how long after its end the line of a comparison may be written.
const maxDelay = 15 * time.Minute

// Windows returns the lines of comparisons with their From in a time.
func (s *Source) Windows(ctx context.Context, from, to time.Time) ([]heavy.Line, error) {
	lines, err := s.read(ctx, s.OwnLogGroup, from, to.Add(maxDelay))
	var windows []heavy.Line
	for _, l := range lines {
		if l.Part == heavy.PartAll && !l.From.Before(from) && l.From.Before(to) {
			windows = append(windows, l)
		}
	}
	return windows, err
}

// query filters by text: in a line of JSON Insights knows the first 200 fields only.
var query = fmt.Sprintf(`fields @message | filter @message like /"msg":"%s"/ | limit %d`, heavy.Message,
	insights.MaxRows)

// read returns the lines of a log group that were written in a time. A query that finds more than
// it may return is asked again in halves.
func (s *Source) read(ctx context.Context, group string, from, to time.Time) ([]heavy.Line, error) {
	// Insights takes whole seconds, the end included.
	result, err := insights.Run(ctx, s.Logs, insights.Query{LogGroup: group, Text: query, From: from,
		To: to.Add(time.Second), Running: s.Running})
	if err != nil {
		return nil, err
	}
	s.scanned.Add(result.Scanned)
	if half := to.Sub(from) / 2; len(result.Rows) >= insights.MaxRows && half >= time.Minute {
		middle := from.Add(half)
		first, err := s.read(ctx, group, from, middle)
		if err != nil {
			return nil, err
		}
		second, err := s.read(ctx, group, middle, to)
		return append(first, second...), err
	}
	var lines []heavy.Line
	for _, row := range result.Rows {
		l, ok := heavy.Parse([]byte(row["@message"]))
		if ok && l.Pipeline == s.Pipeline && (l.Part == heavy.PartAll || !l.Time.Before(from) && l.Time.Before(to)) {
			lines = append(lines, l)
		}
	}
	return lines, nil
}
