package sdks

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/infra/local/segmentd"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/ingest"
	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

// testTimeout ends a test that hangs. It asserts no speed.
const testTimeout = 90 * time.Second

const writeKey = "wk-demo"

// A deployment is the ingest API and a whole local pipeline. It records the requests to the ingest
// API and the events that reach the Segment emulator.
type deployment struct {
	URL      string
	pipeline *local.Pipeline

	mu       sync.Mutex
	change   chan struct{} // closed and replaced after each request and each arrival
	requests []request
	arrived  []segmentd.Received
	answers  []scripted
}

// request is one with events, or for settings, and its answer.
type request struct {
	Method, Path string
	Header       http.Header
	Body         []byte // decompressed
	At, Answered time.Time
	Status       int
	RetryAfter   time.Duration // of the answer
}

// scripted is an answer that an SDK gets instead of the ingest API's.
type scripted struct {
	status     int
	retryAfter int // seconds, 0: none
}

// setup says how a deployment fails. The zero value works.
type setup struct {
	answers    []scripted // to the first requests with events, in this order; the ingest API does not see those requests
	queueFails int32      // how many sends to the queue fail
	keys       ingest.KeySet
}

// unreliable is a queue whose first sends fail.
type unreliable struct {
	ingest.Sender
	fails atomic.Int32
}

func (u *unreliable) Send(ctx context.Context, messages []message.Message) error {
	if u.fails.Add(-1) >= 0 {
		return errors.New("the queue fails as the test asked")
	}
	return u.Sender.Send(ctx, messages)
}

// deploy starts a deployment, which ends with the test.
func deploy(t *testing.T, s setup) *deployment {
	t.Helper()
	d := &deployment{change: make(chan struct{}), answers: s.answers}
	p, err := local.Start(local.Config{Dir: t.TempDir(), SQSAddr: "127.0.0.1:0", SegmentAddr: "127.0.0.1:0",
		OnEvent: d.arrive})
	if err != nil {
		t.Fatal(err)
	}
	d.pipeline = p
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := p.Run(ctx); err != nil {
			t.Errorf("run the pipeline: %v", err)
		}
	})
	t.Cleanup(func() { cancel(); running.Wait() })

	api := sqs.New(sqs.Options{
		Region: local.Region, BaseEndpoint: aws.String(p.SQSURL), HTTPClient: p.SQS().HTTPClient(),
		Credentials: credentials.NewStaticCredentialsProvider(local.AccessKey, local.AccessKey, ""),
	})
	events := &unreliable{Sender: sqsclient.New(api, p.QueueURL(topology.DefaultNames().EventsQueue))}
	events.fails.Store(s.queueFails)
	handler, err := ingest.New(ingest.Config{
		Queue: events, DeadLetters: sqsclient.New(api, p.QueueURL(topology.DefaultNames().DeadLetterQueue)), Keys: s.keys,
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(d.record(handler))
	t.Cleanup(func() {
		server.Close()
		if err := handler.Shutdown(context.Background()); err != nil {
			t.Errorf("shut the handler down: %v", err)
		}
	})
	d.URL = server.URL
	return d
}

// record wraps the handler: it records what an SDK sends, and answers with the scripted answers
// first.
func (d *deployment) record(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodOptions || r.URL.Path == "/v1/m" {
			handler.ServeHTTP(w, r)
			return
		}
		wire, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler) // the SDK went away
		}
		seen := request{Method: r.Method, Path: r.URL.Path, Header: r.Header.Clone(), Body: unzip(wire), At: time.Now()}
		r.Body = io.NopCloser(bytes.NewReader(wire))
		recorder := &status{ResponseWriter: w, code: http.StatusOK}
		if s, ok := d.nextAnswer(r); ok {
			s.answer(recorder, r)
		} else {
			handler.ServeHTTP(recorder, r)
		}
		seen.Answered, seen.Status = time.Now(), recorder.code
		seconds, _ := strconv.Atoi(w.Header().Get("Retry-After"))
		seen.RetryAfter = time.Duration(seconds) * time.Second
		d.note(func() { d.requests = append(d.requests, seen) })
	})
}

func (d *deployment) nextAnswer(r *http.Request) (scripted, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if r.Method != http.MethodPost || len(d.answers) == 0 {
		return scripted{}, false
	}
	s := d.answers[0]
	d.answers = d.answers[1:]
	return s, true
}

// answer writes the scripted answer. Like the ingest API's, it lets a browser of another origin read
// the status and Retry-After.
func (s scripted) answer(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	if origin := r.Header.Get("Origin"); origin != "" {
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Access-Control-Expose-Headers", "Retry-After")
	}
	if s.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(s.retryAfter))
	}
	h.Set("Content-Type", "application/json")
	w.WriteHeader(s.status)
	_, _ = io.WriteString(w, `{"success":false,"code":"scripted","message":"scripted","error":"scripted"}`)
}

type status struct {
	http.ResponseWriter
	code int
}

func (s *status) WriteHeader(code int) {
	s.code = code
	s.ResponseWriter.WriteHeader(code)
}

func unzip(wire []byte) []byte {
	z, err := gzip.NewReader(bytes.NewReader(wire))
	if err != nil {
		return wire
	}
	body, err := io.ReadAll(z)
	if err != nil {
		return wire
	}
	return body
}

func (d *deployment) arrive(e segmentd.Received) { d.note(func() { d.arrived = append(d.arrived, e) }) }

func (d *deployment) note(what func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	what()
	close(d.change)
	d.change = make(chan struct{})
}

// sent returns the requests with events so far, in the order of their answers.
func (d *deployment) sent() []request {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(d.requests), func(r request) bool { return r.Method != http.MethodPost })
}

// loaded reports whether something was loaded from a path.
func (d *deployment) loaded(path string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.ContainsFunc(d.requests, func(r request) bool { return r.Path == path && r.Status == http.StatusOK })
}

// arrivals returns the events at the Segment emulator by messageId.
func (d *deployment) arrivals() map[string][]segmentd.Received {
	d.mu.Lock()
	defer d.mu.Unlock()
	by := map[string][]segmentd.Received{}
	for _, e := range d.arrived {
		by[e.MessageID] = append(by[e.MessageID], e)
	}
	return by
}

// await waits until done reports true. It calls done after each request and each arrival.
func (d *deployment) await(t *testing.T, what string, done func() bool) {
	t.Helper()
	timeout := time.NewTimer(testTimeout)
	defer timeout.Stop()
	for {
		d.mu.Lock()
		change := d.change
		d.mu.Unlock()
		if done() {
			return
		}
		select {
		case <-change:
		case <-timeout.C:
			t.Fatalf("timed out waiting for %s; requests: %v; arrived: %v", what, statuses(d.sent()),
				slices.Sorted(maps.Keys(d.arrivals())))
		}
	}
}

// awaitEvents waits until all of these events have reached the Segment emulator.
func (d *deployment) awaitEvents(t *testing.T, ids ...string) {
	t.Helper()
	d.await(t, strings.Join(ids, ", "), func() bool {
		by := d.arrivals()
		return !slices.ContainsFunc(ids, func(id string) bool { return len(by[id]) == 0 })
	})
}

func statuses(requests []request) []int {
	codes := make([]int, len(requests))
	for i, r := range requests {
		codes[i] = r.Status
	}
	return codes
}

func (d *deployment) requestsSoFar() []request {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.requests)
}

func (d *deployment) arrivedAt(i int) segmentd.Received {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.arrived[i]
}
