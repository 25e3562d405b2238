// Package topology says once which queues, functions, limits and alarms the pipeline has.
//
// Two deployments read it: the CDK app puts it on AWS, and the local pipeline runs it on one
// machine. A number that stood in both would sooner or later differ, and then a test on one machine
// would prove nothing about the other.
package topology

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spillwayhq/spillway/shared/canary"
)

// Limits of SQS and Lambda (their developer guides, "quotas" and "Using Lambda with Amazon SQS").
const (
	day                = 24 * time.Hour
	maxRetention       = 14 * day
	maxVisibility      = 12 * time.Hour
	maxReceiveCount    = 1000
	maxFunctionTimeout = 15 * time.Minute
	maxBatchSize       = 10_000
	maxBatchingWindow  = 5 * time.Minute
	minConcurrency     = 2 // of an event source
	maxConcurrency     = 1000
	visibilityFactor   = 6 // times the function's time-out: what AWS asks for, so that throttled batches come back in time
)

// logRetentions are the times that CloudWatch Logs can keep a log for (its API reference,
// PutRetentionPolicy), up to a year.
var logRetentions = [...]time.Duration{
	day, 3 * day, 5 * day, 7 * day, 14 * day, 30 * day, 60 * day, 90 * day, 120 * day, 150 * day, 180 * day, 365 * day,
}

func retentionDays() []int {
	days := make([]int, len(logRetentions))
	for i, d := range logRetentions {
		days[i] = int(d / day)
	}
	return days
}

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
	Metrics             string // what its own metrics say in their dimension Function
	Timeout             time.Duration
	MemoryMB            int
	ReservedConcurrency int           // 0: none reserved, which a new AWS account may be unable to do
	LogRetention        time.Duration // whole days, one of those that CloudWatch Logs has
}

// An EventSource is a mapping that feeds a queue to a function.
type EventSource struct {
	Queue, Function         string
	BatchSize               int
	BatchingWindow          time.Duration
	MaximumConcurrency      int
	ReportBatchItemFailures bool
}

// A Schedule invokes a function again and again.
type Schedule struct {
	Function string
	Every    time.Duration // whole minutes
}

// A Door is the public way in, in front of a function.
type IngestEndpoint struct {
	Function string
	// What the gateway lets through, above which it answers 429 itself. Such an answer lacks our
	// JSON, CORS headers and Retry-After, so the bound lies above all of the function's own.
	RequestsPerSecond float64
	Burst             int
	LogRetention      time.Duration // of the access log
}

// A Topology is the whole pipeline of one region.
type Topology struct {
	Names          Names
	Queues         []Queue
	Functions      []Function
	EventSources   []EventSource
	Schedules      []Schedule
	IngestEndpoint IngestEndpoint
	Alarms         []Alarm
	Composites     []Composite
}

// Options are what a deployment may choose.
type Options struct {
	Names Names // zero: DefaultNames()

	ReservedConcurrency int           // of deliver; 0: none reserved
	MaximumConcurrency  int           // of the event source; 0: the reserved concurrency, or 10 without one
	BatchSize           int           // messages an invocation gets at most
	BatchingWindow      time.Duration // how long a batch waits to be filled
	LogRetention        time.Duration // of every log
	NoCanary            bool          // no function that sends a canary event every minute, and no alarm for its silence
}

// concurrency is how many invocations of deliver run at a time. Ten, each with several batches
// under way, send more than the 1,000 events/s that Segment takes of a workspace: enough to drain a
// backlog at the speed of Segment, few enough to leave an account's concurrency to others.
const concurrency = 10

// DefaultOptions are those of a deployment without settings.
func DefaultOptions() Options {
	return Options{
		Names:               DefaultNames(),
		ReservedConcurrency: concurrency,
		// Ten single events an invocation would be far too few to be worth a request to Segment.
		BatchSize: 100,
		// One second is little against the minutes that analytics may wait, and fills batches even
		// when little comes in.
		BatchingWindow: time.Second,
		// Longer than a message lives, so that whoever asks about a dead letter finds the lines of
		// its attempts.
		LogRetention: 30 * day,
	}
}

