package awssource

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"github.com/spillwayhq/spillway/cmd/spillway/deployed"
	"github.com/spillwayhq/spillway/infra/topology"
)

const (
	// readTimeout bounds a read, which goes on if whoever asked has gone: others wait for it, and
	// it is paid for.
	readTimeout = 30 * time.Second
	// pause is how long CloudWatch is left alone after it has failed.
	pause = 10 * time.Second
	// inUse is how long a metric is read together with others after the page has last asked for it.
	inUse = 3 * time.Minute
	// unused is how long the values of a metric are kept after the page has last asked for it.
	unused = time.Hour
)

// A metricReader has the metrics that the page has asked for, and reads once a minute what is new.
// It is safe for concurrent use: whoever asks while it reads waits for the same read.
type metricReader struct {
	api   cloudwatch.GetMetricDataAPIClient
	meter *meter

	mu      sync.Mutex
	series  map[key]*series
	reading *read // nil: none is under way
	failed  *read // the last one, if it failed
}

// A read is one refresh of all metrics in use. Its err may be read when done is closed.
type read struct {
	done chan struct{}
	err  error
	at   time.Time // of the end
}

func newMetricReader(api cloudwatch.GetMetricDataAPIClient, m *meter) *metricReader {
	return &metricReader{api: api, meter: m, series: map[key]*series{}}
}

// A wanted metric is one with where CloudWatch has it.
type wanted struct {
	at        topology.Location
	statistic string
}

// values returns n values of each metric.
func (r *metricReader) values(ctx context.Context, metrics []wanted, from time.Time, period time.Duration,
	n int) ([][]float64, error) {
	if time.Since(from) > keptByMinute {
		return nil, fmt.Errorf("CloudWatch keeps values by the minute for 15 days: ask for a time after %s",
			time.Now().Add(-keptByMinute).UTC().Format("2006-01-02"))
	}
	for failed := (*read)(nil); ; {
		values, wait := r.try(ctx, metrics, from, period, n)
		if wait == nil {
			return values, nil
		}
		select {
		case <-wait.done:
			if wait.err != nil && wait == failed {
				return nil, wait.err
			}
			failed = wait // it may have read these metrics all the same, and failed for others
		case <-ctx.Done():
			return nil, deployed.Explain(ctx.Err(), "read the metrics", "cloudwatch:GetMetricData")
		}
	}
}

// try returns the values if all of them are here, and otherwise the read to wait for.
func (r *metricReader) try(ctx context.Context, metrics []wanted, from time.Time, period time.Duration,
	n int) ([][]float64, *read) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	starts := map[key]time.Time{}
	all := make([][]float64, len(metrics))
	for i, m := range metrics {
		k := keyOf(m.at, m.statistic, period)
		s := r.series[k]
		if s == nil {
			s = &series{location: m.at, values: map[int64]float64{}}
			r.series[k] = s
		}
		s.asked, s.kept = now, max(s.kept, now.Sub(from)+late)
		if start, needed := s.start(k, from, now); needed {
			starts[k] = start
			continue
		}
		all[i] = s.get(k, from, period, n)
	}
	if len(starts) == 0 {
		return all, nil
	}
	if r.reading == nil {
		if r.failed != nil && now.Sub(r.failed.at) < pause {
			return nil, r.failed
		}
		r.begin(ctx, starts, now)
	}
	return nil, r.reading
}

// begin starts to read what is needed, and what else the page has asked for lately.
func (r *metricReader) begin(ctx context.Context, starts map[key]time.Time, now time.Time) {
	for k, s := range r.series {
		if now.Sub(s.asked) > unused {
			delete(r.series, k)
			continue
		}
		s.forget(k, now)
		if _, has := starts[k]; has || now.Sub(s.asked) > inUse {
			continue
		}
		if start, needed := s.start(k, s.from, now); needed {
			starts[k] = start
		}
	}
	locations := map[key]topology.Location{}
	for k := range starts {
		locations[k] = r.series[k].location
	}
	one := &read{done: make(chan struct{})}
	r.reading = one
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readTimeout)
	go func() {
		defer cancel()
		err := r.run(ctx, plan(starts, now), locations)
		r.mu.Lock()
		defer r.mu.Unlock()
		one.err, one.at = err, time.Now()
		r.reading, r.failed = nil, nil
		if err != nil {
			r.failed = one
		}
		close(one.done)
	}()
}

