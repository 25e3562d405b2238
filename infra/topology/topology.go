// Package topology says once which queues, functions, limits and alarms the pipeline has.
//
// Two deployments read it: the CDK app puts it on AWS, and the local pipeline runs it on one
// machine. A number that stood in both would sooner or later differ, and then a test on one machine
// would prove nothing about the other.
//
// A file is a part of the pipeline, with its alarms beside it.
package topology

import (
	"cmp"
	"slices"
	"time"
)

const day = 24 * time.Hour

// A Queue is an SQS standard queue.
type Queue struct {
	Name              string
	Retention         time.Duration
	VisibilityTimeout time.Duration
	DeadLetterQueue   string // its name; empty: this is one
	MaxReceiveCount   int    // receives after which SQS itself moves a message to the dead-letter queue
}

// A Function is a Lambda function.
type Function struct {
	Name                string
	Metrics             string // the value of the dimension Function of its own metrics, and its folder in functions
	Timeout             time.Duration
	MemoryMB            int
	ReservedConcurrency int           // 0: none is reserved; a new AWS account may be unable to reserve any
	LogRetention        time.Duration // whole days, one of those that CloudWatch Logs offers
}

// An EventSource is a mapping that feeds a queue to a function.
type EventSource struct {
	Queue, Function         string
	BatchSize               int
	BatchingWindow          time.Duration
	MaximumConcurrency      int
	ReportBatchItemFailures bool
}

// A Schedule invokes a function at regular intervals.
type Schedule struct {
	Function string
	Every    time.Duration // whole minutes
}

// An IngestEndpoint is the public HTTP endpoint in front of a function.
type IngestEndpoint struct {
	Function string
	// The gateway answers 429 itself above these limits. Its answer lacks our JSON, CORS headers
	// and Retry-After, so the limits are above all of the function's own.
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
	IngestEndpoint IngestEndpoint // zero: there is none
	Alarms         []Alarm
	Composites     []Composite
	Archive        Archive // zero: there is none
	// Routing are the alarms that Route 53 reads to decide whether it answers with this region.
	// They are not among Alarms, because no person acts on them.
	Routing []Alarm
}

// Options are what a deployment may choose.
type Options struct {
	Names Names // zero: DefaultNames()

	ReservedConcurrency int           // of deliver; 0: none is reserved
	MaximumConcurrency  int           // of the events queue's event source; 0: as maximumConcurrency says
	BatchSize           int           // messages that an invocation gets at most
	BatchingWindow      time.Duration // how long Lambda waits to fill a batch
	LogRetention        time.Duration // of every log
	NoCanary            bool          // no function that sends a canary event every minute, and no alarms about it
	NoIngest            bool          // no ingest endpoint, and no canary, which goes through it
	ArchiveKept         time.Duration // how long the archive keeps an event, in whole days; 0: there is no archive
	Rollout             bool          // new versions take over by steps, after the rollout function has tried them
	Runbook             string        // its address, which alarms refer to; empty: DefaultRunbook
}

// defaultConcurrency is how many invocations of deliver the events queue may use. Ten, each with
// several batches under way, send more than the 1,000 events/s that Segment takes of a workspace:
// enough to drain a backlog as fast as Segment allows, few enough to leave an account's concurrency
// to others.
const defaultConcurrency = 10

// DefaultOptions are those of a deployment without settings.
func DefaultOptions() Options {
	return Options{
		Names:               DefaultNames(),
		ReservedConcurrency: defaultConcurrency + bulkConcurrency,
		// Of messages with one event, 100 is as many as ten invocations need to deliver some 14,000
		// events/s; with 250 it is 24,000, and with 1,000 no more than with 400 (spillway bench
		// --batch-size). But Segment takes 1,000/s of a workspace, and a message waits for all that
		// is sent with it: with 200 a backlog of packed messages uses 72 to 76 % of what Segment
		// takes, with 100 above 80 %, and with 400 other sources' p99 beside a flood is 24 s and
		// not 8 (integration/fairness -every). The price hardly depends on it. What Segment does to
		// a batch at worst ends before the function's timeout: infra/local/virtual tries it.
		BatchSize: 100,
		// One second is short for analytics, which may wait for minutes, and fills batches even
		// when few events come in.
		BatchingWindow: time.Second,
		// Longer than a message lives, so that the log still has the attempts of every dead letter.
		LogRetention: 30 * day,
	}
}

