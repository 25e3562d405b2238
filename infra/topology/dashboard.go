package topology

import (
	"fmt"
	"time"

	"github.com/spillwayhq/spillway/shared/deliver"
	"github.com/spillwayhq/spillway/shared/emf"
	"github.com/spillwayhq/spillway/shared/segment"
	"github.com/spillwayhq/spillway/shared/traffic"
)

// A Line is one line of a widget: a metric, or an expression over the IDs of the widget's metrics,
// or a search.
type Line struct {
	Label      string
	Metric     Metric // without an expression; one without a label is not drawn, it is there for expressions
	Expression string
}

// A Widget is one picture of the dashboard. Its title is the question that it answers.
type Widget struct {
	Title   string
	Lines   []Line
	Number  bool   // the latest values as numbers; otherwise a graph over time
	Stacked bool   // the lines add up
	Alarm   string // whose threshold is drawn
}

// DashboardPeriod is the period of every value on the dashboard.
const DashboardPeriod = time.Minute

// Dashboard is what a person looks at first. From the top: are events coming in and going out, how
// old is the oldest, how long until the backlog is drained; then what fails, and where.
func (t *Topology) Dashboard() [][]Widget {
	n := t.Names
	last := []Widget{n.publisherWidget()}
	if _, ok := t.Function(n.CanaryFunction); ok {
		last = append(last, n.canaryWidget(), n.trafficWidget())
	}
	rows := [][]Widget{t.numberWidgets(), t.flowWidgets(), n.segmentWidgets(), n.deliverWidgets()}
	if _, ok := t.Function(n.IngestFunction); ok {
		rows = append(rows, n.ingestWidgets())
	}
	if t.Archive != (Archive{}) {
		rows = append(rows, n.archiveWidgets())
	}
	return append(rows, last)
}

// incoming are the events that come into the pipeline.
func (n Names) incoming() []Line {
	return []Line{
		graph("by SDKs, through the ingest endpoint", n.own("a", "ingest", "EventsAccepted", "Sum")),
		graph("by publishers", n.own("p", "publisher", "EventsPublished", "Sum")),
	}
}

func (n Names) delivered() Line {
	return graph("delivered", n.own("d", "deliver", "EventsDelivered", "Sum"))
}

func (t *Topology) numberWidgets() []Widget {
	n := t.Names
	growing, _ := t.Alarm(n.Alarm("backlog-growing"))
	age, _ := t.Alarm(n.Alarm("backlog-age-warning"))
	dead, _ := t.Alarm(n.Alarm("dead-letters"))
	return []Widget{
		{Title: "Coming in, events a minute", Number: true,
			Lines: append(undrawn(n.incoming()), Line{Label: "in", Expression: "FILL(a, 0) + FILL(p, 0)"})},
		{Title: "Going out, events a minute", Number: true, Lines: []Line{n.delivered()}},
		{Title: "Oldest event, seconds", Number: true, Lines: ofAlarm(age, "oldest")},
		{Title: "Waiting, messages", Number: true, Lines: []Line{
			{Metric: visible("v", n.EventsQueue)}, {Metric: inFlight("f", n.EventsQueue)},
			{Label: "waiting", Expression: "v + f"},
		}},
		{Title: "Drained in, minutes (1440: it grows)", Number: true, Lines: ofAlarm(growing, "drained in")},
		{Title: "Dead letters", Number: true, Lines: ofAlarm(dead, "dead letters")},
	}
}

func (t *Topology) flowWidgets() []Widget {
	n := t.Names
	return []Widget{
		{Title: "Are events coming in, and going out? Events a minute", Lines: append(n.incoming(), n.delivered())},
		{Title: "How many messages wait?", Stacked: true, Lines: []Line{
			graph("visible", visible("v", n.EventsQueue)),
			graph("being delivered, or waiting for the next attempt", inFlight("f", n.EventsQueue)),
		}},
		{Title: "How old is the oldest event? Seconds", Alarm: n.Alarm("backlog-age-warning"), Lines: []Line{
			graph("in the queue, without messages that were received three times",
				ofQueue("q", n.EventsQueue, "ApproximateAgeOfOldestMessage", "Maximum")),
			graph("among those delivered or tried", n.own("m", "deliver", "EventAge", "Maximum")),
			graph("median of those delivered or tried", n.own("h", "deliver", "EventAge", "p50")),
		}},
		{Title: "What is not urgent, and does it move? Messages of the bulk queue", Lines: []Line{
			graph("visible", visible("b", n.BulkQueue)),
			graph("being delivered, or waiting for the next attempt", inFlight("i", n.BulkQueue)),
			graph("done a minute", ofQueue("k", n.BulkQueue, "NumberOfMessagesDeleted", "Sum")),
		}},
	}
}

func (n Names) segmentWidgets() []Widget {
	var answers, retried []Line
	for _, c := range segment.Classes() {
		answers = append(answers, graph(c.String(), n.responses(c.String(), c)))
	}
	for _, c := range [...]segment.Class{segment.Transient, segment.Throttled, segment.Misconfigured} {
		retried = append(retried, graph(c.String(), n.retried(c.String(), c)))
	}
	for _, why := range [...]string{deliver.Paused, deliver.NotArchived} {
		retried = append(retried, graph(why, n.own(why, "deliver", "EventsRetried", "Sum", "Class", why)))
	}
	return []Widget{
		{Title: "What does Segment answer? Requests a minute", Stacked: true, Lines: answers},
		{Title: "How long does Segment take? Milliseconds", Lines: []Line{
			graph("p99", n.own("n", "deliver", "FlushLatency", "p99")),
			graph("p50", n.own("h", "deliver", "FlushLatency", "p50")),
		}},
		{Title: "What is retried, and why? Events a minute", Stacked: true, Lines: retried},
		{Title: "Is the circuit breaker open?", Lines: []Line{
			graph("1: it is", n.own("b", "deliver", "BreakerOpen", "Maximum")),
		}},
	}
}

