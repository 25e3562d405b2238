// Package traffic compares what comes in now with what came in before: is it a fraction of what is
// usual, because a release broke tracking, or does one write key or event name send a multiple?
//
// Neither can be an alarm on metrics alone. CloudWatch's metric math can't look at yesterday, a
// metric for each name would cost more than the pipeline, and what a function remembers ends with
// its environment. So the canary's function, which runs every minute anyhow, compares every five
// minutes and writes two metrics (Function=canary), which alarms read:
//
//   - TrafficRatio: the accepted events of the last whole five minutes, as a multiple of what is usual
//     (see [Ratio]). 1 is usual, 0.1 is a tenth. It is missing while nothing is usual: too few events,
//     or no day to compare with.
//   - LargestGrowth: the largest multiple that a write key or an event name sends (see [Grown]). It is
//     missing until there is a day to compare with. The log says who it is.
//
// Usual is what came in yesterday and a week ago, each from an hour before this time of day to an
// hour after. So a daily peak is usual, also on the day after the clocks have changed, and a Monday
// after a Sunday. When traffic stops in the hour in which it usually rises, that is seen an hour
// later.
//
// # What it reads on AWS
//
// Traffic by cloudwatch:GetMetricData (on *): two metrics a comparison, $0.17 a month. The minute
// lines by logs:StartQuery on the log groups of ingest, deliver and canary, and
// logs:GetQueryResults and logs:StopQuery (on *, they have no resource). Every byte of the log
// groups of ingest and deliver is scanned once, at $0.005 a GB: 1 % of what it costs to write them.
// What it finds it writes as one line for five minutes to the canary's log, and reads the days
// before from there, which is nearly nothing.
package traffic

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spillwayhq/spillway/shared/emf"
	"github.com/spillwayhq/spillway/shared/heavy"
)

// The metrics, with the dimensions Pipeline and Function=canary.
const (
	RatioMetric  = "TrafficRatio"
	GrowthMetric = "LargestGrowth"
)

const (
	// Interval is how often is compared, and how long a time is compared.
	Interval = 5 * time.Minute
	// Delay is how old the end of that time is: metrics are up to 3 minutes late.
	Delay = 3 * time.Minute
	// Floor is how many events in Interval are enough to compare, one a second. Where fewer are
	// usual, as many are taken to be usual, so that a quiet site raises no alarm.
	Floor = 300
	// Around is how far from this time of day is usual too.
	Around = time.Hour

	day  = 24 * time.Hour
	week = 7 * day
)

// Due reports whether a comparison is due in this minute, and of the Interval that begins when.
func Due(now time.Time) (from time.Time, due bool) {
	end := now.UTC().Truncate(time.Minute).Add(-Delay)
	return end.Add(-Interval), end.Equal(end.Truncate(Interval))
}

// A Source has what is compared. Its methods may be called concurrently.
type Source interface {
	// Traffic returns the accepted events of each Interval, by its begin; one without any is
	// missing.
	Traffic(ctx context.Context, from, to time.Time) (map[time.Time]float64, error)
	// Lines returns the lines of the pipeline's parts that were written from a time on and before
	// another one.
	Lines(ctx context.Context, from, to time.Time) ([]heavy.Line, error)
	// Windows returns the lines of earlier comparisons ([Result].Window) with their From in a time.
	Windows(ctx context.Context, from, to time.Time) ([]heavy.Line, error)
}

// A Result is one comparison.
type Result struct {
	Ratio    float64
	HasRatio bool
	// Grown are those who send a multiple of what they usually send, the largest first: at most
	// three.
	Grown     []Growth
	HasGrowth bool // there was a day to compare with
	// Window has the sums of the lines of the Interval, for later comparisons: write it to the log
	// that Source.Windows reads. nil: the lines could not be read.
	Window *heavy.Line
}

// Metrics are the result's.
func (r *Result) Metrics() []emf.Metric {
	var metrics []emf.Metric
	if r.HasRatio {
		metrics = append(metrics, emf.Metric{Name: RatioMetric, Unit: emf.None, Values: []float64{r.Ratio}})
	}
	if r.HasGrowth {
		largest := 0.0
		if len(r.Grown) > 0 {
			largest = r.Grown[0].Times
		}
		metrics = append(metrics, emf.Metric{Name: GrowthMetric, Unit: emf.None, Values: []float64{largest}})
	}
	return metrics
}

