package topology

import "time"

// SegmentEventsPerSecond is what Segment takes of a workspace before it queues or answers 429 (its
// rate limits' documentation).
const SegmentEventsPerSecond = 1000

func publisherAlarms(n Names) []Alarm {
	return []Alarm{
		{
			Name: n.Alarm("publisher-drops"), Severity: Critical, Section: "publisher-drops",
			Metrics: []Metric{n.own("p", "publisher", "EventsDropped", "Sum"),
				n.own("i", "ingest", "SpilledMessagesDropped", "Sum")},
			Expression: "FILL(p, 0) + FILL(i, 0)",
			Threshold:  0, Unit: "events", Period: time.Minute, Periods: 10, Breaching: 1, Missing: MissingIsGood,
			Meaning: "an API's publisher dropped events, or an ingest server what it had spilled: they are lost.",
			First: "see EventsDropped by Reason, and the API's or server's own log: memory and disk for waiting events are " +
				"full when SQS can't be reached for long.",
		},
		{
			Name: n.Alarm("publisher-spilling"), Severity: Warning, Section: "publisher-spilling",
			Metrics: []Metric{n.own("p", "publisher", "EventsSpilled", "Sum"),
				n.own("i", "ingest", "MessagesSpilled", "Sum")},
			Expression: "FILL(p, 0) + FILL(i, 0)",
			Threshold:  0, Unit: "events", Period: time.Minute, Periods: 3 + maxLag, Breaching: 3, Missing: MissingIsGood,
			Meaning: "an API, or an ingest server, can't reach any queue and writes events to its own disk. It sends them " +
				"later.",
			First: "check the status of SQS, and the API's network and role; watch the disk.",
		},
		{
			Name: n.Alarm("sudden-volume"), Severity: Warning, Section: "sudden-volume",
			Metrics: []Metric{n.own("a", "ingest", "EventsAccepted", "Sum"),
				n.own("p", "publisher", "EventsPublished", "Sum")},
			Expression: "(FILL(a, 0) + FILL(p, 0)) / 60", Unit: "events/s",
			Threshold: SegmentEventsPerSecond, Period: time.Minute, Periods: 5 + maxLag, Breaching: 5, Missing: MissingIsGood,
			Meaning: "for 5 minutes more events have come in than the 1,000 events/s that Segment takes of a workspace: a " +
				"backlog builds up.",
			First: "find the source: a new release, a loop, a script. Nothing is lost; see the time to drain on the " +
				"dashboard.",
		},
	}
}
