package sdks

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/integration/testutil"
	"github.com/spillwayhq/spillway/integration/testutil/localtest"
	"github.com/spillwayhq/spillway/shared/app/ingest"
)

func TestMain(m *testing.M) { testutil.Main(m) }

// testTimeout ends a test that hangs. It asserts no speed.
const testTimeout = 90 * time.Second

const writeKey = "wk-demo"

// A deployment is the ingest endpoint and a whole local pipeline behind it. It records the requests
// to the endpoint and the events that reach the Segment emulator.
type deployment struct {
	*localtest.Arrivals
	URL string

	mu        sync.Mutex
	requests  []request
	answers   []scripted
	queueDown bool
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
	answers   []scripted // to the first requests with events, in this order; the endpoint does not see those requests
	queueDown bool       // no message can be sent until the endpoint has refused a request
	writeKeys string     // the document with the write keys that are accepted; empty: any well-formed one
}

// deploy starts a deployment, which ends with the test.
func deploy(t *testing.T, s setup) *deployment {
	t.Helper()
	d := &deployment{Arrivals: localtest.NewArrivals(), answers: s.answers, queueDown: s.queueDown}
	p := localtest.Start(t, local.Config{OnEvent: d.Add})
	production := topology.Default()
	options := local.PipelineOptions(&production, p.SQSURL)
	options.Server = ingest.Server{ShutdownGrace: time.Second, Linger: ingest.Linger}
	if s.writeKeys != "" {
		options.WriteKeysFile = filepath.Join(t.TempDir(), "write-keys.json")
		if err := os.WriteFile(options.WriteKeysFile, []byte(s.writeKeys), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	endpoint, err := ingest.New(t.Context(), options.Ingest(), ingest.Parts{
		SQS: localtest.Client(p.SQSURL, localtest.Via(&queueTransport{p.SQS().HTTPClient().Transport, d}),
			// With the AWS SDK's own retries a call may time out, which opens the endpoint's circuit breaker
			// at once: more than one request would be refused.
			func(o *sqs.Options) { o.RetryMaxAttempts = 1 }),
		Metrics: io.Discard, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := endpoint.Serve(ctx, listener); err != nil {
			t.Errorf("serve the ingest endpoint: %v", err)
		}
	})
	t.Cleanup(func() { stop(); serving.Wait() })
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: listener.Addr().String()})
	transport := new(http.Transport)
	proxy.Transport = transport
	recorder := httptest.NewServer(d.record(proxy))
	t.Cleanup(func() {
		recorder.Close()
		transport.CloseIdleConnections()
		if t.Failed() {
			t.Logf("the requests were answered %v", statuses(d.sent()))
		}
	})
	d.URL = recorder.URL
	return d
}

// queueTransport is the endpoint's way to SQS.
type queueTransport struct {
	http.RoundTripper
	*deployment
}

func (q *queueTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	q.mu.Lock()
	down := q.queueDown
	q.mu.Unlock()
	if down {
		return nil, errors.New("the queue is down, as the test asked")
	}
	return q.RoundTripper.RoundTrip(r)
}

// record wraps the way to the endpoint: it records what an SDK sends, and answers with the scripted
// answers first.
func (d *deployment) record(endpoint http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodOptions || r.URL.Path == "/v1/m" {
			endpoint.ServeHTTP(w, r)
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
			endpoint.ServeHTTP(recorder, r)
		}
		seen.Answered, seen.Status = time.Now(), recorder.code
		seconds, _ := strconv.Atoi(w.Header().Get("Retry-After"))
		seen.RetryAfter = time.Duration(seconds) * time.Second
		d.mu.Lock()
		defer d.mu.Unlock()
		d.requests = append(d.requests, seen)
		d.queueDown = d.queueDown && seen.Status == http.StatusOK
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

// answer writes the scripted answer. Like the ingest API's, it lets a browser of another origin
// read the status and Retry-After.
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

// awaitEvents waits until all of these events have reached the Segment emulator.
func (d *deployment) awaitEvents(t *testing.T, ids ...string) {
	t.Helper()
	for _, id := range ids {
		d.AwaitEvent(t, id)
	}
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
