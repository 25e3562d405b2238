package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"github.com/spillwayhq/spillway/shared/deadletter"
	"github.com/spillwayhq/spillway/shared/emf"
	"github.com/spillwayhq/spillway/shared/segment"
)

// metrics is what is needed of a *cloudwatch.Client.
type metrics interface {
	GetMetricData(context.Context, *cloudwatch.GetMetricDataInput,
		...func(*cloudwatch.Options)) (*cloudwatch.GetMetricDataOutput, error)
}

// lastMinute asks CloudWatch for what the deliver function said of Segment in the last minute of
// the last 15 with a delivery. Metrics are there a minute or two after what they tell of. A call
// reads six metrics, at $0.01 a thousand.
func lastMinute(ctx context.Context, api metrics, now time.Time) (deadletter.Minute, error) {
	classes := segment.Classes()
	query := func(id, name, stat string, dimensions ...types.Dimension) types.MetricDataQuery {
		return types.MetricDataQuery{Id: aws.String(id), MetricStat: &types.MetricStat{
			Metric: &types.Metric{Namespace: aws.String(emf.Namespace), MetricName: aws.String(name),
				Dimensions: append([]types.Dimension{
					{Name: aws.String(emf.PipelineDimension), Value: aws.String(emf.DefaultPipeline)},
					{Name: aws.String(emf.FunctionDimension), Value: aws.String("deliver")},
				}, dimensions...)},
			Period: aws.Int32(60), Stat: aws.String(stat),
		}}
	}
	queries := []types.MetricDataQuery{query("breaker", "BreakerOpen", "Maximum")}
	for i, class := range classes {
		queries = append(queries,
			query("class"+strconv.Itoa(i), "SegmentResponses", "Sum",
				types.Dimension{Name: aws.String("Class"), Value: aws.String(class.String())}))
	}
	out, err := api.GetMetricData(ctx,
		&cloudwatch.GetMetricDataInput{StartTime: aws.Time(now.Add(-15 * time.Minute)), EndTime: aws.Time(now),
			MetricDataQueries: queries})
	if err != nil {
		return deadletter.Minute{},
			fmt.Errorf("nobody knows whether Segment takes events, because CloudWatch can't be asked: --force sends all "+
				"the same: %w", err)
	}
	var last deadletter.Minute
	each := func(f func(id string, at time.Time, value float64)) {
		for _, r := range out.MetricDataResults {
			for i := range min(len(r.Timestamps), len(r.Values)) {
				f(aws.ToString(r.Id), r.Timestamps[i], r.Values[i])
			}
		}
	}
	// Without calls a minute says something of Segment only when the breaker is open.
	each(func(id string, at time.Time, value float64) {
		if value > 0 && at.After(last.Start) {
			last.Start = at
		}
	})
	each(func(id string, at time.Time, value float64) {
		switch {
		case !at.Equal(last.Start):
		case id == "breaker":
			last.BreakerOpen = value > 0
		default:
			for i, class := range classes {
				if id == "class"+strconv.Itoa(i) {
					last.Add(class, int(value))
				}
			}
		}
	})
	return last, nil
}
