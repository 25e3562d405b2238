package topology

import "strings"

// The alarms avoid what misleads on a queue like this one:
//   - SQS's age leaves out a message that was received three times. So the deliver function measures
//     the age of every message that it sees, and the larger one counts. A function that can't start
//     measures nothing: the alarm delivery-stalled sees that.
//   - To Lambda an invocation that retries all its messages is a success, so its Errors say nothing
//     about Segment.
//   - A message that SQS moves does not count as sent to the dead-letter queue, so the alarm counts
//     the messages in it. And SQS may report the metrics of an idle queue 15 minutes late, so what
//     the deliver function wrote counts too.
//   - What is missing may be the monitoring itself: no canary is bad, no error is good.

// retryLookback is how many minutes an alarm about retried messages looks back. A message is
// invisible for at most 15 minutes, plus 10 %, between two attempts: an alarm that looked back for
// less would end after each attempt and fire again at the next.
const retryLookback = 20

func composites(o Options) []Composite {
	n := o.Names
	ingest := Composite{
		Name: n.Alarm("ingest-down"), Severity: Critical, Section: "ingest-down",
		Any:     []string{n.Alarm("ingest-errors"), n.Alarm("ingest-throttled"), n.Alarm("write-keys-unread")},
		Meaning: "the ingest endpoint does not accept events.",
		First:   "try GET /health of the ingest URL, and read the alarms that are part of this one.",
	}
	delivery := Composite{
		Name: n.Alarm("delivery-down"), Severity: Critical, Section: "delivery-down",
		Any:     []string{n.Alarm("delivery-stalled")},
		Meaning: "events are not delivered to Segment. They are safe in the queue for 10 days.",
		First:   "look at status.segment.com, and read the alarms that are part of this one.",
	}
	if o.NoIngest {
		return []Composite{delivery}
	}
	if !o.NoCanary {
		ingest.Any = append(ingest.Any, n.Alarm("ingest-silent"))
		delivery.Any = append(delivery.Any, n.Alarm("canary-silent"))
	}
	return []Composite{ingest, delivery}
}

func ofQueue(id, queue, name, statistic string) Metric {
	return Metric{ID: id, Queue: queue, Name: name, Statistic: statistic}
}

func visible(id, queue string) Metric {
	return ofQueue(id, queue, "ApproximateNumberOfMessagesVisible", "Maximum")
}

func inFlight(id, queue string) Metric {
	return ofQueue(id, queue, "ApproximateNumberOfMessagesNotVisible", "Maximum")
}

func ofFunction(id, function, name, statistic string) Metric {
	return Metric{ID: id, Function: function, Name: name, Statistic: statistic}
}

func ofEndpoint(id, name string) Metric {
	return Metric{ID: id, IngestEndpoint: true, Name: name, Statistic: "Sum"}
}

// own is one of our own metrics, if given with a further dimension and its value.
func (n Names) own(id, function, name, statistic string, dimension ...string) Metric {
	m := Metric{ID: id, Pipeline: n.Pipeline, Own: function, Name: name, Statistic: statistic}
	if len(dimension) == 2 {
		m.Dimension, m.Value = dimension[0], dimension[1]
	}
	return m
}

// sumOf adds up metrics of which any may have no data.
func sumOf(metrics []Metric) string {
	terms := make([]string, len(metrics))
	for i, m := range metrics {
		terms[i] = "FILL(" + m.ID + ", 0)"
	}
	return strings.Join(terms, " + ")
}
