package console

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"net/url"
	"slices"
	"time"

	"github.com/spillwayhq/spillway/cmd/spillway/terminal"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/chart"
	"github.com/spillwayhq/spillway/shared/message"
)

// The funnel follows the events from the entry to Segment, and at each stage those that leave the
// straight way. Its numbers are those of the last hour, beside those of the hour before.

// funnelStep and funnelSteps are the two hours, in minutes, whose values an hour's sum is exact in.
const (
	funnelStep  = time.Minute
	funnelSteps = 120
	hourSteps   = funnelSteps / 2
)

// funnelMetrics are what the funnel adds up.
func funnelMetrics(n topology.Names) []topology.Metric {
	all := []topology.Metric{
		accepted(n), published(n), delivered(n), visible(n.EventsQueue), notVisible(n.EventsQueue),
		ofQueue(n.EventsQueue, "NumberOfMessagesSent", "Sum"), ofQueue(n.EventsQueue, "NumberOfMessagesDeleted", "Sum"),
	}
	return slices.Concat(all, refusedMetrics(n), retriedMetrics(n), deadMetrics(n))
}

func refusedMetrics(n topology.Names) []topology.Metric {
	return []topology.Metric{own(n, "ingest", "RequestsRefused", "Sum"), own(n, "ingest", "RequestsShed", "Sum")}
}

func retriedMetrics(n topology.Names) (all []topology.Metric) {
	for _, class := range retryClasses {
		all = append(all, own(n, "deliver", "EventsRetried", "Sum", "Class", class))
	}
	return all
}

func deadMetrics(n topology.Names) (all []topology.Metric) {
	for _, reason := range deadReasons {
		all = append(all, own(n, "deliver", "EventsDeadLettered", "Sum", "Reason", reason))
	}
	return all
}

// A funnelData is what the funnel is made of.
type funnelData struct {
	metrics      measured
	hour, before Refusals
	codes        error // why it is not known what was refused by code
}

func (c *Console) readFunnel(ctx context.Context) (funnelData, error) {
	end := time.Now().Truncate(funnelStep)
	if c.about.Local { // its metrics are not late: who tries something sees it at once
		end = end.Add(funnelStep)
	}
	from := end.Add(-funnelSteps * funnelStep)
	m, err := c.measure(ctx, funnelMetrics(c.about.Topology.Names), from, funnelStep, funnelSteps)
	if err != nil {
		return funnelData{}, err
	}
	d := funnelData{metrics: m}
	middle := from.Add(hourSteps * funnelStep)
	if d.hour, d.codes = c.source.Refusals(ctx, middle, end); d.codes == nil {
		d.before, d.codes = c.source.Refusals(ctx, from, middle)
	}
	return d, nil
}

// A stage is one step of the funnel.
type stage struct {
	Name, Unit string
	Value      string
	Class      string // side: events leave the straight way here; bad: and somebody should look
	Change     change
	Facts      []string // besides the number
	Reasons    []reason
	Note       string // why the reasons are not known
	Path       string // of its last samples; empty: there are none to show
}

// A reason is a part of a stage's number.
type reason struct{ Name, Value, Path string }

// A change says how a number compares with the hour before.
type change struct {
	Sign string // ▲, ▼ or =
	Text string
}

func samplesPath(outcome, reason string) string {
	q := url.Values{}
	if outcome != "" {
		q.Set("outcome", outcome)
	}
	if reason != "" {
		q.Set("reason", reason)
	}
	if len(q) == 0 {
		return "/samples"
	}
	return "/samples?" + q.Encode()
}

// compared says how an hour's number compares with the hour before.
func compared(now, before float64) change {
	if math.IsNaN(before) || before == 0 {
		if math.IsNaN(now) || now == 0 {
			return change{"=", "none the hour before"}
		}
		return change{"▲", "none the hour before"}
	}
	was := chart.Amount(before)
	if math.IsNaN(now) {
		now = 0
	}
	part := 100 * (now - before) / before
	switch {
	case math.Abs(part) < 0.5:
		return change{"=", "as the hour before"}
	case part > 900:
		return change{"▲", fmt.Sprintf("%s times the %s before", chart.Number(now/before), was)}
	case part > 0:
		return change{"▲", fmt.Sprintf("%.0f %% up from %s", part, was)}
	}
	return change{"▼", fmt.Sprintf("%.0f %% down from %s", -part, was)}
}