// Compare compares the Interval that begins at from. An error may come with a part of the Result.
func Compare(ctx context.Context, s Source, pipeline string, from time.Time) (Result, error) {
	var r Result
	var traffic map[time.Time]float64
	var lines []heavy.Line
	var windows [3][]heavy.Line
	ofDay := func(n int) func() error {
		return func() (err error) {
			span := spans(from)[n]
			windows[n], err = s.Windows(ctx, span.from, span.to)
			return describe("read what earlier comparisons found", err)
		}
	}
	err := all(
		func() (err error) {
			traffic, err = s.Traffic(ctx, from.Add(-week-Around), from.Add(Interval))
			return describe("read how many events came in", err)
		},
		func() (err error) {
			lines, err = s.Lines(ctx, from, from.Add(Interval))
			return describe("read the lines of the heaviest", err)
		},
		ofDay(hourBefore), ofDay(yesterday), ofDay(weekAgo))
	r.Ratio, r.HasRatio = Ratio(traffic, from)
	if lines == nil && err != nil {
		return r, err
	}
	window := Sum(pipeline, from, lines)
	r.Window = &window
	r.Grown, r.HasGrowth = Grown(Senders(lines), slices.Concat(windows[:]...), from)
	r.Grown = r.Grown[:min(len(r.Grown), 3)]
	return r, err
}

// all calls the functions at the same time. A panic in one is its error: another goroutine's could
// not be caught by the caller.
func all(functions ...func() error) error {
	errs := make(chan error, len(functions))
	for _, f := range functions {
		go func() {
			defer func() {
				if p := recover(); p != nil {
					errs <- fmt.Errorf("it panicked: %v", p)
				}
			}()
			errs <- f()
		}()
	}
	var joined error
	for range functions {
		joined = errors.Join(joined, <-errs)
	}
	return joined
}

func describe(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

// span is from a time on and before another one.
type span struct{ from, to time.Time }

func (s span) has(at time.Time) bool { return !at.Before(s.from) && at.Before(s.to) }

// The times that an Interval is compared with.
const (
	hourBefore = iota
	yesterday
	weekAgo
)

// spans are the times that the Interval from a time on is compared with. Of the hour before it is
// half an hour, so that who has grown remains named for the better part of an hour.
func spans(from time.Time) [3]span {
	return [...]span{
		hourBefore: {from.Add(-75 * time.Minute), from.Add(-45 * time.Minute)},
		yesterday:  {from.Add(-day - Around), from.Add(-day + Around + Interval)},
		weekAgo:    {from.Add(-week - Around), from.Add(-week + Around + Interval)},
	}
}

// Ratio says how the traffic of the Interval from a time on compares with what is usual: with the
// least and the most of the Intervals around the same time yesterday and a week ago. In between it
// is 1, above it is a multiple of the most, and below a part of the least. ok is false if nothing
// is usual: there is no earlier day, or it had fewer than Floor events throughout, as now.
//
// A day without any event counts as a day before the first deployment. Below, the least must be at
// least Floor: where so little is usual at times, nothing at all is usual too.
func Ratio(traffic map[time.Time]float64, from time.Time) (ratio float64, ok bool) {
	now := traffic[from]
	least, most := 0.0, 0.0
	compared := spans(from)
	for _, s := range compared[yesterday:] {
		dayLeast, dayMost := extremes(traffic, s)
		if dayMost == 0 {
			continue
		}
		if !ok || dayLeast < least {
			least = dayLeast
		}
		most, ok = max(most, dayMost), true
	}
	switch {
	case !ok || most < Floor && now < Floor:
		return 0, false
	case now > max(most, Floor):
		return now / max(most, Floor), true
	case now < least && least >= Floor:
		return now / least, true
	}
	return 1, true
}

func extremes(traffic map[time.Time]float64, s span) (least, most float64) {
	least = traffic[s.from]
	for at := s.from; at.Before(s.to); at = at.Add(Interval) {
		least, most = min(least, traffic[at]), max(most, traffic[at])
	}
	return least, most
}
