// Package feed writes into a store of metrics what AWS's own services write about themselves: SQS
// about a queue, Lambda about a function, API Gateway about the endpoint. The emulators have the
// numbers; this package knows under which names and in which shape CloudWatch has them.
//
// It is apart from package cloudwatch, which knows of no emulator.
package feed

import (
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/spillwayhq/spillway/infra/local/cloudwatch"
	"github.com/spillwayhq/spillway/infra/local/lambda"
	"github.com/spillwayhq/spillway/infra/local/sqs"
	"github.com/spillwayhq/spillway/infra/topology"
)

// Put stores values of a metric: cloudwatch.Store's method, or what goes around it.
type Put func(at time.Time, k cloudwatch.Key, values ...float64)

// A Queue writes the metrics of SQS about one queue. It is not safe for concurrent use.
type Queue struct {
	put    Put
	queue  *sqs.Queue
	before sqs.Stats
}

// NewQueue returns a Queue whose counts begin now.
func NewQueue(put Put, q *sqs.Queue) *Queue { return &Queue{put, q, q.Stats()} }

// Sample writes the metrics of the minute that begins at a time, once a minute at its end (SQS
// developer guide, "Available CloudWatch metrics").
func (q *Queue) Sample(minute time.Time) {
	s := q.queue.Stats()
	one := func(name string, value float64) {
		q.put(minute, cloudwatch.Key{Queue: q.queue.Name(), Name: name}, value)
	}
	one("ApproximateNumberOfMessagesVisible", float64(s.Visible))
	one("ApproximateNumberOfMessagesNotVisible", float64(s.InFlight))
	one("ApproximateNumberOfMessagesDelayed", float64(s.Delayed))
	one("ApproximateNumberOfNoisyGroups", float64(s.NoisyGroups))
	one("ApproximateNumberOfMessagesVisibleInQuietGroups", float64(s.Visible-min(s.Visible, s.NoisyVisible)))
	one("ApproximateNumberOfMessagesNotVisibleInQuietGroups", float64(s.InFlight-min(s.InFlight, s.NoisyInFlight)))
	one("NumberOfMessagesSent", float64(s.Sent-q.before.Sent))
	one("NumberOfMessagesReceived", float64(s.Received-q.before.Received))
	one("NumberOfMessagesDeleted", float64(s.Deleted-q.before.Deleted))
	q.before = s
	age := 0.0
	if oldest := q.queue.OldestInMetric(); !oldest.IsZero() {
		age = max(0, time.Since(oldest).Seconds())
	}
	one("ApproximateAgeOfOldestMessage", age)
}

// Invoked writes the metrics of Lambda about an invocation of a function (Lambda developer guide,
// "Types of metrics for Lambda functions"). They are in the minute in which it ended, and not in
// the one in which it began as Lambda's: so no value is in a recording before it was known.
func Invoked(put Put, function string, i lambda.Invoked) {
	one := func(name string, value float64) {
		put(i.End, cloudwatch.Key{Function: function, Name: name}, value)
	}
	if errors.Is(i.Err, lambda.ErrThrottled) {
		one("Throttles", 1)
		return
	}
	one("Invocations", 1)
	one("Throttles", 0)
	failed := 0.0
	if i.Err != nil {
		failed = 1
	}
	one("Errors", failed)
	if i.Version != "" && i.Version != lambda.Latest { // an alias was invoked: an event source invokes no version itself
		k := cloudwatch.Key{Function: function, Name: "Errors", Dimension: topology.ExecutedVersion, Value: i.Version}
		put(i.End, k, failed)
	}
	one("Duration", milliseconds(i.Duration))
	one("ConcurrentExecutions", float64(i.Concurrent))
}

// Concurrent writes how many invocations of a function are under way: Lambda's metric has it of
// every minute in which one runs, also of one in which none begins.
func Concurrent(put Put, function string, at time.Time, n int64) {
	if n > 0 {
		put(at, cloudwatch.Key{Function: function, Name: "ConcurrentExecutions"}, float64(n))
	}
}

// An Endpoint collects the metrics of API Gateway about the ingest endpoint (API Gateway developer
// guide, "Working with metrics for HTTP APIs"): a store would be asked four times for each request.
// It is safe for concurrent use.
type Endpoint struct {
	mu                                   sync.Mutex
	requests, clientErrors, serverErrors int
	latencies                            []float64 // milliseconds
}

// maxLatencies are how many of a minute's latencies are kept, each with the same chance: enough for
// a p99 that is right to about a tenth.
const maxLatencies = 2000

// Answered counts a request.
func (e *Endpoint) Answered(status int, latency time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.requests++
	switch {
	case status >= 500:
		e.serverErrors++
	case status >= 400:
		e.clientErrors++
	}
	if len(e.latencies) < maxLatencies {
		e.latencies = append(e.latencies, milliseconds(latency))
	} else if i := rand.IntN(e.requests); i < maxLatencies {
		e.latencies[i] = milliseconds(latency)
	}
}

// Sample writes the metrics of the minute that begins at a time, once a minute at its end. A minute
// without a request has none. Counts are one value each, so their Sum is right and their
// SampleCount is not.
func (e *Endpoint) Sample(put Put, minute time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.requests == 0 {
		return
	}
	for name, n := range map[string]int{"Requests": e.requests, "ClientErrors": e.clientErrors,
		"ServerErrors": e.serverErrors} {
		put(minute, cloudwatch.Key{IngestEndpoint: true, Name: name}, float64(n))
	}
	put(minute, cloudwatch.Key{IngestEndpoint: true, Name: "Latency"}, e.latencies...)
	e.requests, e.clientErrors, e.serverErrors, e.latencies = 0, 0, 0, e.latencies[:0]
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
