package topology

import (
	"fmt"
	"time"

	"github.com/spillwayhq/spillway/shared/deliver"
	"github.com/spillwayhq/spillway/shared/operator"
)

// maxInFlight is about how many messages of a standard queue may be in flight; beyond it SQS hands
// out nothing more (SQS developer guide, "Message quotas").
const maxInFlight = 120_000

func queues(o Options) []Queue {
	events := Queue{
		Name: o.Names.EventsQueue, Retention: maxRetention,
		VisibilityTimeout: visibilityFactor*deliverTimeout + o.BatchingWindow, DeadLetterQueue: o.Names.DeadLetterQueue,
		// Deliver recognises a message that can't be delivered and writes the dead letter itself.
		// The count is only for a function that can't even start. It must outlast ten days of
		// pauses of up to 15 minutes, which are about 965 receives.
		MaxReceiveCount: maxReceiveCount,
	}
	// SQS has no priorities. A queue of their own keeps a million old events from delaying fresh
	// ones.
	bulk := events
	bulk.Name = o.Names.BulkQueue
	return []Queue{
		events, bulk,
		// A message that SQS moves is deleted 14 days after it was first sent, so a longer
		// retention would not help it. Deliver gives up after ten days, which leaves four to act
		// in.
		{Name: o.Names.DeadLetterQueue, Retention: maxRetention, VisibilityTimeout: 30 * time.Second},
	}
}

func backlogAlarms(o Options) []Alarm {
	n := o.Names
	// Messages that no alarm is about: as many as are in flight while nothing waits and invocations
	// take longer than usual. In the long run what is in flight is what comes in within an
	// invocation's time, which the expression allows two minutes, however large batches may be.
	processing := 100 * o.MaximumConcurrency
	window := wholeMinutes(o.BatchingWindow)
	return []Alarm{
		n.backlogAge("backlog-age-warning", Warning, deliver.BacklogAge, "10 minutes"),
		n.backlogAge("backlog-age-critical", Critical, time.Hour, "an hour"),
		deliveryStalled(o),
		bulkStuck(o),
		{
			Name: n.Alarm("backlog-growing"), Severity: Warning, Section: "backlog-growing",
			Metrics: []Metric{
				visible("v", n.EventsQueue), inFlight("f", n.EventsQueue),
				ofQueue("s", n.EventsQueue, "NumberOfMessagesSent", "Sum"),
				ofQueue("d", n.EventsQueue, "NumberOfMessagesDeleted", "Sum"),
			},
			// Minutes until the backlog is drained at the present rate; 1440 when it grows; 0
			// without a backlog, which is more than what is being processed or waits for its batch
			// to be filled.
			Expression: fmt.Sprintf("IF(v + f > %d + %d * s, IF(d > s, (v + f) / (d - s), 1440), 0)", processing, 1+window),
			Unit:       "minutes",
			Threshold:  60, Period: time.Minute, Periods: 10 + maxLag, Breaching: 10, Missing: MissingIsGood,
			Meaning: "for 10 minutes the backlog has been growing, or would take over an hour to drain at its present rate " +
				"(the value, in minutes; 1440: it grows).",
			First: "see on the dashboard whether more events come in than usual, or fewer are delivered.",
		},
		{
			Name: n.Alarm("in-flight"), Severity: Critical, Section: "in-flight",
			Metrics:   []Metric{inFlight("f", n.EventsQueue)},
			Threshold: maxInFlight * 5 / 6, Unit: "messages", Period: time.Minute, Periods: 5 + maxLag, Breaching: 5,
			Missing: MissingIsSilent,
			Meaning: "over 100,000 messages wait for their next attempt; at about 120,000 SQS hands out no more messages, new " +
				"ones included.",
			First: "find out what fails (wrong credentials, or Segment); if only the events of one write key fail, correct " +
				"that key.",
		},
	}
}

// bulkStuck is 1 while the bulk queue holds messages and none of them is done. That they wait is no
// fault, however many or old they are: fresh events come first. Those that wait for their next
// attempt count, because a redrive with a wrong key does not move either. A pause is no news.
func bulkStuck(o Options) Alarm {
	n := o.Names
	const hour, period = time.Hour, 5 * time.Minute
	a := Alarm{
		Name: n.Alarm("bulk-stuck"), Severity: Warning, Section: "bulk-stuck",
		Metrics: []Metric{visible("v", n.BulkQueue), inFlight("f", n.BulkQueue),
			ofQueue("d", n.BulkQueue, "NumberOfMessagesDeleted", "Sum")},
		Expression: "IF(v + f > 0 AND FILL(d, 0) < 1, 1, 0)",
		Threshold:  0, Period: period, Periods: int(hour/period) + 1, Breaching: int(hour / period), Missing: MissingIsGood,
		Meaning: "for an hour nothing of the bulk queue has been delivered: of what is redriven, replayed or sent out of " +
			"large files.",
		First: "see whether Segment takes fresh events; if it does, read what is retried in the deliver function's log.",
	}
	if !o.NoCanary && !o.NoIngest {
		a.Metrics = append(a.Metrics, n.own("p", "canary", operator.PausedMetric, "Maximum"))
		a.Expression = "IF(v + f > 0 AND FILL(d, 0) < 1 AND FILL(p, 0) < 1, 1, 0)"
	}
	return a
}

