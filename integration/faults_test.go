package integration

import (
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/integration/testutil"
)

// faultyQueue is a proxy in front of a queue that fails as SQS can. Its port does not change.
type faultyQueue struct {
	url  string // of the events queue, through it
	addr string

	mu      sync.Mutex
	forward http.Handler // to the queue
	server  *http.Server // nil: nobody listens
	serving sync.WaitGroup
	answer  http.HandlerFunc // nil: that of the queue
	healed  chan struct{}    // closed when the fault ends
}

func newFaultyQueue(t *testing.T, queueURL string) *faultyQueue {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:"+testutil.FreePort(t))
	if err != nil {
		t.Fatal(err)
	}
	q := &faultyQueue{addr: l.Addr().String(), healed: make(chan struct{})}
	q.url = "http://" + q.addr + q.leadTo(t, queueURL).Path
	q.serve(l)
	t.Cleanup(q.refuse)
	return q
}

// leadTo makes a queue the one behind the proxy.
func (q *faultyQueue) leadTo(t *testing.T, queueURL string) *url.URL {
	t.Helper()
	target, err := url.Parse(queueURL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: target.Scheme, Host: target.Host})
	// The default writes to the log as well.
	proxy.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) }
	q.mu.Lock()
	defer q.mu.Unlock()
	q.forward = proxy
	return target
}

// queue is the handler that forwards to the queue.
func (q *faultyQueue) queue() http.Handler {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.forward
}

func (q *faultyQueue) serve(l net.Listener) {
	q.server = &http.Server{Handler: q}
	server := q.server
	q.serving.Go(func() { _ = server.Serve(l) })
}

func (q *faultyQueue) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q.mu.Lock()
	answer := q.answer
	q.mu.Unlock()
	if answer == nil {
		answer = q.queue().ServeHTTP
	}
	answer(w, r)
}

// fail makes the proxy answer all calls with a handler.
func (q *faultyQueue) fail(answer http.HandlerFunc) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.answer = answer
}

// refuse closes the port, so that connections are refused.
func (q *faultyQueue) refuse() {
	q.mu.Lock()
	server := q.server
	q.server = nil
	q.mu.Unlock()
	if server != nil {
		server.Close()
		q.serving.Wait()
	}
}

// heal ends all faults. The connections of calls that hang are closed.
func (q *faultyQueue) heal(t *testing.T) {
	t.Helper()
	q.mu.Lock()
	defer q.mu.Unlock()
	q.answer = nil
	close(q.healed)
	q.healed = make(chan struct{})
	if q.server != nil {
		return
	}
	l, err := net.Listen("tcp", q.addr)
	if err != nil {
		t.Fatal(err)
	}
	q.serve(l)
}

// end returns the channel that is closed when the current fault ends.
func (q *faultyQueue) end() <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.healed
}

// hang reads a call and never answers it.
func (q *faultyQueue) hang(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	select {
	case <-r.Context().Done():
	case <-q.end():
	}
	panic(http.ErrAbortHandler)
}

// slow makes the queue answer late.
func (q *faultyQueue) slow(latency time.Duration) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		select {
		case <-time.After(latency):
		case <-q.end():
		}
		q.queue().ServeHTTP(w, r)
	}
}

// unavailable answers as SQS does when it fails.
func unavailable(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	w.WriteHeader(http.StatusServiceUnavailable)
}

// throttled answers as SQS does above the account's limit.
func throttled(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	w.Header().Set("X-Amzn-Query-Error", "RequestThrottled;Sender")
	w.WriteHeader(http.StatusBadRequest)
	_, _ = io.WriteString(w, `{"__type":"com.amazonaws.sqs#RequestThrottled","message":"Request is throttled."}`)
}
