package httpserver

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a listener without a network, whose connections live in a test's virtual time.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.closed) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

func (p *pipes) dial(t *testing.T) net.Conn {
	t.Helper()
	client, server := net.Pipe()
	select {
	case p.conns <- server:
	case <-p.closed:
		t.Fatal("the listener is closed")
	}
	return client
}

var quiet = slog.New(slog.DiscardHandler)

// running serves handler in a bubble; stop ends it and returns what serve returned.
func running(t *testing.T, handler http.Handler, flush func(context.Context) error) (*pipes, func() error) {
	t.Helper()
	l := newPipes()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, New(handler, quiet), l, 10*time.Second, flush) }()
	return l, func() error { cancel(); return <-ended }
}

func nothing(context.Context) error { return nil }

// readAll answers 200 when the body has come whole, 400 otherwise.
var readAll = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/unread" {
		return
	}
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		w.WriteHeader(http.StatusBadRequest)
	}
})

// drip sends text a byte a second, until it is out or the other side has closed.
func drip(c net.Conn, text string) {
	for i := range len(text) {
		if _, err := c.Write([]byte{text[i]}); err != nil {
			return
		}
		time.Sleep(time.Second)
	}
}

func TestAClientThatSendsSlowlyIsCutOff(t *testing.T) {
	const header = "POST /v1/t HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"
	for _, c := range []struct {
		name, atOnce, slowly string
		after                time.Duration
	}{
		{"in its header", "", "POST /v1/t HTTP/1.1\r\nHost: x\r\nX-A: " + strings.Repeat("a", 100), readHeaderTimeout},
		{"in its body", header, strings.Repeat("a", 1000), bodyGrace},
		{"in its body, of which much came before", strings.Replace(header, "1000", "11000", 1) + strings.Repeat("a", 10_000),
			strings.Repeat("a", 1000), bodyGrace + 10*time.Second},
		{"in a body that nobody reads", strings.Replace(header, "/v1/t", "/unread", 1), strings.Repeat("a", 1000), bodyGrace},
		{"after its request", "POST /v1/t HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", "", idleTimeout},
		{"before its request", "", "", readHeaderTimeout},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, stop := running(t, readAll, nothing)
				start := time.Now()
				conn := l.dial(t)
				var writing sync.WaitGroup
				writing.Go(func() {
					_, _ = io.WriteString(conn, c.atOnce)
					drip(conn, c.slowly)
				})
				_, _ = io.Copy(io.Discard, conn) // ends when the server closes
				if took := time.Since(start); took < c.after || took > c.after+2*time.Second {
					t.Errorf("it was cut off after %v, want %v", took, c.after)
				}
				conn.Close()
				writing.Wait()
				if err := stop(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestEndlessHeadersAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, stop := running(t, readAll, nothing)
		conn := l.dial(t)
		go func() {
			_, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n")
			for err == nil {
				_, err = io.WriteString(conn, "X-A: "+strings.Repeat("a", 1000)+"\r\n")
			}
		}()
		answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || answer.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("%v, %v", answer, err)
		}
		conn.Close()
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestARequestUnderWayIsFinishedBeforeTheServerEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var order []string
		slow := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			time.Sleep(5 * time.Second)
			order = append(order, "answered")
		})
		l, stop := running(t, slow, func(context.Context) error { order = append(order, "flushed"); return nil })
		conn := l.dial(t)
		go func() { _, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n") }()
		synctest.Wait()
		ended := make(chan error)
		go func() { ended <- stop() }()
		synctest.Wait()
		select {
		case <-l.closed:
		default:
			t.Error("it still takes new connections")
		}
		if answer, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || answer.StatusCode != http.StatusOK {
			t.Errorf("%v, %v", answer, err)
		}
		if err := <-ended; err != nil || strings.Join(order, ", ") != "answered, flushed" {
			t.Errorf("%v, %v", order, err)
		}
		conn.Close()
	})
}

func TestAConnectionThatCarriedNothingDoesNotDelayTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, stop := running(t, readAll, nothing)
		unused := l.dial(t)
		synctest.Wait()
		start := time.Now()
		if err := stop(); err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("the server ended after %v", took)
		}
		if open(unused) {
			t.Error("the connection is still open")
		}
	})
}

func TestShutdownIsBoundedByTheGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		hanging := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release })
		full := errors.New("the queue is unavailable")
		l, stop := running(t, hanging, func(ctx context.Context) error { return errors.Join(full, ctx.Err()) })
		conn := l.dial(t)
		go func() { _, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n") }()
		synctest.Wait()
		start := time.Now()
		err := stop()
		if took := time.Since(start); took != 10*time.Second || !errors.Is(err, full) ||
			!errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("after %v: %v", took, err)
		}
		close(release)
		conn.Close()
	})
}

func TestAListenerThatFailsEndsTheServer(t *testing.T) {
	flushed := false
	l := newPipes()
	l.Close()
	err := Serve(t.Context(), New(readAll, quiet), l, time.Second,
		func(context.Context) error { flushed = true; return nil })
	if !errors.Is(err, net.ErrClosed) || !flushed {
		t.Errorf("%v, flushed %v", err, flushed)
	}
}

func TestTheLogNamesNoClient(t *testing.T) {
	var log bytes.Buffer
	server := New(readAll, slog.New(slog.NewTextHandler(&log, nil)))
	server.ErrorLog.Printf("http: panic serving 203.0.113.9:4711: boom")
	server.ErrorLog.Printf("http: Accept error: too many open files; retrying in 5ms")
	if text := log.String(); strings.Contains(text, "203.0.113.9") || !strings.Contains(text, "too many open files") {
		t.Errorf("log: %s", text)
	}
}

func TestAPanicIsAnAnswerAndALogLineWithoutTheEvent(t *testing.T) {
	var log bytes.Buffer
	recorder := httptest.NewRecorder()
	Guard(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("secret@example.com") }),
		slog.New(slog.NewJSONHandler(&log, nil))).ServeHTTP(recorder, httptest.NewRequest(http.MethodPost, "/v1/t", nil))
	if recorder.Code != http.StatusInternalServerError {
		t.Errorf("answered %d", recorder.Code)
	}
	if text := log.String(); !strings.Contains(text, "server_test.go") || strings.Contains(text, "secret") {
		t.Errorf("log: %s", text)
	}
}