// deliveryStalled is 1 while messages wait that nobody receives, or come in, and none is done.
// Those that wait for their next attempt do not count: a few with a wrong key may be all that a
// quiet site has. A tenth of those that come in in a minute counts, so that one of them is no
// outage. All is SQS's, so a gap in our own metrics is no outage.
//
// A period is longer than the batching window, so that a batch is done in each.
func deliveryStalled(o Options) Alarm {
	n := o.Names
	per := 1 + wholeMinutes(o.BatchingWindow) // minutes of a period
	late := (maxLag + per - 1) / per
	breaching := max(2, (5+per-1)/per)
	// A canary may be in the queue at the very second at which SQS counts, and two may be delivered
	// in the same minute.
	waiting, done := 1.5, 2*per+1
	if o.NoCanary || o.NoIngest {
		waiting, done = 0.5, 1
	}
	return Alarm{
		Name: n.Alarm("delivery-stalled"), Severity: Critical, Section: "delivery-stalled",
		Metrics: []Metric{visible("v", n.EventsQueue),
			ofQueue("s", n.EventsQueue, "NumberOfMessagesSent", "Sum"),
			ofQueue("d", n.EventsQueue, "NumberOfMessagesDeleted", "Sum")},
		Expression: fmt.Sprintf("IF(v + s / %d > %v AND 0 * v + d < %d, 1, 0)", 10*per, waiting, done),
		Threshold:  0, Period: time.Duration(per) * time.Minute, Periods: breaching + late, Breaching: breaching,
		Missing: MissingIsSilent,
		Meaning: "messages wait or come in, and none has been done for some minutes.",
		First:   "read the last lines of the deliver function's log, and look at status.segment.com.",
	}
}

// backlogAge fires as soon as one value is too old: a message is seen once in 15 minutes, and in
// between deliver remembers the oldest. FILL makes the alarm end 14 minutes after the last old one.
func (n Names) backlogAge(name string, severity Severity, limit time.Duration, spoken string) Alarm {
	return Alarm{
		Name: n.Alarm(name), Severity: severity, Section: "backlog-age",
		Metrics:    []Metric{n.own("d", "deliver", "EventAge", "Maximum")},
		Expression: "FILL(d, 0)", Unit: "seconds",
		Threshold: limit.Seconds(), Period: time.Minute, Periods: 14, Breaching: 1, Missing: MissingIsGood,
		Meaning: "the oldest event of the last minutes has waited for over " + spoken + ".",
		First: "see on the dashboard whether Segment fails, whether the deliver function runs, and how long the backlog " +
			"takes to drain.",
	}
}

func deadLetterAlarms(n Names) []Alarm {
	return []Alarm{
		{
			Name: n.Alarm("dead-letters"), Severity: Warning, Section: "dead-letters",
			Metrics:    []Metric{visible("v", n.DeadLetterQueue), inFlight("f", n.DeadLetterQueue)},
			Expression: "v + f", Unit: "dead letters", Threshold: 0, Period: time.Minute, Periods: 5, Breaching: 1,
			Missing: MissingIsGood,
			Meaning: "there are dead letters: events that could not be delivered, each with its reason.",
			First:   "list them and read the reasons; redrive them once the cause is gone.",
		},
		{
			Name: n.Alarm("events-given-up"), Severity: Critical, Section: "events-given-up",
			Metrics: []Metric{n.own("g", "deliver", "EventsGivenUp", "Sum")}, Expression: "FILL(g, 0)",
			Threshold: 0, Unit: "events", Period: time.Minute, Periods: 10, Breaching: 1, Missing: MissingIsGood,
			Meaning: "events became dead letters that are not their sender's mistake: Segment refused them, they waited for " +
				"10 days, or the deliver function has a bug.",
			First: "list the dead letters and read the reasons and details; stop what makes more of them.",
		},
		{
			Name: n.Alarm("dead-letters-old"), Severity: Critical, Section: "dead-letters-old",
			// Not SQS's age, which leaves out a message that was received three times. Whoever
			// lists them makes all of them invisible for a moment: then they are in flight.
			Metrics: []Metric{ofQueue("v", n.DeadLetterQueue, "ApproximateNumberOfMessagesVisible", "Minimum"),
				inFlight("f", n.DeadLetterQueue)},
			Expression: "v + f",
			Threshold:  0, Unit: "dead letters", Period: 6 * time.Hour, Periods: 28, Breaching: 28, Missing: MissingIsGood,
			Meaning: "the dead-letter queue has not been empty for 7 days. SQS deletes a dead letter 14 days after it was " +
				"written; one that SQS moved itself, 14 days after its message was sent.",
			First: "list the dead letters, and redrive them or save them to a file.",
		},
		{
			Name: n.Alarm("dead-letters-unwritten"), Severity: Critical, Section: "dead-letters-unwritten",
			Metrics: []Metric{n.own("d", "deliver", "DeadLetterErrors", "Sum"),
				n.own("i", "ingest", "DeadLetterErrors", "Sum")},
			Expression: "FILL(d, 0) + FILL(i, 0)",
			Threshold:  0, Unit: "errors", Period: time.Minute, Periods: 3 + maxLag, Breaching: 3, Missing: MissingIsGood,
			Meaning: "dead letters can't be written; deliver retries their messages, ingest refuses their requests.",
			First: "read the error in the function's log: the usual cause is the role's permission for the dead-letter " +
				"queue or its key.",
		},
	}
}
