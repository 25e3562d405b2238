package oracle

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/infra/topology"
	appingest "github.com/spillwayhq/spillway/shared/app/ingest"
)

// invoker is a function as Lambda calls it.
type invoker interface {
	Invoke(context.Context, []byte) ([]byte, error)
}

// newIngest is the ingest endpoint with the linger of a server, so that requests share messages.
func newIngest(t *testing.T, sqs appingest.SQS, l *ledger) invoker {
	t.Helper()
	o := appingest.Options{
		Name: "spillway", QueueURL: queueURL(topology.DefaultNames().EventsQueue),
		DeadLetterQueueURL: queueURL(topology.DefaultNames().DeadLetterQueue),
		Server:             &appingest.Server{Linger: appingest.Linger},
	}
	if l.archive != nil {
		o.ArchiveQueueURL = queueURL(topology.DefaultNames().BulkQueue)
	}
	e, err := appingest.New(t.Context(), o, appingest.Parts{SQS: sqs, Metrics: ingestMetrics{l}, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	return e.Lambda()
}

// ingestMetrics takes from the endpoint's metrics how many events it says that it has not archived.
type ingestMetrics struct{ *ledger }

func (m ingestMetrics) Write(line []byte) (int, error) {
	var metrics struct{ EventsNotArchived int }
	if err := json.Unmarshal(line, &metrics); err != nil {
		m.complain("the ingest endpoint wrote %.200s: %w", line, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ledger.totals.ingestNotArchived += metrics.EventsNotArchived
	return len(line), nil
}

// sdks send through the ingest endpoint as Segment's SDKs do: a batch is sent until it is answered
// 200.
type sdks struct {
	*issuer
	endpoint invoker
	sending  sync.WaitGroup
}

// send lets some SDKs send a batch each at the same time, some of them with the same write key.
func (s *sdks) send(ctx context.Context) {
	for range 1 + s.rng.IntN(4) {
		p := parcel{key: writeKeys[s.rng.IntN(2)], path: "/v1/batch", common: drawCommon(s.rng)}
		p.events = s.draw(1+s.rng.IntN(20), true)
		for at := range p.events {
			p.events[at].timestamped, p.events[at].null = true, false
		}
		// A request without any valid event is refused.
		p.events = append(p.events, s.small())
		compress := s.rng.IntN(2) == 0
		began := time.Now()
		s.sending.Go(func() {
			for !s.post(ctx, &p, compress) {
			}
			for at := range p.events {
				e := &p.events[at]
				out := s.expected(&p, e)
				out.want, out.seen = e.bytes(e.id, ownTimestamp(e)), span{began.Truncate(time.Millisecond), time.Now()}
				out.byIngest = e.reason == "invalid" || e.reason == "too_large"
				s.ledger.issue(e.id, out)
			}
		})
	}
}

// post sends a request, and reports whether it was answered 200. If not, it waits as asked.
func (s *sdks) post(ctx context.Context, p *parcel, compress bool) bool {
	sent := *p
	sent.key = "" // it is in the header
	body, headers := []byte(sent.body()), map[string]string{
		"content-type": "application/json", "authorization": "Basic " + base64.StdEncoding.EncodeToString([]byte(p.key+":")),
	}
	if compress {
		headers["content-encoding"] = "gzip"
		body = zipped(body)
	}
	request, err := json.Marshal(map[string]any{
		"version": "2.0", "rawPath": "/v1/batch", "headers": headers, "body": base64.StdEncoding.EncodeToString(body),
		"isBase64Encoded": true, "requestContext": map[string]any{
			"domainName": "events.example.com", "stage": "$default",
			"http": map[string]any{"method": "POST", "protocol": "HTTP/1.1", "sourceIp": "192.0.2.9"},
		},
	})
	if err != nil {
		panic(err)
	}
	answer, err := s.endpoint.Invoke(ctx, request)
	var reply struct {
		StatusCode int
		Headers    map[string]string
		Body       string
	}
	if err == nil {
		err = json.Unmarshal(answer, &reply)
	}
	if err == nil && reply.StatusCode != 200 && reply.StatusCode != 429 {
		err = fmt.Errorf("it answered %d: %s", reply.StatusCode, reply.Body)
	}
	if err != nil {
		s.ledger.complain("a request to the ingest endpoint: %w", err)
		return true
	}
	if reply.StatusCode == 200 {
		return true
	}
	header := http.Header{}
	for name, value := range reply.Headers {
		header.Set(name, value)
	}
	seconds, err := strconv.Atoi(header.Get("Retry-After"))
	if err != nil || seconds < 1 {
		s.ledger.complain("a 429 of the ingest endpoint has the headers %v", reply.Headers)
		seconds = 1
	}
	sleep(ctx, time.Duration(seconds)*time.Second)
	return ctx.Err() != nil
}

func zipped(body []byte) []byte {
	var buf bytes.Buffer
	z := gzip.NewWriter(&buf)
	_, _ = z.Write(body)
	_ = z.Close()
	return buf.Bytes()
}
