package drill

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"path"
	"slices"
	"sync"
	"time"

	"github.com/aws/smithy-go"

	"github.com/spillwayhq/spillway/infra/local/lambda"
	"github.com/spillwayhq/spillway/infra/local/virtual"
	"github.com/spillwayhq/spillway/shared/ssm"
)

// The calls to SQS of one region take about this long; one in a hundred takes four times as long.
const (
	sqsLatency     = 8 * time.Millisecond
	slowSQSLatency = 4 * time.Second
	// sqsTimeout is what a call takes that nobody answers: the programs' own timeouts are shorter.
	sqsTimeout = 30 * time.Second
)

// faults says what does not work now, and puts that between the parts. It is safe for concurrent
// use.
type faults struct {
	scenario *Scenario
	start    time.Time

	mu    sync.Mutex
	marks map[string]string // what a person has switched: documents of package operator, by parameter
	rng   *rand.Rand
}

func newFaults(s *Scenario, start time.Time, seed uint64) *faults {
	return &faults{scenario: s, start: start, marks: map[string]string{}, rng: rand.New(rand.NewPCG(seed, 0xfa17))}
}

// switchTo notes what a person has switched; without a document it is as usual again.
func (f *faults) switchTo(parameter string, document []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.marks[parameter] = string(document)
}

// switched is the document of a parameter; empty: there is none.
func (f *faults) switched(parameter string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.marks[parameter]
}

// active reports whether a fault of one of the kinds lasts now.
func (f *faults) active(kinds ...Problem) bool {
	at := time.Since(f.start)
	return slices.ContainsFunc(f.scenario.Failures, func(t Failure) bool {
		return t.holds(at) && slices.Contains(kinds, t.Kind)
	})
}

// around draws a duration: d in the median, rarely much more.
func (f *faults) around(d time.Duration) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return time.Duration(float64(d) * math.Exp(0.4*f.rng.NormFloat64()))
}

// sleep waits for d, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// onTheWay is SQS as a client in the region sees it: calls take time, and may not be answered.
type onTheWay struct {
	http.RoundTripper
	*faults
	*usage
	deadLetters string // the name of their queue
}

func (t onTheWay) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx := r.Context()
	latency := t.around(sqsLatency)
	if t.active(SlowSQS) {
		latency = t.around(slowSQSLatency)
	}
	away := t.active(NoSQS, NoRegion)
	if away {
		latency = sqsTimeout
	}
	if t.active(NoDeadLetters) {
		r = r.Clone(ctx) // a RoundTripper must not change its request
		away = away || t.toDeadLetters(r)
	}
	sleep(ctx, latency)
	if err := ctx.Err(); err != nil || away {
		if r.Body != nil {
			r.Body.Close()
		}
		return nil, errors.Join(virtual.ErrDown, err)
	}
	t.request(r.ContentLength)
	return t.RoundTripper.RoundTrip(r)
}

// toDeadLetters reports whether a call is about the dead-letter queue. It reads the body, and leaves
// it to be read again.
func (t onTheWay) toDeadLetters(r *http.Request) bool {
	body, err := io.ReadAll(r.Body)
	r.Body.Close()
	r.Body = io.NopCloser(bytes.NewReader(body))
	return err == nil && bytes.Contains(body, []byte(t.deadLetters))
}

// receiver is the events queue as the event source sees it.
type receiver struct {
	lambda.Queue
	*faults
	*usage
}

func (q receiver) Receive(ctx context.Context, most int, wait time.Duration) ([]lambda.Message, error) {
	if q.active(NoSQS, NoRegion) {
		sleep(ctx, wait)
		return nil, virtual.ErrDown
	}
	got, err := q.Queue.Receive(ctx, most, wait)
	bytes := 0
	for i := range got {
		bytes += len(got[i].Body)
	}
	if len(got) == 0 {
		q.idlePolls.Add(1)
	} else {
		q.request(int64(bytes))
	}
	return got, err
}

func (q receiver) Delete(ctx context.Context, handles []string) error {
	if q.active(NoSQS, NoRegion) {
		return virtual.ErrDown
	}
	for range (len(handles) + 9) / 10 {
		q.request(0)
	}
	return q.Queue.Delete(ctx, handles)
}

// initTime is how long a Go function on arm64 takes to start.
const initTime = 300 * time.Millisecond

var (
	errBug    = errors.New("the function ends with an error: a bug that was deployed")
	errKilled = errors.New("the environment ended: signal: killed")
)

// environments are those of the deliver function, with the faults that happen in them.
func (f *faults) environments(inner lambda.EnvironmentFactory, u *usage) lambda.EnvironmentFactory {
	return func(ctx context.Context, info lambda.FunctionInfo) (lambda.Environment, error) {
		sleep(ctx, f.around(initTime))
		if f.active(NoRegion) {
			return nil, errors.New("no environment can be started")
		}
		e, err := inner(ctx, info)
		return &environment{e, f, u}, err
	}
}

type environment struct {
	lambda.Environment
	*faults
	*usage
}

// Invoke is the function, unless a fault is in its way.
func (e *environment) Invoke(ctx context.Context, i lambda.Invocation) ([]byte, error) {
	done := e.begin()
	defer done()
	switch {
	case isHold(i.Payload):
		sleep(ctx, holdTime)
		return []byte(`{"batchItemFailures":[]}`), nil
	case e.active(DeliverFails):
		sleep(ctx, 100*time.Millisecond)
		return nil, errBug
	case hasPoison(i.Payload):
		sleep(ctx, time.Second)
		return nil, errKilled
	}
	return e.Environment.Invoke(ctx, i)
}

// documents are what SSM has: the document with the write keys, and what a person has switched.
type documents struct{ *faults }

// writeKeysParameter is the name of the parameter with the write keys, for Names.Parameter.
const writeKeysParameter = "write-keys"

// GetParameter implements ssm.API.
func (d documents) GetParameter(_ context.Context, name string, _ bool) (ssm.Value, error) {
	document := goodDocument
	switch {
	case d.active(NoRegion):
		return ssm.Value{}, errors.New("SSM is down")
	case path.Base(name) != writeKeysParameter:
		if document = d.switched(path.Base(name)); document == "" {
			return ssm.Value{}, &smithy.GenericAPIError{Code: "ParameterNotFound"}
		}
	case d.active(WrongDocument):
		document = wrongDocument
	case d.active(BadDocument):
		document = `{"writeKeys":[`
	}
	return ssm.Value{Text: document, Version: 1}, nil
}

// The write keys of the drill.
const (
	apiKey     = "drillApi"
	webKey     = "drillWeb"
	partnerKey = "drillPartner"
	wrongKey   = "drillWrong"
	floodKey   = "drillFlood"

	goodDocument = `{"writeKeys":[{"name":"api","writeKey":"` + apiKey + `"},{"name":"web","writeKey":"` + webKey +
		`"},{"name":"partner","writeKey":"` + partnerKey + `"},{"name":"old app","writeKey":"` + wrongKey + `"}]}`
	wrongDocument = `{"writeKeys":[{"name":"staging","writeKey":"drillStaging"}]}`
)
