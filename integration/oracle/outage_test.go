package oracle

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"text/tabwriter"
	"time"

	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/spillwayhq/spillway/infra/local/lambda"
	"github.com/spillwayhq/spillway/infra/local/segmentd"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/integration/testutil"
	"github.com/spillwayhq/spillway/shared/deliver"
	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/price"
	"github.com/spillwayhq/spillway/shared/segment"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

// The outage that is priced: 100 events of 1,000 bytes arrive in a second, and those of messageEvery
// are packed into one message. In the simulation a message holds one event and says that it holds all of them, because
// only calls are counted, and to parse 30 GB for that would take too long. (This saves blind retries
// some calls: the events of an invocation would need more than one batch.)
const (
	eventsPerSecond = 100
	eventBytes      = 1000

	// What an invocation takes besides what is simulated: time, and bytes of Lambda's own log
	// lines.
	invocationCPU = 2 * time.Millisecond
	lambdaLog     = 300
	sqsChunk      = 64 << 10
)

// The default run has a sample: half an hour, once, and a third of the messages. CI and docs/cost.md
// have four hours, three times.
var outage = flag.Duration("outage", 30*time.Minute, "for how long Segment is away in what an outage costs")

const longOutage = 4 * time.Hour

func messageEvery() time.Duration {
	if *outage >= longOutage {
		return time.Second
	}
	return 3 * time.Second
}

// eventsPerMessage is how many events arrive meanwhile.
func eventsPerMessage() float64 { return messageEvery().Seconds() * eventsPerSecond }

// usage counts what an outage uses, as AWS counts it.
type usage struct {
	calls                            atomic.Int64 // to Segment
	sqs, invocations, duration, logs atomic.Int64 // requests by 64 KiB; nanoseconds; bytes
	memory                           int
}

func (u *usage) aws() price.Usage {
	return price.Usage{
		SQSRequests: float64(u.sqs.Load()), Invocations: float64(u.invocations.Load()), LogBytes: float64(u.logs.Load()),
		GBSeconds: float64(u.memory) / 1024 * time.Duration(u.duration.Load()).Seconds(),
	}
}

// result is what a simulation used.
type result struct {
	invocations, calls, requests, gbSeconds, dollars float64
	drained                                          time.Duration // how long after the outage all was delivered
}

// medians returns the median of each number: the pauses are random, and one run in five makes up to
// 960 calls to Segment, where 440 are usual.
func medians(runs []result) result {
	of := func(number func(result) float64) float64 {
		sorted := slices.SortedFunc(slices.Values(runs), func(a, b result) int { return cmp.Compare(number(a), number(b)) })
		return number(sorted[len(sorted)/2])
	}
	return result{
		invocations: of(func(r result) float64 { return r.invocations }),
		calls:       of(func(r result) float64 { return r.calls }),
		requests:    of(func(r result) float64 { return r.requests }),
		gbSeconds:   of(func(r result) float64 { return r.gbSeconds }),
		dollars:     of(func(r result) float64 { return r.dollars }),
		drained:     time.Duration(of(func(r result) float64 { return float64(r.drained) })),
	}
}

func (u *usage) Write(line []byte) (int, error) {
	u.logs.Add(int64(len(line)))
	return len(line), nil
}

// countingQueue counts the event source mapping's requests.
type countingQueue struct {
	lambda.Queue
	*usage
}

func (q countingQueue) Receive(ctx context.Context, most int, wait time.Duration) ([]lambda.Message, error) {
	got, err := q.Queue.Receive(ctx, most, wait)
	body := price.MessageBytes(eventsPerMessage() * eventBytes)
	q.sqs.Add(int64(math.Max(1, math.Ceil(float64(len(got))*body/sqsChunk))))
	return got, err
}

func (q countingQueue) Delete(ctx context.Context, handles []string) error {
	q.sqs.Add(int64((len(handles) + sqsclient.MaxEntries - 1) / sqsclient.MaxEntries))
	return q.Queue.Delete(ctx, handles)
}

