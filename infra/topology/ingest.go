package topology

import "time"

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
	return append(ingestAlarms(o.Names), keysAlarms(o.Names)...)
}

// keysAlarms are about the set of write keys. The function writes their metrics only while
// something is wrong. A single reading that fails does not matter: the next is a minute later, or 5
// s while there is no set at all.
func keysAlarms(n Names) []Alarm {
	return []Alarm{
		{
			Name: n.Alarm("write-keys-unread"), Severity: Critical, Section: "write-keys-unread",
			Metrics:   []Metric{n.own("k", "ingest", "WriteKeysUnread", "Maximum")},
			Threshold: 0, Unit: "sets", Period: time.Minute, Periods: 5, Breaching: 3, Missing: MissingIsGood,
			Meaning: "the set of write keys can't be read, nor an earlier one: requests are answered 429.",
			First:   "read the ingest function's log, and put a good set into the parameter.",
		},
		{
			Name: n.Alarm("write-keys-old"), Severity: Warning, Section: "write-keys-old",
			Metrics:   []Metric{n.own("k", "ingest", "WriteKeysOld", "Maximum")},
			Threshold: 0, Unit: "sets", Period: time.Minute, Periods: 10, Breaching: 5, Missing: MissingIsGood,
			Meaning: "the newest set of write keys can't be read and an earlier one is used: a key that was turned off may " +
				"still be accepted.",
			First: "check the set with spillway keys check, and correct it.",
		},
	}
}

func ingestAlarms(n Names) []Alarm {
	return []Alarm{
		{
			Name: n.Alarm("ingest-errors"), Severity: Critical, Section: "ingest-errors",
			Metrics:   []Metric{ofEndpoint("e", "ServerErrors")},
			Threshold: 0, Unit: "requests", Period: time.Minute, Periods: 5, Breaching: 3, Missing: MissingIsGood,
			Meaning: "the ingest endpoint answers 5xx. SDKs retry, some only for a short time.",
			First:   "read the ingest function's log; after a deployment or a changed setting, roll back.",
		},
		{
			Name: n.Alarm("ingest-refusing"), Severity: Critical, Section: "ingest-refusing",
			Metrics: []Metric{n.own("r", "ingest", "Requests", "Sum", "Status", "429"), ofEndpoint("n", "Requests")},
			// One source over its quota does not matter; one refused request in twenty does.
			Expression: "IF(n > 0, 100 * FILL(r, 0) / n, 0)", Unit: "%",
			Threshold: 5, Period: time.Minute, Periods: 5, Breaching: 3, Missing: MissingIsGood,
			Meaning: "the ingest endpoint refuses more than one request in twenty with 429: it can't reach the queue, is " +
				"overloaded, a write key is over its quota, or the write keys can't be read.",
			First: "see RequestsShed by code on the dashboard; for queue_unavailable check SQS and the function's role.",
		},
		{
			Name: n.Alarm("ingest-slow"), Severity: Warning, Section: "ingest-slow",
			Metrics:   []Metric{n.own("l", "ingest", "AcceptLatency", "p99")},
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
			Metrics:   []Metric{n.own("g", "ingest", "GzipMangled", "Sum")},
			Threshold: 0, Unit: "requests", Period: time.Minute, Periods: 15, Breaching: 1, Missing: MissingIsGood,
			Meaning: "gzip bodies arrive at the ingest function as text, which destroys them: the gateway or a proxy takes " +
				"their Content-Type for one of text. Their requests are answered 429, and SDKs hold the events for a while.",
			First: "find out which SDK sends them, and let it send without gzip or with Content-Type " +
				"application/octet-stream.",
		},
	}
}
