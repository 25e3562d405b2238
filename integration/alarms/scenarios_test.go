package alarms

import (
	"maps"
	"math"
	"time"

	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/canary"
)

// always is the same minute.
func always(m minute) func(int) minute { return func(int) minute { return m } }

// oneIn is one minute of so many, and another one otherwise.
func oneIn(n int, one, other minute) func(int) minute {
	return func(i int) minute {
		if i%n == 0 {
			return one
		}
		return other
	}
}

// must are alarms that must all fire after the same time at most.
func must(by int, names ...string) map[string]int {
	all := map[string]int{}
	for _, name := range names {
		all[name] = by
	}
	return all
}

func and(several ...map[string]int) map[string]int {
	all := map[string]int{}
	for _, m := range several {
		maps.Copy(all, m)
	}
	return all
}

func noCanary(o *topology.Options) { o.NoCanary = true }

func archived(o *topology.Options) { o.ArchiveKept = topology.DefaultArchiveKept }

func longWindow(o *topology.Options) { o.BatchingWindow = 5 * time.Minute }

// segmentIsAway is the n-th minute in which Segment answers nothing. Five requests open the circuit
// breaker, and then one in two minutes is a probe. All messages that were received are invisible
// until their next attempt.
func segmentIsAway(n int) minute {
	m := busy().without("deliver FlushLatency").with(minute{
		"deliver EventAge": v(float64(60 * (n + 1))), "deliver BreakerOpen": v(1),
		"events ApproximateAgeOfOldestMessage":         v(540), // it leaves out what was received three times
		"events ApproximateNumberOfMessagesNotVisible": v(math.Min(4000*float64(n+1), 110_000)),
		"events NumberOfMessagesDeleted":               v(1),
	})
	switch {
	case n == 0:
		return m.with(flushes(9, 5, 200))
	case n < 3 || n%2 == 0:
		return m.with(flushes(1, 1, 10_000))
	}
	return m
}

// drain is the n-th of so many minutes in which a backlog is delivered, as fast as Segment takes it.
func drain(n, of int, backlog float64) minute {
	left := backlog * (1 - float64(n+1)/float64(of))
	return busy().with(minute{
		"events ApproximateNumberOfMessagesVisible": v(left), "deliver ConcurrentExecutions": v(10),
		"events NumberOfMessagesDeleted":  v(4000 + backlog/float64(of)),
		"deliver EventAge":                v(5000 * (1 - float64(n)/float64(of))),
		"deliver EventsRetried throttled": v(500),
	})
}

func scenarios() []*scenario {
	all := outages()
	all = append(all, refusals()...)
	all = append(all, warnings()...)
	all = append(all, pauses()...)
	all = append(all, archiving()...)
	return append(all, calm()...)
}