// number writes a sum; one that is not known is none, since nothing is written when nothing
// happens.
func number(v float64) string {
	if math.IsNaN(v) {
		return "0"
	}
	return chart.Amount(v)
}

// stages are the funnel.
func stages(n topology.Names, d funnelData, now seen[Now], rate drainRate) []stage {
	return []stage{
		received(n, d), refused(n, d), waiting(n, d, now, rate), retried(n, d), dead(n, d, now), done(n, d),
	}
}

// hours are the sums of metrics in the last hour and in the one before.
func (d funnelData) hours(metrics ...topology.Metric) (now, before float64) {
	return d.metrics.sum(hourSteps, funnelSteps, metrics...), d.metrics.sum(0, hourSteps, metrics...)
}

func received(n topology.Names, d funnelData) stage {
	now, before := d.hours(accepted(n), published(n))
	s := stage{Name: "Received", Unit: "events", Value: number(now), Change: compared(now, before),
		Path: samplesPath("", "")}
	for _, part := range []struct {
		name   string
		metric topology.Metric
	}{{"through ingest", accepted(n)}, {"from publishers", published(n)}} {
		if v, _ := d.hours(part.metric); v > 0 {
			s.Reasons = append(s.Reasons, reason{Name: part.name, Value: number(v)})
		}
	}
	return s
}

func refused(n topology.Names, d funnelData) stage {
	now, before := d.hours(refusedMetrics(n)...)
	s := stage{Name: "Refused", Unit: "requests", Value: number(now), Change: compared(now, before), Class: "side",
		Path: samplesPath(OutcomeRefused, "")}
	if d.codes != nil {
		s.Note = "by code: " + d.codes.Error()
	}
	s.Reasons = reasons(d.hour.Requests, OutcomeRefused)
	if now > 0 {
		s.Class += " bad"
	}
	return s
}

// reasons are counts by their name, the largest first.
func reasons(counts map[string]float64, outcome string) (all []reason) {
	names := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		if counts[a] != counts[b] {
			return -cmp.Compare(counts[a], counts[b])
		}
		return cmp.Compare(a, b)
	})
	others := 0.0
	for _, name := range names {
		switch {
		case !(counts[name] > 0):
		case len(all) < shownReasons && len(name) <= maxReason:
			all = append(all, reason{name, number(counts[name]), samplesPath(outcome, name)})
		default:
			others += counts[name]
		}
	}
	if others > 0 {
		all = append(all, reason{Name: "others", Value: number(others)})
	}
	return all
}

// shownReasons is how many reasons a stage shows by their name.
const shownReasons = 8

func waiting(n topology.Names, d funnelData, now seen[Now], rate drainRate) stage {
	s := stage{Name: "Waiting", Unit: "messages", Value: "–"}
	if !now.Known() {
		s.Note = "not known: " + why(now.Err)
		return s
	}
	v := now.Value
	s.Value = chart.Number(float64(v.Messages))
	s.Path = samplesPath(OutcomeRetried, "")
	before := d.metrics.sum(hourSteps-1, hourSteps, visible(n.EventsQueue), notVisible(n.EventsQueue))
	s.Change = compared(float64(v.Messages), before)
	if v.Events != Unknown {
		s.Value, s.Unit = chart.Number(float64(v.Events)), "events"
		if v.Events != v.Messages {
			s.Facts = append(s.Facts, "in "+terminal.Plural(v.Messages, "message"))
		}
	}
	if v.Messages > 0 {
		if v.OldestAge != Unknown {
			s.Facts = append(s.Facts, "oldest "+chart.Duration(v.OldestAge.Round(time.Second).Seconds()))
		}
		s.Facts = append(s.Facts, rate.says(v))
		if rate.known && rate.perSecond <= leastRate {
			s.Class = "warn"
		}
	}
	if v.Bulk > 0 {
		s.Facts = append(s.Facts, v.bulk()+" more in the bulk queue")
	}
	return s
}

