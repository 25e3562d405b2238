package oracle

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/spillwayhq/spillway/infra/local/lambda"
	"github.com/spillwayhq/spillway/infra/local/virtual"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/deliver"
)

// faults injects the faults of a plan until stop is called, and counts them.
type faults struct {
	*plan
	began time.Time

	mu       sync.Mutex
	rng      *rand.Rand
	off      bool
	happened map[string]int
	copies   []lambda.Message // to be received once more
}

func newFaults(p *plan) *faults {
	return &faults{plan: p, began: time.Now(), rng: rand.New(rand.NewPCG(p.seed, 0xfa17)), happened: map[string]int{}}
}

// happens draws whether a fault happens now.
func (f *faults) happens(name string, percent float64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.off || f.rng.Float64()*100 >= percent {
		return false
	}
	f.happened[name]++
	return true
}

// inTheMiddle reports whether this is the middle third of the run.
func (f *faults) inTheMiddle() bool {
	third := f.lasts / 3
	since := time.Since(f.began)
	return since > third && since < 2*third
}

// upTo draws a duration below d.
func (f *faults) upTo(d time.Duration) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return time.Duration(f.rng.Int64N(int64(d)))
}

func (f *faults) stop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.off = true
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

// faultyQueue is the events queue as the event source mapping sees it.
type faultyQueue struct {
	lambda.Queue
	*faults
	client *awssqs.Client
	url    string
}

// tooOld is how far the SentTimestamp of an aged message is set back.
const tooOld = deliver.MaxAge + time.Hour

