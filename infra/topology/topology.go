// Package topology says once which queues, functions, limits and alarms the pipeline has.
//
// Two deployments read it: the CDK app puts it on AWS, and the local pipeline runs it on one machine. A number that stood in both
// would sooner or later differ, and then a test on one machine would prove nothing about the other.
package topology

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Limits of SQS and Lambda (their developer guides, "quotas" and "Using Lambda with Amazon SQS").
const (
	maxRetention       = 14 * 24 * time.Hour
	maxVisibility      = 12 * time.Hour
	maxReceiveCount    = 1000
	maxFunctionTimeout = 15 * time.Minute
	maxBatchSize       = 10_000
	maxWindow          = 5 * time.Minute
	minConcurrency     = 2 // of an event source
	maxConcurrency     = 1000
	visibilityFactor   = 6 // times the function's time-out: what AWS asks for, so that throttled batches come back in time
)

// A Queue is an SQS standard queue.
type Queue struct {
	Name              string
	Retention         time.Duration
	VisibilityTimeout time.Duration
	DeadLetterQueue   string // its name, empty: this is one
	MaxReceiveCount   int    // receives after which SQS itself moves a message to the dead-letter queue
}

// A Function is a Lambda function.
type Function struct {
	Name                string
	Timeout             time.Duration
	MemoryMB            int
	ReservedConcurrency int // 0: none reserved, which a new AWS account may be unable to do
}

// An EventSource is a mapping that feeds a queue to a function.
type EventSource struct {
	Queue, Function         string
	BatchSize               int
	Window                  time.Duration
	MaximumConcurrency      int
	ReportBatchItemFailures bool
}

// An Alarm is a CloudWatch alarm: what it watches, when it fires, and what a person then does.
type Alarm struct {
	Name        string
	Metric      string // of SQS when Queue is set, otherwise of the function's own metrics
	Queue       string
	Function    string
	Threshold   float64
	For         time.Duration
	Missing     string // CloudWatch's TreatMissingData
	Description string
}

// A Topology is the whole pipeline of one region.
type Topology struct {
	Queues       []Queue
	Functions    []Function
	EventSources []EventSource
	Alarms       []Alarm
}

// Names of the parts.
const (
	EventsQueue     = "spillway-events"
	DeadLetterQueue = "spillway-dead-letters"
	DeliverFunction = "spillway-deliver"
)

// Default is the pipeline as it is deployed without settings.
func Default() Topology {
	const (
		// An invocation flushes some dozens of batches, each answered well within a second; the rest is for slow answers and retries.
		timeout = 60 * time.Second
		// One second is little against the minutes that analytics may wait, and fills batches even when little comes in.
		window = time.Second
		// Ten invocations, each with several batches under way, send more than the 1,000 events/s that Segment takes of a
		// workspace: enough to drain a backlog at the speed of Segment, few enough to leave an account's concurrency to others.
		concurrency = 10
	)
	return Topology{
		Queues: []Queue{
			{
				Name: EventsQueue, Retention: maxRetention, VisibilityTimeout: visibilityFactor*timeout + window,
				DeadLetterQueue: DeadLetterQueue,
				// What is poisonous is recognised and not counted out: deliver writes dead letters itself. Counting is for a
				// function that can't even start, and must outlast ten days of pauses of up to 15 minutes (about 965 receives).
				MaxReceiveCount: maxReceiveCount,
			},
			// A letter that SQS moves keeps its first day, so nothing could be kept longer than in the events queue anyway; deliver
			// gives up after ten days, so that four are left to act in.
			{Name: DeadLetterQueue, Retention: maxRetention, VisibilityTimeout: 30 * time.Second},
		},
		Functions: []Function{
			// 512 MB is about a third of a core and several times what an invocation of 6 MB needs.
			{Name: DeliverFunction, Timeout: timeout, MemoryMB: 512, ReservedConcurrency: concurrency},
		},
		EventSources: []EventSource{{
			Queue: EventsQueue, Function: DeliverFunction,
			// Ten single events an invocation would be far too few to be worth a request to Segment.
			BatchSize: 100, Window: window,
			// Never above the reserved concurrency: throttled receives count against MaxReceiveCount.
			MaximumConcurrency: concurrency, ReportBatchItemFailures: true,
		}},
	}
}