// Default is the pipeline as it is deployed without settings.
func Default() Topology { return New(DefaultOptions()) }

// New is the pipeline with these options. It is not validated.
func New(o Options) Topology {
	// An invocation flushes some dozens of batches, each answered well within a second; the rest is
	// for slow answers and retries.
	const timeout = 60 * time.Second
	o.Names = cmp.Or(o.Names, DefaultNames())
	n := o.Names
	if o.MaximumConcurrency == 0 {
		o.MaximumConcurrency = cmp.Or(o.ReservedConcurrency, concurrency)
	}
	t := Topology{
		Names: n,
		Queues: []Queue{
			{
				Name: n.EventsQueue, Retention: maxRetention, VisibilityTimeout: visibilityFactor*timeout + o.BatchingWindow,
				DeadLetterQueue: n.DeadLetterQueue,
				// What is poisonous is recognised and not counted out: deliver writes dead letters
				// itself. Counting is for a function that can't even start, and must outlast ten
				// days of pauses of up to 15 minutes (about 965 receives).
				MaxReceiveCount: maxReceiveCount,
			},
			// A letter that SQS moves keeps its first day, so nothing could be kept longer than in
			// the events queue anyway; deliver gives up after ten days, so that four are left to
			// act in.
			{Name: n.DeadLetterQueue, Retention: maxRetention, VisibilityTimeout: 30 * time.Second},
		},
		Functions: []Function{
			// 512 MB is about a third of a core and several times what an invocation of 6 MB needs.
			{
				Name: n.DeliverFunction, Metrics: "deliver", Timeout: timeout, MemoryMB: 512,
				ReservedConcurrency: o.ReservedConcurrency, LogRetention: o.LogRetention,
			},
			// Reading, checking and two calls to SQS of at most 5 s each; the HTTP API itself waits
			// for no longer than 30 s. Nothing is reserved: that would be a cap, and the door has
			// none but its own.
			{Name: n.IngestFunction, Metrics: "ingest", Timeout: 15 * time.Second, MemoryMB: 512, LogRetention: o.LogRetention},
		},
		EventSources: []EventSource{{
			Queue: n.EventsQueue, Function: n.DeliverFunction, BatchSize: o.BatchSize, BatchingWindow: o.BatchingWindow,
			// Never above the reserved concurrency: throttled receives count against
			// MaxReceiveCount.
			MaximumConcurrency: o.MaximumConcurrency, ReportBatchItemFailures: true,
		}},
		// Five times what Segment takes of a workspace when every request carries but one event,
		// and half of what an account has without asking (10,000 a second, API Gateway quotas); so
		// it bounds what a flood can cost, and nobody who means well sees it.
		IngestEndpoint: IngestEndpoint{Function: n.IngestFunction, RequestsPerSecond: 5000, Burst: 5000,
			LogRetention: o.LogRetention},
	}
	if !o.NoCanary {
		t.Functions = append(t.Functions, Function{
			Name: n.CanaryFunction, Metrics: "canary", Timeout: 30 * time.Second, MemoryMB: 128, LogRetention: o.LogRetention,
		})
		t.Schedules = []Schedule{{Function: n.CanaryFunction, Every: canary.Interval}}
	}
	t.Alarms, t.Composites = alarms(o)
	return t
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

// Validate holds the topology against AWS's limits and against the rules that keep good messages
// out of the dead letters. The error names every breach and says what to write instead.
func (t *Topology) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	for _, q := range t.Queues {
		check(q.Retention >= time.Minute && q.Retention <= maxRetention, "queue %s: retention is %v, write 1m to %v", q.Name,
			q.Retention, maxRetention)
		check(q.VisibilityTimeout >= 0 && q.VisibilityTimeout <= maxVisibility,
			"queue %s: visibility timeout is %v, write up to %v", q.Name, q.VisibilityTimeout, maxVisibility)
		if q.DeadLetterQueue == "" {
			continue
		}
		dead, ok := t.Queue(q.DeadLetterQueue)
		check(ok, "queue %s: its dead-letter queue %s does not exist", q.Name, q.DeadLetterQueue)
		check(!ok || dead.Retention >= q.Retention,
			"queue %s: its dead-letter queue keeps messages for %v, write at least %v", q.Name, dead.Retention, q.Retention)
		check(q.MaxReceiveCount >= 1 && q.MaxReceiveCount <= maxReceiveCount,
			"queue %s: maximum receive count is %d, write 1 to %d", q.Name, q.MaxReceiveCount, maxReceiveCount)
	}
	for _, f := range t.Functions {
		check(f.Timeout >= time.Second && f.Timeout <= maxFunctionTimeout, "function %s: time-out is %v, write 1s to %v",
			f.Name, f.Timeout, maxFunctionTimeout)
		check(f.MemoryMB >= 128 && f.MemoryMB <= 10240, "function %s: memory is %d MB, write 128 to 10240", f.Name,
			f.MemoryMB)
		check(f.ReservedConcurrency >= 0, "function %s: reserved concurrency is %d, write 0 for none or more", f.Name,
			f.ReservedConcurrency)
		check(slices.Contains(logRetentions[:], f.LogRetention), "function %s: its log is kept for %v, write one of %v days",
			f.Name, f.LogRetention, retentionDays())
	}
	for _, s := range t.EventSources {
		name := s.Queue + " → " + s.Function
		q, ok := t.Queue(s.Queue)
		check(ok, "event source %s: the queue does not exist", name)
		f, found := t.Function(s.Function)
		check(found, "event source %s: the function does not exist", name)
		check(s.BatchSize >= 1 && s.BatchSize <= maxBatchSize, "event source %s: batch size is %d, write 1 to %d", name,
			s.BatchSize, maxBatchSize)
		check(s.BatchSize <= 10 || s.BatchingWindow >= time.Second,
			"event source %s: a batch size of %d needs a window of at least 1s, it is %v", name, s.BatchSize, s.BatchingWindow)
		check(s.BatchingWindow >= 0 && s.BatchingWindow <= maxBatchingWindow, "event source %s: window is %v, write up to %v",
			name, s.BatchingWindow,
			maxBatchingWindow)
		check(s.MaximumConcurrency >= minConcurrency && s.MaximumConcurrency <= maxConcurrency,
			"event source %s: maximum concurrency is %d, write %d to %d", name, s.MaximumConcurrency, minConcurrency,
			maxConcurrency)
		check(f.ReservedConcurrency == 0 || s.MaximumConcurrency <= f.ReservedConcurrency,
			"event source %s: maximum concurrency is %d, write at most the function's reserved %d: throttled receives bring "+
				"good messages to the dead letters", name, s.MaximumConcurrency, f.ReservedConcurrency)
		least := visibilityFactor*f.Timeout + s.BatchingWindow
		check(!ok || !found || q.VisibilityTimeout >= least,
			"event source %s: the queue's visibility timeout is %v, write at least %v (%d x the function's time-out + "+
				"the window)", name, q.VisibilityTimeout, least, visibilityFactor)
	}
	for _, s := range t.Schedules {
		_, found := t.Function(s.Function)
		check(found, "schedule of %s: the function does not exist", s.Function)
		check(s.Every >= time.Minute && s.Every%time.Minute == 0, "schedule of %s: it comes every %v, write whole minutes",
			s.Function, s.Every)
	}
	_, found := t.Function(t.IngestEndpoint.Function)
	check(found, "door: the function %s does not exist", t.IngestEndpoint.Function)
	check(t.IngestEndpoint.RequestsPerSecond >= 1 && t.IngestEndpoint.Burst >= 1,
		"door: %v requests a second and bursts of %d, write at least 1", t.IngestEndpoint.RequestsPerSecond,
		t.IngestEndpoint.Burst)
	check(slices.Contains(logRetentions[:], t.IngestEndpoint.LogRetention),
		"door: its log is kept for %v, write one of %v days",
		t.IngestEndpoint.LogRetention, retentionDays())
	errs = append(errs, t.validateAlarms()...)
	errs = append(errs, t.validateDashboard()...)
	return errors.Join(errs...)
}
