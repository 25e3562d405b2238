package drill

import (
	"time"

	"github.com/spillwayhq/spillway/infra/local/segmentd"
	"github.com/spillwayhq/spillway/shared/message"
)

// hm is a time of the day.
func hm(hours, minutes time.Duration) time.Duration { return hours*time.Hour + minutes*time.Minute }

// from is a span with its length.
func from(start, lasts time.Duration) Span { return Span{start, start + lasts} }

// How Segment is.
var (
	slow      = segmentd.Rule{Latency: segmentd.Duration(10 * time.Second)}
	away      = segmentd.Rule{Fault: segmentd.FaultReset}
	refuses   = segmentd.Rule{Match: segmentd.Match{WriteKey: wrongKey}, Status: 401}
	refusesMe = segmentd.Rule{Match: segmentd.Match{WriteKey: apiKey}, Status: 401}
)

// Scenarios are all that can be played.
func Scenarios() []Scenario {
	return []Scenario{
		incident(), segmentDown(), poison(), badWriteKey(), brokenDocument(), tenTimes(), refusedFlood(), trackingStopped(),
		regionDown(), regionDrained(), consumerBug(), sqsAway(), noisySource(), redriven(), deployment(), badDeployment(),
		quietSite(), calmWeek(), segmentSlow(), endpointDown(), accountBusy(), unpacked(), canaryOff(), paused(), keyPaused(),
	}
}

func incident() Scenario {
	return Scenario{
		Name:  "incident",
		Title: "24 September 2018, with Spillway",
		Story: "The API has begun to track more than before. In the morning Segment becomes slow, and then it is " +
			"away for 4 " +
			"hours and 20 minutes. For half an hour of it CloudWatch has no metrics. In 2018 the job queue filled its memory, " +
			"and the API was down for four hours.",
		Lasts:  24 * time.Hour,
		Played: []Span{{hm(8, 55), hm(14, 45)}},
		Sample: 10, // half of the events: a drill of a day takes half as long
		Load: []Change{{Span: Span{hm(8, 0), hm(24, 0)}, Source: FromAPI, Times: 1.5,
			Text: "the API tracks half as many events more than before"}},
		Failures: []Failure{
			{Span: Span{hm(9, 0), hm(9, 10)}, Kind: Segment, Rule: slow, Text: "Segment takes 10 s for each answer"},
			{Span: Span{hm(9, 10), hm(13, 30)}, Kind: Segment, Rule: away, Text: "Segment is away"},
			{Span: Span{hm(11, 0), hm(11, 30)}, Kind: NoMetrics, Text: "CloudWatch gets no metrics"},
		},
		Promises: []Promise{
			{Alarm: "delivery-down", From: hm(9, 0), Within: 4*time.Minute + 30*time.Second},
			{Alarm: "delivery-stalled", From: hm(9, 0), Within: 7 * time.Minute},
			{Alarm: "segment-failing", From: hm(9, 0), Within: 10 * time.Minute},
			{Alarm: "backlog-age-warning", From: hm(9, 10), Within: 15 * time.Minute},
			{Alarm: "backlog-age-critical", From: hm(10, 0), Within: 20 * time.Minute},
		},
		MayFire:   []string{"segment-slow", "delivery-slow", "segment-throttling", "backlog-growing", "deliver-saturated"},
		OldDesign: true,
	}
}

func segmentDown() Scenario {
	return Scenario{
		Name:  "segment-down-3-days",
		Title: "Segment is away for three days",
		Story: "Segment is away from Monday noon to Thursday noon. The queue takes what comes, and everything is delivered " +
			"afterwards.",
		Lasts:  4 * 24 * time.Hour,
		Played: []Span{{hm(11, 50), hm(96, 0)}},
		Sample: 0.05, Pack: time.Minute,
		Failures: []Failure{{Span: Span{hm(12, 0), hm(84, 0)}, Kind: Segment, Rule: away, Text: "Segment is away"}},
		Promises: []Promise{
			{Alarm: "delivery-down", From: hm(12, 0), Within: 4*time.Minute + 30*time.Second},
			{Alarm: "backlog-age-critical", From: hm(13, 0), Within: 20 * time.Minute},
		},
		MayFire: []string{"segment-slow", "delivery-slow", "segment-throttling", "backlog-growing", "deliver-saturated",
			"delivery-stalled", "segment-failing", "backlog-age-warning"},
		OldDesign: true,
	}
}

