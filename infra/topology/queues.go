package topology

import (
	"fmt"
	"time"

	"github.com/spillwayhq/spillway/shared/message"
)

// maxInFlight is about how many messages of a standard queue may be in flight; beyond it SQS hands
// out nothing more (SQS developer guide, "Message quotas").
const maxInFlight = 120_000

func queues(o Options) []Queue {
	return []Queue{
		{
			Name: o.Names.EventsQueue, Retention: maxRetention,
			VisibilityTimeout: visibilityFactor*deliverTimeout + o.BatchingWindow, DeadLetterQueue: o.Names.DeadLetterQueue,
			// Deliver recognises a message that can't be delivered and writes the dead letter
			// itself. The count is only for a function that can't even start. It must outlast ten
			// days of pauses of up to 15 minutes, which are about 965 receives.
			MaxReceiveCount: maxReceiveCount,
		},
		// A message that SQS moves is deleted 14 days after it was first sent, so a longer
		// retention would not help it. Deliver gives up after ten days, which leaves four to act
		// in.
		{Name: o.Names.DeadLetterQueue, Retention: maxRetention, VisibilityTimeout: 30 * time.Second},
	}
}

func backlogAlarms(o Options) []Alarm {
	n := o.Names
	processing := o.BatchSize * o.MaximumConcurrency // messages in flight while nothing waits
	canaries := 1                                    // in the queue whenever SQS counts: it may count at that very second
	if o.NoCanary {
		canaries = 0
	}
	return []Alarm{
		n.backlogAge("backlog-age-warning", Warning, 10*time.Minute, "10 minutes"),
		n.backlogAge("backlog-age-critical", Critical, time.Hour, "an hour"),
		{
			Name: n.Alarm("delivery-stalled"), Severity: Critical, Section: "delivery-stalled",
			Metrics: []Metric{visible("v", n.EventsQueue), inFlight("f", n.EventsQueue),
				n.own("d", "deliver", "EventsDelivered", "Sum")},
			// 1 while something is in the queue and nothing was delivered. It also sees a function
			// that can't start, and messages that SQS's age leaves out. Such a function may write
			// no value of d at all, and AWS does not document what FILL makes of a metric without
			// any value; but a sum takes missing data for 0 (user guide, "Using metric math").
			Expression: fmt.Sprintf("IF(v + f > %d AND 0 * v + FILL(d, 0) < 1, 1, 0)", canaries),
			Threshold:  0, Period: time.Minute, Periods: 5, Breaching: 5, Missing: MissingIsSilent,
			Meaning: "events are in the queue, and none was delivered for 5 minutes.",
			First:   "read the last lines of the deliver function's log, and look at status.segment.com.",
		},
		{
			Name: n.Alarm("backlog-growing"), Severity: Warning, Section: "backlog-growing",
			Metrics: []Metric{
				visible("v", n.EventsQueue), inFlight("f", n.EventsQueue),
				ofQueue("s", n.EventsQueue, "NumberOfMessagesSent", "Sum"),
				ofQueue("d", n.EventsQueue, "NumberOfMessagesDeleted", "Sum"),
			},
			// Minutes until the backlog is drained at the present rate; 1440 when it grows; 0
			// without a backlog.
			Expression: fmt.Sprintf("IF(v + f > %d, IF(d > s, (v + f) / (d - s), 1440), 0)", processing), Unit: "minutes",
			Threshold: 60, Period: time.Minute, Periods: 10, Breaching: 10, Missing: MissingIsGood,
			Meaning: "for 10 minutes the backlog has been growing, or would take over an hour to drain at its present rate " +
				"(the value, in minutes; 1440: it grows).",
			First: "see on the dashboard whether more events come in than usual, or fewer are delivered.",
		},
		{
			Name: n.Alarm("in-flight"), Severity: Critical, Section: "in-flight",
			Metrics:   []Metric{inFlight("f", n.EventsQueue)},
			Threshold: maxInFlight * 5 / 6, Unit: "messages", Period: time.Minute, Periods: 5, Breaching: 5,
			Missing: MissingIsSilent,
			Meaning: "over 100,000 messages wait for their next attempt; at about 120,000 SQS hands out no more messages, new " +
				"ones included.",
			First: "find out what fails (wrong credentials, or Segment); if only the events of one write key fail, correct " +
				"that key.",
		},
	}
}

