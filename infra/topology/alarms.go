package topology

import (
	"strconv"
	"strings"
	"time"

	"github.com/spillwayhq/spillway/shared/canary"
	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/segment"
)

// segmentEventsPerSecond is what Segment takes of a workspace before it queues or answers 429 (its
// rate limits' documentation).
const segmentEventsPerSecond = 1000

// Of SQS standard queues (developer guide, "Message quotas"): about this many messages may be in
// flight, and beyond it SQS hands out nothing more.
const maxInFlight = 120_000

// quiet is for how many minutes an alarm about messages that come again looks back. A message is
// hidden for at most 15 minutes, and 10 % more, between two attempts; an alarm that looked back a
// shorter time would be over after each attempt and fire at the next.
const quiet = 20

// The alarms. They avoid what misleads on a queue like this one:
//   - SQS's age leaves out a message that was received three times. So the deliver function measures the age of all that it sees,
//     and the larger one counts. A function that can't start measures nothing: that is what "stalled" sees.
//   - A batch whose messages all stay is a success to Lambda, so its Errors say nothing about Segment.
//   - Letters that SQS moves do not count as sent to the dead-letter queue: the messages in it do. And SQS may be 15 minutes
//     late with the metrics of a queue that was idle, so what the deliver function wrote counts too.
//   - What is missing may be the monitoring itself: no canary is bad, no error is good.
func alarms(o Options) ([]Alarm, []Composite) {
	n := o.Names
	byClass := func(id string, c segment.Class) Metric { return n.ofClass(id, "EventsRetried", c) }
	underWay := o.BatchSize * o.MaximumConcurrency // messages in flight when nothing waits
	// that are in the queue whenever SQS counts: it may count at the second at which they fly
	canaries := 1
	if o.NoCanary {
		canaries = 0
	}

	all := []Alarm{
		n.backlogAge("backlog-age-warning", Warning, 10*time.Minute, "10 minutes"),
		n.backlogAge("backlog-age-critical", Critical, time.Hour, "an hour"),
		{
			Name: n.Alarm("delivery-stalled"), Severity: Critical, Section: "delivery-stalled",
			Metrics: []Metric{visible("v", n.EventsQueue), inFlight("f", n.EventsQueue),
				n.own("d", "deliver", "EventsDelivered", "Sum")},
			// 1 while something is in the queue and nothing was delivered. It needs no message to
			// be handed out, so it sees a function that can't start, and messages that were
			// received so often that SQS's age leaves them out. Such a function may leave no value
			// of d at all, and nothing says that FILL makes some of none; but in a sum what is
			// missing is 0 (user guide, "Using metric math").
			Expression: "IF(v + f > " + strconv.Itoa(canaries) + " AND 0 * v + FILL(d, 0) < 1, 1, 0)",
			Threshold:  0, Period: time.Minute, Periods: 5, Breaching: 5, Missing: MissingIsSilent,
			Meaning: "events are in the queue, and for 5 minutes none was delivered.",
			First:   "look at the deliver function's log for its last lines, and at status.segment.com.",
		},
		{
			Name: n.Alarm("backlog-growing"), Severity: Warning, Section: "backlog-growing",
			Metrics: []Metric{
				visible("v", n.EventsQueue), inFlight("f", n.EventsQueue),
				ofQueue("s", n.EventsQueue, "NumberOfMessagesSent", "Sum"),
				ofQueue("d", n.EventsQueue, "NumberOfMessagesDeleted", "Sum"),
			},
			// Minutes until the backlog is drained at the present rate; a day when it grows; 0 when
			// there is none to speak of.
			Expression: "IF(v + f > " + strconv.Itoa(underWay) + ", IF(d > s, (v + f) / (d - s), 1440), 0)", Unit: "minutes",
			Threshold: 60, Period: time.Minute, Periods: 10, Breaching: 10, Missing: MissingIsGood,
			Meaning: "for 10 minutes the backlog has been growing, or would take over an hour to drain at its present rate " +
				"(the value, in minutes; 1440: it grows).",
			First: "see on the dashboard whether more comes in than usual or less goes out.",
		},
		{
			Name: n.Alarm("in-flight"), Severity: Critical, Section: "in-flight",
			Metrics:   []Metric{inFlight("f", n.EventsQueue)},
			Threshold: maxInFlight * 5 / 6, Unit: "messages", Period: time.Minute, Periods: 5, Breaching: 5,
			Missing: MissingIsSilent,
			Meaning: "over 100,000 messages wait for their next attempt; at about 120,000 SQS hands out none, fresh ones " +
				"included.",
			First: "find out what fails (wrong credentials or Segment's failures); if it is one write key's events only, " +
				"correct that key.",
		},
		n.deadLetters(),
		{
			Name: n.Alarm("dead-letters-old"), Severity: Critical, Section: "dead-letters-old",
			Metrics: []Metric{{ID: "v", Queue: n.DeadLetterQueue, Name: "ApproximateNumberOfMessagesVisible",
				Statistic: "Minimum"}},
			// Not the age: looked at three times, a letter is no longer in it.
			Threshold: 0, Unit: "letters", Period: 6 * time.Hour, Periods: 28, Breaching: 28, Missing: MissingIsGood,
			Meaning: "the dead-letter queue has not been empty for 7 days; SQS deletes letters 14 days after they were " +
				"written, those that it moved itself 14 days after they were sent.",
			First: "list the letters, and send them again or save them to a file.",
		},
		{
			Name: n.Alarm("dead-letters-unwritten"), Severity: Critical, Section: "dead-letters-unwritten",
			Metrics: []Metric{n.own("d", "deliver", "DeadLetterErrors", "Sum"),
				n.own("i", "ingest", "DeadLetterErrors", "Sum")},
			Expression: "FILL(d, 0) + FILL(i, 0)",
			Threshold:  0, Unit: "errors", Period: time.Minute, Periods: 5, Breaching: 3, Missing: MissingIsGood,
			Meaning: "dead letters can't be written; their messages stay in the queue and come again.",
			First: "read the error in the function's log: the role's permission on the dead-letter queue or on its key is " +
				"the usual cause.",
		},
		{
			Name: n.Alarm("deliver-errors"), Severity: Critical, Section: "deliver-errors",
			Metrics:   []Metric{ofFunction("e", n.DeliverFunction, "Errors", "Sum")},
			Threshold: 0, Unit: "errors", Period: time.Minute, Periods: 5, Breaching: 3, Missing: MissingIsGood,
			Meaning: "the deliver function crashes, runs out of time or can't start. Failures of Segment are not counted here.",
			First:   "read the last lines of its log; after a deployment or a changed setting, roll back.",
		},
		{
			Name: n.Alarm("deliver-throttled"), Severity: Warning, Section: "deliver-throttled",
			Metrics:   []Metric{ofFunction("t", n.DeliverFunction, "Throttles", "Sum")},
			Threshold: 0, Unit: "throttles", Period: time.Minute, Periods: 5, Breaching: 3, Missing: MissingIsGood,
			Meaning: "Lambda refuses to run the deliver function as often as the queue asks; each time counts as a receive " +
				"of its messages, and 1,000 make them dead letters.",
			First: "compare the account's concurrency with its quota; reserve concurrency for the function, or raise " +
				"the quota.",
		},
		{
			Name: n.Alarm("deliver-saturated"), Severity: Warning, Section: "deliver-saturated",
			Metrics:   []Metric{ofFunction("c", n.DeliverFunction, "ConcurrentExecutions", "Maximum")},
			Threshold: float64(o.MaximumConcurrency - 1), Unit: "invocations", Period: time.Minute, Periods: 15, Breaching: 15,
			Missing: MissingIsGood,
			Meaning: "for 15 minutes as many invocations have been running as may: delivery can't become any faster.",
			First:   "if Segment answers 429 leave it as it is; otherwise raise the reserved concurrency.",
		},
		{
			Name: n.Alarm("segment-failing"), Severity: Critical, Section: "segment-failing",
			Metrics: n.responses(),
			// An open breaker leaves minutes without an attempt: they say nothing, and so half of
			// the values are enough.
			Expression: "IF(" + sumOf(n.responses()) + " > 0, 100 * FILL(transient, 0) / (" + sumOf(n.responses()) + "), 0)",
			Unit:       "%",
			Threshold:  50, Period: time.Minute, Periods: 10, Breaching: 5, Missing: MissingIsGood,
			Meaning: "more than half of the calls to Segment fail with 5xx, a time-out or no connection. Nothing is lost " +
				"for 10 days.",
			First: "look at status.segment.com and wait; if Segment is well, look at the endpoint's setting and the way out.",
		},
		{
			Name: n.Alarm("segment-throttling"), Severity: Warning, Section: "segment-throttling",
			Metrics:   []Metric{byClass("r", segment.Throttled)},
			Threshold: 0, Unit: "events", Period: time.Minute, Periods: quiet, Breaching: 10, Missing: MissingIsGood,
			Meaning: "Segment has answered 429 for most of the last minutes: more is delivered than it takes of the " +
				"workspace, about 1,000 events/s.",
			First: "find out which source sends so much; ask Segment to raise the limit if it stays.",
		},
		{
			Name: n.Alarm("wrong-credentials"), Severity: Critical, Section: "wrong-credentials",
			Metrics:   []Metric{byClass("r", segment.Misconfigured)},
			Threshold: 0, Unit: "events", Period: time.Minute, Periods: quiet, Breaching: 1, Missing: MissingIsGood,
			Meaning: "Segment refuses a write key or the endpoint is wrong (401, 403, 404, a redirect), or there is no " +
				"default write key; these events wait, up to 10 days.",
			First: "the deliver function's log has the key's fingerprint in misconfigured_keys; correct the key, or the " +
				"endpoint's setting.",
		},
		{
			Name: n.Alarm("ingest-errors"), Severity: Critical, Section: "ingest-errors",
			Metrics:   []Metric{{ID: "e", IngestEndpoint: true, Name: "ServerErrors", Statistic: "Sum"}},
			Threshold: 0, Unit: "requests", Period: time.Minute, Periods: 5, Breaching: 3, Missing: MissingIsGood,
			Meaning: "the door answers 5xx; SDKs try again, some for a short time only.",
			First:   "read the ingest function's log; after a deployment or a changed setting, roll back.",
		},
		{
			Name: n.Alarm("ingest-refusing"), Severity: Critical, Section: "ingest-refusing",
			Metrics: []Metric{n.own("r", "ingest", "Requests", "Sum", "Status", "429"),
				{ID: "n", IngestEndpoint: true, Name: "Requests", Statistic: "Sum"}},
			// A single source over its quota is not the door's trouble; that one request in twenty
			// is refused is.
			Expression: "IF(n > 0, 100 * FILL(r, 0) / n, 0)", Unit: "%",
			Threshold: 5, Period: time.Minute, Periods: 5, Breaching: 3, Missing: MissingIsGood,
			Meaning: "the door answers more than one request in twenty with 429: the queue can't be reached, there is too " +
				"much to do, or a write key is over its quota.",
			First: "see RequestsShed by code on the dashboard; for queue_unavailable look at SQS and at the function's role.",
		},
		{
			Name: n.Alarm("ingest-slow"), Severity: Warning, Section: "ingest-slow",
			Metrics:   []Metric{n.own("l", "ingest", "AcceptLatency", "p99")},
			Threshold: 2000, Unit: "ms", Period: time.Minute, Periods: 10, Breaching: 5, Missing: MissingIsGood,
			Meaning: "one request in a hundred takes the door over 2 s; SDKs give up after about 10 s and send again.",
			First:   "look at the latency of SQS, and at the function's duration and cold starts.",
		},
		{
			Name: n.Alarm("ingest-throttled"), Severity: Critical, Section: "ingest-throttled",
			Metrics:   []Metric{ofFunction("t", n.IngestFunction, "Throttles", "Sum")},
			Threshold: 0, Unit: "throttles", Period: time.Minute, Periods: 5, Breaching: 3, Missing: MissingIsGood,
			Meaning: "Lambda refuses to run the ingest function: the account's concurrency is used up, and requests are " +
				"turned away.",
			First: "see which function uses the concurrency up, and raise the account's quota.",
		},
		{
			Name: n.Alarm("publisher-drops"), Severity: Critical, Section: "publisher-drops",
			Metrics:   []Metric{n.own("d", "publisher", "EventsDropped", "Sum")},
			Threshold: 0, Unit: "events", Period: time.Minute, Periods: 5, Breaching: 1, Missing: MissingIsGood,
			Meaning: "an API's publisher dropped events: they are lost.",
			First: "see EventsDropped by Reason, and the API's own log: memory and disk for events that wait are full when " +
				"SQS can't be reached for long.",
		},
		{
			Name: n.Alarm("publisher-spilling"), Severity: Warning, Section: "publisher-spilling",
			Metrics:   []Metric{n.own("s", "publisher", "EventsSpilled", "Sum")},
			Threshold: 0, Unit: "events", Period: time.Minute, Periods: 5, Breaching: 3, Missing: MissingIsGood,
			Meaning: "an API can't reach any queue and writes its events to its own disk; it sends them from there later.",
			First:   "look at SQS's status, and at the API's network and role; watch the disk.",
		},
		{
			Name: n.Alarm("sudden-volume"), Severity: Warning, Section: "sudden-volume",
			Metrics: []Metric{n.own("a", "ingest", "EventsAccepted", "Sum"),
				n.own("p", "publisher", "EventsPublished", "Sum")},
			Expression: "(FILL(a, 0) + FILL(p, 0)) / 60", Unit: "events/s",
			Threshold: segmentEventsPerSecond, Period: time.Minute, Periods: 5, Breaching: 5, Missing: MissingIsGood,
			Meaning: "for 5 minutes more has come in than the 1,000 events/s that Segment takes of a workspace: a backlog " +
				"builds up.",
			First: "find the source: a new release, a loop, a script. Nothing is lost; see the time to drain on the " +
				"dashboard.",
		},
	}
	composites := []Composite{
		{
			Name: n.Alarm("ingest-down"), Severity: Critical, Section: "ingest-down",
			Any:     []Condition{{Alarm: n.Alarm("ingest-errors")}, {Alarm: n.Alarm("ingest-throttled")}},
			Meaning: "the door for SDKs does not take events.",
			First:   "try GET /health of the ingest URL, and read the alarms that are part of this one.",
		},
		{
			Name: n.Alarm("delivery-down"), Severity: Critical, Section: "delivery-down",
			Any:     []Condition{{Alarm: n.Alarm("delivery-stalled")}},
			Meaning: "events do not get to Segment. They are safe in the queue for 10 days.",
			First:   "look at status.segment.com, and read the alarms that are part of this one.",
		},
	}
	if o.NoCanary {
		return all, composites
	}
	silent := int(canary.MissingAfter / canary.Interval)
	all = append(all,
		Alarm{
			Name: n.Alarm("ingest-silent"), Severity: Critical, Section: "ingest-silent",
			Metrics:   []Metric{n.own("c", "canary", "CanaryAccepted", "Sum")},
			Threshold: 1, Below: true, Unit: "events", Period: canary.Interval, Periods: silent, Breaching: silent,
			Missing: MissingIsBad,
			Meaning: "for 3 minutes no canary event was accepted by the public door, or nobody tried.",
			First:   "try GET /health of the ingest URL; if it is well, read the canary function's log.",
		},
		Alarm{
			Name: n.Alarm("canary-silent"), Severity: Critical, Section: "canary-silent",
			Metrics:   []Metric{n.own("c", "deliver", "CanaryDelivered", "Sum")},
			Threshold: 1, Below: true, Unit: "events", Period: canary.Interval, Periods: silent, Breaching: silent,
			Missing: MissingIsBad,
			Meaning: "for 3 minutes no canary event has come through to Segment.",
			First:   "see which other alarm fires: the door, the delivery, or none, and then it is the canary or the metrics.",
		},
	)
	composites[0].Any = append(composites[0].Any, Condition{Alarm: n.Alarm("ingest-silent")})
	// Behind a closed door no canary arrives, and that says nothing about the delivery.
	composites[1].Any = append(composites[1].Any,
		Condition{Alarm: n.Alarm("canary-silent"), Unless: n.Alarm("ingest-silent")})
	return all, composites
}