// outages are those of the delivery and of the ingest endpoint.
func outages() []*scenario {
	const at = 20
	busyDead := busy().without("deliver EventAge", "deliver CanaryDelivered", "deliver FlushLatency").with(minute{
		"events NumberOfMessagesDeleted": v(0)})
	return []*scenario{
		{name: "Segment is away for two hours", from: at, until: at + 150, well: busy(),
			bad: func(n int) minute {
				if n < 120 {
					return segmentIsAway(n)
				}
				return drain(n-120, 30, 110_000)
			},
			must: and(must(4, "segment-failing", "delivery-down"), must(7, "delivery-stalled"),
				must(12, "backlog-age-warning", "backlog-growing", "delivery-slow"), must(62, "backlog-age-critical"),
				must(40, "in-flight")),
			may: "segment-throttling deliver-saturated segment-slow", notify: "delivery-down"},
		{name: "Segment takes 10 s for each answer, which is too long", from: at, until: at + 30, well: busy(),
			bad: func(n int) minute {
				return segmentIsAway(n).without("deliver FlushLatency", "deliver SegmentResponses").with(flushes(3, 3, 10_000))
			},
			must: and(must(4, "segment-failing", "delivery-down", "segment-slow", "delivery-slow"), must(7, "delivery-stalled"),
				must(12, "backlog-age-warning", "backlog-growing")), may: "in-flight", notify: "delivery-down"},
		{name: "Segment takes 8 s for each answer", from: at, until: at + 30, well: busy(),
			bad:  always(busy().with(flushes(8, 0, 8000)).with(minute{"deliver ConcurrentExecutions": v(8)})),
			must: must(4, "segment-slow", "delivery-slow"), notify: "delivery-slow"},
		{name: "Segment is away for four hours, and a quiet site has one event to deliver", from: at, until: at + 240,
			well: quiet(),
			bad: func(n int) minute {
				m := quiet().with(minute{"deliver EventAge": v(float64(60 * (n + 1))), "deliver BreakerOpen": v(1),
					"events ApproximateNumberOfMessagesNotVisible": v(1)})
				if n < 4 || n%15 == 0 {
					return m.with(flushes(1, 1, 10_000))
				}
				return m
			},
			must: and(must(12, "backlog-age-warning", "delivery-slow"), must(62, "backlog-age-critical"),
				must(4, "segment-failing", "delivery-down", "segment-slow")),
			notify: "delivery-down"},
		{name: "deliver can't start", from: at, until: at + 60, well: busy(),
			bad: func(n int) minute {
				return busyDead.with(minute{"deliver Errors": v(10),
					"events ApproximateNumberOfMessagesVisible":    v(3000 * float64(n+1)),
					"events ApproximateNumberOfMessagesNotVisible": v(1000)})
			},
			must: and(must(3, "canary-silent", "deliver-errors", "delivery-down"), must(7, "delivery-stalled"),
				must(12, "backlog-growing", "delivery-slow")), notify: "delivery-down"},
		{name: "deliver can't start, and only canaries come in", from: at, until: at + 60, well: quiet(),
			bad: func(n int) minute {
				return quiet().without("deliver EventAge", "deliver CanaryDelivered").with(minute{"deliver Errors": v(1),
					"events NumberOfMessagesDeleted": v(0), "events ApproximateNumberOfMessagesNotVisible": v(float64(n))})
			},
			must: must(3, "canary-silent", "deliver-errors", "delivery-down"), notify: "delivery-down"},
		{name: "deliver is throttled", from: at, until: at + 60, well: busy(),
			bad: func(n int) minute {
				return busyDead.with(minute{"deliver Throttles": v(50), "deliver ConcurrentExecutions": v(0),
					"events ApproximateNumberOfMessagesVisible": v(3000 * float64(n+1))})
			},
			must: and(must(3, "canary-silent", "deliver-throttled", "delivery-down", "delivery-slow"),
				must(7, "delivery-stalled"),
				must(12, "backlog-growing")), notify: "delivery-down"},
		{name: "the event source is off", from: at, until: at + 60, well: busy(),
			bad: func(n int) minute {
				return busyDead.without("deliver ").with(minute{
					"events ApproximateNumberOfMessagesVisible":    v(4000 * float64(n+1)),
					"events ApproximateNumberOfMessagesNotVisible": v(0)})
			},
			must: and(must(3, "canary-silent", "delivery-down"), must(7, "delivery-stalled"),
				must(12, "backlog-growing", "delivery-slow")), notify: "delivery-down"},
		{name: "the event source is off, without a canary and with three messages", options: noCanary, from: at,
			until: at + 60, well: quiet().with(minute{"events NumberOfMessagesSent": v(0),
				"events NumberOfMessagesDeleted": v(0)}),
			bad: always(quiet().without("deliver ").with(minute{"events NumberOfMessagesSent": v(0),
				"events NumberOfMessagesDeleted": v(0), "events ApproximateNumberOfMessagesVisible": v(3)})),
			must: must(7, "delivery-stalled", "delivery-down"), notify: "delivery-down"},
		{name: "ingest fails every request", from: at, until: at + 30, well: busy(),
			bad: always(busy().without("deliver CanaryDelivered", "ingest AcceptLatency").with(minute{
				"canary CanaryAccepted": v(0), "endpoint ServerErrors": v(20_000), "ingest EventsAccepted": v(0)})),
			must: must(3, "ingest-silent", "ingest-errors", "ingest-down"), notify: "ingest-down"},
		{name: "one ingest request in thirty fails", from: at, until: at + 30, well: busy(),
			bad:  always(busy().with(minute{"endpoint ServerErrors": v(600)})),
			must: must(3, "ingest-errors", "ingest-down"), notify: "ingest-down"},
		{name: "SQS can't be reached", from: at, until: at + 30, well: busy(),
			bad: always(busy().without("deliver ",
				"events ").with(minute{"endpoint ClientErrors": v(20_000), "canary CanaryAccepted": v(0),
				"publisher EventsSpilled": v(20_000)})),
			must:   and(must(3, "ingest-silent", "ingest-down", "publisher-spilling"), must(5, "ingest-refusing")),
			notify: "ingest-down publisher-spilling"},
		{name: "Lambda throttles all functions", from: at, until: at + 30, well: busy(),
			bad: always(busy().with(minute{"deliver Throttles": v(5), "ingest Throttles": v(5000),
				"endpoint ServerErrors": v(5000)})),
			must:   must(3, "ingest-throttled", "ingest-errors", "ingest-down", "deliver-throttled", "delivery-slow"),
			notify: "ingest-down delivery-slow"},
		{name: "no set of write keys can be read", from: at, until: at + 30, well: busy(),
			bad: always(busy().without("deliver CanaryDelivered").with(minute{"ingest WriteKeysUnread": v(1),
				"endpoint ClientErrors": v(20_000), "canary CanaryAccepted": v(0)})),
			must:   and(must(3, "write-keys-unread", "ingest-silent", "ingest-down"), must(5, "ingest-refusing")),
			notify: "ingest-down"},
		{name: "every second canary fails at ingest", from: at, until: at + 60, well: busy(),
			bad:  oneIn(2, busy().without("deliver CanaryDelivered").with(minute{"canary CanaryAccepted": v(0)}), busy()),
			must: must(6, "ingest-silent", "ingest-down"), notify: "ingest-down"},
		{name: "every second canary is lost on its way", from: at, until: at + 60, well: busy(),
			bad:  oneIn(2, busy().without("deliver CanaryDelivered"), busy()),
			must: must(6, "canary-silent", "delivery-down"), notify: "delivery-down"},
		{name: "a drill of a deployment drops the canaries", from: at, until: at + int(canary.MaxDrill.Minutes()),
			well: busy(),
			bad:  always(busy().without("deliver CanaryDelivered")),
			must: must(3, "canary-silent", "delivery-down"), notify: "delivery-down"},
		{name: "the canary's schedule is off", from: at, until: at + 60, well: busy(),
			bad:  always(busy().without("deliver CanaryDelivered", "canary CanaryAccepted")),
			must: must(6, "canary-stopped"), notify: "canary-stopped"},
		{name: "for 30 minutes no metric of our own arrives", from: at, until: at + 30, well: busy(),
			bad: func(int) minute {
				return busy().without("canary ", "publisher ", "ingest EventsAccepted", "ingest AcceptLatency",
					"ingest RequestsRefused", "deliver EventAge", "deliver CanaryDelivered", "deliver FlushLatency")
			},
			must: must(6, "canary-stopped"), notify: "canary-stopped"},
	}
}

