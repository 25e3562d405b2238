package segment

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/spillwayhq/spillway/shared/event"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rawServer answers each connection by a function: what no http.Server does. stop is closed when
// the test ends.
func rawServer(t testing.TB, serve func(c net.Conn, stop <-chan struct{})) (endpoint string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var conns sync.WaitGroup
	stop := make(chan struct{})
	conns.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns.Go(func() {
				defer c.Close()
				serve(c, stop)
			})
		}
	})
	t.Cleanup(func() { l.Close(); close(stop); conns.Wait() })
	return "http://" + l.Addr().String()
}

// readHead reads a request up to its body.
func readHead(c net.Conn) {
	r := bufio.NewReaderSize(c, 16)
	for {
		line, err := r.ReadString('\n')
		if err != nil || line == "\r\n" {
			return
		}
	}
}

func TestOneConnectionServesAllFlushesWhateverTheirAnswers(t *testing.T) {
	var conns, requests atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		read(t, r)
		answers := []struct{ status, size int }{{200, 16}, {400, 10_000}, {429, 0}, {500, 200_000}, {302, 500}, {413, 1001},
			{503, 1000}}
		a := answers[int(requests.Add(1))%len(answers)]
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(a.status)
		w.Write(make([]byte, a.size))
	}))
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			conns.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	client := newTestClient(t, Config{Endpoint: server.URL})
	b := batchOf(`{}`, paddedEvent(30_000), paddedEvent(30_000), paddedEvent(30_000), paddedEvent(30_000))
	for range 50 {
		if err := client.Flush(t.Context(), b); err != nil && failure(t, err).Status == 0 {
			t.Fatal(err)
		}
	}
	if requests.Load() != 50 || conns.Load() != 1 {
		t.Errorf("%d requests over %d connections, want 50 over 1", requests.Load(), conns.Load())
	}
}

func TestARedirectIsAnAnswerAndIsNotFollowed(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter,
		*http.Request) {
		t.Error("the redirect was followed")
	}))
	defer elsewhere.Close()
	for _, zipped := range []bool{false, true} {
		for _, status := range []int{300, 301, 302, 303, 307, 308} {
			for _, location := range []string{elsewhere.URL, "/login", "http://[::1", ""} {
				requests := 0
				server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					requests++
					read(t, r)
					if location != "" {
						w.Header().Set("Location", location)
					}
					w.WriteHeader(status)
				}))
				client := newTestClient(t, Config{Endpoint: server.URL, Gzip: zipped})
				e := failure(t, client.Flush(t.Context(), batchOf(`{}`)))
				if e.Class != Misconfigured || e.Status != status || requests != 1 {
					t.Errorf("%d to %q: %v after %d requests", status, location, e, requests)
				}
				server.Close()
			}
		}
	}
}

func TestNoAnswerOrHalfOfOneIsTransient(t *testing.T) {
	for name, c := range map[string]struct {
		endpoint string
		status   int
	}{
		"refused": {"http://127.0.0.1:1", 0}, // below the ports that the system hands out
		"reset": {rawServer(t, func(c net.Conn, _ <-chan struct{}) {
			readHead(c)
			c.(*net.TCPConn).SetLinger(0)
		}), 0},
		"closed": {rawServer(t, func(c net.Conn, _ <-chan struct{}) { readHead(c) }), 0},
		"half a head": {rawServer(t, func(c net.Conn, _ <-chan struct{}) {
			readHead(c)
			io.WriteString(c, "HTTP/1.1 200 O")
		}), 0},
		"no HTTP": {rawServer(t, func(c net.Conn, _ <-chan struct{}) {
			readHead(c)
			io.WriteString(c, "220 smtp.example ESMTP\r\n\r\n")
		}), 0},
		"half a body": {rawServer(t, func(c net.Conn, _ <-chan struct{}) {
			readHead(c)
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{\"succ")
		}), 200},
		"half a chunk": {rawServer(t, func(c net.Conn, _ <-chan struct{}) {
			readHead(c)
			io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n{\"succ")
		}), 200},
	} {
		client := newTestClient(t, Config{Endpoint: c.endpoint})
		e := failure(t, client.Flush(t.Context(), batchOf(`{}`)))
		if e.Class != Transient || e.Status != c.status || e.Err == nil {
			t.Errorf("%s: %+v, want transient with status %d", name, e, c.status)
		}
	}
}

