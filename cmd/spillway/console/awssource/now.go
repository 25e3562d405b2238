package awssource

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/spillwayhq/spillway/cmd/spillway/console"
	"github.com/spillwayhq/spillway/cmd/spillway/deployed"
	"github.com/spillwayhq/spillway/cmd/spillway/terminal"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/canary"
	"github.com/spillwayhq/spillway/shared/deadletter"
	"github.com/spillwayhq/spillway/shared/operator"
	"github.com/spillwayhq/spillway/shared/segment"
	"github.com/spillwayhq/spillway/shared/signed"
	"github.com/spillwayhq/spillway/shared/ssm"
)

// QueueAPI is what the queues need of an *sqs.Client.
type QueueAPI interface {
	deployed.QueueAPI
	deadletter.API
}

const (
	// nowBack is how far back a metric may say how the pipeline is now: a message is tried every 15
	// minutes, plus 10 %.
	nowBack = 17 * time.Minute
	// briefly is the same for what is written by each invocation, with the lateness of metrics.
	briefly = 5 * time.Minute
	// metricsLate is by how much our own metrics are late at most.
	metricsLate = 3 * time.Minute
)

// A depth is how many messages a queue has.
type depth struct {
	visible, inFlight, delayed int64
	skew                       time.Duration // of this machine's clock: positive, it is slow
}

func (d depth) all() int64 { return d.visible + d.inFlight + d.delayed }

// A stateReader reads how a pipeline is at this moment. It is safe for concurrent use.
type stateReader struct {
	*pipeline
	source eventSource

	mu     sync.Mutex
	queues map[string]string // URLs, by the queue's name; empty: the viewer may not ask for it
}

func newStateReader(p *pipeline, queues map[string]string) *stateReader {
	return &stateReader{pipeline: p, queues: queues, source: eventSource{names: p.about.Topology.Names,
		read: func(ctx context.Context) ([]signed.EventSource, error) {
			return p.EventSources(ctx, p.about.Topology.Names.DeliverFunction)
		}, mark: func(ctx context.Context) (operator.Mark, error) {
			return switched(ctx, p, topology.PausedParameter, operator.Parse)
		}}}
}

// url returns a queue's URL. One that could not be found is looked for again: somebody may have
// been given the permission.
func (s *stateReader) url(ctx context.Context, queue string) (string, error) {
	s.mu.Lock()
	known := s.queues[queue]
	s.mu.Unlock()
	if known != "" {
		return known, nil
	}
	found, err := s.queueURL(ctx, s.about.Pipeline, queue)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queues[queue] = found
	return found, err
}

// depth asks SQS how many messages a queue has.
func (s *stateReader) depth(ctx context.Context, name string) (depth, error) {
	queueURL, err := s.url(ctx, name)
	if err != nil {
		return depth{}, err
	}
	out, err := s.Queues.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: aws.String(queueURL),
		AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameApproximateNumberOfMessages,
			types.QueueAttributeNameApproximateNumberOfMessagesNotVisible,
			types.QueueAttributeNameApproximateNumberOfMessagesDelayed}})
	var missing *types.QueueDoesNotExist
	switch {
	case errors.As(err, &missing):
		return depth{}, fmt.Errorf("the queue %s does not exist any more: has the pipeline been removed?", name)
	case err != nil:
		return depth{}, deployed.Explain(err, "read how many messages "+name+" has", "sqs:GetQueueAttributes")
	}
	s.meter.queueRequests(1)
	number := func(attribute types.QueueAttributeName) int64 {
		n, _ := strconv.ParseInt(out.Attributes[string(attribute)], 10, 64) // SQS writes numbers
		return n
	}
	skew, _ := deployed.ClockSkew(out.ResultMetadata) // 0 where the answer has no time
	return depth{number(types.QueueAttributeNameApproximateNumberOfMessages),
		number(types.QueueAttributeNameApproximateNumberOfMessagesNotVisible),
		number(types.QueueAttributeNameApproximateNumberOfMessagesDelayed), skew}, nil
}

