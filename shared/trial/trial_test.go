package trial

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

var _ sqsclient.API = (*Run)(nil)

func encoded(t testing.TB, trial *Trial) []byte {
	t.Helper()
	payload, err := trial.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return payload
}

func TestOnlyAPayloadWithTheMarkAtItsTopIsATrial(t *testing.T) {
	if payload := encoded(t, &Trial{Payload: json.RawMessage(`{}`)}); !Is(payload) {
		t.Errorf("%s is not", payload)
	}
	for payload, want := range map[string]bool{
		"{\n  \"spillwayTrial\" : {}}": true, // a person has edited it
		``:                             false, `{`: false, `null`: false, `{"spillwayTrial`: false, `"spillwayTrial"`: true,
		`{"Records":[],"spillwayTrial":{}}`: false, `{"x":{"spillwayTrial":{}}}`: false,
	} {
		if Is([]byte(payload)) != want {
			t.Errorf("%s: %v", payload, !want)
		}
	}
}

// What customers send reaches a function inside of what an event source or an HTTP API wrote: no
// text in it makes a trial of it.
func FuzzNoCustomerCanMarkATrial(f *testing.F) {
	f.Add(`{"spillwayTrial":{}}`)
	f.Add(`"spillwayTrial":{"payload":{}}`)
	f.Add(`{{"spillwayTrial"`)
	f.Fuzz(func(t *testing.T, text string) {
		request := events.APIGatewayV2HTTPRequest{Version: "2.0", RouteKey: "$default", RawPath: text, RawQueryString: text,
			Headers: map[string]string{text: text}, Cookies: []string{text}, Body: text}
		messages := events.SQSEvent{Records: []events.SQSMessage{{MessageId: "1", Body: text,
			Attributes: map[string]string{"SenderId": text}, MessageAttributes: map[string]events.SQSMessageAttribute{
				text: {StringValue: &text, DataType: "String"}}}}}
		for _, v := range []any{request, messages} {
			payload, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			if Is(payload) {
				t.Errorf("a customer marked a trial: %s", payload)
			}
		}
	})
}

func TestAPayloadThatIsNoTrialSaysWhatItNeeds(t *testing.T) {
	for _, payload := range []string{`{"spillwayTrial":{}}`, `{"spillwayTrial":null}`, `{"spillwayTrial":`,
		`{"spillwayTrial":7}`} {
		if _, err := New([]byte(payload), nil); err == nil || !strings.Contains(err.Error(), "read a trial") {
			t.Errorf("%s: %v", payload, err)
		}
	}
}

// aRun is a Run of a trial whose outcome can be asked for.
func aRun(t *testing.T, trial *Trial) (r *Run, end func() Outcome) {
	t.Helper()
	trial.Payload = json.RawMessage(`{"n":1}`)
	r, err := New(encoded(t, trial), map[string]string{"http://sqs.test/1/events": EventsQueue})
	if err != nil {
		t.Fatal(err)
	}
	return r, func() Outcome {
		t.Helper()
		answer, err := r.Invoke(t.Context(), func(_ context.Context, payload []byte) ([]byte, error) { return payload, nil })
		if err != nil {
			t.Fatal(err)
		}
		o, err := ReadOutcome(answer)
		if err != nil || string(o.Answer) != `{"n":1}` {
			t.Fatalf("%s, %v", answer, err)
		}
		return o
	}
}