func poison() Scenario {
	return Scenario{
		Name:  "poison",
		Title: "Events that can't be delivered",
		Story: "An event arrives that Segment would not take, and for a quarter of an hour dead letters can't be written. " +
			"Somebody drops " +
			"the dead letters. Then a message arrives on which the function dies at every receive: after 1,000 receives, four " +
			"days later, SQS moves it. Nobody looks at it for a week.",
		Lasts:    12 * 24 * time.Hour,
		Played:   []Span{{hm(0, 16), hm(2, 20)}, {hm(99, 30), hm(103, 0)}},
		Failures: []Failure{{Span: Span{hm(0, 30), hm(0, 45)}, Kind: NoDeadLetters, Text: "dead letters can't be written"}},
		Actions: []Step{
			{At: hm(0, 20), Do: Invalid, Text: "an event without a user arrives"},
			{At: hm(0, 31), Do: Invalid, Text: "another one arrives"},
			{At: hm(0, 33), Do: Invalid, Text: "and another one"},
			{At: hm(1, 20), Do: Drop, Text: "the dead letters are dropped"},
			{At: hm(1, 40), Do: Poison, Text: "a message arrives on which the function dies"},
		},
		Promises: []Promise{
			{Alarm: "dead-letters", From: hm(0, 20), Within: 5 * time.Minute},
			{Alarm: "dead-letters-unwritten", From: hm(0, 31), Within: 10 * time.Minute},
			{Alarm: "dead-letters", From: hm(99, 30), Within: 4 * time.Hour}, // when SQS has moved it
			{Alarm: "dead-letters-old", From: hm(99, 30), Within: (7*24 + 12) * time.Hour},
		},
		MayFire: []string{"backlog-age-warning", "backlog-age-critical", "delivery-slow", "delivery-down"},
		// For four days the messages that are received with the poisonous one wait for six minutes
		// more.
		Stays:       []string{"dead-letters", "dead-letters-old", "delivery-slow", "backlog-age-warning"},
		Dropped:     3,
		DeadLetters: []string{message.ReasonMovedBySQS},
	}
}

func badWriteKey() Scenario {
	return Scenario{
		Name:  "bad-write-key",
		Title: "Segment refuses the API's write key",
		Story: "Somebody turns the write key of the API off in Segment, and on again half an hour later. Its events " +
			"wait that " +
			"long, and those of the other sources go on.",
		Lasts:  3 * time.Hour,
		Played: []Span{{hm(0, 16), hm(1, 45)}},
		Failures: []Failure{{Span: from(20*time.Minute, 30*time.Minute), Kind: Segment, Rule: refusesMe,
			Text: "Segment refuses the write key"}},
		Promises: []Promise{
			{Alarm: "wrong-credentials", From: hm(0, 20), Within: 4 * time.Minute},
		},
		MayFire: []string{"backlog-age-warning", "backlog-growing", "delivery-slow", "segment-throttling"},
		// What waits is tried every 15 minutes, so wrong-credentials looks back for longer than
		// that.
		Clears: 22 * time.Minute,
	}
}

func brokenDocument() Scenario {
	return Scenario{
		Name:  "broken-write-keys-document",
		Title: "The document with the write keys is wrong",
		Story: "For 10 minutes the document lacks the write keys of all sources, and SDKs drop what is refused: " +
			"these events " +
			"are lost before they come in. An hour later the document can't be read, which changes nothing until new " +
			"environments start: they answer 429.",
		Lasts:  3 * time.Hour,
		Played: []Span{{hm(0, 16), hm(2, 10)}},
		Failures: []Failure{
			{Span: from(20*time.Minute, 10*time.Minute), Kind: WrongDocument, Text: "the document has other write keys"},
			{Span: from(80*time.Minute, 30*time.Minute), Kind: BadDocument, Text: "the document can't be read"},
		},
		Actions: []Step{{At: hm(1, 40), Do: Deploy, Text: "new environments start"}},
		Promises: []Promise{
			{Alarm: "write-keys-refused", From: hm(0, 20), Within: 5 * time.Minute},
			{Alarm: "ingest-down", From: hm(0, 20), Within: 5 * time.Minute},
			{Alarm: "write-keys-old", From: hm(1, 20), Within: 9 * time.Minute},
			{Alarm: "write-keys-unread", From: hm(1, 40), Within: 6 * time.Minute},
		},
		MayFire: []string{"write-key-unknown", "ingest-refusing", "ingest-silent", "ingest-slow"},
	}
}

