package sqsclient

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// late answers at once and still holds the body, as net/http does before it has seen its end.
type late struct{ body io.ReadCloser }

func (l *late) Do(r *http.Request) (*http.Response, error) {
	l.body = r.Body
	return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader("{}")), Header: http.Header{}}, nil
}

// bodyAfterAnswer returns the error of copying a request's body after the SDK has the answer.
func bodyAfterAnswer(t *testing.T, options ...func(*sqs.Options)) error {
	t.Helper()
	l := &late{}
	api := sqs.New(sqs.Options{Region: "us-east-1", HTTPClient: l,
		Credentials: credentials.NewStaticCredentialsProvider("local", "local", "")}, options...)
	if _, err := api.ReceiveMessage(t.Context(),
		&sqs.ReceiveMessageInput{QueueUrl: aws.String("http://localhost/000000000000/q")}); err != nil {
		t.Fatal(err)
	}
	_, err := io.Copy(io.Discard, l.body)
	return err
}

func TestReadingABodyThatTheSDKHasClosedIsNoError(t *testing.T) {
	if err := bodyAfterAnswer(t, AvoidLostResponses); err != nil {
		t.Errorf("copying the rest of the body: %v: net/http would close the connection while the answer is read", err)
	}
}

func TestTheSDKStillNeedsAvoidLostResponses(t *testing.T) {
	if err := bodyAfterAnswer(t); !errors.Is(err, io.EOF) {
		t.Errorf("copying the rest of the body: %v: the SDK is fixed: delete AvoidLostResponses", err)
	}
}
