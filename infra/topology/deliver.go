package topology

import (
	"fmt"
	"time"

	"github.com/spillwayhq/spillway/shared/segment"
)

// deliverTimeout: an invocation flushes some dozens of batches, each answered well within a second;
// the rest is for slow answers and retries.
const deliverTimeout = 60 * time.Second

func deliverFunction(o Options) Function {
	return Function{
		// 512 MB is about a third of a core, and several times what an invocation of 6 MB needs.
		Name: o.Names.DeliverFunction, Metrics: "deliver", Timeout: deliverTimeout, MemoryMB: 512,
		ReservedConcurrency: o.ReservedConcurrency, LogRetention: o.LogRetention,
	}
}

// bulkConcurrency is how many invocations the bulk queue may use: what is in it is not urgent. Two,
// each with several batches under way, send some thousand events a second.
const bulkConcurrency = minConcurrency

// deliverSources feed deliver. Their concurrency is never above the reserved: a throttled receive
// counts against MaxReceiveCount.
func deliverSources(o Options) []EventSource {
	events := EventSource{
		Queue: o.Names.EventsQueue, Function: o.Names.DeliverFunction, BatchSize: o.BatchSize,
		BatchingWindow: o.BatchingWindow, MaximumConcurrency: o.MaximumConcurrency, ReportBatchItemFailures: true,
	}
	bulk := events
	bulk.Queue, bulk.MaximumConcurrency = o.Names.BulkQueue, bulkConcurrency
	return []EventSource{events, bulk}
}

func deliverAlarms(o Options) []Alarm {
	n := o.Names
	return []Alarm{
		{
			Name: n.Alarm("deliver-errors"), Severity: Critical, Section: "deliver-errors",
			Metrics:   []Metric{ofFunction("e", n.DeliverFunction, "Errors", "Sum")},
			Threshold: 0, Unit: "errors", Period: time.Minute, Periods: 5, Breaching: 3, Missing: MissingIsGood,
			Meaning: "the deliver function crashes, times out or can't start. Failures of Segment do not count here. After " +
				"1,000 attempts, 100 hours, SQS makes the messages dead letters.",
			First: "read the last lines of its log; after a deployment or a changed setting, roll back.",
		},
		{
			Name: n.Alarm("deliver-throttled"), Severity: Warning, Section: "deliver-throttled",
			Metrics:   []Metric{ofFunction("t", n.DeliverFunction, "Throttles", "Sum")},
			Threshold: 0, Unit: "throttles", Period: time.Minute, Periods: 5, Breaching: 3, Missing: MissingIsGood,
			Meaning: "Lambda throttles the deliver function. Each throttle counts as a receive of the messages, and SQS makes " +
				"a message a dead letter after 1,000 receives.",
			First: "compare the account's concurrency with its quota; reserve concurrency for the function, or raise " +
				"the quota.",
		},
		{
			Name: n.Alarm("deliver-saturated"), Severity: Warning, Section: "deliver-saturated",
			Metrics: []Metric{ofFunction("c", n.DeliverFunction, "ConcurrentExecutions", "Maximum"),
				visible("b", n.BulkQueue)},
			// Lambda counts the invocations of both queues together. Those of the bulk queue are
			// all that it may use while messages wait there, and saturate nothing.
			Expression: fmt.Sprintf("c - IF(FILL(b, 0) > 0, %d, 0)", bulkConcurrency),
			Threshold:  float64(o.MaximumConcurrency - 1), Unit: "invocations", Period: time.Minute,
			Periods: 15 + maxLag, Breaching: 15,
			Missing: MissingIsGood,
			Meaning: "for 15 minutes the events queue has used its maximum concurrency of the deliver function: " +
				"delivery can't become faster.",
			First: "if Segment answers 429, do nothing; otherwise raise the reserved concurrency.",
		},
	}
}

// probing is how many minutes an alarm about Segment's answers looks back. While the circuit
// breaker is open only one request in two minutes may be made, and three of them must be in what is
// not late.
const probing = 7 + maxLag

// segmentAlarms are about what Segment answers the deliver function.
func segmentAlarms(n Names) []Alarm {
	return []Alarm{
		{
			Name: n.Alarm("segment-failing"), Severity: Critical, Section: "segment-failing",
			Metrics: []Metric{n.responses("f", segment.Transient), n.own("n", "deliver", "FlushLatency", "SampleCount"),
				n.own("b", "deliver", "BreakerOpen", "Minimum")},
			// A minute without a request is bad if the circuit breaker is open in all environments:
			// on a quiet site that is all that is known of an outage.
			Expression: "IF(FILL(b, 0) > 0, 100, 100 * FILL(f, 0) / FILL(n, 1))", Unit: "%",
			Threshold: 50, Period: time.Minute, Periods: probing, Breaching: 3, Missing: MissingIsGood,
			Meaning: "more than half of the requests to Segment fail with 5xx, a timeout or no connection. Nothing is lost " +
				"for 10 days.",
			First: "look at status.segment.com and wait; if Segment is up, check the endpoint's setting and the function's " +
				"network.",
		},
		{
			Name: n.Alarm("segment-slow"), Severity: Warning, Section: "segment-slow",
			Metrics: []Metric{n.own("l", "deliver", "FlushLatency", "p50")}, Expression: "FILL(l, 0)",
			Threshold: 5000, Unit: "ms", Period: time.Minute, Periods: probing, Breaching: 3, Missing: MissingIsGood,
			Meaning: "half of Segment's answers take over 5 s; after 10 s they count as failures.",
			First:   "look at status.segment.com and wait.",
		},
		{
			Name: n.Alarm("segment-throttling"), Severity: Warning, Section: "segment-throttling",
			Metrics: []Metric{n.retried("r", segment.Throttled)}, Expression: "FILL(r, 0)",
			Threshold: 0, Unit: "events", Period: time.Minute, Periods: retryLookback, Breaching: 10, Missing: MissingIsGood,
			Meaning: "Segment has answered 429 for most of the last minutes: it is sent more than it takes of a workspace, " +
				"about 1,000 events/s.",
			First: "find out which source sends so much; if it goes on, ask Segment to raise the limit.",
		},
		{
			Name: n.Alarm("wrong-credentials"), Severity: Warning, Section: "wrong-credentials",
			Metrics: []Metric{n.retried("r", segment.Misconfigured)}, Expression: "FILL(r, 0)",
			Threshold: 0, Unit: "events", Period: time.Minute, Periods: retryLookback, Breaching: 1, Missing: MissingIsGood,
			Meaning: "Segment refuses a write key, or the endpoint is wrong (401, 403, 404, a redirect), or there is no " +
				"default write key. These events are retried for up to 10 days.",
			First: "the deliver function's log has the key's fingerprint in misconfigured_keys; correct the key, or the " +
				"endpoint's setting.",
		},
	}
}

// responses are the requests to Segment with this class of answer, in one minute.
func (n Names) responses(id string, c segment.Class) Metric {
	return n.own(id, "deliver", "SegmentResponses", "Sum", "Class", c.String())
}

// retried are the events that are retried because of answers of this class, in one minute.
func (n Names) retried(id string, c segment.Class) Metric {
	return n.own(id, "deliver", "EventsRetried", "Sum", "Class", c.String())
}