func (n Names) backlogAge(name string, severity Severity, limit time.Duration, spoken string) Alarm {
	return Alarm{
		Name: n.Alarm(name), Severity: severity, Section: "backlog-age",
		Metrics: []Metric{ofQueue("q", n.EventsQueue, "ApproximateAgeOfOldestMessage", "Maximum"),
			n.own("d", "deliver", "EventAge", "Maximum")},
		Expression: "MAX([q, FILL(d, 0)])", Unit: "seconds",
		Threshold: limit.Seconds(), Period: time.Minute, Periods: quiet, Breaching: 1, Missing: MissingIsSilent,
		Meaning: "the oldest event that was seen in the last minutes has waited for over " + spoken +
			". Dead letters that are sent again count with their full age.",
		First: "see on the dashboard whether Segment fails, whether the function runs, and how long draining takes.",
	}
}

// deadLetters fires for the first letter: when deliver writes it, and for as long as one is there.
func (n Names) deadLetters() Alarm {
	a := Alarm{
		Name: n.Alarm("dead-letters"), Severity: Warning, Section: "dead-letters",
		Metrics: []Metric{visible("v", n.DeadLetterQueue), inFlight("f", n.DeadLetterQueue)},
		Unit:    "letters", Threshold: 0, Period: time.Minute, Periods: 15, Breaching: 1, Missing: MissingIsGood,
		Meaning: "there are dead letters: events that could not be delivered, each with its reason.",
		First:   "list them and read the reasons; send them again once the cause is gone.",
	}
	for _, reason := range Reasons() {
		a.Metrics = append(a.Metrics, n.own(reason, "deliver", "EventsDeadLettered", "Sum", "Reason", reason))
	}
	a.Expression = sumOf(a.Metrics)
	return a
}

// Reasons are those of the dead letters that deliver writes, as in its metric EventsDeadLettered.
func Reasons() []string {
	return []string{
		message.ReasonInvalid, message.ReasonRejected, message.ReasonExpired, message.ReasonUndecodable,
		message.ReasonTooLarge, message.ReasonPanic,
	}
}

// responses are the calls to Segment by what became of them, in one minute.
func (n Names) responses() []Metric {
	var metrics []Metric
	for _, c := range segment.Classes() {
		metrics = append(metrics, n.ofClass(c.String(), "SegmentResponses", c))
	}
	return metrics
}

func (n Names) ofClass(id, name string, c segment.Class) Metric {
	return n.own(id, "deliver", name, "Sum", "Class", c.String())
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

// own is one of our own metrics, perhaps with a further dimension and its value.
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
