package awssource

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/smithy-go"

	"github.com/spillwayhq/spillway/infra/topology"
)

// fakeMetrics has as many values of each metric as minutes have begun: the value is the minute of
// the hour. It returns pageSize values of a metric a page; 0: all.
type fakeMetrics struct {
	pageSize int
	takes    time.Duration
	err      error
	broken   string                                 // a metric that can't be computed
	missing  func(metric string, at time.Time) bool // values that are not there yet

	mu    sync.Mutex
	calls []*cloudwatch.GetMetricDataInput
}

func (f *fakeMetrics) GetMetricData(_ context.Context, in *cloudwatch.GetMetricDataInput,
	_ ...func(*cloudwatch.Options)) (*cloudwatch.GetMetricDataOutput, error) {
	f.mu.Lock()
	f.calls = append(f.calls, in)
	f.mu.Unlock()
	time.Sleep(f.takes)
	if f.err != nil {
		return nil, f.err
	}
	out := &cloudwatch.GetMetricDataOutput{}
	first := 0
	if in.NextToken != nil {
		_, _ = fmt.Sscan(*in.NextToken, &first)
	}
	for _, q := range in.MetricDataQueries {
		period := time.Duration(aws.ToInt32(q.MetricStat.Period)) * time.Second
		r := types.MetricDataResult{Id: q.Id, StatusCode: types.StatusCodeComplete}
		if aws.ToString(q.MetricStat.Metric.MetricName) == f.broken {
			out.MetricDataResults = append(out.MetricDataResults, types.MetricDataResult{Id: q.Id, StatusCode: types.StatusCodeInternalError})
			continue
		}
		i := 0
		for at := aws.ToTime(in.StartTime); at.Before(aws.ToTime(in.EndTime)); at = at.Add(period) {
			if f.missing != nil && f.missing(aws.ToString(q.MetricStat.Metric.MetricName), at) {
				continue
			}
			if i++; i <= first || f.pageSize > 0 && i > first+f.pageSize {
				continue
			}
			r.Timestamps, r.Values = append(r.Timestamps, at.In(time.FixedZone("", 3600))),
				append(r.Values, float64(at.Minute()))
		}
		if f.pageSize > 0 && i > first+f.pageSize {
			out.NextToken = aws.String(fmt.Sprint(first + f.pageSize))
			r.StatusCode = types.StatusCodePartialData
		}
		out.MetricDataResults = append(out.MetricDataResults, r)
	}
	return out, nil
}

func (f *fakeMetrics) taken() []*cloudwatch.GetMetricDataInput {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.calls)
}

func want(statistic string, names ...string) []wanted {
	var all []wanted
	for _, n := range names {
		all = append(all, wanted{topology.Location{Namespace: "Spillway", Name: n,
			Dimensions: []topology.Dimension{{Name: "Pipeline", Value: "shop"}}}, statistic})
	}
	return all
}

// settle is when the tests in virtual time begin: in the middle of a minute, in the middle of an
// hour.
func settle() time.Time {
	time.Sleep(30*time.Minute + 30*time.Second)
	return time.Now().Truncate(time.Minute)
}

func TestMetricsAreReadOnceAMinuteForAllWhoWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		minute := settle()
		f := &fakeMetrics{takes: time.Second}
		m := &meter{}
		r := newMetricReader(f, m)
		watch := func(n int) {
			var watching sync.WaitGroup
			for range n {
				watching.Go(func() {
					values, err := r.values(t.Context(), want("Sum", "A", "B"), minute.Add(-20*time.Minute), time.Minute, 21)
					if err != nil || len(values) != 2 || values[1][20] != 30 || values[0][0] != 10 {
						t.Errorf("%v, %v", values, err)
					}
				})
			}
			watching.Wait()
		}
		watch(50)
		watch(50)
		if calls := f.taken(); len(calls) != 1 || len(calls[0].MetricDataQueries) != 2 || m.total.MetricReads != 2 {
			t.Fatalf("%d calls for a minute, %v metrics counted", len(calls), m.total.MetricReads)
		}
		for range 10 {
			time.Sleep(time.Minute)
			watch(3)
		}
		calls := f.taken()
		if len(calls) != 11 || m.total.MetricReads != 22 {
			t.Errorf("%d calls for 11 minutes, %v metrics counted", len(calls), m.total.MetricReads)
		}
		last := calls[10]
		if back := aws.ToTime(last.EndTime).Sub(aws.ToTime(last.StartTime)); back < late || back > late+3*time.Minute {
			t.Errorf("the last call reads %v again, and values may be %v late", back, late)
		}
	})
}