// countingTransport counts the function's own requests to SQS.
type countingTransport struct {
	http.RoundTripper
	*usage
}

func (t countingTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	sleep(r.Context(), sqsLatency)
	t.sqs.Add(1)
	return t.RoundTripper.RoundTrip(r)
}

type countingEnvironment struct {
	lambda.Environment
	*usage
}

func (e countingEnvironment) Invoke(ctx context.Context, i lambda.Invocation) ([]byte, error) {
	began := time.Now()
	defer func() {
		e.invocations.Add(1)
		e.logs.Add(lambdaLog)
		e.duration.Add(int64(time.Since(began) + invocationCPU))
	}()
	return e.Environment.Invoke(ctx, i)
}

// failure is how Segment fails.
type failure int

const (
	answers failure = iota // it does not
	refuses
	hangs
)

// failingSegment fails until a time.
type failingSegment struct {
	*usage
	until time.Time
	kind  failure
}

func (a *failingSegment) Flush(ctx context.Context, _ *event.Batch) error {
	a.calls.Add(1)
	kind := a.kind
	if time.Now().After(a.until) {
		kind = answers
	}
	if kind == hangs {
		ctx, cancel := context.WithTimeout(ctx, segment.DefaultAttemptTimeout)
		defer cancel()
		<-ctx.Done()
		return &segment.Error{Class: segment.Transient, Err: ctx.Err()}
	}
	sleep(ctx, 50*time.Millisecond)
	if kind == refuses {
		return &segment.Error{Class: segment.Transient, Status: 503}
	}
	return nil
}

// blind forgets everything between two invocations and changes no visibility timeout, as a function
// without circuit breaker and pauses does: what failed is retried when its visibility timeout ends.
type blind struct{ deliver.Config }

type noVisibilityChanges struct{}

func (noVisibilityChanges) ChangeVisibility(context.Context, []sqsclient.VisibilityChange) error {
	return nil
}

func (b *blind) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	h, err := deliver.New(b.Config)
	if err != nil {
		return nil, err
	}
	return h.Invoke(ctx, payload)
}

func blindHandler(c deliver.Config) (lambda.Handler, error) {
	c.Queue = noVisibilityChanges{}
	return &blind{c}, nil
}

// simulate simulates an outage and waits until all events that arrived meanwhile have been
// delivered.
func simulate(t *testing.T, kind failure, handler func(deliver.Config) (lambda.Handler, error)) result {
	production := topology.Default()
	f, _ := production.Function(topology.DefaultNames().DeliverFunction)
	u := &usage{memory: f.MemoryMB}
	failing := &failingSegment{usage: u, until: time.Now().Add(*outage), kind: kind}
	w := start(t, parts{
		arrive:    func(segmentd.Received) {},
		out:       u,
		queue:     func(w *world, name string) lambda.Queue { return countingQueue{w.Feed(name), u} },
		transport: func(inner http.RoundTripper) http.RoundTripper { return countingTransport{inner, u} },
		environments: func(inner lambda.EnvironmentFactory) lambda.EnvironmentFactory {
			return func(ctx context.Context, info lambda.FunctionInfo) (lambda.Environment, error) {
				e, err := inner(ctx, info)
				return countingEnvironment{e, u}, err
			}
		},
		handler: func(c deliver.Config) (lambda.Handler, error) {
			c.Segment = failing
			return handler(c)
		},
	})
	defer w.end(t)
	url := queueURL(topology.DefaultNames().EventsQueue)
	for n := 0; time.Now().Before(failing.until); n++ {
		body := fmt.Sprintf(`{"type":"track","event":"E","userId":"u1","messageId":"m%d","timestamp":"2026-11-01T00:00:00.000Z"}`, n)
		_, err := w.client.SendMessage(t.Context(),
			&awssqs.SendMessageInput{QueueUrl: &url, MessageBody: &body,
				MessageAttributes: sqsclient.Attributes(map[string]message.Attribute{
					message.AttrEventCount: message.NumberAttribute(int64(eventsPerMessage())),
				})})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(messageEvery())
	}
	if !w.Drained(patience) {
		t.Errorf("%v after the outage the queue still holds %+v", patience, w.Events().Stats())
	}
	used := u.aws()
	return result{invocations: used.Invocations, calls: float64(u.calls.Load()), requests: used.SQSRequests, gbSeconds: used.GBSeconds,
		dollars: used.Bill().Total(), drained: time.Since(failing.until)}
}

