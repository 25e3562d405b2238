package segment

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/spillwayhq/spillway/shared/event"
)

// scribble overwrites the events, so that the race detector finds code that still reads them.
func scribble(b *event.Batch) {
	for _, e := range b.Events {
		clear(e)
	}
}

// bigBatch is larger than what the sockets between two processes of a machine buffer.
func bigBatch() *event.Batch { return largest(500) }

// largest is a batch of so many events of the largest size.
func largest(events int) *event.Batch {
	b := &event.Batch{WriteKey: "key"}
	for range events {
		b.Events = append(b.Events, bytes.Repeat([]byte("x"), event.MaxEventBytes))
	}
	return b
}

func TestNothingReadsTheEventsAfterFlush(t *testing.T) {
	early := rawServer(t, func(c net.Conn, stop <-chan struct{}) {
		readHead(c)
		io.WriteString(c, "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\n{}")
		<-stop // never reads the rest
	})
	t.Run("HTTP/1 answered early", func(t *testing.T) {
		for range 3 {
			b := bigBatch()
			client := newTestClient(t, Config{Endpoint: early})
			e := failure(t, client.Flush(t.Context(), b))
			scribble(b)
			if e.Status != 413 {
				t.Errorf("%+v", e)
			}
		}
	})
	t.Run("cancelled while writing", func(t *testing.T) {
		reading := make(chan struct{}, 1)
		silent := rawServer(t, func(c net.Conn, stop <-chan struct{}) {
			readHead(c)
			reading <- struct{}{}
			<-stop
		})
		for range 3 {
			b := bigBatch()
			client := newTestClient(t, Config{Endpoint: silent})
			ctx, cancel := context.WithCancel(t.Context())
			go func() {
				<-reading
				cancel()
			}()
			e := failure(t, client.Flush(ctx, b))
			scribble(b)
			if e.Class != Transient {
				t.Errorf("%+v", e)
			}
		}
	})
	t.Run("HTTP/2 answered early", func(t *testing.T) {
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.ProtoMajor != 2 {
				t.Errorf("%s, want HTTP/2", r.Proto)
			}
			w.WriteHeader(413)
		}))
		server.EnableHTTP2 = true
		server.StartTLS()
		defer server.Close()
		client := newTestClient(t, Config{Endpoint: server.URL, Transport: server.Client().Transport})
		for range 50 {
			b := largest(30)
			e := failure(t, client.Flush(t.Context(), b))
			scribble(b)
			if e.Status != 413 {
				t.Errorf("%+v", e)
			}
		}
	})
	t.Run("compressed", func(t *testing.T) {
		client := newTestClient(t, Config{Endpoint: early, Gzip: true})
		b := bigBatch()
		random := rand.NewChaCha8([32]byte{})
		for _, e := range b.Events {
			random.Read(e) // otherwise little would be left to write
		}
		for range 2 { // the buffer of the first is that of the second
			if e := failure(t, client.Flush(t.Context(), b)); e.Status != 413 {
				t.Errorf("%+v", e)
			}
		}
		scribble(b)
	})
}

func TestAReaderThatIsClosedReadsNothingMore(t *testing.T) {
	closed := 0
	r := &countedReader{from: strings.NewReader("text"), done: func() { closed++ }}
	if n, err := r.Read(make([]byte, 2)); n != 2 || err != nil {
		t.Errorf("read %d, %v", n, err)
	}
	for range 2 {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
	if n, err := r.Read(make([]byte, 2)); n != 0 || err == nil {
		t.Errorf("after Close: read %d, %v", n, err)
	}
	if closed != 1 {
		t.Errorf("closed %d times, want 1", closed)
	}
}

// readerFunc is an io.Reader.
type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestClosingAReaderWaitsForTheReadUnderWay(t *testing.T) {
	for range 100 {
		event := make([]byte, 100) // the race detector sees who reads it too late
		done := make(chan struct{})
		r := &countedReader{from: readerFunc(func(p []byte) (int, error) { return copy(p, event), nil }), done: func() {
			clear(event)
			close(done)
		}}
		var transport sync.WaitGroup
		transport.Go(func() {
			for {
				if _, err := r.Read(make([]byte, 10)); err != nil {
					return
				}
			}
		})
		transport.Go(func() {
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		})
		<-done
		transport.Wait()
	}
}