func TestWhatTheOthersUseIsReadInTheSameCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		minute := settle()
		f := &fakeMetrics{}
		r := newMetricReader(f, &meter{})
		for range 3 {
			for _, name := range []string{"A", "B", "C"} {
				if _, err := r.values(t.Context(), want("Sum", name), minute.Add(-time.Hour), time.Minute, 60); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(time.Minute)
		}
		if calls := f.taken(); len(calls) != 3+1+1 || len(calls[4].MetricDataQueries) != 3 {
			t.Errorf("%d calls", len(calls))
		}
		time.Sleep(10 * time.Minute) // nobody watches
		if _, err := r.values(t.Context(), want("Sum", "A"), minute.Add(-time.Hour), time.Minute, 60); err != nil {
			t.Fatal(err)
		}
		if calls := f.taken(); len(calls) != 6 || len(calls[5].MetricDataQueries) != 1 {
			t.Errorf("what nobody has asked for in %v is read: %d calls", inUse, len(calls))
		}
	})
}

func TestALateValueIsSeenWhenItComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		minute := settle()
		now := minute
		f := &fakeMetrics{missing: func(_ string, at time.Time) bool { return at.After(now.Add(-15 * time.Minute)) }}
		r := newMetricReader(f, &meter{})
		for range 16 {
			now = time.Now()
			values, err := r.values(t.Context(), want("Sum", "A"), minute, time.Minute, 1)
			if came := time.Since(minute) >= 15*time.Minute; err != nil || math.IsNaN(values[0][0]) == came {
				t.Errorf("after %v: %v, %v", time.Since(minute), values, err)
			}
			time.Sleep(time.Minute)
		}
	})
}

func TestALongerPeriodIsReadAgainOnlyWhereItDoesNotFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		minute := settle()
		f := &fakeMetrics{}
		r := newMetricReader(f, &meter{})
		from := minute.Truncate(10 * time.Minute).Add(-20 * time.Minute) // minutes 10 to 29
		for statistic, wants := range map[string][]float64{"Sum": {145, 245}, "Maximum": {19, 29}, "Minimum": {10, 20},
			"SampleCount": {145, 245}, "p99": {10, 20}} {
			if _, err := r.values(t.Context(), want(statistic, "A"), from, time.Minute, 20); err != nil {
				t.Fatal(err)
			}
			before := len(f.taken())
			values, err := r.values(t.Context(), want(statistic, "A"), from, 10*time.Minute, 2)
			if err != nil || !slices.Equal(values[0], wants) {
				t.Errorf("%s: %v, want %v: %v", statistic, values, wants, err)
			}
			calls := f.taken()
			if more := len(calls) - before; more > 0 != (statistic == "p99") {
				t.Errorf("%s: %d more calls", statistic, more)
			}
			if period := aws.ToInt32(calls[len(calls)-1].MetricDataQueries[0].MetricStat.Period); statistic == "p99" &&
				period != 600 {
				t.Errorf("the percentile of 10 minutes is asked for by %d s", period)
			}
		}
	})
}

func TestACallHasAtMost500MetricsAndAllItsPagesAreRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		minute := settle()
		f := &fakeMetrics{pageSize: 7}
		m := &meter{}
		r := newMetricReader(f, m)
		var names []string
		for i := range 501 {
			names = append(names, fmt.Sprint("M", i))
		}
		values, err := r.values(t.Context(), want("Sum", names...), minute.Add(-20*time.Minute), time.Minute, 20)
		if err != nil {
			t.Fatal(err)
		}
		for i, of := range values {
			if slices.ContainsFunc(of, math.IsNaN) {
				t.Fatalf("%s lacks values: %v", names[i], of)
			}
		}
		for _, in := range f.taken() {
			ids := map[string]bool{}
			for _, q := range in.MetricDataQueries {
				ids[aws.ToString(q.Id)] = true
			}
			if len(ids) != len(in.MetricDataQueries) || len(ids) > maxQueries {
				t.Errorf("a call has %d metrics with %d IDs", len(in.MetricDataQueries), len(ids))
			}
		}
		if n := len(f.taken()); n != 6 || m.total.MetricReads != 3*501 {
			t.Errorf("%d calls, %v metrics counted", n, m.total.MetricReads)
		}
	})
}