func (q *faultyQueue) Receive(ctx context.Context, most int, wait time.Duration) ([]lambda.Message, error) {
	if q.happens("receive slow", q.receiveSlow) {
		sleep(ctx, q.upTo(10*time.Second))
	}
	if q.happens("receive fails", q.receiveFails) {
		return nil, virtual.ErrDown
	}
	got, err := q.Queue.Receive(ctx, most, wait)
	if err != nil || len(got) == 0 {
		return got, err
	}
	if q.happens("receive lost", q.receiveLost) {
		return nil, virtual.ErrDown
	}
	for i := range got {
		m := &got[i]
		if q.happens("visibility runs out", q.visibilityEnds) {
			// As if the queue's timeout were this short: SQS hands the message out again while it
			// is being delivered.
			_, err := q.client.ChangeMessageVisibility(ctx, &awssqs.ChangeMessageVisibilityInput{
				QueueUrl: &q.url, ReceiptHandle: &m.ReceiptHandle, VisibilityTimeout: int32(q.upTo(3 * time.Second).Seconds()),
			})
			if err != nil {
				return nil, err
			}
		}
		q.setSent(m)
		if q.happens("duplicated", q.duplicated) {
			q.mu.Lock()
			q.copies = append(q.copies, *m)
			q.mu.Unlock()
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(got) < most && len(q.copies) > 0 && q.rng.IntN(2) == 0 {
		got = append(got, q.copies[0])
		q.copies = q.copies[1:]
	}
	if !q.off && q.rng.Float64()*100 < q.shuffled {
		q.happened["out of order"]++
		q.rng.Shuffle(len(got), func(i, j int) { got[i], got[j] = got[j], got[i] })
	}
	return got, nil
}

// setSent sets the message's SentTimestamp by the clock of SQS, which differs from ours.
func (q *faultyQueue) setSent(m *lambda.Message) {
	sent, err := strconv.ParseInt(m.Attributes["SentTimestamp"], 10, 64)
	if err != nil {
		panic(err)
	}
	sent += q.skew.Milliseconds()
	if _, aged := m.MessageAttributes[attrAged]; aged {
		sent -= tooOld.Milliseconds()
	}
	m.Attributes["SentTimestamp"] = strconv.FormatInt(sent, 10)
}

func (q *faultyQueue) Delete(ctx context.Context, handles []string) error {
	if q.happens("delete fails", q.deleteFails) {
		return virtual.ErrDown
	}
	if err := q.Queue.Delete(ctx, handles); err != nil {
		return err
	}
	if q.happens("delete lost", q.deleteLost) {
		return virtual.ErrDown
	}
	return nil
}

// faultyTransport makes the function's own calls to SQS fail: visibility changes and dead letters.
type faultyTransport struct {
	http.RoundTripper
	*faults
}

func (t faultyTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		defer r.Body.Close()
	}
	sleep(r.Context(), sqsLatency)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	if t.happens("call slow", t.callSlow) {
		sleep(r.Context(), t.upTo(4*time.Second))
	}
	if t.happens("call fails", t.callFails) {
		return nil, virtual.ErrDown
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	names := topology.DefaultNames()
	for _, q := range []struct {
		down       bool
		name, says string
	}{{t.deadLettersDown, names.DeadLetterQueue, "dead-letter queue down"},
		{t.bulkDown, names.BulkQueue, "bulk queue down"}} {
		if q.down && t.inTheMiddle() && strings.Contains(string(body), q.name) && t.happens(q.says, 100) {
			return nil, virtual.ErrDown
		}
	}
	var failed string
	if t.happens("entry fails", t.entryFails) {
		body, failed = t.withoutEntry(body)
	} else if t.happens("entry missing", t.entryMissing) {
		body, _ = t.withoutEntry(body)
	}
	in := r.Clone(r.Context())
	in.Body, in.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	resp, err := t.RoundTripper.RoundTrip(in)
	if err != nil {
		return nil, err
	}
	if t.happens("call lost", t.callLost) {
		return nil, virtual.ErrDown
	}
	if failed != "" {
		resp = withFailure(resp, failed)
	}
	if t.happens("answer cut", t.answerCut) {
		whole, err := io.ReadAll(resp.Body)
		if err != nil {
			return nil, err
		}
		resp.Body = io.NopCloser(io.MultiReader(bytes.NewReader(whole[:len(whole)/2]), failingReader{}))
	}
	return resp, nil
}

// withoutEntry removes one entry from a batch call, unless it is the only one.
func (t faultyTransport) withoutEntry(body []byte) (rest []byte, id string) {
	var call map[string]any
	if err := json.Unmarshal(body, &call); err != nil {
		panic(err)
	}
	entries, _ := call["Entries"].([]any)
	if len(entries) < 2 {
		return body, ""
	}
	i := int(t.upTo(time.Duration(len(entries))))
	id = entries[i].(map[string]any)["Id"].(string)
	call["Entries"] = slices.Delete(entries, i, i+1)
	rest, err := json.Marshal(call)
	if err != nil {
		panic(err)
	}
	return rest, id
}

// withFailure adds a failed entry to an answer.
func withFailure(resp *http.Response, id string) *http.Response {
	var answer map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		panic(err)
	}
	list, _ := answer["Failed"].([]any)
	answer["Failed"] = append(list,
		map[string]any{"Id": id, "Code": "InternalError", "Message": "scripted", "SenderFault": false})
	body, err := json.Marshal(answer)
	if err != nil {
		panic(err)
	}
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return resp
}

// environments makes execution environments of the function that die and time out.
func (f *faults) environments(inner lambda.EnvironmentFactory) lambda.EnvironmentFactory {
	return func(ctx context.Context, info lambda.FunctionInfo) (lambda.Environment, error) {
		if f.happens("init fails", f.initFails) {
			return nil, errors.New("the function failed to start")
		}
		e, err := inner(ctx, info)
		return &faultyEnvironment{e, f}, err
	}
}

type faultyEnvironment struct {
	lambda.Environment
	*faults
}

var errKilled = errors.New("the environment was killed")

func (e *faultyEnvironment) Invoke(ctx context.Context, i lambda.Invocation) ([]byte, error) {
	switch {
	case e.happens("killed", e.killed):
		// A process whose calls all fail has no more effect than a dead one.
		alive, kill := context.WithCancelCause(ctx)
		defer time.AfterFunc(e.upTo(3*time.Second), func() { kill(errKilled) }).Stop()
		answer, err := e.Environment.Invoke(alive, i)
		if errors.Is(context.Cause(alive), errKilled) {
			return nil, errKilled
		}
		return answer, err
	case e.happens("answer lost", e.answerLost):
		if _, err := e.Environment.Invoke(ctx, i); err != nil {
			return nil, err
		}
		return nil, errKilled
	case e.happens("frozen", e.frozen):
		<-ctx.Done()
		return nil, ctx.Err()
	case e.happens("late", e.late):
		if _, err := e.Environment.Invoke(ctx, i); err != nil {
			return nil, err
		}
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return e.Environment.Invoke(ctx, i)
}

// sqsLatency is about how long a call to SQS takes within a region.
const sqsLatency = 10 * time.Millisecond