// refusals are requests that are refused.
func refusals() []*scenario {
	const at = 40
	refused := func(n, keys float64) minute {
		return minute{"endpoint ClientErrors": v(40 + n), "ingest RequestsRefused": v(40 + n),
			"ingest WriteKeysRefused": v(keys)}
	}
	return []*scenario{
		{name: "the document of write keys is broken", from: at, until: at + 60, well: busy(),
			bad: func(n int) minute {
				m := busy().with(refused(19_900, 19_900)).with(minute{"ingest EventsAccepted": v(100)})
				if n%5 == 4 && n > 5 {
					m = m.with(minute{"canary TrafficRatio": v(0.5)}) // publishers send their half
				}
				return m
			},
			must:   and(must(4, "write-keys-refused", "ingest-down"), must(20, "write-key-unknown")),
			notify: "ingest-down write-key-unknown"},
		{name: "a partner has a wrong key", from: at, until: at + 90, well: busy(), bad: always(busy().with(refused(30, 30))),
			must: must(20, "write-key-unknown"), notify: "write-key-unknown"},
		{name: "the gateway answers 429 itself", from: at, until: at + 30, well: busy(),
			bad:  always(busy().with(minute{"endpoint Requests": v(26_000), "endpoint ClientErrors": v(6040)})),
			must: must(5, "ingest-refusing", "ingest-down"), notify: "ingest-down"},
		{name: "5,000 requests a second have unknown keys", from: at, until: at + 60, well: busy(),
			bad:    always(busy().with(refused(300_000, 300_000)).with(minute{"endpoint Requests": v(320_000)})),
			must:   and(must(5, "refused-flood"), must(20, "write-key-unknown")),
			notify: "refused-flood write-key-unknown"},
		{name: "a partner sends ten times his quota", from: at, until: at + 60, well: busy(),
			bad: always(busy().with(minute{"endpoint Requests": v(25_000), "endpoint ClientErrors": v(9040),
				"ingest RequestsRefused": v(9040)}))},
	}
}

