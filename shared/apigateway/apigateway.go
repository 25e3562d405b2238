// Package apigateway lets an http.Handler answer the invocations of a Lambda function behind an
// HTTP API or a function URL, which both use payload format 2.0.
//
// It exists because aws-lambda-go's lambdaurl streams its answers, which an HTTP API and a buffered
// function URL do not support.
package apigateway

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

// answerMargin is the part of an invocation's time that is left for writing the answer. A handler
// that still waits for the queue then answers 429, which SDKs try again; if the function timed out,
// the gateway would answer 500 without our headers.
const answerMargin = 500 * time.Millisecond

// errPayload is the error of an event that is not a request: a mistake in the deployment, not a
// client's.
var errPayload = errors.New("the event is not an HTTP request of payload format 2.0: put the function behind an HTTP " +
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

// reply is the answer in the same format. The JSON always has all fields: the gateway takes a
// partial structure for a body.
type reply struct {
	StatusCode      int               `json:"statusCode"`
	Headers         map[string]string `json:"headers"`
	Cookies         []string          `json:"cookies,omitempty"`
	Body            string            `json:"body"`
	IsBase64Encoded bool              `json:"isBase64Encoded"`
}

// A Handler is a lambda.Handler that passes each invocation to an http.Handler.
type Handler struct{ HTTP http.Handler }

// Invoke implements lambda.Handler.
func (h Handler) Invoke(ctx context.Context, event []byte) ([]byte, error) {
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
	h.HTTP.ServeHTTP(a, request)
	return json.Marshal(a.reply())
}

// readRequest restores the request that the gateway received.
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
			return nil, fmt.Errorf("%w (isBase64Encoded is true, but the body is not base64: %w)", errPayload, err)
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
	// The body is whole, and its length may differ from that on the wire. A net/http server removes
	// these headers, too.
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
		// The only address that a client can't make up: headers are as the client sent them.
		RemoteAddr: net.JoinHostPort(p.RequestContext.HTTP.SourceIP, "0"),
		// Both kinds of gateway speak TLS only.
		TLS: &tls.ConnectionState{HandshakeComplete: true, ServerName: p.RequestContext.DomainName},
	}
	return request.WithContext(ctx), nil
}

// pathOf removes the stage's name from the path, where HTTP APIs put it for every stage but
// $default.
func pathOf(raw, stage string) *url.URL {
	if stage != "" && stage != "$default" {
		if rest, ok := strings.CutPrefix(raw, "/"+stage); ok && (rest == "" || rest[0] == '/') {
			raw = rest
		}
	}
	if raw == "" {
		raw = "/"
	}
	// An HTTP API decodes the path and a function URL does not. A path that can't be decoded has
	// been decoded already.
	decoded, err := url.PathUnescape(raw)
	if err != nil {
		return &url.URL{Path: raw}
	}
	return &url.URL{Path: decoded, RawPath: raw}
}

// answer is an http.ResponseWriter that collects the answer.
type answer struct {
	header http.Header
	sent   http.Header // as it was when the status was written
	status int
	body   bytes.Buffer
}

func newAnswer() *answer { return &answer{header: http.Header{}} }

// Header implements http.ResponseWriter.
func (a *answer) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter. The format has no informational answers.
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
