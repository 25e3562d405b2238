package pipeline

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/spillwayhq/spillway/shared/jsonlog"
	"github.com/spillwayhq/spillway/shared/reload"
)

var errAway = errors.New("away")

// away is an SQS that fails.
type away struct{ SQS }

func (away) SendMessageBatch(context.Context, *sqs.SendMessageBatchInput,
	...func(*sqs.Options)) (*sqs.SendMessageBatchOutput, error) {
	return nil, errAway
}

func (away) ChangeMessageVisibilityBatch(context.Context, *sqs.ChangeMessageVisibilityBatchInput,
	...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityBatchOutput, error) {
	return nil, errAway
}

// failingWriter is a log that takes no metrics.
type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, errAway }

// panicking is a Segment whose client has a bug.
type panicking struct{}

func (panicking) RoundTrip(r *http.Request) (*http.Response, error) {
	_ = r.Body.Close() // as every transport must
	panic(errAway)
}

type handler interface {
	Invoke(context.Context, []byte) ([]byte, error)
}

// A query that has the id of a request finds all that its invocation wrote, beside Lambda's lines.
func TestEveryLineOfAnInvocationHasTheIDOfItsRequest(t *testing.T) {
	synctest.Test(t, everyLineHasTheID)
}

func everyLineHasTheID(t *testing.T) {
	var log bytes.Buffer
	missing := filepath.Join(t.TempDir(), "write-keys.json")
	p := Pipeline{Options{QueueURL: "http://sqs.test/1/spillway-events",
		DeadLetterQueueURL: "http://sqs.test/1/spillway-dead-letters", IngestURL: "http://127.0.0.1:1",
		SegmentURL: "http://segment.test", WriteKey: "k"},
		Parts{SQS: away{}, Transport: panicking{}, Metrics: failingWriter{}, Logger: jsonlog.New(&log, nil)}}
	invoke := func(h handler, err error, payload string) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		ctx := lambdacontext.NewContext(t.Context(), &lambdacontext.LambdaContext{AwsRequestID: "r-1"})
		if _, err := h.Invoke(ctx, []byte(payload)); err != nil {
			t.Fatal(err)
		}
	}
	request := func(path, query, body string) string {
		r := events.APIGatewayV2HTTPRequest{Version: "2.0", RawPath: path, RawQueryString: query, Body: body}
		r.RequestContext.HTTP.Method, r.RequestContext.HTTP.SourceIP = "POST", "203.0.113.9"
		if body == "" {
			r.RequestContext.HTTP.Method = "GET"
		}
		payload, _ := json.Marshal(r)
		return string(payload)
	}

	endpoint, err := p.NewIngest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p.WriteKeysFile = missing
	unread, err := p.NewIngest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	deliver, err := p.NewDeliver()
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(reload.FirstInterval * 11 / 10) // then the set that could not be read is read again
	log.Reset()                                // what was written while they started is of no invocation

	const event, invalid = `{"type":"track","userId":"u","event":"e"}`, `{"type":"track","event":"of nobody"}`
	invoke(endpoint.Lambda(), nil, request("/v1/batch", "", `{"writeKey":"k","batch":[`+event+`]}`))
	invoke(endpoint.Lambda(), nil, request("/v1/batch", "", `{"writeKey":"k","batch":[`+event+`,`+invalid+`]}`))
	pixel := base64.StdEncoding.EncodeToString([]byte(`{"writeKey":"k","userId":"u","event":"e"}`))
	invoke(endpoint.Lambda(), nil, request("/v1/pixel/track", "data="+pixel, ""))
	invoke(unread.Lambda(), nil, request("/v1/batch", "", `{"writeKey":"k","batch":[`+event+`]}`))
	h, err := deliver()
	invoke(h, err, `{"Records":[{"messageId":"m-1","receiptHandle":"r","body":"no JSON","attributes":{}},`+
		`{"messageId":"m-2","receiptHandle":"r","body":`+string(mustMarshal(event))+`,"attributes":{}}]}`)
	c, err := p.NewCanary()
	invoke(c, err, `{}`)

	lines := map[string]bool{}
	for line := range strings.Lines(log.String()) {
		var l struct {
			Msg string `json:"msg"`
			ID  string `json:"request_id"`
		}
		if err := json.Unmarshal([]byte(line), &l); err != nil || l.ID != "r-1" {
			t.Errorf("this line has no id of the request (%v): %s", err, line)
		}
		what, _, _ := strings.Cut(l.Msg, ":")
		what, _, _ = strings.Cut(what, ";")
		lines[what] = true
	}
	want := []string{"attempt panicked", "dead letters could not be written", "delivered",
		"events could not be sent to the queue", "metrics could not be written",
		"pixel requests were refused and answered with the image", "the canary was not accepted",
		"the heaviest senders could not be written", "the set of write keys could not be read",
		"visibility could not be changed"}
	if got := slices.Sorted(maps.Keys(lines)); !slices.Equal(got, want) {
		t.Errorf("the lines are\n%q, want\n%q", got, want)
	}
}

func mustMarshal(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}
