package dlq

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// deletedRecently is SQS within a minute of the queue's end.
type deletedRecently struct{ until time.Time }

func (d deletedRecently) RoundTrip(r *http.Request) (*http.Response, error) {
	_ = r.Body.Close()
	status, body := http.StatusOK, `{"QueueUrl":"http://sqs.test/1/x-dead-letters"}`
	if time.Now().Before(d.until) {
		status, body = http.StatusBadRequest,
			`{"__type":"com.amazonaws.sqs#QueueDeletedRecently","message":"You must wait 60 seconds"}`
	}
	return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}},
		Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

func TestAQueueIsCreatedAgainAsSoonAsItsNameIsFree(t *testing.T) {
	for free, want := range map[time.Duration]time.Duration{0: 0, 58 * time.Second: time.Minute, time.Hour: -1} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			api := sqs.New(sqs.Options{Region: "eu-west-1", BaseEndpoint: aws.String("http://sqs.test"),
				Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""),
				HTTPClient:  &http.Client{Transport: deletedRecently{began.Add(free)}}})
			var out bytes.Buffer
			err := create(t.Context(), api, "x-dead-letters", wanted{}, &out)
			took := time.Since(began)
			if want < 0 && (err == nil || took > nameIsFreeAfter+2*tryAgainAfter) ||
				want >= 0 && (err != nil || took != want) {
				t.Errorf("with a name that is free after %v: %v after %v", free, err, took)
			}
			if free > 0 && strings.Count(out.String(), "waiting") != 1 {
				t.Errorf("it says %q", &out)
			}
		})
	}
}