func (n Names) backlogAge(name string, severity Severity, limit time.Duration, spoken string) Alarm {
	return Alarm{
		Name: n.Alarm(name), Severity: severity, Section: "backlog-age",
		Metrics: []Metric{ofQueue("q", n.EventsQueue, "ApproximateAgeOfOldestMessage", "Maximum"),
			n.own("d", "deliver", "EventAge", "Maximum")},
		Expression: "MAX([q, FILL(d, 0)])", Unit: "seconds",
		Threshold: limit.Seconds(), Period: time.Minute, Periods: retryLookback, Breaching: 1, Missing: MissingIsSilent,
		Meaning: "the oldest event of the last minutes has waited for over " + spoken +
			". Redriven dead letters count with their full age.",
		First: "see on the dashboard whether Segment fails, whether the deliver function runs, and how long the backlog " +
			"takes to drain.",
	}
}

func deadLetterAlarms(n Names) []Alarm {
	return []Alarm{
		n.deadLetters(),
		{
			Name: n.Alarm("dead-letters-old"), Severity: Critical, Section: "dead-letters-old",
			// Not SQS's age, which leaves out a message that was received three times.
			Metrics:   []Metric{ofQueue("v", n.DeadLetterQueue, "ApproximateNumberOfMessagesVisible", "Minimum")},
			Threshold: 0, Unit: "dead letters", Period: 6 * time.Hour, Periods: 28, Breaching: 28, Missing: MissingIsGood,
			Meaning: "the dead-letter queue has not been empty for 7 days. SQS deletes a dead letter 14 days after it was " +
				"written; one that SQS moved itself, 14 days after its message was sent.",
			First: "list the dead letters, and redrive them or save them to a file.",
		},
		{
			Name: n.Alarm("dead-letters-unwritten"), Severity: Critical, Section: "dead-letters-unwritten",
			Metrics: []Metric{n.own("d", "deliver", "DeadLetterErrors", "Sum"),
				n.own("i", "ingest", "DeadLetterErrors", "Sum")},
			Expression: "FILL(d, 0) + FILL(i, 0)",
			Threshold:  0, Unit: "errors", Period: time.Minute, Periods: 5, Breaching: 3, Missing: MissingIsGood,
			Meaning: "dead letters can't be written; deliver retries their messages, ingest refuses their requests.",
			First: "read the error in the function's log: the usual cause is the role's permission for the dead-letter " +
				"queue or its key.",
		},
	}
}

// deadLetters fires for the first dead letter: when deliver writes it, and for as long as one is in
// the queue.
func (n Names) deadLetters() Alarm {
	a := Alarm{
		Name: n.Alarm("dead-letters"), Severity: Warning, Section: "dead-letters",
		Metrics: []Metric{visible("v", n.DeadLetterQueue), inFlight("f", n.DeadLetterQueue)},
		Unit:    "dead letters", Threshold: 0, Period: time.Minute, Periods: 15, Breaching: 1, Missing: MissingIsGood,
		Meaning: "there are dead letters: events that could not be delivered, each with its reason.",
		First:   "list them and read the reasons; redrive them once the cause is gone.",
	}
	for _, reason := range deadLetterReasons() {
		a.Metrics = append(a.Metrics, n.own(reason, "deliver", "EventsDeadLettered", "Sum", "Reason", reason))
	}
	a.Expression = sumOf(a.Metrics)
	return a
}

// deadLetterReasons are those that deliver writes in its metric EventsDeadLettered.
func deadLetterReasons() []string {
	return []string{message.ReasonInvalid, message.ReasonRejected, message.ReasonExpired, message.ReasonUndecodable,
		message.ReasonTooLarge, message.ReasonPanic}
}
