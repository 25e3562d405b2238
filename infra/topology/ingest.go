package topology

import (
	"fmt"
	"slices"
	"time"
)

func ingestFunction(o Options) Function {
	return Function{
		// It reads, validates and calls SQS twice, each for at most 5 s; the HTTP API waits for at
		// most 30 s. No concurrency is reserved, because that would also be its limit.
		Name: o.Names.IngestFunction, Metrics: "ingest", Timeout: 15 * time.Second, MemoryMB: 512,
		LogRetention: o.LogRetention,
	}
}

func ingestEndpoint(o Options) IngestEndpoint {
	return IngestEndpoint{
		// Five times what Segment takes of a workspace when every request carries one event, and
		// half of an account's default quota (10,000 a second, API Gateway quotas). It bounds what
		// a flood can cost, and normal use stays below it.
		Function: o.Names.IngestFunction, RequestsPerSecond: 5000, Burst: 5000, LogRetention: o.LogRetention,
	}
}

// endpointAlarms are all of the ingest endpoint's.
func endpointAlarms(o Options) []Alarm {
	if o.NoIngest {
		return nil
	}
	return slices.Concat(ingestAlarms(o.Names), refusalAlarms(o.Names), keysAlarms(o.Names))
}

// keysAlarms are about the set of write keys. The function writes their metrics only while
// something is wrong. A single reading that fails does not matter: the next is a minute later, or 5
// s while there is no set at all.
func keysAlarms(n Names) []Alarm {
	return []Alarm{
		{
			Name: n.Alarm("write-keys-unread"), Severity: Critical, Section: "write-keys-unread",
			Metrics: []Metric{n.own("k", "ingest", "WriteKeysUnread", "Maximum")}, Expression: "FILL(k, 0)",
			Threshold: 0, Unit: "sets", Period: time.Minute, Periods: 3 + maxLag, Breaching: 3, Missing: MissingIsGood,
			Meaning: "the set of write keys can't be read, nor an earlier one: requests are answered 429.",
			First:   "read the ingest function's log, and put a good set into the parameter.",
		},
		{
			Name: n.Alarm("write-keys-old"), Severity: Warning, Section: "write-keys-old",
			Metrics: []Metric{n.own("k", "ingest", "WriteKeysOld", "Maximum")}, Expression: "FILL(k, 0)",
			Threshold: 0, Unit: "sets", Period: time.Minute, Periods: 10, Breaching: 5, Missing: MissingIsGood,
			Meaning: "the newest set of write keys can't be read and an earlier one is used: a key that was turned off may " +
				"still be accepted.",
			First: "check the set with spillway keys check, and correct it.",
		},
	}
}

// rateOf is a share of the requests in percent. Of fewer than 20 requests a minute it is a share of
// 20: then one that fails is 5 %.
func rateOf(part string) string { return "100 * " + part + " / IF(n > 20, n, 20)" }

// flood is how many refused requests a minute are one: 500 a second cost about $100 a day.
const flood = 30_000