func (n Names) deliverWidgets() []Widget {
	return []Widget{
		{Title: "What becomes a dead letter, and why? Events a minute", Stacked: true,
			Lines: []Line{n.search("Reason", "EventsDeadLettered")}},
		{Title: "What is left out of events? Fields a minute", Stacked: true,
			Lines: []Line{n.search("Field", "FieldsOmitted")}},
		{Title: "Which calls to SQS fail? Errors a minute", Lines: []Line{
			graph("deliver writing dead letters", n.own("d", "deliver", "DeadLetterErrors", "Sum")),
			graph("ingest writing dead letters", n.own("i", "ingest", "DeadLetterErrors", "Sum")),
			graph("deliver changing visibility timeouts", n.own("v", "deliver", "VisibilityErrors", "Sum")),
		}},
		{Title: "Does the deliver function run? Per minute", Lines: []Line{
			graph("invocations", ofFunction("i", n.DeliverFunction, "Invocations", "Sum")),
			graph("errors", ofFunction("e", n.DeliverFunction, "Errors", "Sum")),
			graph("throttles", ofFunction("t", n.DeliverFunction, "Throttles", "Sum")),
			graph("concurrent", ofFunction("c", n.DeliverFunction, "ConcurrentExecutions", "Maximum")),
		}},
	}
}

func (n Names) ingestWidgets() []Widget {
	return []Widget{
		{Title: "What does the ingest endpoint answer? Requests a minute", Lines: []Line{
			graph("requests", ofEndpoint("r", "Requests")),
			graph("4xx", ofEndpoint("c", "ClientErrors")),
			graph("5xx", ofEndpoint("s", "ServerErrors")),
		}},
		{Title: "Why does it refuse requests? Requests a minute", Lines: []Line{
			graph("the client's mistake, with those below", n.own("r", "ingest", "RequestsRefused", "Sum")),
			graph("unknown or disabled write key", n.own("k", "ingest", "WriteKeysRefused", "Sum")),
			graph("over its quota", n.own("q", "ingest", "QuotaExceeded", "Sum")),
			graph("we can't accept them", n.own("s", "ingest", "RequestsShed", "Sum")),
		}},
		{Title: "How long does ingest take? Milliseconds", Alarm: n.Alarm("ingest-slow"), Lines: []Line{
			graph("p99", n.own("n", "ingest", "AcceptLatency", "p99")),
			graph("p50", n.own("h", "ingest", "AcceptLatency", "p50")),
		}},
		{Title: "Which events of accepted requests are invalid? By code", Stacked: true,
			Lines: []Line{n.search("Code", "EventsRejected")}},
		{Title: "Do gzip bodies arrive as they were sent? Requests a minute", Alarm: n.Alarm("gzip-mangled"), Lines: []Line{
			graph("as text, destroyed or restored", n.own("m", "ingest", "GzipMangled", "Sum")),
			graph("decompressed by a proxy", n.own("a", "ingest", "GzipAbsent", "Sum")),
			graph("without the header", n.own("u", "ingest", "GzipUnannounced", "Sum")),
		}},
	}
}

func (n Names) publisherWidget() Widget {
	return Widget{Title: "Do publishers spill or drop events? Events a minute",
		Lines: []Line{graph("spilled to disk", n.own("s", "publisher", "EventsSpilled", "Sum")),
			graph("spilled by ingest servers", n.own("i", "ingest", "MessagesSpilled", "Sum")),
			n.search("Reason", "EventsDropped")}}
}

func (n Names) canaryWidget() Widget {
	return Widget{Title: "Does the canary come through? Milliseconds", Lines: []Line{
		graph("until ingest accepts it", n.own("a", "canary", "CanaryAcceptLatency", "Maximum")),
		graph("until it is delivered", n.own("d", "deliver", "CanaryLatency", "Maximum")),
	}}
}

func (n Names) trafficWidget() Widget {
	return Widget{Title: "Is the traffic as usual at this time? Times the usual", Alarm: n.Alarm("source-growing"),
		Lines: []Line{
			graph("all events", n.own("r", "canary", traffic.RatioMetric, "Minimum")),
			graph("the event or write key that grew most", n.own("g", "canary", traffic.GrowthMetric, "Maximum")),
		}}
}

func graph(label string, m Metric) Line { return Line{Label: label, Metric: m} }

// undrawn are the same metrics, for an expression only.
func undrawn(lines []Line) []Line {
	var metrics []Line
	for _, l := range lines {
		metrics = append(metrics, Line{Metric: l.Metric})
	}
	return metrics
}

// ofAlarm shows the value that an alarm watches.
func ofAlarm(a Alarm, label string) []Line {
	var lines []Line
	for _, m := range a.Metrics {
		lines = append(lines, Line{Metric: m})
	}
	return append(lines, Line{Label: label, Expression: a.Expression})
}

// search shows our own metric for every value of the dimension.
func (n Names) search(dimension, name string) Line {
	return Line{Expression: fmt.Sprintf(`SEARCH('{%s,%s,%s,%s} %s="%s" MetricName="%s"', 'Sum', %d)`, emf.Namespace,
		emf.PipelineDimension, emf.FunctionDimension, dimension, emf.PipelineDimension, n.Pipeline, name,
		int(DashboardPeriod.Seconds()))}
}
