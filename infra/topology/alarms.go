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
func alarms(s Sizes) ([]Alarm, []Composite) {
	byClass := func(id string, c segment.Class) Metric { return ofClass(id, "EventsRetried", c) }
	underWay := s.BatchSize * s.MaximumConcurrency // messages in flight when nothing waits
	// that are in the queue whenever SQS counts: it may count at the second at which they fly
	canaries := 1
	if s.NoCanary {
		canaries = 0
	}

	all := []Alarm{
		backlogAge("spillway-backlog-age-warning", Warning, 10*time.Minute, "10 minutes"),
		backlogAge("spillway-backlog-age-critical", Critical, time.Hour, "an hour"),
		{
			Name: "spillway-delivery-stalled", Severity: Critical, Section: "delivery-stalled",
			Metrics: []Metric{visible("v", EventsQueue), inFlight("f", EventsQueue),
				own("d", "deliver", "EventsDelivered", "Sum")},
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
			Name: "spillway-backlog-growing", Severity: Warning, Section: "backlog-growing",
			Metrics: []Metric{
				visible("v", EventsQueue), inFlight("f", EventsQueue),
				ofQueue("s", EventsQueue, "NumberOfMessagesSent", "Sum"),
				ofQueue("d", EventsQueue, "NumberOfMessagesDeleted", "Sum"),
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
			Name: "spillway-in-flight", Severity: Critical, Section: "in-flight",
			Metrics:   []Metric{inFlight("f", EventsQueue)},
			Threshold: maxInFlight * 5 / 6, Unit: "messages", Period: time.Minute, Periods: 5, Breaching: 5,
			Missing: MissingIsSilent,
			Meaning: "over 100,000 messages wait for their next attempt; at about 120,000 SQS hands out none, fresh ones " +
				"included.",
			First: "find out what fails (wrong credentials or Segment's failures); if it is one write key's events only, " +
				"correct that key.",
		},
		deadLetters(),
		{
			Name: "spillway-dead-letters-old", Severity: Critical, Section: "dead-letters-old",
			Metrics: []Metric{{ID: "v", Queue: DeadLetterQueue, Name: "ApproximateNumberOfMessagesVisible",
				Statistic: "Minimum"}},
			// Not the age: looked at three times, a letter is no longer in it.
			Threshold: 0, Unit: "letters", Period: 6 * time.Hour, Periods: 28, Breaching: 28, Missing: MissingIsGood,
			Meaning: "the dead-letter queue has not been empty for 7 days; SQS deletes letters 14 days after they were " +
				"written, those that it moved itself 14 days after they were sent.",
			First: "list the letters, and send them again or save them to a file.",
		},
		{
			Name: "spillway-dead-letters-unwritten", Severity: Critical, Section: "dead-letters-unwritten",
			Metrics:    []Metric{own("d", "deliver", "DeadLetterErrors", "Sum"), own("i", "ingest", "DeadLetterErrors", "Sum")},
			Expression: "FILL(d, 0) + FILL(i, 0)",
			Threshold:  0, Unit: "errors", Period: time.Minute, Periods: 5, Breaching: 3, Missing: MissingIsGood,
			Meaning: "dead letters can't be written; their messages stay in the queue and come again.",
			First: "read the error in the function's log: the role's permission on the dead-letter queue or on its key is " +
				"the usual cause.",
		},
		{
			Name: "spillway-deliver-errors", Severity: Critical, Section: "deliver-errors",
			Metrics:   []Metric{ofFunction("e", DeliverFunction, "Errors", "Sum")},
			Threshold: 0, Unit: "errors", Period: time.Minute, Periods: 5, Breaching: 3, Missing: MissingIsGood,
			Meaning: "the deliver function crashes, runs out of time or can't start. Failures of Segment are not counted here.",
			First:   "read the last lines of its log; after a deployment or a changed setting, roll back.",
		},
		{
			Name: "spillway-deliver-throttled", Severity: Warning, Section: "deliver-throttled",
			Metrics:   []Metric{ofFunction("t", DeliverFunction, "Throttles", "Sum")},
			Threshold: 0, Unit: "throttles", Period: time.Minute, Periods: 5, Breaching: 3, Missing: MissingIsGood,
			Meaning: "Lambda refuses to run the deliver function as often as the queue asks; each time counts as a receive " +
				"of its messages, and 1,000 make them dead letters.",
			First: "compare the account's concurrency with its quota; reserve concurrency for the function, or raise " +
				"the quota.",
		},
		{
			Name: "spillway-deliver-saturated", Severity: Warning, Section: "deliver-saturated",
			Metrics:   []Metric{ofFunction("c", DeliverFunction, "ConcurrentExecutions", "Maximum")},
			Threshold: float64(s.MaximumConcurrency - 1), Unit: "invocations", Period: time.Minute, Periods: 15, Breaching: 15,
			Missing: MissingIsGood,
			Meaning: "for 15 minutes as many invocations have been running as may: delivery can't become any faster.",
			First:   "if Segment answers 429 leave it as it is; otherwise raise the reserved concurrency.",
		},
		{
			Name: "spillway-segment-failing", Severity: Critical, Section: "segment-failing",
			Metrics: responses(),
			// An open breaker leaves minutes without an attempt: they say nothing, and so half of
			// the values are enough.
			Expression: "IF(" + sumOf(responses()) + " > 0, 100 * FILL(transient, 0) / (" + sumOf(responses()) + "), 0)",
			Unit:       "%",
			Threshold:  50, Period: time.Minute, Periods: 10, Breaching: 5, Missing: MissingIsGood,
			Meaning: "more than half of the calls to Segment fail with 5xx, a time-out or no connection. Nothing is lost " +
				"for 10 days.",
			First: "look at status.segment.com and wait; if Segment is well, look at the endpoint's setting and the way out.",
		},
		{
			Name: "spillway-segment-throttling", Severity: Warning, Section: "segment-throttling",
			Metrics:   []Metric{byClass("r", segment.Throttled)},
			Threshold: 0, Unit: "events", Period: time.Minute, Periods: quiet, Breaching: 10, Missing: MissingIsGood,
			Meaning: "Segment has answered 429 for most of the last minutes: more is delivered than it takes of the " +
				"workspace, about 1,000 events/s.",
			First: "find out which source sends so much; ask Segment to raise the limit if it stays.",
		},
		{
			Name: "spillway-wrong-credentials", Severity: Critical, Section: "wrong-credentials",
			Metrics:   []Metric{byClass("r", segment.Misconfigured)},
			Threshold: 0, Unit: "events", Period: time.Minute, Periods: quiet, Breaching: 1, Missing: MissingIsGood,
			Meaning: "Segment refuses a write key or the endpoint is wrong (401, 403, 404, a redirect), or there is no " +
				"default write key; these events wait, up to 10 days.",
			First: "the deliver function's log has the key's fingerprint in misconfigured_keys; correct the key, or the " +
				"endpoint's setting.",
		},
		{
			Name: "spillway-ingest-errors", Severity: Critical, Section: "ingest-errors",
			Metrics:   []Metric{{ID: "e", Door: true, Name: "ServerErrors", Statistic: "Sum"}},
			Threshold: 0, Unit: "requests", Period: time.Minute, Periods: 5, Breaching: 3, Missing: MissingIsGood,
			Meaning: "the door answers 5xx; SDKs try again, some for a short time only.",
			First:   "read the ingest function's log; after a deployment or a changed setting, roll back.",
		},
		{
			Name: "spillway-ingest-refusing", Severity: Critical, Section: "ingest-refusing",
			Metrics: []Metric{own("r", "ingest", "Requests", "Sum", "Status", "429"),
				{ID: "n", Door: true, Name: "Requests", Statistic: "Sum"}},
			// A single source over its quota is not the door's trouble; that one request in twenty
			// is refused is.
			Expression: "IF(n > 0, 100 * FILL(r, 0) / n, 0)", Unit: "%",
			Threshold: 5, Period: time.Minute, Periods: 5, Breaching: 3, Missing: MissingIsGood,
			Meaning: "the door answers more than one request in twenty with 429: the queue can't be reached, there is too " +
				"much to do, or a write key is over its quota.",
			First: "see RequestsShed by code on the dashboard; for queue_unavailable look at SQS and at the function's role.",
		},
		{
			Name: "spillway-ingest-slow", Severity: Warning, Section: "ingest-slow",
			Metrics:   []Metric{own("l", "ingest", "AcceptLatency", "p99")},
			Threshold: 2000, Unit: "ms", Period: time.Minute, Periods: 10, Breaching: 5, Missing: MissingIsGood,
			Meaning: "one request in a hundred takes the door over 2 s; SDKs give up after about 10 s and send again.",
			First:   "look at the latency of SQS, and at the function's duration and cold starts.",
		},
		{
			Name: "spillway-ingest-throttled", Severity: Critical, Section: "ingest-throttled",
			Metrics:   []Metric{ofFunction("t", IngestFunction, "Throttles", "Sum")},
			Threshold: 0, Unit: "throttles", Period: time.Minute, Periods: 5, Breaching: 3, Missing: MissingIsGood,
			Meaning: "Lambda refuses to run the ingest function: the account's concurrency is used up, and requests are " +
				"turned away.",
			First: "see which function uses the concurrency up, and raise the account's quota.",
		},
		{
			Name: "spillway-publisher-drops", Severity: Critical, Section: "publisher-drops",
			Metrics:   []Metric{own("d", "publisher", "EventsDropped", "Sum")},
			Threshold: 0, Unit: "events", Period: time.Minute, Periods: 5, Breaching: 1, Missing: MissingIsGood,
			Meaning: "an API's publisher dropped events: they are lost.",
			First: "see EventsDropped by Reason, and the API's own log: memory and disk for events that wait are full when " +
				"SQS can't be reached for long.",
		},
		{
			Name: "spillway-publisher-spilling", Severity: Warning, Section: "publisher-spilling",
			Metrics:   []Metric{own("s", "publisher", "EventsSpilled", "Sum")},
			Threshold: 0, Unit: "events", Period: time.Minute, Periods: 5, Breaching: 3, Missing: MissingIsGood,
			Meaning: "an API can't reach any queue and writes its events to its own disk; it sends them from there later.",
			First:   "look at SQS's status, and at the API's network and role; watch the disk.",
		},
		{
			Name: "spillway-sudden-volume", Severity: Warning, Section: "sudden-volume",
			Metrics:    []Metric{own("a", "ingest", "EventsAccepted", "Sum"), own("p", "publisher", "EventsPublished", "Sum")},
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
			Name: "spillway-ingest-down", Severity: Critical, Section: "ingest-down",
			Any:     []Condition{{Alarm: "spillway-ingest-errors"}, {Alarm: "spillway-ingest-throttled"}},
			Meaning: "the door for SDKs does not take events.",
			First:   "try GET /health of the ingest URL, and read the alarms that are part of this one.",
		},
		{
			Name: "spillway-delivery-down", Severity: Critical, Section: "delivery-down",
			Any:     []Condition{{Alarm: "spillway-delivery-stalled"}},
			Meaning: "events do not get to Segment. They are safe in the queue for 10 days.",
			First:   "look at status.segment.com, and read the alarms that are part of this one.",
		},
	}
	if s.NoCanary {
		return all, composites
	}
	silent := int(canary.MissingAfter / canary.Interval)
	all = append(all,
		Alarm{
			Name: "spillway-door-silent", Severity: Critical, Section: "door-silent",
			Metrics:   []Metric{own("c", "canary", "CanaryAccepted", "Sum")},
			Threshold: 1, Below: true, Unit: "events", Period: canary.Interval, Periods: silent, Breaching: silent,
			Missing: MissingIsBad,
			Meaning: "for 3 minutes no canary event was accepted by the public door, or nobody tried.",
			First:   "try GET /health of the ingest URL; if it is well, read the canary function's log.",
		},
		Alarm{
			Name: "spillway-canary-silent", Severity: Critical, Section: "canary-silent",
			Metrics:   []Metric{own("c", "deliver", "CanaryDelivered", "Sum")},
			Threshold: 1, Below: true, Unit: "events", Period: canary.Interval, Periods: silent, Breaching: silent,
			Missing: MissingIsBad,
			Meaning: "for 3 minutes no canary event has come through to Segment.",
			First:   "see which other alarm fires: the door, the delivery, or none, and then it is the canary or the metrics.",
		},
	)
	composites[0].Any = append(composites[0].Any, Condition{Alarm: "spillway-door-silent"})
	// Behind a closed door no canary arrives, and that says nothing about the delivery.
	composites[1].Any = append(composites[1].Any,
		Condition{Alarm: "spillway-canary-silent", Unless: "spillway-door-silent"})
	return all, composites
}

func backlogAge(name string, severity Severity, limit time.Duration, spoken string) Alarm {
	return Alarm{
		Name: name, Severity: severity, Section: "backlog-age",
		Metrics: []Metric{ofQueue("q", EventsQueue, "ApproximateAgeOfOldestMessage", "Maximum"),
			own("d", "deliver", "EventAge", "Maximum")},
		Expression: "MAX([q, FILL(d, 0)])", Unit: "seconds",
		Threshold: limit.Seconds(), Period: time.Minute, Periods: quiet, Breaching: 1, Missing: MissingIsSilent,
		Meaning: "the oldest event that was seen in the last minutes has waited for over " + spoken +
			". Dead letters that are sent again count with their full age.",
		First: "see on the dashboard whether Segment fails, whether the function runs, and how long draining takes.",
	}
}

// deadLetters fires for the first letter: when deliver writes it, and for as long as one is there.
func deadLetters() Alarm {
	a := Alarm{
		Name: "spillway-dead-letters", Severity: Warning, Section: "dead-letters",
		Metrics: []Metric{visible("v", DeadLetterQueue), inFlight("f", DeadLetterQueue)},
		Unit:    "letters", Threshold: 0, Period: time.Minute, Periods: 15, Breaching: 1, Missing: MissingIsGood,
		Meaning: "there are dead letters: events that could not be delivered, each with its reason.",
		First:   "list them and read the reasons; send them again once the cause is gone.",
	}
	for _, reason := range Reasons() {
		a.Metrics = append(a.Metrics, own(reason, "deliver", "EventsDeadLettered", "Sum", "Reason", reason))
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
func responses() []Metric {
	var metrics []Metric
	for _, c := range segment.Classes() {
		if c != segment.Unreadable && c != segment.Expired { // never sent
			metrics = append(metrics, ofClass(c.String(), "SegmentResponses", c))
		}
	}
	return metrics
}

func ofClass(id, name string, c segment.Class) Metric {
	return own(id, "deliver", name, "Sum", "Class", c.String())
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
func own(id, function, name, statistic string, dimension ...string) Metric {
	m := Metric{ID: id, Own: function, Name: name, Statistic: statistic}
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