// warnings are what is looked at today.
func warnings() []*scenario {
	const at = 20
	compared := func(name string, value float64) func(int) minute {
		return oneIn(5, busy().with(minute{"canary " + name: v(value)}), busy())
	}
	dead := func(n float64) minute {
		return minute{"dead-letters ApproximateNumberOfMessagesVisible": v(n),
			"dead-letters ApproximateNumberOfMessagesNotVisible": v(0)}
	}
	bulk := func(waiting, inFlight, deleted float64) minute {
		return minute{"bulk ApproximateNumberOfMessagesVisible": v(waiting),
			"bulk ApproximateNumberOfMessagesNotVisible": v(inFlight), "bulk NumberOfMessagesDeleted": v(deleted)}
	}
	return []*scenario{
		{name: "Segment takes 1,000 events/s of 3,000", from: at, until: at + 100, well: busy(),
			bad: func(n int) minute {
				if n >= 60 {
					return drain(n-60, 40, 90_000)
				}
				return busy().with(minute{
					"ingest EventsAccepted": v(160_000), "deliver EventsRetried throttled": v(10_000),
					"events NumberOfMessagesSent": v(6000), "events NumberOfMessagesDeleted": v(4500),
					"events ApproximateNumberOfMessagesNotVisible": v(1500 * float64(n+1)),
					"deliver ConcurrentExecutions":                 v(10), "deliver EventAge": v(float64(30 * (n + 1))),
				})
			},
			must: and(must(5, "sudden-volume", "delivery-slow"), must(11, "segment-throttling"), must(15, "backlog-growing"),
				must(15, "deliver-saturated"), must(24, "backlog-age-warning")),
			may: "backlog-age-critical delivery-down", notify: "delivery-slow delivery-down"},
		{name: "110,000 messages wait for their next attempt", from: at, until: at + 20, well: busy(),
			bad:  always(busy().with(minute{"events ApproximateNumberOfMessagesNotVisible": v(110_000)})),
			must: must(5, "in-flight", "delivery-down"), may: "backlog-growing delivery-slow", notify: "delivery-down"},
		{name: "a redrive with a wrong write key does not move", from: at, until: at + 90, well: busy(),
			bad:  always(busy().with(bulk(0, 40, 0))),
			must: must(60, "bulk-stuck", "delivery-slow"), notify: "delivery-slow"},
		{name: "a redrive drains for three hours", from: at, until: at + 180, well: busy(),
			bad: func(n int) minute {
				return busy().with(bulk(float64(180-n)*100, 200, 100)).with(minute{"deliver ConcurrentExecutions": v(11)})
			}},
		{name: "little is redriven, a message in half an hour", from: at, until: at + 240, well: busy(),
			bad: oneIn(30, busy().with(bulk(0, 1, 1)), busy().with(bulk(0, 1, 0)))},
		{name: "the events queue uses all that it may while a redrive drains", from: at, until: at + 60, well: busy(),
			bad:  always(busy().with(bulk(9000, 200, 100)).with(minute{"deliver ConcurrentExecutions": v(12)})),
			must: must(15, "deliver-saturated", "delivery-slow"), notify: "delivery-slow"},
		{name: "one write key is wrong, and tried every quarter of an hour", from: at, until: at + 122, well: busy(),
			bad:  oneIn(16, busy().with(minute{"deliver EventsRetried misconfigured": v(1)}), busy()),
			must: must(1, "wrong-credentials"), notify: "wrong-credentials"},
		{name: "two messages with a wrong key are all that a quiet site has", from: at, until: at + 160, well: quiet(),
			bad: oneIn(16,
				quiet().with(minute{"deliver EventsRetried misconfigured": v(2), "events ApproximateNumberOfMessagesVisible": v(2),
					"events ApproximateNumberOfMessagesNotVisible": v(2)}),
				quiet().with(minute{"events ApproximateNumberOfMessagesNotVisible": v(2)})),
			must: must(1, "wrong-credentials"), notify: "wrong-credentials"},
		{name: "a sender's dead letter", from: at, until: at + 60, well: busy().with(dead(0)),
			bad: always(busy().with(dead(1))), must: must(1, "dead-letters"), notify: "dead-letters"},
		{name: "SQS itself moves messages to the dead-letter queue", from: at, until: at + 60, well: busy().with(dead(0)),
			bad: func(n int) minute {
				return busy().with(dead(float64(n + 1))).with(minute{"dead-letters NumberOfMessagesSent": v(0)})
			}, must: must(1, "dead-letters"), notify: "dead-letters"},
		{name: "an event that Segment refuses", from: at, until: at + 60, well: busy().with(dead(0)),
			bad: func(n int) minute {
				if n == 0 {
					return busy().with(dead(1)).with(minute{"deliver EventsGivenUp": v(1)})
				}
				return busy().with(dead(1))
			}, must: must(1, "dead-letters", "events-given-up"), notify: "dead-letters events-given-up"},
		{name: "dead letters can't be written", from: at, until: at + 30, well: busy(),
			bad: always(busy().with(minute{"deliver DeadLetterErrors": v(2)})), must: must(3, "dead-letters-unwritten"),
			notify: "dead-letters-unwritten"},
		{name: "a dead letter for eight days, which people list each hour", minutes: 8 * 24 * 60, goesOn: true,
			only: "dead-letters dead-letters-old",
			at: oneIn(60, quiet().with(minute{"dead-letters ApproximateNumberOfMessagesVisible": v(0),
				"dead-letters ApproximateNumberOfMessagesNotVisible": v(1)}), quiet().with(dead(1))),
			must: and(must(16, "dead-letters"), must(7*24*60+64, "dead-letters-old")), notify: "dead-letters dead-letters-old"},
		{name: "ingest is slow", from: at, until: at + 30, well: busy(),
			bad: always(busy().with(minute{"ingest AcceptLatency": v(3000)})), must: must(5, "ingest-slow"),
			notify: "ingest-slow"},
		{name: "a typing error in the newest set of write keys", from: at, until: at + 30, well: busy(),
			bad: always(busy().with(minute{"ingest WriteKeysOld": v(1)})), must: must(5, "write-keys-old"),
			notify: "write-keys-old"},
		{name: "one gzip body is carried as text", from: at, until: at + 1, well: busy(),
			bad: always(busy().with(minute{"ingest GzipMangled": v(1)})), must: must(1, "gzip-mangled"), notify: "gzip-mangled"},
		{name: "a publisher drops one event", from: at, until: at + 1, well: busy(),
			bad: always(busy().with(minute{"publisher EventsDropped": v(1)})), must: must(1, "publisher-drops"),
			notify: "publisher-drops"},
		{name: "an ingest server drops what it had spilled", from: at, until: at + 1, well: busy(),
			bad: always(busy().with(minute{"ingest SpilledMessagesDropped": v(3)})), must: must(1, "publisher-drops"),
			notify: "publisher-drops"},
		{name: "an ingest server spills", from: at, until: at + 20, well: busy(),
			bad: always(busy().with(minute{"ingest MessagesSpilled": v(7)})), must: must(3, "publisher-spilling"),
			notify: "publisher-spilling"},
		{name: "a release breaks tracking", from: at, until: at + 60, well: busy(), bad: compared("TrafficRatio", 0.05),
			must: must(10, "traffic-fell"), notify: "traffic-fell"},
		{name: "a source sends ten times as much", from: at, until: at + 60, well: busy(), bad: compared("LargestGrowth", 10),
			must: must(10, "source-growing"), notify: "source-growing"},
	}
}