// refusalAlarms are about requests that are refused. One whose write key is over its quota is meant
// to be: only refused-flood counts it, because it costs as much as any other. A refused pixel is
// answered 200, so only the alarms on write keys see it.
func refusalAlarms(n Names) []Alarm {
	return []Alarm{
		{
			Name: n.Alarm("ingest-refusing"), Severity: Critical, Section: "ingest-refusing",
			// All 4xx but those that are the client's own doing are ours, or the gateway's, which
			// answers 429 itself above its limit. Late values of ours look like the gateway's, so more
			// minutes must breach than are late.
			Metrics: []Metric{ofEndpoint("c", "ClientErrors"), n.own("r", "ingest", "RequestsRefused", "Sum"),
				ofEndpoint("n", "Requests")},
			Expression: rateOf("(c - FILL(r, 0))"), Unit: "%",
			Threshold: 5, Period: time.Minute, Periods: 5 + maxLag, Breaching: 5, Missing: MissingIsGood,
			Meaning: "the ingest endpoint refuses more than one request in twenty with 429: it can't reach the queue, is " +
				"overloaded, can't read the write keys, or the gateway is at its limit.",
			First: "see Codes in the ingest function's log; for queue_unavailable check SQS and the function's role.",
		},
		{
			Name: n.Alarm("write-keys-refused"), Severity: Critical, Section: "write-keys-refused",
			Metrics: []Metric{n.own("k", "ingest", "WriteKeysRefused", "Sum"), ofEndpoint("n", "Requests")},
			// A flood has an alarm of its own.
			Expression: fmt.Sprintf("IF(FILL(k, 0) > %d, 0, %s)", flood, rateOf("FILL(k, 0)")), Unit: "%",
			Threshold: 50, Period: time.Minute, Periods: 3 + maxLag, Breaching: 3, Missing: MissingIsGood,
			Meaning: "more than half of the requests are refused (400) because of their write key: SDKs drop their events.",
			First:   "compare the set of write keys with the version before, and put a good one back.",
		},
		{
			Name: n.Alarm("write-key-unknown"), Severity: Warning, Section: "write-key-unknown",
			// Strangers try a public endpoint now and then; a source with a wrong key does not stop.
			Metrics: []Metric{n.own("k", "ingest", "WriteKeysRefused", "Sum")}, Expression: "FILL(k, 0)",
			Threshold: 10, Unit: "requests in 5 minutes", Period: 5 * time.Minute, Periods: 4, Breaching: 3,
			Missing: MissingIsGood,
			Meaning: "for 15 minutes requests have come in whose write key is unknown or disabled: a source loses its events.",
			First:   "find the key's fingerprint with spillway top --by write-key, and tell its owner.",
		},
		{
			Name: n.Alarm("refused-flood"), Severity: Critical, Section: "refused-flood",
			Metrics:   []Metric{ofEndpoint("c", "ClientErrors")},
			Threshold: flood, Unit: "requests a minute", Period: time.Minute, Periods: 5 + maxLag, Breaching: 5,
			Missing: MissingIsGood,
			Meaning: "over 500 requests a second are refused. They cost about $100 a day for each 500 a second.",
			First:   "find out who sends them; lower requestsPerSecond, or put a CDN with a firewall in front.",
		},
	}
}

func ingestAlarms(n Names) []Alarm {
	return []Alarm{
		{
			Name: n.Alarm("ingest-errors"), Severity: Critical, Section: "ingest-errors",
			Metrics:    []Metric{ofEndpoint("e", "ServerErrors"), ofEndpoint("n", "Requests")},
			Expression: rateOf("e"), Unit: "%",
			Threshold: 1, Period: time.Minute, Periods: 5, Breaching: 3, Missing: MissingIsGood,
			Meaning: "the ingest endpoint answers more than one request in a hundred with 5xx. SDKs retry, some only for a " +
				"short time.",
			First: "read the ingest function's log; after a deployment or a changed setting, roll back.",
		},
		{
			Name: n.Alarm("ingest-slow"), Severity: Warning, Section: "ingest-slow",
			Metrics: []Metric{n.own("l", "ingest", "AcceptLatency", "p99")}, Expression: "FILL(l, 0)",
			Threshold: 2000, Unit: "ms", Period: time.Minute, Periods: 10, Breaching: 5, Missing: MissingIsGood,
			Meaning: "one request in a hundred takes the ingest function over 2 s. SDKs time out after about 10 s and send " +
				"again.",
			First: "check the latency of SQS, and the function's duration and cold starts.",
		},
		{
			Name: n.Alarm("ingest-throttled"), Severity: Critical, Section: "ingest-throttled",
			Metrics:   []Metric{ofFunction("t", n.IngestFunction, "Throttles", "Sum")},
			Threshold: 0, Unit: "throttles", Period: time.Minute, Periods: 5, Breaching: 3, Missing: MissingIsGood,
			Meaning: "Lambda throttles the ingest function: the account's concurrency is used up, and requests are refused.",
			First:   "find out which function uses the concurrency up, and raise the account's quota.",
		},
		{
			// SDKs that compress have few requests at first, and anybody can send one: a warning, for
			// the first.
			Name: n.Alarm("gzip-mangled"), Severity: Warning, Section: "gzip-mangled",
			Metrics: []Metric{n.own("g", "ingest", "GzipMangled", "Sum")}, Expression: "FILL(g, 0)",
			Threshold: 0, Unit: "requests", Period: time.Minute, Periods: 14, Breaching: 1, Missing: MissingIsGood,
			Meaning: "gzip bodies arrive at the ingest function as text, which destroys them: the gateway or a proxy takes " +
				"their Content-Type for one of text. Their requests are answered 429, and SDKs hold the events for a while.",
			First: "find out which SDK sends them, and let it send without gzip or with Content-Type " +
				"application/octet-stream.",
		},
	}
}
