package price

import (
	"math"
	"time"

	"github.com/spillwayhq/spillway/shared/event"
)

// What AWS counts by (SQS pricing, "How are Amazon SQS requests priced?"; Lambda developer guide,
// "Using Lambda with Amazon SQS").
const (
	sqsChunk      = 64 << 10  // of a request's payload; each further one is another request
	sqsBatch      = 10        // messages that one receive, delete or send can carry
	lambdaPayload = 6_000_000 // bytes an invocation
	pollers       = 5         // that an event source begins with
	longPoll      = 20 * time.Second
)

// Month is the length of a month in every estimate.
const Month = 30 * 24 * time.Hour

// Measured values, or estimates on the safe side, each for one invocation, request or event.
const (
	// flushTime is how long Segment takes to answer a batch.
	flushTime = 100 * time.Millisecond
	// plainUpTo is the size up to which a message is not compressed, as in package message.
	plainUpTo = 4 << 10
	// recordBytes is what Lambda adds to each message of a payload.
	recordBytes = 800
	// ingestTime is that of a request to the ingest function: a call to SQS. canaryTime is that of
	// a request to the ingest endpoint from outside.
	ingestTime = 15 * time.Millisecond
	canaryTime = 100 * time.Millisecond
	// compareTime is that of three queries of Logs Insights, side by side.
	compareTime = 5 * time.Second
	// comparedMetrics are read at each comparison (package traffic).
	comparedMetrics = 2
)

// An IngestEndpoint is the kind of endpoint that SDKs post to.
type IngestEndpoint int

// The ingest endpoints.
const (
	NoIngestEndpoint IngestEndpoint = iota // publishers send events directly to the queue
	FunctionURL                            // costs nothing of its own
	HTTPAPI
)

// A Load describes the events that come in, evenly over the day.
type Load struct {
	EventsPerDay     float64
	EventBytes       float64 // of an average one
	EventsPerMessage float64 // in one message of the queue
	EventsPerRequest float64 // to the ingest endpoint
	MessagesPerSend  float64 // in one call to SQS; 1 when 0
	Plain            bool    // sent to Segment without gzip
}

// A Function has what the cost of a Lambda invocation depends on, besides its duration.
type Function struct {
	MemoryMB int
	LogBytes float64 // an invocation, with Lambda's own lines
}

// A Pipeline describes what is deployed in each region. The caller gives the numbers of alarms and
// metrics, which package topology knows.
type Pipeline struct {
	Endpoint                IngestEndpoint
	Ingest, Deliver, Canary Function
	EventSources            int           // queues that Deliver is fed from, which Lambda polls; 1 when 0
	FairQueues              bool          // messages have groups
	BatchSize               int           // messages of an invocation at most
	BatchingWindow          time.Duration // how long a batch waits for more messages
	ConcurrentFlushes       int           // batches to Segment at the same time in an invocation
	CanaryEvery             time.Duration // 0: there is none
	CompareEvery            time.Duration // how often the canary's function compares the traffic; 0: never
	// SenderLineBytes is the size of the line with the heaviest senders that each busy environment
	// of ingest and deliver writes once a minute.
	SenderLineBytes       float64
	Metrics, AlarmMetrics int
	CompositeAlarms       int
	Dashboards            int
	HealthChecks          int // of the records of a name that several regions share
	Regions               int // 1 when 0; they share the load evenly
}

// OneEventPerMessage returns the same pipeline and load without Spillway's packing: each event is a
// message and an invocation, and is sent to Segment uncompressed, as the worker of a job queue
// does.
func (p Pipeline) OneEventPerMessage(l Load) (Pipeline, Load) {
	p.BatchSize = 1
	l.EventsPerMessage, l.MessagesPerSend, l.Plain = 1, 1, true
	return p, l
}

// Month returns what a healthy pipeline uses in a [Month] under a load, in all regions together.
func (p Pipeline) Month(l Load) Usage {
	regions := math.Max(1, float64(p.Regions))
	l.EventsPerDay /= regions
	u := p.fixed().Plus(p.events(l)).Plus(p.senderLines(l))
	if p.CanaryEvery > 0 {
		u = u.Plus(p.canary())
	}
	if p.CompareEvery > 0 {
		u = u.Plus(p.comparisons(u.LogBytes))
	}
	return u.Times(regions)
}

// fixed is the usage without any event.
func (p Pipeline) fixed() Usage {
	return Usage{
		IdlePolls: pollers * float64(Month/longPoll) * math.Max(1, float64(p.EventSources)),
		Metrics:   float64(p.Metrics), AlarmMetrics: float64(p.AlarmMetrics), CompositeAlarms: float64(p.CompositeAlarms),
		Dashboards: float64(p.Dashboards), HealthChecks: float64(p.HealthChecks),
	}
}

// canary is the usage of the canary and the events that it sends: each takes the whole path
// alone.
func (p Pipeline) canary() Usage {
	runs := float64(Month / p.CanaryEvery)
	own := Usage{Invocations: runs, GBSeconds: runs * gbSeconds(p.Canary.MemoryMB, canaryTime),
		LogBytes: runs * p.Canary.LogBytes, ScheduledEvents: runs}
	sent := p.events(Load{EventsPerDay: runs / days, EventBytes: canaryBytes, EventsPerMessage: 1, EventsPerRequest: 1})
	sent.EgressBytes = 0 // it ends before Segment
	return own.Plus(sent)
}