// A new chart of a whole day must not make all others be read for a whole day again.
func TestANewRangeIsReadApartFromWhatIsNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		minute := settle()
		f := &fakeMetrics{}
		r := newMetricReader(f, &meter{})
		read := func(name string, back time.Duration) {
			if _, err := r.values(t.Context(), want("Sum", name), minute.Add(-back), time.Minute, 1); err != nil {
				t.Fatal(err)
			}
		}
		read("A", time.Hour)
		time.Sleep(time.Minute)
		read("B", 25*time.Hour)
		calls := f.taken()
		spans := map[string]time.Duration{}
		for _, in := range calls[1:] {
			spans[aws.ToString(in.MetricDataQueries[0].MetricStat.Metric.MetricName)] = aws.ToTime(in.EndTime).Sub(aws.ToTime(in.StartTime))
		}
		if len(calls) != 3 || spans["A"] > time.Hour || spans["B"] < 25*time.Hour {
			t.Errorf("%d calls, which read %v", len(calls), spans)
		}
		time.Sleep(26 * time.Hour)
		read("A", 0)
		read("B", 0)
		r.mu.Lock()
		defer r.mu.Unlock()
		for k, s := range r.series {
			if len(s.values) > 27*60+1 {
				t.Errorf("%s keeps %d values", k.metric, len(s.values))
			}
		}
	})
}

func TestACloudWatchThatFailsIsLeftAloneForAMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		minute := settle()
		f := &fakeMetrics{err: &smithy.GenericAPIError{Code: "ThrottlingException", Message: "Rate exceeded"}}
		r := newMetricReader(f, &meter{})
		read := func() error {
			_, err := r.values(t.Context(), want("Sum", "A"), minute, time.Minute, 1)
			return err
		}
		for range 5 {
			if err := read(); err == nil ||
				!strings.Contains(err.Error(), "AWS throttles this account's calls of cloudwatch:GetMetricData") {
				t.Errorf("throttled: %v", err)
			}
		}
		if n := len(f.taken()); n != 1 {
			t.Errorf("%d calls at once", n)
		}
		f.err = nil
		time.Sleep(pause)
		if err := read(); err != nil {
			t.Errorf("after %v: %v", pause, err)
		}
	})
}

func TestAMetricThatCanNotBeComputedCostsNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		minute := settle()
		f := &fakeMetrics{broken: "B"}
		r := newMetricReader(f, &meter{})
		read := func(names ...string) error {
			_, err := r.values(t.Context(), want("Sum", names...), minute, time.Minute, 1)
			return err
		}
		if err := read("A", "B"); err == nil || !strings.Contains(err.Error(), "1 of 2 metrics: InternalError") {
			t.Errorf("with B: %v", err)
		}
		if err := read("A"); err != nil || len(f.taken()) != 1 {
			t.Errorf("without B: %v, after %d calls", err, len(f.taken()))
		}
		time.Sleep(time.Minute)
		if err := read("A"); err != nil {
			t.Errorf("a minute later: %v", err)
		}
		f.broken = ""
		time.Sleep(pause)
		if err := read("A", "B"); err != nil {
			t.Errorf("when it can be computed again: %v", err)
		}
	})
}

func TestWhoHasGoneDoesNotEndAReadForTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		minute := settle()
		f := &fakeMetrics{takes: 12 * time.Second}
		r := newMetricReader(f, &meter{})
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		_, err := r.values(ctx, want("Sum", "A"), minute, time.Minute, 1)
		if err == nil || !strings.Contains(err.Error(), "cloudwatch has not answered in time") {
			t.Errorf("after 5 s: %v", err)
		}
		if values, err := r.values(t.Context(), want("Sum", "A"), minute, time.Minute, 1); err != nil || values[0][0] != 30 {
			t.Errorf("%v, %v", values, err)
		}
		if n := len(f.taken()); n != 1 {
			t.Errorf("%d calls", n)
		}
	})
}

func TestValuesThatCloudWatchHasNotAnyMoreAreNotAskedFor(t *testing.T) {
	f := &fakeMetrics{}
	_, err := newMetricReader(f, &meter{}).values(t.Context(), want("Sum", "A"), time.Now().Add(-16*24*time.Hour),
		time.Minute, 1)
	if err == nil || !strings.Contains(err.Error(), "15 days") || len(f.taken()) > 0 {
		t.Errorf("%v", err)
	}
}

func TestTheCostOfReadingIsSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &meter{}
		if m.String() != "" {
			t.Errorf("before anything was read: %q", m)
		}
		m.metrics(1500)
		if got := m.String(); got != "$0.0150 since 00:00 UTC: 1,500 metrics and requests" {
			t.Errorf("in the first minute: %q", got)
		}
		for range 30 {
			time.Sleep(time.Minute)
			m.metrics(60)
		}
		m.scanned(2e9)
		if got := m.String(); got != "$0.0430 since 00:00 UTC: 3,300 metrics and requests, 2.0 GB of logs; $0.0360 an "+
			"hour while somebody watches" {
			t.Errorf("after half an hour: %q", got)
		}
	})
}
