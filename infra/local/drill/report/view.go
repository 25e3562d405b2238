package report

import (
	"fmt"
	"html/template"
	"slices"
	"strconv"
	"strings"

	"github.com/spillwayhq/spillway/infra/local/drill"
	"github.com/spillwayhq/spillway/infra/local/drill/old"
	"github.com/spillwayhq/spillway/shared/chart"
)

// A view is what the template shows, as text.
type view struct {
	CSS    template.CSS
	Policy string

	Scenario, Title, Story, When string
	Facts                        []fact // of the run
	Broken, MoreBroken           []string
	Ours, Old                    *answer
	Groups                       []group
	X                            []chart.Tick
	Charts                       []chart.Chart
	Alarms                       []alarmRow
	Silent                       []string
	Shares                       []share
	Events, Cost                 []fact
	Refused                      []fact
	Accepted                     string
	Parameters, OldParameters    []drill.Parameter
	Command                      string // that makes the page again
}

// A fact is a name and a value, with a remark.
type fact struct {
	Name, Value, Note string
	Class             string
}

// An answer is one design's answer, the most important first.
type answer struct {
	Title string
	Good  bool
	Facts []fact // Value answers, Note says more
}

func newView(r *drill.Result) *view {
	c := clockOf(r)
	v := &view{
		CSS: template.CSS(css), Policy: policy,
		Scenario: r.Scenario, Title: r.Title, Story: r.Story,
		When:   c.Start.Format("2 January 2006, 15:04 UTC") + " and the next " + chart.Duration(float64(c.N)*60),
		Broken: r.Broken[:min(len(r.Broken), shownBroken)], MoreBroken: r.Broken[min(len(r.Broken), shownBroken):],
		Ours: ours(r, c), Old: theirs(r.Old, c),
		Facts: []fact{
			{Name: "scenario", Value: r.Scenario}, {Name: "seed", Value: strconv.FormatUint(r.Seed, 10)},
			{Name: "usual traffic", Value: chart.Amount(r.EventsPerSecond) + " events/s"},
		},
		Groups: timeline(r, c), X: c.Ticks(), Charts: charts(r, c),
		Parameters: r.Parameters, Accepted: count(r.Events.Accepted),
		Command: fmt.Sprintf("spillway drill --scenario %s --seed %d --rate %v --out drill.html", r.Scenario, r.Seed,
			r.EventsPerSecond),
	}
	v.Alarms, v.Silent = alarmTable(r, c)
	v.Events, v.Refused, v.Shares = account(r.Events)
	v.Cost = costs(r.Cost)
	if r.Old != nil {
		v.OldParameters = r.Old.Parameters
	}
	return v
}

// clockOf is the time axis of the drill.
func clockOf(r *drill.Result) chart.Clock {
	return chart.Clock{Start: r.Start.UTC(), N: min(max(r.Minutes, 0), maxMinutes)}
}

// shownBroken is how many broken promises stand before the answers; the others are folded.
const shownBroken = 8

// maxMinutes is how long a drill the page shows: a year. It bounds what a broken file can cost.
const maxMinutes = 366 * 24 * 60

func ours(r *drill.Result, c chart.Clock) *answer {
	e := r.Events
	v := &answer{Title: "With Spillway", Good: len(r.Broken) == 0 && e.Lost == 0 && r.API.DownSeconds == 0}
	lost := fact{Value: plural(e.Lost, "event lost", "events lost"), Class: good(e.Lost == 0),
		Note: fmt.Sprintf("of %s accepted", count(e.Accepted))}
	if dead := total(e.DeadLettered); dead > 0 {
		lost.Note += ", " + plural(dead, "is a dead letter", "are dead letters") + " and can be sent again"
	}
	v.Facts = append(v.Facts, lost)
	if r.API.Calls > 0 {
		a := fact{Value: "The API stayed up", Class: good(r.API.DownSeconds == 0),
			Note: fmt.Sprintf("%s of %s calls failed; 99 %% took at most %s", count(r.API.Failed), count(r.API.Calls),
				chart.Duration(r.API.P99Seconds))}
		if r.API.DownSeconds > 0 {
			a.Value = "The API was down for " + chart.Duration(r.API.DownSeconds)
		}
		v.Facts = append(v.Facts, a)
	}
	v.Facts = append(v.Facts, told(r, c))
	if r.Name != nil {
		v.Facts = append(v.Facts, elsewhere(r, c))
	}
	if r.DrainSeconds != nil {
		v.Facts = append(v.Facts, fact{Value: "Drained in " + chart.Duration(*r.DrainSeconds), Class: "good",
			Note: "from the end of the fault to an empty queue" + most(r)})
	} else if e.Waiting > 0 {
		v.Facts = append(v.Facts,
			fact{Value: plural(e.Waiting, "event waits", "events wait"), Note: "at the end, safe in the queue"})
	}
	return v
}

// most says how many events waited at most, if that is known.
func most(r *drill.Result) string {
	for _, s := range r.Series {
		if s.Chart == drill.ChartBacklog {
			return "; at most " + drawn(s).Highest() + " waited"
		}
	}
	return ""
}