// archiving is what can happen to the archive. That an alarm on it is over takes up to 50 minutes,
// because what it watches is written once in 15.
func archiving() []*scenario {
	const at = 30
	// Firehose writes an object each quarter of an hour, while its oldest record becomes older.
	written := func(n int) minute {
		m := busy().with(minute{"deliver EventsArchived": v(40_000),
			"archive DeliveryToS3.DataFreshness": v(float64(60 * (n % 15)))})
		if n%15 == 14 {
			m["archive DeliveryToS3.Success"] = v(1)
		}
		return m
	}
	lost := func(n int) minute { // S3 refuses, and Firehose tries again each minute
		return busy().with(minute{"deliver EventsArchived": v(40_000), "archive DeliveryToS3.Success": v(0),
			"archive DeliveryToS3.DataFreshness": v(float64(60 * (n + 1)))})
	}
	after := func(bad func(int) minute) func(int) minute {
		return func(n int) minute {
			if n >= at {
				return bad(n - at)
			}
			return written(n)
		}
	}
	refused := busy().with(minute{"deliver ArchiveDeferred": v(20), "deliver EventsNotArchived": v(3)})
	return []*scenario{
		{name: "the archive is written", options: archived, minutes: 120, at: written},
		{name: "nothing comes in, and nothing is archived", options: archived, minutes: 120, at: always(quiet())},
		{name: "Firehose throttles one call, and takes it a minute later", options: archived, from: at, minutes: 90,
			at: after(func(n int) minute {
				if n == 0 {
					return written(0).with(minute{"deliver ArchiveDeferred": v(20)})
				}
				return written(n)
			})},
		{name: "one object can't be written at once", options: archived, from: at, minutes: 120,
			at: after(func(n int) minute {
				if n == 0 {
					return written(0).with(minute{"archive DeliveryToS3.Success": v(0)})
				}
				return written(n)
			})},
		{name: "deliver may not put records", options: archived, from: at, minutes: 90, goesOn: true,
			at: after(always(refused)), must: must(3, "archive-failing"), notify: "archive-failing"},
		{name: "ingest may not send to the bulk queue", options: archived, from: at, minutes: 90, goesOn: true,
			at:   after(func(n int) minute { return written(n).with(minute{"ingest EventsNotArchived": v(2)}) }),
			must: must(3, "archive-failing"), notify: "archive-failing"},
		{name: "on a quiet site a record is refused, and again each 16 minutes", options: archived, from: at, minutes: 180,
			goesOn: true, at: after(oneIn(16, quiet().with(minute{"deliver ArchiveDeferred": v(1)}), quiet())),
			must: must(17, "archive-failing"), notify: "archive-failing"},
		{name: "the bucket refuses Firehose", options: archived, from: at, minutes: 150, goesOn: true, at: after(lost),
			must:   and(must(15, "archive-undelivered"), must(65, "archive-late")),
			notify: "archive-undelivered archive-late"},
	}
}

