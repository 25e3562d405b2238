package ingest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/spillwayhq/spillway/integration/testutil"
	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

func TestMain(m *testing.M) {
	testutil.CollectLess(400) // as usual, a third of the CPU would be the collector's
	goleak.VerifyTestMain(m)
}

// marker is part of all private data in tests: write keys and events. No log line may contain it.
const marker = "SECRET"

const (
	keyA = marker + "-key-A"
	keyB = marker + "-key-B"

	keyOff = marker + "-key-off"
)

var errQueueDown = errors.New("the queue is down")

// fakeQueue is a Sender that stores messages, and fails as a test says.
type fakeQueue struct {
	mu       sync.Mutex
	send     func(context.Context, []message.Message) error // nil: accept all
	messages []message.Message
	calls    int
}

func (q *fakeQueue) Send(ctx context.Context, messages []message.Message) error {
	var err error
	if q.send != nil {
		err = q.send(ctx, messages)
	}
	failed := map[int]error{}
	var partial *sqsclient.SendError
	if errors.As(err, &partial) {
		failed = partial.Failed
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.calls++
	if err != nil && partial == nil {
		return err
	}
	for i, m := range messages {
		if m.Size() > message.MaxBytes || m.Body == "" || m.Body != message.LegalText(m.Body) || len(m.Attributes) > 10 {
			panic("SQS does not accept this message")
		}
		if failed[i] == nil {
			q.messages = append(q.messages, m)
		}
	}
	return err
}

// rig is a Handler with fakes around it.
type rig struct {
	*Handler
	t           testing.TB
	queue       fakeQueue
	deadLetters fakeQueue
	counters    Counters
	mu          sync.Mutex
	log         bytes.Buffer
}

// Write implements io.Writer for the log.
func (r *rig) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.Write(p)
}

// withBreaker returns a queue as the wiring makes it.
func withBreaker(s Sender) Queue {
	return sqsclient.NewFailover(slog.New(slog.DiscardHandler), nil, sqsclient.Target{URL: "queue", Sender: s})
}

// newRig makes a Handler. When the test ends, it closes it, and searches the log for private data.
func newRig(t testing.TB, change func(*Config)) *rig {
	r := &rig{t: t}
	c := Config{Queue: withBreaker(&r.queue), DeadLetters: &r.deadLetters, Report: r.counters.Add,
		Logger:   slog.New(slog.NewTextHandler(r, nil)),
		ClientIP: func(*http.Request) netip.Addr { return netip.MustParseAddr("203.0.113.7") }}
	if change != nil {
		change(&c)
	}
	var err error
	if r.Handler, err = New(c); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if n := r.memory.used.Load(); n != 0 {
			t.Errorf("%d bytes are still reserved", n)
		}
		if log := r.log.String(); strings.Contains(log, marker) || strings.Contains(log, "203.0.113.7") {
			t.Errorf("the log holds private data: %s", r.log.String())
		}
	})
	return r
}

// do sends a request. Headers are pairs of name and value.
func (r *rig) do(method, path, body string, headers ...string) *httptest.ResponseRecorder {
	r.t.Helper()
	request := httptest.NewRequest(method, path, strings.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	r.ServeHTTP(w, request)
	return w
}

// basic is an Authorization header for keyA.
func basic() []string { return []string{"Authorization", "Bearer " + keyA} }

// post sends a body with keyA to a path and returns status and code of the answer.
func (r *rig) post(path, body string, headers ...string) (status int, code string) {
	r.t.Helper()
	return r.understood(r.do("POST", path, body, append(basic(), headers...)...))
}

// understood returns status and code of an answer, which must have the form that SDKs understand.
func (r *rig) understood(w *httptest.ResponseRecorder) (status int, code string) {
	r.t.Helper()
	if w.Code == 200 {
		want(r.t, "answer", w.Body.String(), `{"success":true}`)
		return 200, ""
	}
	var answer struct {
		Success              *bool
		Code, Message, Error string
	}
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || answer.Success == nil || *answer.Success ||
		answer.Code == "" || answer.Message == "" || answer.Error == "" {
		r.t.Errorf("answer %d %q: %v", w.Code, w.Body, err)
	}
	var seconds int
	if n, _ := fmt.Sscanf(w.Header().Get("Retry-After"), "%d",
		&seconds); (n == 1 && seconds >= 1 && seconds <= 300) != (w.Code == 429) {
		r.t.Errorf("a %d has Retry-After %q", w.Code, w.Header().Get("Retry-After"))
	}
	want(r.t, "X-RateLimit-Reset beside Retry-After", w.Header().Get("X-RateLimit-Reset"), w.Header().Get("Retry-After"))
	return w.Code, answer.Code
}

// sent returns the messages that the queue has, decoded.
func sent(t testing.TB, q *fakeQueue) []message.Content {
	t.Helper()
	q.mu.Lock()
	defer q.mu.Unlock()
	d, err := message.NewDecoder()
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var out []message.Content
	for _, m := range q.messages {
		var content message.Content
		if err := d.Decode([]byte(m.Body), &content); err != nil {
			t.Fatalf("a message can't be read: %v", err)
		}
		if n := m.Attributes[message.AttrEventCount].Text; n != fmt.Sprint(len(content.Events)) {
			t.Errorf("a message of %d events says %s", len(content.Events), n)
		}
		out = append(out, content)
	}
	return out
}

// events returns all events that the queue has.
func events(t testing.TB, q *fakeQueue) []string {
	t.Helper()
	out := []string{}
	for _, m := range sent(t, q) {
		for _, e := range m.Events {
			out = append(out, string(e.Raw))
		}
	}
	return out
}

func attr(m message.Message, name string) string { return m.Attributes[name].Text }

func want(t testing.TB, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// track is a valid event that needs no enrichment.
func track(id string) string {
	return `{"type":"track","userId":"` + marker + `","event":"e","messageId":"` + id +
		`","timestamp":"2026-11-23T11:00:00.000Z"}`
}

// acceptingQueue is a Sender that acknowledges at once.
type acceptingQueue struct{ messages atomic.Int64 }

func (t *acceptingQueue) Send(_ context.Context, messages []message.Message) error {
	t.messages.Add(int64(len(messages)))
	return nil
}

func refuseAll(ctx context.Context, _ []message.Message) error { return errQueueDown }
