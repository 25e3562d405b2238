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

// patience ends a test that would hang. It asserts no speed.
const patience = 90 * time.Second

const writeKey = "wk-demo"

// A door is the ingest API in front of a whole local pipeline. It writes down what comes in, and
// what arrives at the far end.
type door struct {
	URL      string
	pipeline *local.Pipeline

	mu       sync.Mutex
	change   chan struct{} // closed and renewed when something has come or arrived
	requests []request
	arrived  []segmentd.Received
	answers  []scripted
}

// request is one that carried events, or asked for settings, with what it was answered.
type request struct {
	Method, Path string
	Header       http.Header
	Body         []byte // without its compression
	At, Answered time.Time
	Status       int
	RetryAfter   time.Duration // of the answer
}

// scripted is an answer that an SDK gets instead of ours.
type scripted struct {
	status     int
	retryAfter int // seconds, 0: none
}

// setup says what is wrong with a door. The zero value: nothing.
type setup struct {
	answers    []scripted // to the first requests that carry events, in this order, in our place: nothing is accepted then
	queueFails int32      // so many calls to the queue
	keys       ingest.KeySet
}

// unreliable is a queue that is away for the first calls.
type unreliable struct {
	ingest.Sender
	fails atomic.Int32
}

func (u *unreliable) Send(ctx context.Context, messages []message.Message) error {
	if u.fails.Add(-1) >= 0 {
		return errors.New("the queue is away")
	}
	return u.Sender.Send(ctx, messages)
}

// open boots a door.
func open(t *testing.T, s setup) *door {
	t.Helper()
	d := &door{change: make(chan struct{}), answers: s.answers}
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

// record stands in front of the handler: it writes down what an SDK sends, and answers from the
// script.
func (d *door) record(handler http.Handler) http.Handler {
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
		kept := &status{ResponseWriter: w, code: http.StatusOK}
		if s, ok := d.nextAnswer(r); ok {
			s.answer(kept, r)
		} else {
			handler.ServeHTTP(kept, r)
		}
		seen.Answered, seen.Status = time.Now(), kept.code
		seconds, _ := strconv.Atoi(w.Header().Get("Retry-After"))
		seen.RetryAfter = time.Duration(seconds) * time.Second
		d.note(func() { d.requests = append(d.requests, seen) })
	})
}

func (d *door) nextAnswer(r *http.Request) (scripted, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if r.Method != http.MethodPost || len(d.answers) == 0 {
		return scripted{}, false
	}
	s := d.answers[0]
	d.answers = d.answers[1:]
	return s, true
}

// answer lets a browser see the status and Retry-After of an answer from another origin, as ours
// do.
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

func (d *door) arrive(e segmentd.Received) { d.note(func() { d.arrived = append(d.arrived, e) }) }

func (d *door) note(what func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	what()
	close(d.change)
	d.change = make(chan struct{})
}

// sent returns the requests that carried events, so far, in the order of their answers.
func (d *door) sent() []request {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(d.requests), func(r request) bool { return r.Method != http.MethodPost })
}

// asked reports whether something was loaded from a path.
func (d *door) asked(path string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.ContainsFunc(d.requests, func(r request) bool { return r.Path == path && r.Status == http.StatusOK })
}

// arrivals are the events at the stand-in by messageId.
func (d *door) arrivals() map[string][]segmentd.Received {
	d.mu.Lock()
	defer d.mu.Unlock()
	by := map[string][]segmentd.Received{}
	for _, e := range d.arrived {
		by[e.MessageID] = append(by[e.MessageID], e)
	}
	return by
}

// await waits until done says so, looking again whenever something has come or arrived.
func (d *door) await(t *testing.T, what string, done func() bool) {
	t.Helper()
	timeout := time.NewTimer(patience)
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
			t.Fatalf("gave up waiting for %s; requests: %v; arrived: %v", what, statuses(d.sent()),
				slices.Sorted(maps.Keys(d.arrivals())))
		}
	}
}

// awaitEvents waits until all of them are at the stand-in.
func (d *door) awaitEvents(t *testing.T, ids ...string) {
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

func (d *door) requestsSoFar() []request {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.requests)
}

func (d *door) arrivedAt(i int) segmentd.Received {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.arrived[i]
}