// calm is what no alarm may fire for.
func calm() []*scenario {
	const at = 30
	inTheFirstMinutes := func(n int) minute {
		switch m := quiet(); {
		case n < 3:
			return nil // there is a stack, and nothing runs
		case n < 4:
			return minute{"events ApproximateNumberOfMessagesVisible": v(0)}
		case n < 5:
			return m.without("deliver ")
		default:
			return m
		}
	}
	deployment := func(n int) minute {
		switch n {
		case 0:
			return busy().without("deliver CanaryDelivered").with(minute{"canary CanaryAccepted": v(0)})
		case 1:
			return busy().with(minute{"deliver Errors": v(1), "deliver Throttles": v(2), "ingest Throttles": v(1),
				"endpoint ServerErrors": v(300), "ingest AcceptLatency": v(4000)})
		case 2:
			return busy().without("canary CanaryAccepted", "deliver CanaryDelivered")
		}
		return busy()
	}
	batched := busy().with(minute{"events ApproximateNumberOfMessagesVisible": v(0),
		"events ApproximateNumberOfMessagesNotVisible": v(20_000), "events NumberOfMessagesDeleted": v(0)})
	return []*scenario{
		{name: "quiet", minutes: 90, at: always(quiet())},
		{name: "busy", minutes: 90, at: always(busy())},
		{name: "a night without one event, and a morning", minutes: 150, at: func(n int) minute {
			if n < 90 {
				return quiet()
			}
			return busy()
		}},
		{name: "no canary and no event", options: noCanary, minutes: 90, at: always(minute{
			"events ApproximateNumberOfMessagesVisible": v(0), "events ApproximateNumberOfMessagesNotVisible": v(0),
			"events NumberOfMessagesSent": v(0), "events NumberOfMessagesDeleted": v(0)})},
		{name: "a canary is in flight whenever SQS counts", minutes: 90,
			at: always(quiet().with(minute{"events ApproximateNumberOfMessagesVisible": v(1)}))},
		{name: "a deployment", from: at, until: at + 3, well: busy(), bad: deployment},
		{name: "the first deployment", minutes: 90, at: inTheFirstMinutes},
		{name: "one throttle", from: at, until: at + 1, well: busy(), bad: always(busy().with(minute{
			"deliver Throttles": v(1), "ingest Throttles": v(1), "endpoint ServerErrors": v(1)}))},
		{name: "one request of 20,000 a minute fails, for ever", minutes: 90,
			at: always(busy().with(minute{"endpoint ServerErrors": v(1)}))},
		{name: "Segment fails for one minute", from: at, until: at + 1, well: busy(),
			bad: always(busy().with(flushes(8, 7, 200)))},
		{name: "one request to Segment takes too long, on a quiet site", from: at, until: at + 2, well: quiet(),
			bad: func(n int) minute {
				if n == 0 {
					return quiet().with(flushes(1, 1, 10_000)).with(minute{"deliver BreakerOpen": v(1)})
				}
				return quiet().with(flushes(2, 1, 5000)).with(minute{"deliver BreakerOpen": v(0), "deliver EventAge": v(90)})
			}},
		{name: "for 30 minutes CloudWatch has no metric at all", from: at, until: at + 30, well: busy(), bad: always(nil)},
		{name: "single readings of the write keys fail", minutes: 90,
			at: oneIn(4, busy().with(minute{"ingest WriteKeysOld": v(1), "ingest WriteKeysUnread": v(1)}), busy())},
		{name: "events of a month ago are redriven", from: at, until: at + 60, well: busy(),
			bad: always(busy().with(minute{"events NumberOfMessagesSent": v(16_000), "events NumberOfMessagesDeleted": v(16_000),
				"events ApproximateNumberOfMessagesVisible": v(400)}))},
		{name: "a dead letter each day is redriven the same day", minutes: 8 * 24 * 60, goesOn: true,
			only: "dead-letters dead-letters-old", may: "dead-letters",
			at: func(n int) minute {
				return quiet().with(minute{"dead-letters ApproximateNumberOfMessagesVisible": v(float64(n / 720 % 2)),
					"dead-letters ApproximateNumberOfMessagesNotVisible": v(0)})
			}, often: true},
		{name: "batches wait for 5 minutes to be filled", options: longWindow, minutes: 90,
			at: oneIn(5, batched.with(minute{"events NumberOfMessagesDeleted": v(20_000)}), batched)},
		{name: "batches wait for 5 minutes, and only canaries come in", options: longWindow, minutes: 90,
			at: oneIn(5, quiet().with(minute{"events ApproximateNumberOfMessagesNotVisible": v(5),
				"events NumberOfMessagesDeleted": v(5), "deliver EventAge": v(300)}),
				quiet().without("deliver EventAge").with(minute{"events ApproximateNumberOfMessagesNotVisible": v(5),
					"events NumberOfMessagesDeleted": v(0)}))},
		{name: "the traffic is half of the usual, or twice", minutes: 90, at: oneIn(5,
			busy().with(minute{"canary TrafficRatio": v(0.5), "canary LargestGrowth": v(2.2)}), busy())},
		// Ten times as much at noon as at night, less on Saturday and Sunday, and from Wednesday on an hour
		// earlier: daylight saving time ends. The comparison then finds up to twice or half as much.
		{name: "a calm week", minutes: 7 * 24 * 60, slow: true, at: func(n int) minute {
			hour, day := float64(n)/60, n/60/24
			if day >= 2 {
				hour--
			}
			load := 0.1 + 0.9*math.Pow(math.Sin(math.Pi*hour/24), 2)
			if day >= 5 {
				load /= 3
			}
			m := busy().with(minute{
				"events NumberOfMessagesSent": v(20_000 * load), "events NumberOfMessagesDeleted": v(19_990*load + 5),
				"events ApproximateNumberOfMessagesNotVisible": v(900 * load), "ingest EventsAccepted": v(25_000 * load),
				"publisher EventsPublished": v(30_000 * load), "endpoint Requests": v(25_000 * load),
				"endpoint ClientErrors": v(50 * load), "ingest RequestsRefused": v(50 * load),
				"deliver ConcurrentExecutions": v(1 + 8*load), "ingest AcceptLatency": v(20 + 300*load),
			})
			if n%5 == 0 {
				m = m.with(minute{"canary TrafficRatio": v(1 + 0.6*math.Sin(hour)), "canary LargestGrowth": v(2 + math.Sin(hour))})
			}
			if n%1440 == 600 {
				return deployment(1)
			}
			return m
		}},
		{name: "scanners try the endpoint of a quiet site", minutes: 90, at: oneIn(3,
			quiet().with(minute{"endpoint Requests": v(4), "endpoint ClientErrors": v(3), "ingest RequestsRefused": v(3),
				"ingest WriteKeysRefused": v(1)}), quiet())},
	}
}