// bulk is what waits in the bulk queue, like "12 events".
func (n *Now) bulk() string {
	what := "event"
	if n.Events == Unknown {
		what = "message"
	}
	return terminal.Plural(n.Bulk, what)
}

func retried(n topology.Names, d funnelData) stage {
	now, before := d.hours(retriedMetrics(n)...)
	s := stage{Name: "Retried", Unit: "times", Value: number(now), Change: compared(now, before), Class: "side",
		Path: samplesPath(OutcomeRetried, "")}
	counts := map[string]float64{}
	for i, m := range retriedMetrics(n) {
		counts[retryClasses[i]], _ = d.hours(m)
	}
	s.Reasons = reasons(counts, OutcomeRetried)
	return s
}

func dead(n topology.Names, d funnelData, at seen[Now]) stage {
	now, before := d.hours(deadMetrics(n)...)
	counts := map[string]float64{}
	for i, m := range deadMetrics(n) {
		counts[deadReasons[i]], _ = d.hours(m)
	}
	for code, events := range d.hour.Events { // ingest wrote them
		reason := message.ReasonInvalid
		if code == message.ReasonTooLarge {
			reason = message.ReasonTooLarge
		}
		counts[reason] = plus(counts[reason], events)
		now = plus(now, events)
	}
	for _, events := range d.before.Events {
		before = plus(before, events)
	}
	s := stage{Name: "Dead letters", Unit: "events", Value: number(now), Change: compared(now, before), Class: "side",
		Path: samplesPath(OutcomeDeadLettered, ""), Reasons: reasons(counts, OutcomeDeadLettered)}
	if now > 0 {
		s.Class += " bad"
	}
	if at.Known() && at.Value.DeadLetters > 0 {
		s.Facts = append(s.Facts, chart.Number(float64(at.Value.DeadLetters))+" in the queue now")
	}
	return s
}

func done(n topology.Names, d funnelData) stage {
	now, before := d.hours(delivered(n))
	return stage{Name: "Delivered", Unit: "events", Value: number(now), Change: compared(now, before), Class: "good",
		Path: samplesPath(OutcomeDelivered, "")}
}

// A drainRate is by how many messages or events a second the backlog gets smaller; below 0 it
// grows.
type drainRate struct {
	perSecond float64
	events    bool // it counts events, not messages
	known     bool
}

// recentSteps are the minutes over which the rate of a pipeline is taken whose totals are not known
// by the second.
const recentSteps = 5

// measuredRate is the rate of the last minutes.
func measuredRate(n topology.Names, m measured) drainRate {
	sent := m.sum(m.n-recentSteps, m.n, ofQueue(n.EventsQueue, "NumberOfMessagesSent", "Sum"))
	deleted := m.sum(m.n-recentSteps, m.n, ofQueue(n.EventsQueue, "NumberOfMessagesDeleted", "Sum"))
	if math.IsNaN(sent) && math.IsNaN(deleted) {
		return drainRate{}
	}
	if math.IsNaN(sent) {
		sent = 0
	}
	if math.IsNaN(deleted) {
		deleted = 0
	}
	return drainRate{perSecond: (deleted - sent) / (recentSteps * m.step.Seconds()), known: true}
}

// leastRate is a rate a second: what is slower stands still.
const leastRate = 0.05

// says when what waits will be gone.
func (r drainRate) says(n Now) string {
	left := float64(n.Messages)
	unit := "messages"
	if r.events && n.Events != Unknown {
		left, unit = float64(n.Events), "events"
	}
	switch {
	case !r.known:
		return "time to drain is not known yet"
	case r.perSecond < -leastRate:
		return fmt.Sprintf("grows by %s %s/s", chart.Amount(-r.perSecond), unit)
	case r.perSecond <= leastRate:
		return "does not get less"
	}
	seconds := math.Ceil(left / r.perSecond)
	if seconds > (30 * 24 * time.Hour).Seconds() {
		return "drained in over 30 days"
	}
	return "drained in " + chart.Duration(max(1, seconds))
}
