package topology

import "time"

// The alarms avoid what misleads on a queue like this one:
//   - SQS's age leaves out a message that was received three times. So the deliver function measures
//     the age of every message that it sees. A function that can't start measures nothing: the alarms
//     canary-silent, deliver-errors and delivery-stalled see that.
//   - To Lambda an invocation that retries all its messages is a success, so its Errors say nothing
//     about Segment.
//   - A message that SQS moves does not count as sent to the dead-letter queue, so the alarm counts
//     the messages in it.
//   - Metrics are late, and not all by the same time. The newest values are then missing, or FILL's.
//     Where that is good, an alarm of M = N would never fire: N is at least M and the largest lag.
//     Where it is bad, M is more than the largest lag.
//   - One failure among many is no outage, and one of a few may be one: rates, of at least 20.
//   - What one cause makes fire is one composite alarm, which alone notifies.

// maxLag is by how many minutes a metric is late at most: ours and Lambda's about one, SQS's up to
// three.
const maxLag = 3

// retryLookback is how many minutes an alarm about retried messages looks back. A message is
// invisible for at most 15 minutes, plus 10 %, between two attempts: an alarm that looked back for
// less, without the minutes that are late, would end after each attempt and fire again at the next.
const retryLookback = 17 + maxLag

// drain is how long a backlog may make alarms fire after its cause is gone.
const drain = 30 * time.Minute

func composites(o Options) []Composite {
	n := o.Names
	ingest := Composite{
		Name: n.Alarm("ingest-down"), Severity: Critical, Section: "ingest-down",
		Any:     n.alarms("ingest-errors", "ingest-refusing", "ingest-throttled", "write-keys-refused", "write-keys-unread"),
		Meaning: "the ingest endpoint does not accept events: clients lose them.",
		First:   "try GET /health of the ingest URL, and read the alarms that are part of this one.",
	}
	delivery := Composite{
		Name: n.Alarm("delivery-down"), Severity: Critical, Section: "delivery-down",
		Any:     n.alarms("segment-failing", "delivery-stalled", "deliver-errors", "backlog-age-critical", "in-flight"),
		Meaning: "events are not delivered to Segment. They are safe in the queue for 10 days.",
		First:   "look at status.segment.com, and read the alarms that are part of this one.",
	}
	slow := Composite{
		Name: n.Alarm("delivery-slow"), Severity: Warning, Section: "delivery-slow",
		Any: n.alarms("segment-slow", "segment-throttling", "deliver-throttled", "deliver-saturated", "backlog-growing",
			"backlog-age-warning", "sudden-volume", "bulk-stuck"),
		// An outage fires several of these before it is recognised, and its backlog for as long as it
		// takes to drain.
		Suppressor: delivery.Name, Wait: 5 * time.Minute, Extension: drain,
		Meaning: "events reach Segment late. Nothing is lost.",
		First:   "read the alarms that are part of this one: they say if Segment, the function or the volume is the cause.",
	}
	if o.NoIngest {
		return []Composite{delivery, slow}
	}
	if !o.NoCanary { // its function writes what a person has paused
		// The mark is seen within two minutes, and the first alarm of a delivery that stands still fires
		// after three; a short wait is for the order within one minute. What is left after a pause is
		// the backlog.
		delivery.Suppressor, delivery.Wait, delivery.Extension = n.Alarm(paused), 30*time.Second, drain
		ingest.Any = append(ingest.Any, n.Alarm("ingest-silent"))
		delivery.Any = append(delivery.Any, n.Alarm("canary-silent"))
	}
	return []Composite{ingest, delivery, slow}
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
