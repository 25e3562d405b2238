package health

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
)

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
			aws.ToString(m.Dimensions[0].Name)+aws.ToString(m.Dimensions[0].Value) != "Pipelinestaging" ||
			aws.ToString(m.Dimensions[1].Name)+aws.ToString(m.Dimensions[1].Value) != "Functiondeliver" ||
			aws.ToInt32(q.MetricStat.Period) != 60 {
			return nil, fmt.Errorf("no function writes the metric %+v", m)
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

func TestCloudWatchMetricsShowWhetherSegmentFails(t *testing.T) {
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
		minute, err := lastMinute(t.Context(), c.metrics, "staging", now)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(minute.Failing(now)); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
	_, err := lastMinute(t.Context(), fakeMetrics(nil), "staging", now)
	if err == nil || !strings.Contains(unknown(err).Error(), "--force") {
		t.Errorf("without permission: %v", err)
	}
}

func TestPipelineOfReadsTheNameOfTheEventsQueue(t *testing.T) {
	const account = "https://sqs.eu-west-1.amazonaws.com/123456789012/"
	for queue, want := range map[string]string{
		"spillway-events": "spillway", "staging-eu-events": "staging-eu", "staging-other": "spillway", "x": "spillway",
	} {
		if got := pipelineOf(account + queue); got != want {
			t.Errorf("%s: %s, want %s", queue, got, want)
		}
	}
}