// run makes the calls, one after another, and keeps what they return.
func (r *metricReader) run(ctx context.Context, batches []batch, locations map[key]topology.Location) error {
	var missing error
	for _, b := range batches {
		found, err := r.call(ctx, b, locations)
		if err != nil {
			return deployed.Explain(err, "read the metrics", "cloudwatch:GetMetricData")
		}
		missing = cmp.Or(missing, r.keep(b, found))
	}
	return missing
}

// call makes one call with its pages, and returns the results by the query's ID.
func (r *metricReader) call(ctx context.Context, b batch,
	locations map[key]topology.Location) (map[string]types.MetricDataResult, error) {
	in := &cloudwatch.GetMetricDataInput{StartTime: aws.Time(b.start), EndTime: aws.Time(b.end),
		MaxDatapoints: aws.Int32(maxDatapoints), ScanBy: types.ScanByTimestampAscending}
	for i, k := range b.keys {
		in.MetricDataQueries = append(in.MetricDataQueries, query(i, locations[k], k))
	}
	found := map[string]types.MetricDataResult{}
	for pages := cloudwatch.NewGetMetricDataPaginator(r.api, in); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		r.meter.metrics(len(b.keys))
		for _, result := range page.MetricDataResults {
			id := aws.ToString(result.Id)
			all := found[id]
			all.StatusCode, all.Messages = result.StatusCode, result.Messages
			all.Timestamps = append(all.Timestamps, result.Timestamps...)
			all.Values = append(all.Values, result.Values...)
			found[id] = all
		}
	}
	return found, nil
}

// keep takes the results of a call. One that CloudWatch could not compute is an error, unless
// earlier values do: it is read again with the next.
func (r *metricReader) keep(b batch, found map[string]types.MetricDataResult) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	missing := map[string]int{}
	for i, k := range b.keys {
		s := r.series[k]
		result, ok := found[fmt.Sprint("m", i)]
		if !ok || result.StatusCode == types.StatusCodeInternalError || result.StatusCode == types.StatusCodeForbidden {
			missing[describeResult(result)]++
			continue
		}
		s.set(b.start, b.end, result.Timestamps, result.Values)
	}
	if len(missing) == 0 {
		return nil
	}
	var parts []string
	for what, n := range maps.All(missing) {
		parts = append(parts, fmt.Sprintf("%d of %d metrics: %s", n, len(b.keys), what))
	}
	return fmt.Errorf("CloudWatch did not return %s; they are asked for again", strings.Join(parts, ", "))
}

func describeResult(result types.MetricDataResult) string {
	if len(result.Messages) > 0 {
		return aws.ToString(result.Messages[0].Value)
	}
	if result.StatusCode == "" {
		return "they are missing in its answer"
	}
	return string(result.StatusCode)
}

// latest returns the newest value of each metric by the minute in the last d, and of which minute
// it is; zero: there is none.
func (r *metricReader) latest(ctx context.Context, metrics []wanted, d time.Duration) ([]float64, []time.Time, error) {
	from := time.Now().Add(-d).Truncate(time.Minute)
	n := int(d/time.Minute) + 1
	values, err := r.values(ctx, metrics, from, time.Minute, n)
	if err != nil {
		return nil, nil, err
	}
	newest, at := make([]float64, len(metrics)), make([]time.Time, len(metrics))
	for i, of := range values {
		for j, v := range of {
			if !math.IsNaN(v) {
				newest[i], at[i] = v, from.Add(time.Duration(j)*time.Minute)
			}
		}
	}
	return newest, at, nil
}
