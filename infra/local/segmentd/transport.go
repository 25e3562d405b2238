package segmentd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
)

// HTTPClient returns a client whose requests go to the Server without a network, whatever host they
// name. It works in a synctest bubble and is safe for concurrent use. Faults are the errors that a
// network would return: a reset satisfies errors.Is(err, syscall.ECONNRESET), a hang lasts until the
// request's context is done, half an answer ends with io.ErrUnexpectedEOF. Each request has a
// goroutine, which ends when the answer's body was read or closed, or the context is done. The
// client follows no redirects, so that a test sees them.
func (s *Server) HTTPClient() *http.Client {
	return &http.Client{
		Transport:     transport{s},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

type transport struct{ server http.Handler }

func (t transport) RoundTrip(req *http.Request) (*http.Response, error) {
	closeBody := func() {
		if req.Body != nil {
			_ = req.Body.Close()
		}
	}
	defer closeBody()
	ctx, cancel := context.WithCancel(req.Context())
	in := req.Clone(ctx)
	in.RequestURI = req.URL.RequestURI()
	in.RemoteAddr = "in-process"
	if in.Host == "" {
		in.Host = req.URL.Host
	}
	if in.Body == nil {
		in.Body = http.NoBody
	}
	w := newMemoryWriter()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer w.finish()
		t.server.ServeHTTP(w, in)
	}()
	select {
	case <-w.started:
	case <-ctx.Done():
		cancel()
		closeBody() // ends a read of it
		<-done      // the request's body may not be read after RoundTrip has returned
		return nil, req.Context().Err()
	}
	status, header, err := w.head()
	if err != nil {
		cancel()
		<-done
		return nil, err
	}
	return &http.Response{
		Status:        fmt.Sprintf("%d %s", status, http.StatusText(status)),
		StatusCode:    status,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        header,
		Body:          &memoryBody{w: w, ctx: ctx, cancel: cancel},
		ContentLength: -1,
		Request:       req,
	}, nil
}

// memoryWriter is the ResponseWriter of an in-process request. It buffers the answer without limit
// (the Server's answers are small), so that a handler never waits for a client that doesn't read.
type memoryWriter struct {
	header  http.Header
	started chan struct{} // closed when the client may read: at a Flush, or at the end

	mu     sync.Mutex
	open   bool // started is closed
	status int
	sent   http.Header // as it was when the status was written
	body   []byte
	err    error         // how the answer ends: io.EOF, or the fault; nil while it goes on
	more   chan struct{} // closed and replaced when body or err has changed
}

func newMemoryWriter() *memoryWriter {
	return &memoryWriter{header: http.Header{}, started: make(chan struct{}), more: make(chan struct{})}
}

func (w *memoryWriter) Header() http.Header { return w.header }

func (w *memoryWriter) WriteHeader(status int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.writeHeader(status)
}

func (w *memoryWriter) writeHeader(status int) {
	if w.status != 0 || w.err != nil {
		return
	}
	w.status, w.sent = status, w.header.Clone()
}

func (w *memoryWriter) start() {
	if !w.open {
		w.open = true
		close(w.started)
	}
}

func (w *memoryWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.writeHeader(http.StatusOK)
	if w.err != nil {
		return 0, w.err
	}
	w.body = append(w.body, p...)
	w.changed()
	return len(p), nil
}

// Flush lets the client read what was written. Without it the client reads nothing before the handler
// has returned, as with net/http and answers as short as ours: a client that has its answer finds it
// counted in Stats.
func (w *memoryWriter) Flush() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.writeHeader(http.StatusOK)
	w.start()
}

// abort ends the answer with err, which a reader gets after the bytes written before.
func (w *memoryWriter) abort(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return
	}
	w.err = err
	w.changed()
}

// finish ends the answer: the handler has returned.
func (w *memoryWriter) finish() {
	w.WriteHeader(http.StatusOK)
	w.abort(io.EOF)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.start()
}

func (w *memoryWriter) changed() {
	close(w.more)
	w.more = make(chan struct{})
}

// head returns the status and header, or the error if there is none.
func (w *memoryWriter) head() (int, http.Header, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.status == 0 {
		return 0, nil, w.err
	}
	return w.status, w.sent, nil
}

// memoryBody reads what was written to a memoryWriter. Like every body it is read by one goroutine at
// a time.
type memoryBody struct {
	w      *memoryWriter
	ctx    context.Context
	cancel context.CancelFunc
	off    int
}

func (b *memoryBody) Read(p []byte) (int, error) {
	for {
		b.w.mu.Lock()
		n := copy(p, b.w.body[b.off:])
		b.off += n
		err, more := b.w.err, b.w.more
		b.w.mu.Unlock()
		switch {
		case n > 0 || len(p) == 0:
			return n, nil
		case err != nil:
			b.cancel()
			return 0, err
		}
		select {
		case <-more:
		case <-b.ctx.Done():
			return 0, b.ctx.Err()
		}
	}
}

// Close ends the answer for the handler.
func (b *memoryBody) Close() error {
	b.w.abort(errBodyClosed)
	b.cancel()
	return nil
}

var errBodyClosed = errors.New("segmentd: read of a closed response body")
