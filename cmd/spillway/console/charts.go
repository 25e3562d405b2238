package console

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/chart"
	"github.com/spillwayhq/spillway/shared/segment"
)

// A span of the charts. Its steps are whole minutes, and few enough for a screen.
type span struct {
	ID, Name string
	step     time.Duration
	n        int
}

func (s span) length() time.Duration { return time.Duration(s.n) * s.step }

// spans are the times that the charts can show, the usual one first.
var spans = []span{
	{"15m", "15 minutes", time.Minute, 15},
	{"3h", "3 hours", time.Minute, 180},
	{"24h", "24 hours", 5 * time.Minute, 288},
}

// spanOf returns the span with that ID, or the usual one.
func spanOf(id string) span {
	if i := slices.IndexFunc(spans, func(s span) bool { return s.ID == id }); i >= 0 {
		return spans[i]
	}
	return spans[0]
}

// chartMetrics are what the charts draw.
func chartMetrics(n topology.Names) []topology.Metric {
	all := []topology.Metric{
		accepted(n), published(n), delivered(n), visible(n.EventsQueue), notVisible(n.EventsQueue),
		queueAge(n), eventAge(n), latency(n, "p50"), latency(n, "p99"), concurrent(n),
	}
	all = append(all, retriedMetrics(n)...)
	for _, class := range segment.Classes() {
		all = append(all, answers(n, class))
	}
	return all
}

func queueAge(n topology.Names) topology.Metric {
	return ofQueue(n.EventsQueue, "ApproximateAgeOfOldestMessage", "Maximum")
}

func eventAge(n topology.Names) topology.Metric { return own(n, "deliver", "EventAge", "Maximum") }

func latency(n topology.Names, statistic string) topology.Metric {
	return own(n, "deliver", "FlushLatency", statistic)
}

func concurrent(n topology.Names) topology.Metric {
	return topology.Metric{Function: n.DeliverFunction, Name: "ConcurrentExecutions", Statistic: "Maximum"}
}

func answers(n topology.Names, class segment.Class) topology.Metric {
	return own(n, "deliver", "SegmentResponses", "Sum", "Class", class.String())
}

// answerColours are those of Segment's answers: good ones are not red.
var answerColours = map[segment.Class]string{
	segment.Delivered: "s4", segment.Rejected: "s3", segment.Misconfigured: "s2", segment.Throttled: "s1",
	segment.Transient: "s5",
}

func (c *Console) readCharts(ctx context.Context, s span) (measured, error) {
	from := time.Now().Truncate(s.step).Add(-s.length())
	return c.measure(ctx, chartMetrics(c.about.Topology.Names), from, s.step, s.n)
}

// zone is that beside UTC: this machine's, which is the reader's as well since the page is on
// loopback; nil: it is UTC.
func zone(at time.Time) *time.Location {
	if _, offset := at.Local().Zone(); offset == 0 {
		return nil
	}
	return time.Local
}