func tenTimes() Scenario {
	return Scenario{
		Name:  "10x-traffic",
		Title: "Ten times the traffic for half an hour",
		Story: "At 200 events a second an API begins to send 2,000, twice as many as Segment takes of a workspace. " +
			"The rest " +
			"waits in the queue.",
		Lasts:  4 * time.Hour,
		Played: []Span{{hm(0, 16), hm(2, 30)}},
		Rate:   200, Sample: 10, Pack: 2 * time.Second,
		Load: []Change{{Span: from(20*time.Minute, 30*time.Minute), Source: FromAPI, Times: 14,
			Text: "ten times as many events as usual"}},
		Promises: []Promise{
			{Alarm: "sudden-volume", From: hm(0, 20), Within: 8 * time.Minute},
			{Alarm: "segment-throttling", From: hm(0, 20), Within: 15 * time.Minute},
			{Alarm: "delivery-slow", From: hm(0, 20), Within: 13 * time.Minute},
		},
		MayFire: []string{"backlog-growing", "backlog-age-warning", "deliver-saturated", "backlog-age-critical",
			"delivery-down", "source-growing"},
		OldDesign: true,
	}
}

func refusedFlood() Scenario {
	return Scenario{
		Name:  "refused-flood",
		Title: "A flood of requests with an unknown write key",
		Story: "For 20 minutes 5,000 requests a second come in with a write key that nobody knows. All are refused, " +
			"which costs " +
			"money all the same.",
		Lasts:  2 * time.Hour,
		Played: []Span{{hm(0, 16), hm(1, 0)}},
		Sample: 0.1,
		Load: []Change{{Span: from(20*time.Minute, 20*time.Minute), Source: FromFlood, Times: 1, Added: 5000,
			Text: "5,000 requests a second are refused"}},
		Promises: []Promise{
			{Alarm: "refused-flood", From: hm(0, 20), Within: 8 * time.Minute},
			{Alarm: "write-key-unknown", From: hm(0, 20), Within: 16 * time.Minute},
		},
		MayFire: []string{"write-keys-refused", "ingest-down"},
	}
}

func trackingStopped() Scenario {
	return Scenario{
		Name:  "tracking-stopped",
		Title: "A release that breaks tracking",
		Story: "On Tuesday morning a release of the API and of the web page sends no events any more. Nothing fails.",
		Lasts: 36 * time.Hour,
		Load: []Change{
			{Span: Span{hm(34, 0), hm(36, 0)}, Source: FromAPI, Text: "the API and the web page send no events"},
			{Span: Span{hm(34, 0), hm(36, 0)}, Source: FromSDKs},
		},
		Promises: []Promise{{Alarm: "traffic-fell", From: hm(34, 0), Within: 21 * time.Minute}},
		Stays:    []string{"traffic-fell"},
	}
}

func regionDown() Scenario {
	return Scenario{
		Name:  "region-down",
		Title: "One of two regions is away for an hour",
		Story: "SQS, Lambda, the HTTP API and CloudWatch of the near region answer nobody for an hour. The API's publisher " +
			"has the queues of both regions and goes to the other one at once. SDKs know one name only. Route 53 leads them " +
			"elsewhere when it has had nothing of the region for long enough, and back when the region is there again. No " +
			"alarm tells anybody: the region's own are away too.",
		Lasts:      3 * time.Hour,
		Played:     []Span{{hm(0, 16), hm(2, 0)}},
		TwoRegions: true,
		Failures: []Failure{{Span: from(20*time.Minute, time.Hour), Kind: NoRegion,
			Text: "the near region answers nobody"}},
		Away: Span{hm(0, 20), hm(1, 20)},
		// Five minutes without a value of its queue.
		LeavesWithin: 6 * time.Minute, Vanishes: true,
		MayFire: []string{"backlog-age-warning", "delivery-slow", "ingest-silent", "ingest-down",
			"canary-silent", "delivery-down", "backlog-age-critical", "segment-throttling"},
	}
}