func TestARejectionThatIsCutShortIsStillARejection(t *testing.T) {
	client := newTestClient(t, Config{Endpoint: rawServer(t, func(c net.Conn, _ <-chan struct{}) {
		readHead(c)
		io.WriteString(c, "HTTP/1.1 401 Unauthorized\r\nContent-Length: 100\r\n\r\nno such key")
	})})
	e := failure(t, client.Flush(t.Context(), batchOf(`{}`)))
	if e.Class != Misconfigured || e.Status != 401 || e.Detail != "no such key" {
		t.Errorf("%+v", e)
	}
}

func TestACancelledContextEndsTheFlush(t *testing.T) {
	arrived := make(chan struct{})
	client := newTestClient(t, Config{Endpoint: rawServer(t, func(c net.Conn, stop <-chan struct{}) {
		readHead(c)
		close(arrived)
		<-stop
	})})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-arrived
		cancel()
	}()
	if e := failure(t, client.Flush(ctx, batchOf(`{}`))); e.Class != Transient || !errors.Is(e, context.Canceled) {
		t.Errorf("%+v", e)
	}
}

// brittleConn fails each write once it is broken, as one does that the other side closed while it
// was idle.
type brittleConn struct {
	net.Conn
	broken *atomic.Bool
}

func (c brittleConn) Write(p []byte) (int, error) {
	if c.broken.Load() {
		return 0, errors.New("broken pipe")
	}
	return c.Conn.Write(p)
}

func TestAConnectionClosedWhileIdleIsReplacedAndTheWholeBodySentAgain(t *testing.T) {
	for _, zipped := range []bool{false, true} {
		var bodies []string
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body := read(t, r)
			bodies = append(bodies, body[strings.Index(body, `"writeKey"`):])
		}))
		var dialled []*atomic.Bool
		transport := &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := new(net.Dialer).DialContext(ctx, network, addr)
			broken := new(atomic.Bool)
			dialled = append(dialled, broken)
			return brittleConn{c, broken}, err
		}}
		client := newTestClient(t, Config{Endpoint: server.URL, Transport: transport, Gzip: zipped})
		b := batchOf(`{"a":1}`, `{"b":2}`)
		for range 3 {
			if err := client.Flush(t.Context(), b); err != nil {
				t.Fatal(err)
			}
			dialled[len(dialled)-1].Store(true)
		}
		want := strings.Repeat(`"writeKey":"key","batch":[{"a":1},{"b":2}]}`+"\n", 3)
		if got := strings.Join(bodies, "\n") + "\n"; got != want || len(dialled) != 3 {
			t.Errorf("gzip %v: %d connections, bodies\n%s", zipped, len(dialled), got)
		}
		server.Close()
	}
}

func TestManyFlushesAtATimeDoNotMixTheirBatches(t *testing.T) {
	for _, zipped := range []bool{false, true} {
		var mu sync.Mutex
		seen := map[string]int{}
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body := read(t, r)
			user, _, _ := r.BasicAuth()
			mu.Lock()
			defer mu.Unlock()
			if strings.Count(body, `"of":"`+user+`"`) != 20 || strings.Count(body, `"of":`) != 20 {
				t.Errorf("the batch of %s is %s", user, body)
			}
			seen[user]++
		}))
		client := newTestClient(t, Config{Endpoint: server.URL, Gzip: zipped})
		var flushes sync.WaitGroup
		for n := range 8 {
			flushes.Go(func() {
				b := &event.Batch{WriteKey: fmt.Sprintf("key-%d", n)}
				for range 20 {
					b.Events = append(b.Events, []byte(`{"of":"`+b.WriteKey+`"}`))
				}
				for range 10 {
					if err := client.Flush(t.Context(), b); err != nil {
						t.Error(err)
					}
				}
			})
		}
		flushes.Wait()
		for n := range 8 {
			if key := fmt.Sprintf("key-%d", n); seen[key] != 10 {
				t.Errorf("%s arrived %d times, want 10", key, seen[key])
			}
		}
		server.Close()
	}
}

// BenchmarkFlush sends batches of 440 events of about 1 KB to a server in the same process, which
// reads and discards them: its work is in the numbers.
func BenchmarkFlush(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, `{"success":true}`)
	}))
	defer server.Close()
	batch := &event.Batch{WriteKey: "key"}
	for i := range 440 {
		batch.Events = append(batch.Events, sampleEvent(i))
	}
	for _, zipped := range []bool{false, true} {
		b.Run(fmt.Sprintf("gzip=%v", zipped), func(b *testing.B) {
			client := newTestClient(b, Config{Endpoint: server.URL, Gzip: zipped})
			b.ReportAllocs()
			for b.Loop() {
				if err := client.Flush(b.Context(), batch); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(batch.Events)), "ns/event")
		})
	}
}
