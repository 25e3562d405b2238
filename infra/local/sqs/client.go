package sqs

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
)

// HTTPClient returns a client whose requests go straight to ServeHTTP, without a socket and whatever
// their host, for an aws-sdk-go-v2 client in the same process. A request runs in its caller's
// goroutine, so that it works in a testing/synctest bubble, and ends when its context does. The
// client is safe for concurrent use.
func (s *Server) HTTPClient() *http.Client {
	return &http.Client{Transport: transport{s}}
}

type transport struct{ s *Server }

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	in := r.Clone(r.Context())
	in.RequestURI = r.URL.RequestURI()
	if in.Host == "" {
		in.Host = r.URL.Host
	}
	if in.Body == nil {
		in.Body = http.NoBody
	}
	defer in.Body.Close() // a RoundTripper must
	w := &recorder{header: http.Header{}, status: http.StatusOK}
	t.s.ServeHTTP(w, in)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return &http.Response{
		Status:     strconv.Itoa(w.status) + " " + http.StatusText(w.status),
		StatusCode: w.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.header, ContentLength: int64(w.body.Len()),
		Body: io.NopCloser(&w.body), Request: r,
	}, nil
}

type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *recorder) Header() http.Header         { return w.header }
func (w *recorder) WriteHeader(status int)      { w.status = status }
func (w *recorder) Write(b []byte) (int, error) { return w.body.Write(b) }