// read reads the queues by SQS and the rest by the newest metrics, which are one to three minutes
// late.
func (s *stateReader) read(ctx context.Context) (console.Now, error) {
	now := console.Now{At: time.Now().UTC(), Events: console.Unknown, OldestAge: console.Unknown, Bulk: console.Unknown,
		CanaryAge: console.Unknown, CanaryLatency: console.Unknown}
	var events, bulk, dead depth
	var newest newest
	var eventsErr, bulkErr, deadErr, newestErr error
	var source sourceState
	var reading sync.WaitGroup
	reading.Go(func() { events, eventsErr = s.depth(ctx, s.about.Topology.Names.EventsQueue) })
	reading.Go(func() { bulk, bulkErr = s.depth(ctx, s.about.Topology.Names.BulkQueue) })
	reading.Go(func() { dead, deadErr = s.depth(ctx, s.about.Topology.Names.DeadLetterQueue) })
	reading.Go(func() { newest, newestErr = s.newest(ctx) })
	reading.Go(func() { source = s.source.state(ctx, time.Now()) })
	reading.Wait()
	if err := errors.Join(eventsErr, deadErr); err != nil {
		return now, err
	}
	now.Messages, now.InFlight, now.DeadLetters = events.all(), events.inFlight, dead.all()
	if bulkErr == nil { // an earlier version has none, and a role may be older
		now.Bulk = bulk.all()
	}
	if newestErr != nil {
		now.Degraded = "whether events are delivered is not known: " + newestErr.Error()
	} else {
		s.judge(&now, newest)
	}
	if now.Paused = source.paused; now.Paused != "" {
		now.Degraded = "delivery is paused"
	}
	now.Degraded = cmp.Or(source.failed, now.Degraded)
	if clock := wrongClock(events.skew); clock != "" {
		now.Degraded = clock
	}
	return now, nil
}

// maxSkew is how wrong this machine's clock may be: the newest metrics are older than that anyhow.
const maxSkew = time.Minute

// wrongClock says that this machine's clock is wrong: the SDK signs with AWS's time, so that all
// calls succeed, and the page would show an old time, or one without any values.
func wrongClock(skew time.Duration) string {
	way := "slow"
	if skew < 0 {
		way = "fast"
	}
	if skew.Abs() <= maxSkew {
		return ""
	}
	return fmt.Sprintf("this machine's clock is %s %s, and the page shows the time that it tells: set it by NTP",
		terminal.Age(skew.Abs()), way)
}

// newest are the newest values of the metrics that say how the pipeline is, by what they are.
type newest map[string]point

// A point is a value and its minute; the zero value: there is none.
type point struct {
	value float64
	at    time.Time
}

// The names of what newest has, beside the classes of retried events.
const (
	ofQueueAge, ofEventAge, ofBreaker        = "queue age", "event age", "breaker"
	ofAccepted, ofDelivered, ofCanaryLatency = "canary accepted", "canary delivered", "canary latency"
)

// stateMetrics are the metrics of newest by their names in it.
func (s *stateReader) stateMetrics() map[string]topology.Metric {
	all := map[string]topology.Metric{
		ofQueueAge: {Queue: s.about.Topology.Names.EventsQueue, Name: "ApproximateAgeOfOldestMessage", Statistic: "Maximum"},
		ofEventAge: s.own("deliver", "EventAge", "Maximum"),
		ofBreaker:  s.own("deliver", "BreakerOpen", "Minimum"), // open in all environments
	}
	for class := range retriedTexts {
		m := s.own("deliver", "EventsRetried", "Sum")
		m.Dimension, m.Value = "Class", class
		all[class] = m
	}
	if s.hasCanary() {
		all[ofAccepted] = s.own("canary", "CanaryAccepted", "Sum")
		all[ofDelivered] = s.own("deliver", "CanaryDelivered", "Sum")
		all[ofCanaryLatency] = s.own("deliver", "CanaryLatency", "Maximum")
	}
	return all
}

func (s *stateReader) newest(ctx context.Context) (newest, error) {
	all := s.stateMetrics()
	var ids []string
	var metrics []topology.Metric
	for id, m := range all {
		ids, metrics = append(ids, id), append(metrics, m)
	}
	wanted, _ := s.locate(metrics) // none is about the endpoint
	values, at, err := s.metrics.latest(ctx, wanted, nowBack)
	if err != nil {
		return nil, err
	}
	found := newest{}
	for i, id := range ids {
		found[id] = point{values[i], at[i]}
	}
	return found, nil
}

// retriedTexts say why events are retried. What a person has paused is said with the write keys.
var retriedTexts = map[string]string{
	segment.Transient.String():     "Segment fails or can't be reached: %s in the minute of %s are retried",
	segment.Throttled.String():     "Segment throttles (429): %s in the minute of %s are retried",
	segment.Misconfigured.String(): "Segment refuses a write key or the endpoint: %s in the minute of %s are retried",
}