func regionDrained() Scenario {
	return Scenario{
		Name:  "region-drained",
		Title: "A region is drained by hand, and restored",
		Story: "A person drains the near region before work on it, as spillway region drain does, and restores it " +
			"40 minutes later. The canary's function finds the mark within a minute, and Route 53 leads SDKs to the other " +
			"region. Nothing is refused, nobody is paged, and what the region holds is delivered as usual.",
		Lasts:        90 * time.Minute,
		Played:       []Span{{hm(0, 16), hm(1, 20)}},
		TwoRegions:   true,
		Away:         Span{hm(0, 20), hm(1, 0)},
		LeavesWithin: 2 * time.Minute,
		Answered:     true,
		Actions: []Step{{At: hm(0, 20), Do: Drain, Text: "a person drains the near region"},
			{At: hm(1, 0), Do: Restore, Text: "a person restores it"}},
	}
}

func consumerBug() Scenario {
	return Scenario{
		Name:  "consumer-bug",
		Title: "A deployment of deliver that fails",
		Story: "A version of the deliver function is deployed that ends every invocation with an error. It is rolled " +
			"back after " +
			"an hour.",
		Lasts:  4 * time.Hour,
		Played: []Span{{hm(0, 16), hm(2, 30)}},
		Actions: []Step{{At: hm(0, 20), Do: Deploy, Text: "a version with a bug"},
			{At: hm(1, 20), Do: Deploy, Text: "it is rolled back"}},
		Failures: []Failure{{Span: from(20*time.Minute, time.Hour), Kind: DeliverFails, Text: "every invocation fails"}},
		Promises: []Promise{
			{Alarm: "delivery-down", From: hm(0, 20), Within: 7 * time.Minute},
			{Alarm: "deliver-errors", From: hm(0, 20), Within: 7 * time.Minute},
			{Alarm: "canary-silent", From: hm(0, 20), Within: 10 * time.Minute},
			{Alarm: "delivery-stalled", From: hm(0, 20), Within: 10 * time.Minute},
		},
		MayFire: []string{"backlog-growing", "delivery-slow", "backlog-age-warning", "backlog-age-critical",
			"deliver-saturated", "segment-throttling"},
	}
}

func sqsAway() Scenario {
	return Scenario{
		Name:  "sqs-away",
		Title: "SQS is away for 20 minutes",
		Story: "No call to SQS is answered. The API's publisher writes to its disk and sends later; the ingest " +
			"endpoint answers " +
			"429, and SDKs try again.",
		Lasts:    2 * time.Hour,
		Played:   []Span{{hm(0, 16), hm(1, 15)}},
		Failures: []Failure{{Span: from(20*time.Minute, 20*time.Minute), Kind: NoSQS, Text: "SQS answers nobody"}},
		Promises: []Promise{
			{Alarm: "ingest-down", From: hm(0, 20), Within: 4*time.Minute + 30*time.Second},
			{Alarm: "ingest-silent", From: hm(0, 20), Within: 4*time.Minute + 30*time.Second},
			{Alarm: "publisher-spilling", From: hm(0, 20), Within: 6 * time.Minute},
		},
		MayFire: []string{"ingest-refusing", "backlog-age-warning", "delivery-slow", "ingest-slow", "ingest-errors",
			"segment-throttling", "canary-silent", "delivery-down"},
	}
}

func noisySource() Scenario {
	return Scenario{
		Name:  "noisy-source",
		Title: "One write key sends ten times as much",
		Story: "On Tuesday morning a partner begins to send ten times as many events as usual. Everything is " +
			"delivered; the " +
			"question is who it is.",
		Lasts:  36 * time.Hour,
		Played: []Span{{hm(33, 50), hm(35, 0)}},
		Load: []Change{{Span: Span{hm(34, 0), hm(35, 0)}, Source: FromPartner, Times: 10,
			Text: "the partner sends ten times as much"}},
		Promises: []Promise{{Alarm: "source-growing", From: hm(34, 0), Within: 21 * time.Minute}},
		MayFire:  []string{},
	}
}