// told is the answer to when somebody knew.
func told(r *drill.Result, c chart.Clock) fact {
	cause, any := r.FirstCause()
	notice, told := r.FirstNotice()
	n := r.Notifications()
	switch {
	case told:
		return fact{Value: "First alarm after " + chart.Duration(notice.After.Seconds()), Class: "good",
			Note: fmt.Sprintf("%s at %s; %s in all", notice.Alarm, c.At(notice.At),
				plural(int64(n), "notification", "notifications"))}
	case n > 0:
		return fact{Value: plural(int64(n), "notification", "notifications"), Class: "bad",
			Note: "before anything had happened"}
	case any && cause.Kind == drill.Fault:
		return fact{Value: "No alarm", Note: "nobody was told"}
	}
	return fact{Value: "No alarm", Class: "good", Note: "and there was no fault"}
}

// elsewhere is the answer to when clients with the name only were led to the other region.
func elsewhere(r *drill.Result, c chart.Clock) fact {
	cause, any := r.FirstCause()
	if len(r.Name.Left) == 0 || !any {
		return fact{Value: "The name led to " + r.Name.Near, Class: good(!any || cause.Kind != drill.Fault),
			Note: "all the time"}
	}
	left := r.Name.Left[0]
	return fact{Value: "SDKs led elsewhere after " + chart.Duration(left.From.Sub(cause.From).Seconds()), Class: "good",
		Note: fmt.Sprintf("to %s, %s; each keeps an answer for %s", r.Name.Far, c.Span(left.From, left.To),
			chart.Duration(r.Name.TTLSeconds))}
}

func theirs(d *old.Day, c chart.Clock) *answer {
	if d == nil {
		return nil
	}
	v := &answer{Title: "In the design that failed", Good: len(d.Stops) == 0}
	if len(d.Stops) == 0 {
		highest := 0.0
		for _, jobs := range d.Jobs {
			highest = max(highest, jobs)
		}
		v.Facts = []fact{{Value: "The API stayed up", Class: "good",
			Note: fmt.Sprintf("at most %s of the %s jobs that fit into Redis", chart.Number(highest), count(d.BoundJobs))}}
		return v
	}
	var spans []string
	for _, s := range d.Stops[:min(3, len(d.Stops))] {
		spans = append(spans, c.Span(s.From, s.To))
	}
	if more := len(d.Stops) - len(spans); more > 0 {
		spans = append(spans, plural(int64(more), "more time", "more times"))
	}
	v.Facts = []fact{
		{Value: plural(d.RefusedTotal, "event lost", "events lost"), Class: "bad",
			Note: "with the requests that failed when their jobs found no place"},
		{Value: "API down for " + chart.Duration(d.DownSeconds), Class: "bad", Note: strings.Join(spans, ", ")},
	}
	if d.FullAt != nil {
		v.Facts = append(v.Facts, fact{Value: "Redis full at " + c.At(*d.FullAt), Class: "bad",
			Note: fmt.Sprintf("with %s jobs, %s", count(d.BoundJobs), chart.Value(d.BoundBytes, chart.Bytes))})
	}
	if last := d.Stops[len(d.Stops)-1].To; d.DrainedAt != nil && last != nil {
		v.Facts = append(v.Facts, fact{Value: "Drained in " + chart.Duration(max(0, d.DrainedAt.Sub(*last).Seconds())),
			Note: "when the API worked again, at " + c.At(*d.DrainedAt)})
	}
	return v
}

func good(is bool) string {
	if is {
		return "good"
	}
	return "bad"
}

func plural(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return count(n) + " " + many
}

func total(m map[string]int64) int64 {
	var n int64
	for _, v := range m {
		n += v
	}
	return n
}

// charts are the series' charts in the order of the series, and the old design's memory after the
// backlog, which it is to be compared with.
func charts(r *drill.Result, c chart.Clock) []chart.Chart {
	var order []string
	grouped := map[string][]chart.Series{}
	titles := map[string]string{}
	for _, s := range r.Series {
		key := s.Chart + "\x00" + s.Unit // series of one chart with two units are two charts
		if grouped[key] == nil {
			order = append(order, key)
		}
		grouped[key], titles[key] = append(grouped[key], drawn(s)), s.Chart
	}
	var all []chart.Chart
	for i, key := range order {
		ch := chart.New("c"+strconv.Itoa(i), titles[key], grouped[key], 0, c)
		ch.Bands = append(shades(r, c), ch.Bands...)
		ch.Moments = moments(r.Marks, c)
		all = append(all, ch)
		if ch.Title == drill.ChartBacklog && r.Old != nil {
			all = append(all, oldChart(r.Old, c))
		}
	}
	if r.Old != nil && !slices.ContainsFunc(all, func(ch chart.Chart) bool { return ch.ID == oldID }) {
		all = append(all, oldChart(r.Old, c))
	}
	return all
}

const oldID = "old"

func oldChart(d *old.Day, c chart.Clock) chart.Chart {
	series := []chart.Series{{Name: "jobs in Redis", Unit: chart.Bytes, Values: d.Bytes}}
	ch := chart.New(oldID, "The design that failed: memory of Redis", series, d.BoundBytes*1.1, c)
	ch.Limit(d.BoundBytes, "full: "+chart.Value(d.BoundBytes, chart.Bytes))
	for _, stop := range d.Stops {
		ch.Bands = append(ch.Bands,
			c.Shade("down", "The API is down, "+c.Span(stop.From, stop.To), stop.From, stop.To))
	}
	return ch
}