// judge adds what the metrics say.
func (s *stateReader) judge(now *console.Now, n newest) {
	age := max(n[ofQueueAge].value, n[ofEventAge].value)
	switch {
	case now.Messages == 0:
		now.OldestAge = 0
	case !n[ofQueueAge].at.IsZero() || !n[ofEventAge].at.IsZero():
		now.OldestAge = time.Duration(age * float64(time.Second))
	}
	fresh := func(id string) bool { return n[id].value > 0 && now.At.Sub(n[id].at) <= briefly }
	now.BreakerOpen = fresh(ofBreaker)
	most := point{}
	for class, text := range retriedTexts {
		if p := n[class]; fresh(class) && p.value > most.value {
			most = p
			now.Degraded = fmt.Sprintf(text, terminal.Plural(int64(p.value), "event"), p.at.Format("15:04"))
		}
	}
	if now.BreakerOpen && now.Degraded == "" {
		now.Degraded = "Segment is taken for down: the circuit breaker is open"
	}
	if s.hasCanary() {
		judgeCanary(now, n)
	}
}

// judgeCanary adds how the canary is. Its metrics have the minute for which it was sent.
func judgeCanary(now *console.Now, n newest) {
	delivered, accepted := n[ofDelivered], n[ofAccepted]
	if delivered.value > 0 {
		now.CanaryAge = now.At.Sub(delivered.at)
		now.CanaryLatency = time.Duration(n[ofCanaryLatency].value * float64(time.Millisecond))
	}
	const missing = canary.MissingAfter + metricsLate
	switch {
	case delivered.value > 0 && now.CanaryAge <= missing:
	case !accepted.at.IsZero() && accepted.value == 0:
		now.Canary = "the ingest endpoint does not accept the canary: read the log of the canary function"
	case accepted.at.IsZero():
		now.Canary = fmt.Sprintf("no canary has been sent for %v: read the log of the canary function", nowBack)
	case delivered.value > 0:
		now.Canary = fmt.Sprintf("no canary has arrived for %s: events do not get from the ingest endpoint to Segment",
			terminal.Age(now.CanaryAge))
	default:
		now.Canary = fmt.Sprintf("no canary has arrived for %v: events do not get from the ingest endpoint to Segment",
			nowBack)
	}
}

// switched reads what a person has switched; the zero value: nothing, or the parameter can't be
// read.
func switched[T any](ctx context.Context, p *pipeline, parameter string, parse func([]byte) (T, error)) (T, error) {
	value, err := p.Parameters.GetParameter(ctx, p.about.Topology.Names.Parameter(parameter), false)
	if err != nil && !ssm.NotFound(err) {
		var none T
		return none, deployed.Explain(err, "read what is paused", "ssm:GetParameter")
	}
	return parse([]byte(value.Text))
}

// sourceEvery is how often Lambda is asked whether deliveries are paused.
const sourceEvery = time.Minute

// An eventSource knows whether Lambda feeds the events queue and the bulk queue to the deliver
// function. It is safe for concurrent use.
type eventSource struct {
	names topology.Names
	read  func(context.Context) ([]signed.EventSource, error)
	mark  func(context.Context) (operator.Mark, error) // of a pause

	mu    sync.Mutex
	asked time.Time
	last  sourceState
}

// A sourceState says why Lambda delivers nothing; empty texts: it does, or that is not known.
type sourceState struct {
	paused string // see console.Now
	failed string
}

func (e *eventSource) state(ctx context.Context, now time.Time) sourceState {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.asked.IsZero() && now.Sub(e.asked) < sourceEvery {
		return e.last
	}
	all, err := e.read(ctx)
	e.asked, e.last = now, sourceState{}
	if err != nil { // of those who may not ask the page tells as much as it knows without
		return e.last
	}
	sources, bulk := deployed.SourcesOf(all, e.names.EventsQueue), deployed.SourcesOf(all, e.names.BulkQueue)
	switch {
	case len(sources) == 0:
		e.last.failed = "nothing is delivered: no event source feeds the queue to the deliver function"
	case isOff(sources[0]):
		e.last.paused = "the event source is " + strings.ToLower(sources[0].State)
		if m, err := e.mark(ctx); err == nil && m.IsSet() {
			e.last.paused = m.String()
		}
	case strings.HasPrefix(sources[0].LastProcessingResult, "PROBLEM"):
		e.last.failed = "Lambda can't read the queue: " + sources[0].LastProcessingResult
	case len(bulk) > 0 && isOff(bulk[0]): // an earlier version has none
		e.last.failed = "nothing of the bulk queue is delivered: its event source is " + strings.ToLower(bulk[0].State)
	}
	return e.last
}

func isOff(s signed.EventSource) bool { return s.State != "Enabled" && s.State != "Updating" }