func redriven() Scenario {
	return Scenario{
		Name:  "redrive",
		Title: "Dead letters are redriven",
		Story: "Segment rejects two events of an old app. They are dead letters, and redriven a day later, when " +
			"Segment accepts " +
			"them.",
		Lasts:  27 * time.Hour,
		Played: []Span{{hm(0, 16), hm(0, 40)}, {hm(24, 50), hm(25, 30)}},
		Failures: []Failure{{Span: from(20*time.Minute, 5*time.Minute), Kind: Segment,
			Rule: segmentd.Rule{Match: segmentd.Match{WriteKey: wrongKey}, Status: 400},
			Text: "Segment rejects the old app's events"}},
		Actions: []Step{
			{At: hm(0, 21), Do: OldApp, Text: "two events of the old app arrive"},
			{At: hm(25, 0), Do: Redrive, Text: "the dead letters are redriven"},
		},
		Promises: []Promise{
			{Alarm: "dead-letters", From: hm(0, 21), Within: 5 * time.Minute},
			{Alarm: "events-given-up", From: hm(0, 21), Within: 5 * time.Minute},
		},
	}
}

func deployment() Scenario {
	return Scenario{
		Name:  "deployment",
		Title: "A usual deployment",
		Story: "A new version of the functions is deployed: it gets a tenth of the invocations for five minutes, then " +
			"all. Environments start again, one canary is not sent, and everything else goes on. The drill itself begins " +
			"with a first deployment.",
		Lasts:    2 * time.Hour,
		Played:   []Span{{hm(0, 16), hm(0, 50)}},
		Actions:  []Step{{At: hm(0, 30), Do: RollOut, Text: "a new version gets a tenth of the invocations"}},
		Failures: []Failure{{Span: from(30*time.Minute, time.Minute), Kind: NoCanary}},
	}
}

func badDeployment() Scenario {
	return Scenario{
		Name:  "bad-deployment",
		Title: "A deployment that goes back by itself",
		Story: "A version of the deliver function is deployed that sends Segment what Segment can't read. A tenth of the " +
			"invocations meet it, and Lambda sees no error in any of them. The alarm of that version fires, and CodeDeploy " +
			"takes it back. What it could not deliver is retried by the version before, and the few events that it made " +
			"dead letters are redriven.",
		Lasts:  2 * time.Hour,
		Played: []Span{{hm(0, 16), hm(1, 20)}},
		Pack:   time.Second, // so that there are enough invocations for a tenth of them
		Actions: []Step{{At: hm(0, 20), Do: RollOutBug, Text: "a version with a bug gets a tenth of the invocations"},
			{At: hm(0, 40), Do: Redrive, Text: "the dead letters are redriven"}},
		Promises: []Promise{
			// So many rejected events of one batch are not their senders' fault, deliver decides.
			{Alarm: "wrong-credentials", From: hm(0, 20), Within: 4 * time.Minute},
		},
		MayFire:     []string{"dead-letters", "events-given-up", "delivery-slow", "backlog-age-warning"},
		DeadLetters: []string{message.ReasonRejected},
	}
}

func quietSite() Scenario {
	return Scenario{
		Name:  "quiet-site",
		Title: "A site with a few events an hour",
		Story: "Twenty events an hour come in, and none at night. Two messages of an old app have a write key that Segment " +
			"refuses until somebody turns it on again in the evening.",
		Lasts:    24 * time.Hour,
		Played:   []Span{{hm(0, 16), hm(24, 0)}},
		Rate:     20.0 / 3600,
		Daily:    true,
		Actions:  []Step{{At: hm(9, 0), Do: OldApp, Text: "two messages with a write key that Segment refuses"}},
		Failures: []Failure{{Span: Span{hm(9, 0), hm(18, 0)}, Kind: Segment, Rule: refuses}},
		Promises: []Promise{{Alarm: "wrong-credentials", From: hm(9, 0), Within: 4 * time.Minute}},
		// The two are nine hours old when the key is right again. Only an environment that has seen the
		// key refused lately knows why, and the message may go to another one.
		MayFire: []string{"backlog-age-warning", "backlog-age-critical", "delivery-slow", "delivery-down"},
	}
}

