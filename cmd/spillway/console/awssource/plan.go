package awssource

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"github.com/spillwayhq/spillway/infra/topology"
)

const (
	// maxQueries is how many metrics one GetMetricData takes, and maxDatapoints how many values it
	// returns (CloudWatch API reference, GetMetricData).
	maxQueries    = 500
	maxDatapoints = 100_800
	// late is how late a value may be: ours and Lambda's come after one to three minutes, those of
	// SQS after up to 15. What is younger is read again.
	late = 20 * time.Minute
	// keptByMinute is how long CloudWatch has values by the minute.
	keptByMinute = 15 * 24 * time.Hour
)

// A key names what CloudWatch is asked for: a statistic of a metric by one period.
type key struct {
	metric    string // its namespace, name and dimensions
	statistic string
	period    time.Duration
}

// keyOf is the key under which the values of a metric by a period are read. A sum or an extreme of
// a longer period follows from those of its minutes, so that each is read once for all ranges; a
// percentile does not.
func keyOf(at topology.Location, statistic string, period time.Duration) key {
	if combine(statistic) != nil {
		period = time.Minute
	}
	return key{fmt.Sprint(at.Namespace, at.Name, at.Dimensions), statistic, period}
}

// combine returns how two values of a statistic make that of both times; nil: they do not.
func combine(statistic string) func(a, b float64) float64 {
	switch statistic {
	case "Sum", "SampleCount":
		return func(a, b float64) float64 { return a + b }
	case "Maximum":
		return math.Max
	case "Minimum":
		return math.Min
	}
	return nil
}

// A series has the values that CloudWatch has returned of a key.
type series struct {
	location topology.Location
	from     time.Time // values are known from here
	read     time.Time // until here; values that are younger than late by then may still come
	asked    time.Time // by the page
	kept     time.Duration
	values   map[int64]float64 // by the Unix time of their begin
}

// set takes the values of a read of the time from on.
func (s *series) set(from, now time.Time, timestamps []time.Time, values []float64) {
	maps.DeleteFunc(s.values, func(at int64, _ float64) bool { return at >= from.Unix() })
	for i := range min(len(timestamps), len(values)) {
		s.values[timestamps[i].Unix()] = values[i]
	}
	if s.from.IsZero() || from.Before(s.from) {
		s.from = from
	}
	s.read = now
}

// forget drops the values that are older than the page has asked for.
func (s *series) forget(k key, now time.Time) {
	before := now.Add(-s.kept).Truncate(k.period)
	if !s.from.Before(before) {
		return
	}
	s.from = before
	maps.DeleteFunc(s.values, func(at int64, _ float64) bool { return at < before.Unix() })
}

// get returns n values by a period, which is the series' own or a multiple of it.
func (s *series) get(k key, from time.Time, period time.Duration, n int) []float64 {
	values := make([]float64, n)
	for i := range values {
		values[i] = math.NaN()
	}
	merge := combine(k.statistic)
	begin, seconds := from.Unix(), int64(period/time.Second)
	for at, v := range s.values {
		i := (at - begin) / seconds
		if at < begin || i >= int64(n) {
			continue
		}
		if merge != nil && !math.IsNaN(values[i]) {
			v = merge(values[i], v)
		}
		values[i] = v
	}
	return values
}

// start returns from when a series must be read so that it has what came since, and all from a time
// on; ok is false if it has that: CloudWatch has new values once a minute.
func (s *series) start(k key, from, now time.Time) (start time.Time, needed bool) {
	from = from.Truncate(k.period)
	switch {
	case s.read.IsZero() || from.Before(s.from):
		return from, true
	case s.read.Truncate(time.Minute).Equal(now.Truncate(time.Minute)):
		return time.Time{}, false
	}
	start = s.read.Add(-late).Truncate(k.period)
	if start.Before(s.from) {
		start = s.from
	}
	return start, true
}

// A batch is one call of GetMetricData, with its pages.
type batch struct {
	start, end time.Time
	keys       []key
}

// plan divides what must be read into calls: those of one period from about the same time on
// together, so that a new chart's whole day is not read for each of the others.
func plan(starts map[key]time.Time, now time.Time) []batch {
	type class struct {
		period time.Duration
		long   bool
	}
	byClass := map[class][]key{}
	for k, start := range starts {
		c := class{k.period, now.Sub(start) > 2*late+k.period}
		byClass[c] = append(byClass[c], k)
	}
	var batches []batch
	for _, keys := range byClass {
		slices.SortFunc(keys, func(a, b key) int { return compareKeys(a, b) })
		for part := range slices.Chunk(keys, maxQueries) {
			b := batch{start: starts[part[0]], end: now, keys: part}
			for _, k := range part {
				if starts[k].Before(b.start) {
					b.start = starts[k]
				}
			}
			batches = append(batches, b)
		}
	}
	return batches
}

func compareKeys(a, b key) int {
	return slices.Compare([]string{a.metric, a.statistic}, []string{b.metric, b.statistic})
}

// query is one metric of a call. i makes its ID.
func query(i int, at topology.Location, k key) types.MetricDataQuery {
	m := &types.Metric{Namespace: aws.String(at.Namespace), MetricName: aws.String(at.Name)}
	for _, d := range at.Dimensions {
		m.Dimensions = append(m.Dimensions, types.Dimension{Name: aws.String(d.Name), Value: aws.String(d.Value)})
	}
	return types.MetricDataQuery{Id: aws.String(fmt.Sprint("m", i)), MetricStat: &types.MetricStat{Metric: m,
		Period: aws.Int32(int32(k.period / time.Second)), Stat: aws.String(k.statistic)}}
}