func TestWhatAnOutageCosts(t *testing.T) {
	if testutil.Race || testing.Short() {
		t.Skip("it counts half a million receives, which takes minutes with the race detector: run it without " +
			"-race and -short")
	}
	t.Parallel()
	type scenario struct {
		name    string
		kind    failure
		handler func(deliver.Config) (lambda.Handler, error)
		result
	}
	scenarios := []scenario{
		{name: "Segment answers: Spillway", kind: answers, handler: realHandler},
		{name: "Segment answers 503: Spillway", kind: refuses, handler: realHandler},
		{name: "blind retries", kind: refuses, handler: blindHandler},
		{name: "Segment hangs: Spillway", kind: hangs, handler: realHandler},
		{name: "blind retries", kind: hangs, handler: blindHandler},
	}
	t.Run("scenarios", func(t *testing.T) {
		for i := range scenarios {
			s := &scenarios[i]
			t.Run(s.name, func(t *testing.T) {
				t.Parallel()
				runs := make([]result, 1)
				if *outage >= longOutage {
					runs = make([]result, 3)
				}
				for i := range runs {
					synctest.Test(t, func(t *testing.T) { runs[i] = simulate(t, s.kind, s.handler) })
				}
				s.result = medians(runs)
			})
		}
	})
	var table strings.Builder
	rows := tabwriter.NewWriter(&table, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(rows, "%v, 100 events/s\tinvocations\tcalls to Segment\tSQS requests\tGB-s\tdollars\tdelivered after\t\n", *outage)
	for _, s := range scenarios {
		fmt.Fprintf(rows, "%s\t%.0f\t%.0f\t%.0f\t%.0f\t%.3f\t%v\t\n", s.name, s.invocations, s.calls, s.requests,
			s.gbSeconds, s.dollars, s.drained.Round(time.Minute))
	}
	if err := rows.Flush(); err != nil {
		t.Fatal(err)
	}
	t.Logf("\n%s", table.String())
	// What comes before the breaker opens and after the outage weighs more in a short one.
	pick := func(long, short float64) float64 {
		if *outage >= longOutage {
			return long
		}
		return short
	}
	for _, c := range []struct {
		name           string
		ours, blind    result
		calls, dollars float64 // at most, as a part of those of blind retries
	}{
		// No way of waiting in SQS costs less: half of it is what the same messages cost while
		// Segment answers.
		{"503", scenarios[1].result, scenarios[2].result, pick(0.02, 0.15), pick(0.50, 0.85)},
		// With blind retries all ten environments hang all the time and so call less; ours hang
		// only when they probe.
		{"hangs", scenarios[3].result, scenarios[4].result, pick(0.08, 0.30), pick(0.15, 0.40)},
	} {
		if got := c.ours.calls / c.blind.calls; got > c.calls {
			t.Errorf("Segment %s: %.1f %% of the calls of blind retries, want at most %.1f %%", c.name, 100*got,
				100*c.calls)
		}
		if got := c.ours.dollars / c.blind.dollars; got > c.dollars {
			t.Errorf("Segment %s: %.0f %% of the dollars of blind retries, want at most %.0f %%", c.name, 100*got, 100*c.dollars)
		}
	}
}
