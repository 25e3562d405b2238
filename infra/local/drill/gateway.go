package drill

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/spillwayhq/spillway/infra/local/cloudwatch/feed"
	"github.com/spillwayhq/spillway/infra/local/lambda"
	"github.com/spillwayhq/spillway/infra/topology"
)

// ingestURL is where SDKs send to; the transport is a gateway.
const ingestURL = "https://events.test"

// gatewayLatency is what the HTTP API adds.
const gatewayLatency = 10 * time.Millisecond

// gateway is the HTTP API in front of the ingest function. It writes the metrics that API Gateway
// writes. It is safe for concurrent use.
type gateway struct {
	*simulation
	function *lambda.Function
	live     *lambda.Alias // of it, which the HTTP API invokes

	mu       sync.Mutex
	canaries int
}

func newGateway(s *simulation, code lambda.EnvironmentFactory) (*gateway, error) {
	f, _ := s.topology.Function(s.topology.Names.IngestFunction)
	function := lambda.NewFunction(lambda.FunctionConfig{Name: f.Name, Timeout: f.Timeout, MemoryMB: f.MemoryMB,
		ReservedConcurrency: f.ReservedConcurrency, NewEnvironment: code})
	live, err := function.CreateAlias(topology.LiveAlias, lambda.Routing{Version: function.Publish().Number()})
	if err != nil {
		return nil, err
	}
	live.Seed(s.seed)
	return &gateway{simulation: s, function: function, live: live}, nil
}

// second reports whether this is every second canary.
func (g *gateway) second(r *http.Request) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if r.UserAgent() != "spillway-canary" {
		return false
	}
	g.canaries++
	return g.canaries%2 == 0
}

// RoundTrip implements http.RoundTripper for clients of the endpoint.
func (g *gateway) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	r.Body.Close()
	if err != nil {
		return nil, err
	}
	began := time.Now()
	if g.faults.active(NoRegion) {
		sleep(r.Context(), 5*time.Second)
		return nil, errNoRegion
	}
	sleep(r.Context(), g.faults.around(gatewayLatency))
	status, header, answer := g.answer(r, body)
	g.usage.http.Add(1)
	g.endpoint.Answered(status, time.Since(began))
	if err := r.Context().Err(); err != nil {
		return nil, err // the client has gone, and the request was counted all the same
	}
	return &http.Response{
		Status: http.StatusText(status), StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: header,
		ContentLength: int64(len(answer)), Body: io.NopCloser(strings.NewReader(answer)), Request: r,
	}, nil
}

// answer is the function's answer, or the gateway's own.
func (g *gateway) answer(r *http.Request, body []byte) (status int, header http.Header, answer string) {
	second := g.second(r)
	switch {
	case g.faults.active(IngestHeld):
		f := g.topology.Names.IngestFunction
		feed.Invoked(g.record.put, f, lambda.Invoked{End: time.Now(), Err: lambda.ErrThrottled})
		return http.StatusServiceUnavailable, http.Header{}, `{"message":"Service Unavailable"}`
	case g.faults.active(NoEndpoint) || second && g.faults.active(HalfCanaries):
		return http.StatusServiceUnavailable, http.Header{}, `{"message":"Service Unavailable"}`
	case g.faults.active(GatewayLimit):
		return http.StatusTooManyRequests, http.Header{}, `{"message":"Too Many Requests"}`
	}
	out, err := g.live.Invoke(context.WithoutCancel(r.Context()), payload(r, body, g.faults.active(MangledGzip)))
	var reply struct {
		StatusCode int
		Headers    map[string]string
		Body       string
	}
	if err == nil {
		err = json.Unmarshal(out, &reply)
	}
	if err != nil {
		return http.StatusInternalServerError, http.Header{}, `{"message":"Internal Server Error"}`
	}
	header = http.Header{}
	for name, value := range reply.Headers {
		header.Set(name, value)
	}
	return reply.StatusCode, header, reply.Body
}

// payload is a request as an HTTP API passes it to a function. As text a compressed body is
// destroyed.
func payload(r *http.Request, body []byte, asText bool) []byte {
	headers := map[string]string{}
	for name := range r.Header {
		headers[strings.ToLower(name)] = r.Header.Get(name)
	}
	carried := base64.StdEncoding.EncodeToString(body)
	if asText {
		carried = strings.ToValidUTF8(string(body), "\uFFFD")
	}
	text, err := json.Marshal(map[string]any{
		"version": "2.0", "rawPath": r.URL.Path, "headers": headers, "body": carried,
		"isBase64Encoded": !asText, "requestContext": map[string]any{
			"domainName": r.URL.Host, "stage": "$default",
			"http": map[string]any{"method": r.Method, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.9"},
		},
	})
	if err != nil {
		panic(err) // strings only
	}
	return text
}

// newRequest is a request of an SDK with a batch.
func newRequest(ctx context.Context, writeKey string, body []byte) *http.Request {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, ingestURL+"/v1/batch", bytes.NewReader(body))
	if err != nil {
		panic(err) // the URL is constant
	}
	r.Header.Set("Content-Type", "application/json")
	r.SetBasicAuth(writeKey, "")
	return r
}