func calmWeek() Scenario {
	return Scenario{
		Name:  "calm-week",
		Title: "A calm week",
		Story: "A week of usual traffic with a daily peak of ten times the night's. Nobody should hear of it.",
		Lasts: 8 * 24 * time.Hour,
		Daily: true,
	}
}

func segmentSlow() Scenario {
	return Scenario{
		Name:   "segment-slow",
		Title:  "Segment takes 6 seconds for each answer",
		Story:  "For half an hour Segment is slow, but answers. Nothing waits for long.",
		Lasts:  2 * time.Hour,
		Played: []Span{{hm(0, 16), hm(1, 10)}},
		Pack:   time.Second,
		Failures: []Failure{{Span: from(20*time.Minute, 30*time.Minute), Kind: Segment,
			Rule: segmentd.Rule{Latency: segmentd.Duration(6 * time.Second)}, Text: "Segment takes 6 s for each answer"}},
		Promises: []Promise{
			{Alarm: "segment-slow", From: hm(0, 20), Within: 6 * time.Minute},
			{Alarm: "delivery-slow", From: hm(0, 20), Within: 6 * time.Minute},
		},
	}
}

func endpointDown() Scenario {
	return Scenario{
		Name:  "endpoint-down",
		Title: "The HTTP API refuses, fails and is slow",
		Story: "In turn: the HTTP API answers 503, then 429, then only every second canary comes through, then SQS takes " +
			"seconds, and then gzip bodies arrive as text.",
		Lasts:  5 * time.Hour,
		Played: []Span{{hm(0, 16), hm(4, 20)}},
		Failures: []Failure{
			{Span: from(20*time.Minute, 10*time.Minute), Kind: NoEndpoint, Text: "the HTTP API answers 503"},
			{Span: Span{hm(1, 0), hm(1, 10)}, Kind: GatewayLimit, Text: "the HTTP API answers 429"},
			{Span: Span{hm(1, 45), hm(2, 5)}, Kind: HalfCanaries, Text: "every second canary fails"},
			{Span: Span{hm(2, 30), hm(2, 50)}, Kind: SlowSQS, Text: "SQS takes seconds"},
			{Span: Span{hm(3, 30), hm(3, 40)}, Kind: MangledGzip},
		},
		Actions: []Step{{At: hm(3, 35), Do: Compressed, Text: "an SDK sends gzip, which arrives as text"}},
		Promises: []Promise{
			{Alarm: "ingest-down", From: hm(0, 20), Within: 4*time.Minute + 30*time.Second},
			{Alarm: "ingest-errors", From: hm(0, 20), Within: 6 * time.Minute},
			{Alarm: "ingest-refusing", From: hm(1, 0), Within: 8 * time.Minute},
			{Alarm: "ingest-silent", From: hm(1, 45), Within: 7 * time.Minute},
			{Alarm: "ingest-slow", From: hm(2, 30), Within: 10 * time.Minute},
			{Alarm: "gzip-mangled", From: hm(3, 35), Within: 3 * time.Minute},
		},
		MayFire: []string{"segment-throttling", "publisher-spilling", "canary-silent", "delivery-down"},
	}
}

func accountBusy() Scenario {
	return Scenario{
		Name:   "account-busy",
		Title:  "Other functions use up Lambda's concurrency",
		Story:  "For 20 minutes something else holds the concurrency of deliver, and an hour later that of ingest.",
		Lasts:  3 * time.Hour,
		Played: []Span{{hm(0, 16), hm(2, 0)}},
		Failures: []Failure{
			{Span: from(20*time.Minute, 20*time.Minute), Kind: DeliverHeld, Text: "deliver is throttled"},
			{Span: Span{hm(1, 20), hm(1, 30)}, Kind: IngestHeld, Text: "ingest is throttled"},
		},
		Promises: []Promise{
			{Alarm: "deliver-throttled", From: hm(0, 20), Within: 7 * time.Minute},
			{Alarm: "ingest-throttled", From: hm(1, 20), Within: 6 * time.Minute},
			{Alarm: "ingest-down", From: hm(1, 20), Within: 4*time.Minute + 30*time.Second},
		},
		MayFire: []string{"deliver-saturated", "delivery-slow", "delivery-stalled", "delivery-down", "canary-silent",
			"backlog-age-warning", "backlog-growing", "ingest-errors", "ingest-silent"},
	}
}