// Queue returns the queue of that name.
func (t *Topology) Queue(name string) (Queue, bool) {
	i := slices.IndexFunc(t.Queues, func(q Queue) bool { return q.Name == name })
	if i < 0 {
		return Queue{}, false
	}
	return t.Queues[i], true
}

// Function returns the function of that name.
func (t *Topology) Function(name string) (Function, bool) {
	i := slices.IndexFunc(t.Functions, func(f Function) bool { return f.Name == name })
	if i < 0 {
		return Function{}, false
	}
	return t.Functions[i], true
}

// Validate holds the topology against AWS's limits and against the rules that keep good messages out of the dead letters. The
// error names every breach and says what to write instead.
func (t *Topology) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	for _, q := range t.Queues {
		check(q.Retention >= time.Minute && q.Retention <= maxRetention, "queue %s: retention is %v, write 1m to %v", q.Name, q.Retention, maxRetention)
		check(q.VisibilityTimeout >= 0 && q.VisibilityTimeout <= maxVisibility, "queue %s: visibility timeout is %v, write up to %v", q.Name, q.VisibilityTimeout, maxVisibility)
		if q.DeadLetterQueue == "" {
			continue
		}
		dead, ok := t.Queue(q.DeadLetterQueue)
		check(ok, "queue %s: its dead-letter queue %s does not exist", q.Name, q.DeadLetterQueue)
		check(!ok || dead.Retention >= q.Retention, "queue %s: its dead-letter queue keeps messages for %v, write at least %v", q.Name, dead.Retention, q.Retention)
		check(q.MaxReceiveCount >= 1 && q.MaxReceiveCount <= maxReceiveCount, "queue %s: maximum receive count is %d, write 1 to %d", q.Name, q.MaxReceiveCount, maxReceiveCount)
	}
	for _, f := range t.Functions {
		check(f.Timeout >= time.Second && f.Timeout <= maxFunctionTimeout, "function %s: time-out is %v, write 1s to %v", f.Name, f.Timeout, maxFunctionTimeout)
		check(f.MemoryMB >= 128 && f.MemoryMB <= 10240, "function %s: memory is %d MB, write 128 to 10240", f.Name, f.MemoryMB)
		check(f.ReservedConcurrency >= 0, "function %s: reserved concurrency is %d, write 0 for none or more", f.Name, f.ReservedConcurrency)
	}
	for _, s := range t.EventSources {
		name := s.Queue + " → " + s.Function
		q, ok := t.Queue(s.Queue)
		check(ok, "event source %s: the queue does not exist", name)
		f, found := t.Function(s.Function)
		check(found, "event source %s: the function does not exist", name)
		check(s.BatchSize >= 1 && s.BatchSize <= maxBatchSize, "event source %s: batch size is %d, write 1 to %d", name, s.BatchSize, maxBatchSize)
		check(s.BatchSize <= 10 || s.Window >= time.Second, "event source %s: a batch size of %d needs a window of at least 1s, it is %v", name, s.BatchSize, s.Window)
		check(s.Window >= 0 && s.Window <= maxWindow, "event source %s: window is %v, write up to %v", name, s.Window, maxWindow)
		check(s.MaximumConcurrency >= minConcurrency && s.MaximumConcurrency <= maxConcurrency, "event source %s: maximum concurrency is %d, write %d to %d", name, s.MaximumConcurrency, minConcurrency, maxConcurrency)
		check(f.ReservedConcurrency == 0 || s.MaximumConcurrency <= f.ReservedConcurrency, "event source %s: maximum concurrency is %d, write at most the function's reserved %d: throttled receives bring good messages to the dead letters", name, s.MaximumConcurrency, f.ReservedConcurrency)
		least := visibilityFactor*f.Timeout + s.Window
		check(!ok || !found || q.VisibilityTimeout >= least, "event source %s: the queue's visibility timeout is %v, write at least %v (%d x the function's time-out + the window)", name, q.VisibilityTimeout, least, visibilityFactor)
	}
	return errors.Join(errs...)
}
