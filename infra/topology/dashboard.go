package topology

import (
	"fmt"
	"strings"
	"time"

	"github.com/spillwayhq/spillway/shared/emf"
	"github.com/spillwayhq/spillway/shared/segment"
)

// A Line is one of a widget: a metric, or an expression over the IDs of the widget's metrics, or a
// search.
type Line struct {
	Label      string
	Metric     Metric // when there is no expression; without a label it is only there for expressions
	Expression string
}

// A Widget is a picture of the dashboard, and the question that it answers.
type Widget struct {
	Title   string
	Lines   []Line
	Number  bool   // the latest values as numbers, not a graph over time
	Stacked bool   // what adds up
	Alarm   string // whose threshold is drawn in
}

// DashboardPeriod is that of every value on the dashboard.
const DashboardPeriod = time.Minute

// Dashboard is what a person looks at first, from the top: are events coming in and going out, how
// old is the oldest, how long until it is drained; then what fails, and where.
func (t *Topology) Dashboard() [][]Widget {
	n := t.Names
	growing, _ := t.Alarm(n.Alarm("backlog-growing"))
	age, _ := t.Alarm(n.Alarm("backlog-age-warning"))
	in := []Line{
		graph("by SDKs, through the door", n.own("a", "ingest", "EventsAccepted", "Sum")),
		graph("by publishers", n.own("p", "publisher", "EventsPublished", "Sum")),
	}
	out := graph("delivered", n.own("d", "deliver", "EventsDelivered", "Sum"))
	rows := [][]Widget{
		{
			{Title: "Coming in, events a minute", Number: true,
				Lines: append(parts(in), Line{Label: "in", Expression: "FILL(a, 0) + FILL(p, 0)"})},
			{Title: "Going out, events a minute", Number: true, Lines: []Line{out}},
			{Title: "Oldest event, seconds", Number: true, Lines: ofAlarm(age, "oldest")},
			{Title: "Waiting, messages", Number: true, Lines: []Line{
				{Metric: visible("v", n.EventsQueue)}, {Metric: inFlight("f", n.EventsQueue)},
				{Label: "waiting", Expression: "v + f"},
			}},
			{Title: "Drained in, minutes (1440: it grows)", Number: true, Lines: ofAlarm(growing, "drained in")},
			{Title: "Dead letters", Number: true, Lines: []Line{graph("letters", visible("v", n.DeadLetterQueue))}},
		},
		{
			{Title: "Are events coming in, and going out? Events a minute", Lines: append(in, out)},
			{Title: "How much waits? Messages", Stacked: true, Lines: []Line{
				graph("to be handed out", visible("v", n.EventsQueue)),
				graph("being delivered, or hidden until the next attempt", inFlight("f", n.EventsQueue)),
			}},
			{Title: "How old is the oldest? Seconds", Alarm: age.Name, Lines: []Line{
				graph("by the queue: without what was received three times",
					ofQueue("q", n.EventsQueue, "ApproximateAgeOfOldestMessage", "Maximum")),
				graph("by what was delivered or tried", n.own("m", "deliver", "EventAge", "Maximum")),
				graph("half of it was younger", n.own("h", "deliver", "EventAge", "p50")),
			}},
		},
		{
			{Title: "What does Segment answer? Calls a minute", Stacked: true,
				Lines: n.byClass("SegmentResponses", n.responses())},
			{Title: "How long does Segment take? Milliseconds", Lines: []Line{
				graph("p99", n.own("n", "deliver", "FlushLatency", "p99")),
				graph("p50", n.own("h", "deliver", "FlushLatency", "p50")),
			}},
			{Title: "What stays in the queue? Events a minute, by class", Stacked: true,
				Lines: n.byClass("EventsRetried", []Metric{
					{Value: segment.Transient.String()}, {Value: segment.Throttled.String()}, {Value: segment.Misconfigured.String()},
				})},
			{Title: "Is Segment taken to be down? Does a whole batch fail?", Lines: []Line{
				graph("breaker open", n.own("b", "deliver", "BreakerOpen", "Maximum")),
				graph("batches of which all stays", n.own("a", "deliver", "BatchesAllFailed", "Sum")),
			}},
		},
		{
			{Title: "What becomes a dead letter? Events a minute, by reason", Stacked: true,
				Lines: []Line{n.search("Reason", "EventsDeadLettered")}},
			{Title: "What goes wrong with letters and visibility? Errors a minute", Lines: []Line{
				graph("letters of deliver", n.own("d", "deliver", "DeadLetterErrors", "Sum")),
				graph("letters of ingest", n.own("i", "ingest", "DeadLetterErrors", "Sum")),
				graph("visibility", n.own("v", "deliver", "VisibilityErrors", "Sum")),
			}},
			{Title: "Does the deliver function run? A minute", Lines: []Line{
				graph("invocations", ofFunction("i", n.DeliverFunction, "Invocations", "Sum")),
				graph("errors", ofFunction("e", n.DeliverFunction, "Errors", "Sum")),
				graph("throttles", ofFunction("t", n.DeliverFunction, "Throttles", "Sum")),
				graph("at a time", ofFunction("c", n.DeliverFunction, "ConcurrentExecutions", "Maximum")),
			}},
		},
		{
			{Title: "What does the door answer? Requests a minute", Lines: []Line{
				graph("requests", Metric{ID: "r", IngestEndpoint: true, Name: "Requests", Statistic: "Sum"}),
				graph("4xx", Metric{ID: "c", IngestEndpoint: true, Name: "ClientErrors", Statistic: "Sum"}),
				graph("5xx", Metric{ID: "s", IngestEndpoint: true, Name: "ServerErrors", Statistic: "Sum"}),
			}},
			{Title: "Why does it turn requests away? Requests a minute, by code", Stacked: true,
				Lines: []Line{n.search("Code", "RequestsShed"), n.search("Code", "RequestsRefused")}},
			{Title: "How long does the door take? Milliseconds", Alarm: n.Alarm("ingest-slow"), Lines: []Line{
				graph("p99", n.own("n", "ingest", "AcceptLatency", "p99")),
				graph("p50", n.own("h", "ingest", "AcceptLatency", "p50")),
			}},
			{Title: "Which events of accepted requests are bad? By code", Stacked: true,
				Lines: []Line{n.search("Code", "EventsRejected")}},
		},
		{
			{Title: "Are publishers well? Events a minute",
				Lines: []Line{graph("spilled to disk", n.own("s", "publisher", "EventsSpilled", "Sum")),
					n.search("Reason", "EventsDropped")}},
		},
	}
	if _, ok := t.Function(n.CanaryFunction); ok {
		last := len(rows) - 1
		rows[last] = append(rows[last], Widget{Title: "Does a canary come through? Milliseconds", Lines: []Line{
			graph("through the door", n.own("a", "canary", "CanaryAcceptLatency", "Maximum")),
			graph("to Segment's door", n.own("d", "deliver", "CanaryLatency", "Maximum")),
		}})
	}
	return rows
}