func unpacked() Scenario {
	return Scenario{
		Name:  "unpacked",
		Title: "110,000 messages wait for Segment",
		Story: "While Segment is away, a script sends 110,000 events in a message each. Beyond 120,000 messages in " +
			"flight SQS " +
			"would hand out nothing more.",
		Lasts:    3 * time.Hour,
		Played:   []Span{{hm(0, 16), hm(2, 0)}},
		Failures: []Failure{{Span: from(20*time.Minute, 45*time.Minute), Kind: Segment, Rule: away, Text: "Segment is away"}},
		Actions:  []Step{{At: hm(0, 25), Do: Unpacked, Text: "a script sends 110,000 messages"}},
		Promises: []Promise{
			{Alarm: "delivery-down", From: hm(0, 20), Within: 4*time.Minute + 30*time.Second},
			{Alarm: "in-flight", From: hm(0, 25), Within: 15 * time.Minute},
			{Alarm: "backlog-age-warning", From: hm(0, 30), Within: 8 * time.Minute},
			{Alarm: "backlog-growing", From: hm(0, 25), Within: 14 * time.Minute},
		},
		MayFire: []string{"segment-slow", "delivery-slow", "segment-throttling", "backlog-growing", "deliver-saturated",
			"delivery-stalled", "segment-failing", "backlog-age-critical", "sudden-volume"},
	}
}

func paused() Scenario {
	return Scenario{
		Name:  "paused",
		Title: "A person pauses delivery",
		Story: "An operator pauses delivery for 70 minutes, because Segment migrates the workspace. Nobody is paged " +
			"because nothing is delivered; after an hour somebody is reminded of it.",
		Lasts:  3 * time.Hour,
		Played: []Span{{hm(0, 16), hm(2, 0)}},
		Sample: 5,
		Actions: []Step{
			{At: hm(0, 20), Do: Pause, Text: "delivery is paused"},
			{At: hm(1, 30), Do: Resume, Text: "it is resumed"},
		},
		Promises: []Promise{
			{Alarm: "paused", From: hm(0, 20), Within: 3 * time.Minute},
			{Alarm: "paused-long", From: hm(0, 20), Within: 70 * time.Minute},
		},
		MayFire: []string{"delivery-down", "canary-silent", "delivery-stalled", "delivery-slow", "backlog-growing",
			"backlog-age-warning", "backlog-age-critical", "segment-throttling", "deliver-saturated"},
	}
}

func keyPaused() Scenario {
	return Scenario{
		Name:  "write-key-paused",
		Title: "A person pauses a write key",
		Story: "An operator pauses a partner's write key for two hours. Its events wait, and those of all others go " +
			"on. When it is resumed they are delivered, and nobody takes their age for a backlog.",
		Lasts:  4 * time.Hour,
		Played: []Span{{hm(0, 16), hm(3, 0)}},
		Sample: 5,
		Actions: []Step{
			{At: hm(0, 20), Do: PauseKey, Text: "the partner's write key is paused"},
			{At: hm(2, 20), Do: ResumeKey, Text: "it is resumed"},
		},
		Promises: []Promise{{Alarm: "paused-keys", From: hm(0, 20), Within: 70 * time.Minute}},
		Clears:   22 * time.Minute,
	}
}

func canaryOff() Scenario {
	return Scenario{
		Name:     "canary-off",
		Title:    "The canary's schedule is switched off",
		Story:    "For 20 minutes no canary is sent. Nothing else is wrong, but nobody would see an outage of a quiet site.",
		Lasts:    90 * time.Minute,
		Played:   []Span{{hm(0, 16), hm(0, 50)}},
		Failures: []Failure{{Span: from(20*time.Minute, 20*time.Minute), Kind: NoCanary, Text: "no canary is sent"}},
		Promises: []Promise{{Alarm: "canary-stopped", From: hm(0, 20), Within: 6 * time.Minute}},
	}
}