// senderLines is the usage of the lines with the heaviest senders. A function has as many busy
// environments as requests or messages are under way at a time, and at least one.
func (p Pipeline) senderLines(l Load) Usage {
	perSecond := l.EventsPerDay / (24 * time.Hour).Seconds()
	busy := math.Ceil(perSecond / math.Max(1, l.EventsPerMessage) * flushTime.Seconds())
	if p.Endpoint != NoIngestEndpoint {
		busy += math.Ceil(perSecond / math.Max(1, l.EventsPerRequest) * ingestTime.Seconds())
	}
	return Usage{LogBytes: busy * Month.Minutes() * p.SenderLineBytes}
}

// comparisons is the usage of comparing the traffic, of which the logs of a month are so many
// bytes: each is scanned once.
func (p Pipeline) comparisons(logBytes float64) Usage {
	runs := float64(Month / p.CompareEvery)
	return Usage{GBSeconds: runs * gbSeconds(p.Canary.MemoryMB, compareTime), MetricReads: runs * comparedMetrics,
		ScannedBytes: logBytes}
}

const (
	days        = float64(Month / (24 * time.Hour))
	canaryBytes = 300
)

// events is the usage of a load from the ingest endpoint to Segment.
func (p Pipeline) events(l Load) Usage {
	if l.EventsPerDay <= 0 {
		return Usage{}
	}
	events := l.EventsPerDay * days
	perMessage := math.Max(1, l.EventsPerMessage)
	messages := events / perMessage
	body := MessageBytes(perMessage * l.EventBytes)

	u := p.ingest(l, events)
	perSend := math.Max(1, l.MessagesPerSend)
	u.SQSRequests += messages / perSend * chunks(perSend*body)

	perCall := p.messagesPerInvocation(messages/Month.Seconds(), body)
	calls := messages / perCall
	perReceive := math.Min(sqsBatch, perCall)
	u.SQSRequests += messages/perReceive*chunks(perReceive*body) + calls*math.Ceil(perCall/sqsBatch)
	if p.FairQueues {
		u.FairRequests = u.SQSRequests
	}

	flushes := math.Ceil(math.Max(perCall*perMessage*l.EventBytes/event.MaxBatchBytes,
		perCall*perMessage/event.MaxBatchEvents))
	rounds := math.Ceil(flushes / math.Max(1, float64(p.ConcurrentFlushes)))
	u.Invocations += calls
	u.GBSeconds += calls * gbSeconds(p.Deliver.MemoryMB, flushTime*time.Duration(rounds))
	u.LogBytes += calls * p.Deliver.LogBytes

	if l.Plain {
		u.EgressBytes += events * l.EventBytes
		return u
	}
	gzip := Gzip()
	u.EgressBytes += events * l.EventBytes * gzip.Left
	u.GBSeconds += gzip.gbSeconds(events * l.EventBytes)
	return u
}

func (p Pipeline) ingest(l Load, events float64) Usage {
	if p.Endpoint == NoIngestEndpoint {
		return Usage{}
	}
	requests := events / math.Max(1, l.EventsPerRequest)
	u := Usage{Invocations: requests, GBSeconds: requests * gbSeconds(p.Ingest.MemoryMB, ingestTime),
		LogBytes: requests * p.Ingest.LogBytes}
	if p.Endpoint == HTTPAPI {
		u.HTTPRequests = requests
	}
	return u
}

// EventsPerInvocation is how many events an invocation of deliver carries under a load.
func (p Pipeline) EventsPerInvocation(l Load) float64 {
	perMessage := math.Max(1, l.EventsPerMessage)
	perSecond := l.EventsPerDay / math.Max(1, float64(p.Regions)) / (24 * time.Hour).Seconds()
	return perMessage * p.messagesPerInvocation(perSecond/perMessage, MessageBytes(perMessage*l.EventBytes))
}

// messagesPerInvocation is how many messages of an average size share an invocation, at so many a
// second: the first one, and what the same poller receives in the batching window; at most the
// batch size and what Lambda's payload holds.
func (p Pipeline) messagesPerInvocation(perSecond, body float64) float64 {
	together := 1 + perSecond/pollers*p.BatchingWindow.Seconds()
	return math.Max(1, math.Min(together, math.Min(float64(p.BatchSize), math.Floor(lambdaPayload/(body+recordBytes)))))
}

// MessageBytes estimates the size in bytes of a message with so many bytes of events.
func MessageBytes(events float64) float64 {
	if events <= plainUpTo {
		return events
	}
	return events * Zstd().Left
}

// chunks is how many requests SQS counts for a payload.
func chunks(bytes float64) float64 { return math.Max(1, math.Ceil(bytes/sqsChunk)) }

func gbSeconds(megabytes int, d time.Duration) float64 {
	return float64(megabytes) / 1024 * d.Seconds()
}