// charts draws the metrics, with the times in which alarms fired and the thresholds of those that
// watch just this value.
func (c *Console) charts(m measured, alarms []Alarm) []chart.Chart {
	n, t := c.about.Topology.Names, &c.about.Topology
	clock := chart.Clock{Start: m.from, Step: m.step, N: m.n, Zone: zone(m.from)}
	perMinute := 1 / m.step.Minutes()
	known := m.known()
	// Nothing is written when nothing happens.
	flow := func(name string, metrics ...topology.Metric) chart.Series {
		values := scaled(m.together(metrics...), perMinute)
		for i, v := range values {
			if math.IsNaN(v) && known[i] {
				values[i] = 0
			}
		}
		return chart.Series{Name: name, Unit: chart.PerMinute, Values: values}
	}
	age, stalled := limitOf(t, "backlog-age-warning"), limitOf(t, "backlog-age-critical")
	slow := limitOf(t, "segment-slow")
	saturated, _ := t.Alarm(n.Alarm("deliver-saturated"))

	in := chart.New("flow", "Events in and out", []chart.Series{flow("received", accepted(n), published(n)),
		coloured(flow("delivered", delivered(n)), "s4"), coloured(flow("retried", retriedMetrics(n)...), "s2")}, 0, clock)
	backlog := chart.New("backlog", "Messages that wait", []chart.Series{
		{Name: "in all", Values: m.together(visible(n.EventsQueue), notVisible(n.EventsQueue))},
		{Name: "of them in flight", Values: m.values[notVisible(n.EventsQueue)], Class: "s3"}}, 0,
		clock)
	oldest := chart.New("age", "Age of the oldest event", []chart.Series{
		{Name: "oldest", Unit: chart.Seconds, Values: m.highest(queueAge(n), eventAge(n))}}, 0, clock)
	oldest.Limit(age, "alarm: "+chart.Duration(age))
	oldest.Limit(stalled, "alarm that pages: "+chart.Duration(stalled))
	taken := chart.New("latency", "How long Segment takes", []chart.Series{
		{Name: "half of the answers (p50)", Unit: chart.Seconds, Values: scaled(m.values[latency(n, "p50")], 1e-3)},
		{Name: "99 of 100 (p99)", Unit: chart.Seconds, Values: scaled(m.values[latency(n, "p99")], 1e-3), Class: "s2"}}, 0,
		clock)
	taken.Limit(slow/1000, "alarm on p50: "+chart.Duration(slow/1000))
	var classes []chart.Series
	for _, class := range segment.Classes() {
		classes = append(classes, coloured(flow(class.String(), answers(n, class)), answerColours[class]))
	}
	said := chart.New("answers", "What Segment answers, requests", classes, 0, clock)
	at := chart.New("concurrency", "Invocations of deliver at once", []chart.Series{
		{Name: "at most", Values: m.values[concurrent(n)], Class: "s3"}}, 0, clock)
	at.Limit(saturated.Threshold, fmt.Sprintf("alarm: above %s for 15 min without those of the bulk queue",
		chart.Amount(saturated.Threshold)))

	all := []chart.Chart{in, backlog, oldest, taken, said, at}
	bands := firingBands(t, clock, alarms)
	for i := range all {
		all[i].Bands = append(slices.Clone(bands), withoutBeginning(all[i].Bands)...)
	}
	return all
}

// withoutBeginning leaves out the gap with which a chart begins: the pipeline did not run yet, or
// nothing used it.
func withoutBeginning(gaps []chart.Band) []chart.Band {
	if len(gaps) > 0 && gaps[0].X == chart.Percentage(0) {
		return gaps[1:]
	}
	return gaps
}

func coloured(s chart.Series, class string) chart.Series {
	s.Class = class
	return s
}

// limitOf is the threshold of an alarm; infinite: there is no such alarm.
func limitOf(t *topology.Topology, name string) float64 {
	if a, ok := t.Alarm(t.Names.Alarm(name)); ok {
		return a.Threshold
	}
	return math.Inf(1)
}

// firingBands shade the times in which alarms fired of which somebody was told.
func firingBands(t *topology.Topology, clock chart.Clock, alarms []Alarm) []chart.Band {
	var all []chart.Band
	for _, f := range firingTimes(t, alarms) {
		to := &f.To
		if f.To.IsZero() {
			to = nil
		}
		if f.From.Before(clock.End()) && (to == nil || to.After(clock.Start)) {
			text := "An alarm fires, " + clock.Span(f.From, to)
			all = append(all, clock.Shade("firing", text, f.From, to), clock.Strip("alarm", text, f.From, to))
		}
	}
	return all
}

// firingTimes are the times in which at least one alarm fired that notifies somebody: a composite,
// or one that is part of none.
func firingTimes(t *topology.Topology, alarms []Alarm) []Span {
	var all []Span
	for _, a := range alarms {
		if t.Notifies(a.Name) != "" {
			all = append(all, a.Firings...)
		}
	}
	slices.SortFunc(all, func(a, b Span) int { return a.From.Compare(b.From) })
	var joined []Span
	for _, f := range all {
		last := len(joined) - 1
		switch {
		case last < 0 || !joined[last].To.IsZero() && joined[last].To.Before(f.From):
			joined = append(joined, f)
		case !joined[last].To.IsZero() && (f.To.IsZero() || f.To.After(joined[last].To)):
			joined[last].To = f.To
		}
	}
	return joined
}
