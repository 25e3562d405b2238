package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"
)

// answerMargin is kept of an invocation's time to write the answer in. A handler that is still
// waiting for the queue then says 429, which SDKs try again; a time-out of the function would be
// the gateway's 500 without our headers.
const answerMargin = 500 * time.Millisecond

// errPayload is why an event is no request. It is a mistake in the deployment, not a client's.
var errPayload = errors.New("the event is no HTTP request of payload format 2.0: put the function behind an HTTP " +
	"API with payload format 2.0, or behind a function URL")

// payload is what an HTTP API and a function URL send, as far as it is used (API Gateway developer
// guide, "Working with AWS Lambda proxy integrations for HTTP APIs", payload format 2.0; Lambda
// developer guide, "Invoking function URLs": the same format).
type payload struct {
	Version         string            `json:"version"`
	RawPath         string            `json:"rawPath"`
	RawQueryString  string            `json:"rawQueryString"`
	Cookies         []string          `json:"cookies"`
	Headers         map[string]string `json:"headers"` // names in lower case, several values joined by commas
	Body            string            `json:"body"`
	IsBase64Encoded bool              `json:"isBase64Encoded"`
	RequestContext  struct {
		DomainName string `json:"domainName"`
		Stage      string `json:"stage"`
		HTTP       struct {
			Method   string `json:"method"`
			Protocol string `json:"protocol"`
			SourceIP string `json:"sourceIp"`
		} `json:"http"`
	} `json:"requestContext"`
}

// reply is the answer in the same format. The JSON is always the whole structure: of a partial one
// the gateway makes a body.
type reply struct {
	StatusCode      int               `json:"statusCode"`
	Headers         map[string]string `json:"headers"`
	Cookies         []string          `json:"cookies,omitempty"`
	Body            string            `json:"body"`
	IsBase64Encoded bool              `json:"isBase64Encoded"`
}

// A function is the lambda.Handler that gives invocations to an http.Handler, one at a time as
// Lambda does. It exists because aws-lambda-go's lambdaurl streams its answers, which neither an
// HTTP API nor a buffered function URL takes.
type function struct{ handler http.Handler }

// Invoke implements lambda.Handler.
func (f function) Invoke(ctx context.Context, event []byte) ([]byte, error) {
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-answerMargin))
		defer cancel()
	}
	request, err := readRequest(ctx, event)
	if err != nil {
		return nil, err
	}
	a := newAnswer()
	f.handler.ServeHTTP(a, request)
	return json.Marshal(a.reply())
}

// readRequest makes the request that the gateway got.
func readRequest(ctx context.Context, event []byte) (*http.Request, error) {
	var p payload
	if err := json.Unmarshal(event, &p); err != nil {
		return nil, fmt.Errorf("%w (%w)", errPayload, err)
	}
	if p.Version != "2.0" || p.RequestContext.HTTP.Method == "" {
		return nil, errPayload
	}
	body := []byte(p.Body)
	if p.IsBase64Encoded {
		decoded, err := base64.StdEncoding.DecodeString(p.Body)
		if err != nil {
			return nil, fmt.Errorf("%w (its body is said to be base64 and is not: %w)", errPayload, err)
		}
		body = decoded
	}
	header := make(http.Header, len(p.Headers)+1)
	for name, value := range p.Headers {
		header.Set(name, value)
	}
	host := header.Get("Host")
	if host == "" {
		host = p.RequestContext.DomainName
	}
	// The body is whole, and may have another length than on the wire. net/http keeps these to
	// itself, too.
	for _, name := range []string{"Host", "Content-Length", "Transfer-Encoding"} {
		header.Del(name)
	}
	if len(p.Cookies) > 0 {
		header.Set("Cookie", strings.Join(p.Cookies, "; "))
	}
	target := pathOf(p.RawPath, p.RequestContext.Stage)
	target.RawQuery = p.RawQueryString
	request := &http.Request{
		Method: p.RequestContext.HTTP.Method, URL: target, RequestURI: target.RequestURI(),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: header, Host: host, Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)),
		// The platform's word, the only one that a client can't make up: headers that name an
		// address are what it was sent.
		RemoteAddr: net.JoinHostPort(p.RequestContext.HTTP.SourceIP, "0"),
		// Both kinds of gateway speak TLS only.
		TLS: &tls.ConnectionState{HandshakeComplete: true, ServerName: p.RequestContext.DomainName},
	}
	return request.WithContext(ctx), nil
}

// pathOf takes a stage's name off the path, where HTTP APIs leave it for every stage but $default.
func pathOf(raw, stage string) *url.URL {
	if stage != "" && stage != "$default" {
		if rest, ok := strings.CutPrefix(raw, "/"+stage); ok && (rest == "" || rest[0] == '/') {
			raw = rest
		}
	}
	if raw == "" {
		raw = "/"
	}
	// An HTTP API decodes the path and a function URL does not; what can't be decoded was.
	decoded, err := url.PathUnescape(raw)
	if err != nil {
		return &url.URL{Path: raw}
	}
	return &url.URL{Path: decoded, RawPath: raw}
}

// answer is the http.ResponseWriter that keeps the answer.
type answer struct {
	header http.Header
	sent   http.Header // as it was when the status was written
	status int
	body   bytes.Buffer
}

func newAnswer() *answer { return &answer{header: http.Header{}} }

// Header implements http.ResponseWriter.
func (a *answer) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter. Informational answers have no place in the format.
func (a *answer) WriteHeader(status int) {
	if a.status == 0 && status >= http.StatusOK {
		a.status, a.sent = status, a.header.Clone()
	}
}

// Write implements http.ResponseWriter.
func (a *answer) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.body.Write(p)
}

func (a *answer) reply() reply {
	a.WriteHeader(http.StatusOK)
	r := reply{StatusCode: a.status, Headers: make(map[string]string, len(a.sent))}
	for name, values := range a.sent {
		if name == "Set-Cookie" { // the one header whose values can't be joined
			r.Cookies = values
			continue
		}
		r.Headers[name] = strings.Join(values, ", ")
	}
	body := a.body.Bytes()
	if r.IsBase64Encoded = len(body) > 0 && !isText(a.sent.Get("Content-Type"), body); r.IsBase64Encoded {
		r.Body = base64.StdEncoding.EncodeToString(body)
	} else {
		r.Body = string(body)
	}
	return r
}

// isText reports whether a body survives as a JSON string.
func isText(contentType string, body []byte) bool {
	kind, _, _ := mime.ParseMediaType(contentType)
	return (kind == "application/json" || strings.HasPrefix(kind, "text/")) && utf8.Valid(body)
}
