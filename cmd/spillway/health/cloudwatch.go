package health

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

const (
	// lookBack is long enough for every waiting message to have been tried again.
	lookBack = 15 * time.Minute
	// breakerID is the query of the circuit breaker; those of Segment's answers are numbered.
	breakerID = "breaker"
)

// lastMinute asks CloudWatch what the deliver function reported about Segment in the last minute
// with a delivery. Metrics appear a minute or two late. A call reads six metrics, at $0.01 per
// thousand.
func lastMinute(ctx context.Context, api cloudwatch.GetMetricDataAPIClient, pipeline string,
	now time.Time) (deadletter.Minute, error) {
	queries := []types.MetricDataQuery{query(pipeline, breakerID, "BreakerOpen", "Maximum")}
	classes := map[string]segment.Class{} // by query
	for i, class := range segment.Classes() {
		id := "class" + strconv.Itoa(i)
		classes[id] = class
		queries = append(queries, query(pipeline, id, "SegmentResponses", "Sum",
			dimension("Class", class.String())))
	}
	out, err := api.GetMetricData(ctx, &cloudwatch.GetMetricDataInput{
		StartTime: aws.Time(now.Add(-lookBack)), EndTime: aws.Time(now), MetricDataQueries: queries,
	})
	if err != nil {
		return deadletter.Minute{}, fmt.Errorf("read CloudWatch metrics: %w", err)
	}
	samples := samplesOf(out)
	var last deadletter.Minute
	for _, s := range samples { // a minute without calls says nothing about Segment, unless the breaker is open
		if s.value > 0 && s.at.After(last.Start) {
			last.Start = s.at
		}
	}
	for _, s := range samples {
		switch {
		case !s.at.Equal(last.Start):
		case s.id == breakerID:
			last.BreakerOpen = s.value > 0
		default:
			last.Add(classes[s.id], int(s.value))
		}
	}
	return last, nil
}

func dimension(name, value string) types.Dimension {
	return types.Dimension{Name: aws.String(name), Value: aws.String(value)}
}

// query reads a metric of the deliver function, by the minute.
func query(pipeline, id, metric, stat string, dimensions ...types.Dimension) types.MetricDataQuery {
	return types.MetricDataQuery{Id: aws.String(id), MetricStat: &types.MetricStat{
		Metric: &types.Metric{
			Namespace: aws.String(emf.Namespace), MetricName: aws.String(metric),
			Dimensions: append([]types.Dimension{
				dimension(emf.PipelineDimension, pipeline), dimension(emf.FunctionDimension, "deliver"),
			}, dimensions...),
		},
		Period: aws.Int32(60), Stat: aws.String(stat),
	}}
}

// sample is one minute of one query.
type sample struct {
	id    string
	at    time.Time
	value float64
}

func samplesOf(out *cloudwatch.GetMetricDataOutput) []sample {
	var samples []sample
	for _, r := range out.MetricDataResults {
		for i := range min(len(r.Timestamps), len(r.Values)) {
			samples = append(samples, sample{aws.ToString(r.Id), r.Timestamps[i], r.Values[i]})
		}
	}
	return samples
}