func graph(label string, m Metric) Line { return Line{Label: label, Metric: m} }

// parts are the same metrics for an expression.
func parts(lines []Line) []Line {
	var hidden []Line
	for _, l := range lines {
		hidden = append(hidden, Line{Metric: l.Metric})
	}
	return hidden
}

// ofAlarm shows the value that an alarm watches.
func ofAlarm(a Alarm, label string) []Line {
	var lines []Line
	for _, m := range a.Metrics {
		lines = append(lines, Line{Metric: m})
	}
	return append(lines, Line{Label: label, Expression: a.Expression})
}

func (n Names) byClass(name string, classes []Metric) []Line {
	var lines []Line
	for _, m := range classes {
		lines = append(lines, graph(m.Value, n.own(m.Value, "deliver", name, "Sum", "Class", m.Value)))
	}
	return lines
}

// search shows our own metric by whatever values the dimension has.
func (n Names) search(dimension, name string) Line {
	return Line{Expression: fmt.Sprintf(`SEARCH('{%s,%s,%s,%s} %s="%s" MetricName="%s"', 'Sum', %d)`, emf.Namespace,
		emf.PipelineDimension, emf.FunctionDimension, dimension, emf.PipelineDimension, n.Pipeline, name,
		int(DashboardPeriod.Seconds()))}
}

func (t *Topology) validateDashboard() (errs []error) {
	for _, row := range t.Dashboard() {
		for _, w := range row {
			var metrics []Metric
			for _, l := range w.Lines {
				if l.Expression == "" {
					metrics = append(metrics, l.Metric)
				}
			}
			for _, err := range t.validateMetrics(metrics) {
				errs = append(errs, fmt.Errorf("dashboard, %s: %w", strings.ToLower(w.Title), err))
			}
			if _, ok := t.Alarm(w.Alarm); w.Alarm != "" && !ok {
				errs = append(errs, fmt.Errorf("dashboard, %s: there is no alarm %s", strings.ToLower(w.Title), w.Alarm))
			}
		}
	}
	return errs
}