// Default is the pipeline of a deployment without settings.
func Default() Topology { return New(DefaultOptions()) }

// New is the pipeline with these options. It is not validated.
func New(o Options) Topology {
	o.Names = cmp.Or(o.Names, DefaultNames())
	o.MaximumConcurrency = cmp.Or(o.MaximumConcurrency, o.maximumConcurrency())
	t := Topology{
		Names:        o.Names,
		Queues:       queues(o),
		Functions:    []Function{deliverFunction(o)},
		EventSources: deliverSources(o),
		Alarms: slices.Concat(backlogAlarms(o), deadLetterAlarms(o.Names), deliverAlarms(o), segmentAlarms(o.Names),
			endpointAlarms(o), publisherAlarms(o.Names), archiveAlarms(o)),
		Archive:    archive(o),
		Composites: composites(o),
	}
	if !o.NoIngest {
		t.Functions = append(t.Functions, ingestFunction(o))
		t.IngestEndpoint = ingestEndpoint(o)
	}
	if !o.NoCanary && !o.NoIngest {
		t.Functions = append(t.Functions, canaryFunction(o))
		t.Schedules = append(t.Schedules, canarySchedule(o.Names))
		t.Alarms = slices.Concat(t.Alarms, canaryAlarms(o), trafficAlarms(o.Names), pauseAlarms(o.Names))
		t.Routing = routingAlarms(o.Names)
	}
	if o.Rollout {
		t.Functions = append(t.Functions, rolloutFunction(o))
	}
	t.setRunbook(o)
	return t
}

// MinReserved is the least concurrency that can be reserved: each event source needs two.
const MinReserved = minConcurrency + bulkConcurrency

// maximumConcurrency is what the bulk queue leaves of the reserved concurrency, or
// defaultConcurrency if none is reserved. With Rollout one of the reserved is left, with which a
// new version is tried: while a backlog drains the event source uses all that it may, and that is
// when a new version is needed most.
func (o *Options) maximumConcurrency() int {
	if o.ReservedConcurrency == 0 {
		return defaultConcurrency
	}
	left := o.ReservedConcurrency - bulkConcurrency
	if o.Rollout && left > minConcurrency {
		return left - 1
	}
	return left
}

// setRunbook lets the alarms refer to the runbook of the options.
func (t *Topology) setRunbook(o Options) {
	for i := range t.Alarms {
		t.Alarms[i].Runbook = cmp.Or(o.Runbook, DefaultRunbook)
	}
	for i := range t.Routing {
		t.Routing[i].Runbook = cmp.Or(o.Runbook, DefaultRunbook)
	}
	for i := range t.Composites {
		t.Composites[i].Runbook = cmp.Or(o.Runbook, DefaultRunbook)
	}
}

// Queue returns the queue with that name.
func (t *Topology) Queue(name string) (Queue, bool) {
	return find(t.Queues, func(q Queue) bool { return q.Name == name })
}

// Function returns the function with that name.
func (t *Topology) Function(name string) (Function, bool) {
	return find(t.Functions, func(f Function) bool { return f.Name == name })
}

// Alarm returns the alarm with that name.
func (t *Topology) Alarm(name string) (Alarm, bool) {
	return find(t.Alarms, func(a Alarm) bool { return a.Name == name })
}

// Composite returns the composite with that name.
func (t *Topology) Composite(name string) (Composite, bool) {
	return find(t.Composites, func(c Composite) bool { return c.Name == name })
}

// AlarmNames are the names of all alarms and composites.
func (t *Topology) AlarmNames() []string {
	var names []string
	for i := range t.Alarms {
		names = append(names, t.Alarms[i].Name)
	}
	for i := range t.Composites {
		names = append(names, t.Composites[i].Name)
	}
	return names
}

// CompositeOf returns the composite that the alarm is part of.
func (t *Topology) CompositeOf(alarm string) (Composite, bool) {
	return find(t.Composites, func(c Composite) bool { return slices.Contains(c.Any, alarm) })
}

func find[T any](all []T, is func(T) bool) (found T, ok bool) {
	if i := slices.IndexFunc(all, is); i >= 0 {
		return all[i], true
	}
	return found, false
}
