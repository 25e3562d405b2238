package ingest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"github.com/spillwayhq/spillway/shared/apigateway"
	"github.com/spillwayhq/spillway/shared/reload"
)

var _ lambda.Handler = apigateway.Handler{}

// fakeSQS accepts every message.
type fakeSQS struct{ SQS }

func (fakeSQS) SendMessageBatch(_ context.Context, in *sqs.SendMessageBatchInput,
	_ ...func(*sqs.Options)) (*sqs.SendMessageBatchOutput, error) {
	out := new(sqs.SendMessageBatchOutput)
	for _, e := range in.Entries {
		out.Successful = append(out.Successful, sqstypes.SendMessageBatchResultEntry{Id: e.Id})
	}
	return out, nil
}

// fakeSSM has the document with the write keys.
type fakeSSM struct {
	document string
	err      error
}

func (f *fakeSSM) GetParameter(context.Context, *ssm.GetParameterInput,
	...func(*ssm.Options)) (*ssm.GetParameterOutput, error) {
	return &ssm.GetParameterOutput{Parameter: &types.Parameter{Value: aws.String(f.document)}}, f.err
}

func document(writeKey string) string {
	return fmt.Sprintf(`{"writeKeys":[{"name":"web","writeKey":%q}]}`, writeKey)
}

// track invokes the function with an event under a write key, and returns the answer's status.
func track(t *testing.T, function lambda.Handler, writeKey string) int {
	t.Helper()
	request := events.APIGatewayV2HTTPRequest{Version: "2.0", RawPath: "/v1/track",
		Body: fmt.Sprintf(`{"writeKey":%q,"userId":"u","event":"Run"}`, writeKey)}
	request.RequestContext.HTTP.Method, request.RequestContext.HTTP.SourceIP = "POST", "203.0.113.9"
	payload, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	out, err := function.Invoke(t.Context(), payload)
	if err != nil {
		t.Fatal(err)
	}
	var answer events.APIGatewayV2HTTPResponse
	if err := json.Unmarshal(out, &answer); err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode
}

func expect(t *testing.T, function lambda.Handler, writeKey string, status int) {
	t.Helper()
	if got := track(t, function, writeKey); got != status {
		t.Errorf("the write key %s is answered %d, want %d", writeKey, got, status)
	}
}

func TestALambdaFunctionReadsTheWriteKeysWithinItsInvocations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &fakeSSM{err: errors.New("ThrottlingException")}
		var metrics strings.Builder
		e, err := New(t.Context(), Options{Name: "staging", WriteKeysParameter: "/keys", CanaryWriteKey: "canary"},
			Parts{SQS: fakeSQS{}, SSM: api, Metrics: &metrics, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		function := e.Lambda()
		expect(t, function, "any", 200)
		api.document, api.err = document("first"), nil
		time.Sleep(reload.FirstInterval * 11 / 10)
		expect(t, function, "any", 400)
		expect(t, function, "first", 200)
		expect(t, function, "canary", 200)
		api.document = document("second")
		time.Sleep(reload.Interval * 11 / 10)
		accepted := 4 // those above and below that are answered 200
		// This invocation reads the keys while it answers, so either set may decide.
		if track(t, function, "first") == 200 {
			accepted++
		}
		expect(t, function, "first", 400)
		expect(t, function, "second", 200)
		if got := strings.Count(metrics.String(), `"EventsAccepted":1`); got != accepted ||
			!strings.Contains(metrics.String(), `"Pipeline":"staging"`) {
			t.Errorf("%d invocations with an accepted event have metrics:\n%s", got, &metrics)
		}
	})
}

func TestAWrongCanaryWriteKeyIsNamed(t *testing.T) {
	_, err := New(t.Context(), Options{WriteKeysParameter: "/keys", CanaryWriteKey: "a secret"},
		Parts{SQS: fakeSQS{}, SSM: &fakeSSM{}, Metrics: io.Discard, Logger: slog.New(slog.DiscardHandler)})
	if err == nil || !strings.Contains(err.Error(), "SPILLWAY_CANARY_WRITE_KEY") || strings.Contains(err.Error(), "secret") {
		t.Errorf("%v", err)
	}
}