func TestTheQueuesTakeWhatIsSentOrFail(t *testing.T) {
	in := &sqs.SendMessageBatchInput{QueueUrl: aws.String("http://sqs.test/1/events"),
		Entries: []types.SendMessageBatchRequestEntry{
			{Id: aws.String("0"), MessageBody: aws.String("a"), MessageAttributes: map[string]types.MessageAttributeValue{
				"Origin": {DataType: aws.String("String"), StringValue: aws.String("server")}}}}}
	r, end := aRun(t, &Trial{})
	out, err := r.SendMessageBatch(t.Context(), in)
	if err != nil || len(out.Successful) != 1 || *out.Successful[0].Id != "0" || len(out.Failed) > 0 {
		t.Errorf("%+v, %v", out, err)
	}
	in.QueueUrl = aws.String("http://elsewhere.test/1/events")
	if _, err := r.SendMessageBatch(t.Context(), in); err != nil {
		t.Error(err)
	}
	o := end()
	if len(o.Sent) != 2 || o.Sent[0].Queue != EventsQueue || o.Sent[1].Queue != *in.QueueUrl || o.Sent[0].Body != "a" ||
		o.Sent[0].Attributes["Origin"].Text != "server" {
		t.Errorf("%+v", o.Sent)
	}
	r, end = aRun(t, &Trial{QueueFails: true})
	if _, err := r.SendMessageBatch(t.Context(), in); err == nil {
		t.Error("a queue that fails takes a message")
	}
	if o := end(); len(o.Sent) != 0 {
		t.Errorf("%+v", o.Sent)
	}
}

func TestSegmentAnswersByWhatARequestContains(t *testing.T) {
	r, end := aRun(t, &Trial{Segment: []Answer{{Text: "slow", Status: 429, RetryAfter: 7}, {Text: "bad", Status: 400}}})
	for _, c := range []struct {
		body       string
		status     int
		retryAfter string
	}{{"bad and slow", 429, "7"}, {"bad", 400, ""}, {"good", 200, ""}} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://segment.test/v1/batch",
			strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		request.SetBasicAuth(WriteKey, "")
		response, err := r.RoundTrip(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != c.status || response.Header.Get("Retry-After") != c.retryAfter {
			t.Errorf("%s: %d, %v", c.body, response.StatusCode, response.Header)
		}
	}
	o := end()
	if len(o.Segment) != 3 || o.Segment[1] != (Request{WriteKey, "bad", 400}) {
		t.Errorf("%+v", o.Segment)
	}
}

// Who may invoke a function may not for that read the parameter with its default write key.
func TestARealWriteKeyIsInNoOutcome(t *testing.T) {
	r, end := aRun(t, &Trial{})
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://segment.test/v1/batch",
		strings.NewReader(`{"writeKey":"very-secret"}`))
	if err != nil {
		t.Fatal(err)
	}
	request.SetBasicAuth("very-secret", "")
	response, err := r.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	id := event.KeyID("very-secret")
	if o := end(); len(o.Segment) != 1 || o.Segment[0] != (Request{id, `{"writeKey":"` + id + `"}`, 200}) {
		t.Errorf("%+v", o.Segment)
	}
}

func TestTheLogOfATrialIsInItsOutcomeAndBounded(t *testing.T) {
	r, end := aRun(t, &Trial{})
	r.Logger().Info("all is well")
	for range maxLog + 5 {
		r.Logger().Warn(strings.Repeat("é", maxLine))
	}
	o := end()
	if len(o.Log) != maxLog || len(o.Log[0]) > maxLine || !strings.Contains(o.Log[0], `"level":"WARN"`) {
		t.Errorf("%d lines, the first %q", len(o.Log), o.Log[0])
	}
}

func TestAFunctionThatFailsFailsTheTrial(t *testing.T) {
	r, _ := aRun(t, &Trial{})
	bug := errors.New("bug")
	if _, err := r.Invoke(t.Context(), func(context.Context, []byte) ([]byte, error) { return nil, bug }); !errors.Is(err,
		bug) {
		t.Errorf("%v", err)
	}
	if _, err := r.Invoke(t.Context(),
		func(context.Context, []byte) ([]byte, error) { return []byte("no JSON"), nil }); err == nil {
		t.Error("an answer that is no JSON is no error")
	}
	if _, err := ReadOutcome([]byte(`{"batchItemFailures":[]}`)); !errors.Is(err, ErrNoTrial) {
		t.Errorf("%v", err)
	}
	request := &http.Request{Header: http.Header{"Content-Encoding": {"gzip"}},
		Body: io.NopCloser(strings.NewReader("no gzip"))}
	if response, err := r.RoundTrip(request); err == nil {
		response.Body.Close()
		t.Error("a body that is no gzip is no error")
	}
}
