// Package sqstest is a conformance suite for SQS endpoints: it tests what a standard queue must do,
// through aws-sdk-go-v2 alone. The same tests run against the SQS emulator and against any other
// endpoint, real SQS included, so that the emulator is compared with what SQS does. It does not test
// FIFO queues, permissions and encryption.
package sqstest

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
)

// NewClient returns a client of the endpoint under test. It is called once for every test. The test
// creates its own queues, with random names, and deletes them.
type NewClient func(t *testing.T) *sqs.Client

// Run runs the tests in real time, with waits of seconds: about two minutes in total. It does not
// test retention, because the minimum is 60 s.
func Run(t *testing.T, newClient NewClient) {
	for _, group := range [][]test{queueTests(), messageTests(), batchTests(), taskTests(), recordedTests(),
		timedTests()} {
		runAll(t, newClient, group, func(t *testing.T, f func(*testing.T)) { f(t) })
	}
}

// RunIn runs all tests, those of retention and other long times too, each in wrap: the caller passes a
// function that runs it in a testing/synctest bubble, where long times take none.
func RunIn(t *testing.T, newClient NewClient, wrap func(*testing.T, func(*testing.T))) {
	for _, group := range [][]test{queueTests(), messageTests(), batchTests(), taskTests(), recordedTests(), timedTests(),
		slowTests()} {
		runAll(t, newClient, group, wrap)
	}
}

type test struct {
	name string
	run  func(*env)
}

func runAll(t *testing.T, newClient NewClient, tests []test, wrap func(*testing.T, func(*testing.T))) {
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			wrap(t, func(t *testing.T) { c.run(&env{t, newClient(t)}) })
		})
	}
}

// env has what the tests need.
type env struct {
	*testing.T
	client *sqs.Client
}

func (e *env) ctx() context.Context { return e.T.Context() }

// queue creates a queue, which is deleted after the test, and returns its URL.
func (e *env) queue(attributes map[string]string) string {
	e.Helper()
	return e.named("spillway-test-"+strings.ToLower(rand.Text()), attributes)
}

func (e *env) named(name string, attributes map[string]string) string {
	e.Helper()
	out, err := e.client.CreateQueue(e.ctx(), &sqs.CreateQueueInput{QueueName: &name, Attributes: attributes})
	e.must(err)
	e.Cleanup(func() {
		// The test may have deleted it.
		_, _ = e.client.DeleteQueue(context.WithoutCancel(e.ctx()), &sqs.DeleteQueueInput{QueueUrl: out.QueueUrl})
	})
	return *out.QueueUrl
}

func (e *env) must(err error) {
	e.Helper()
	if err != nil {
		e.Fatal(err)
	}
}

func (e *env) send(url, body string) string {
	e.Helper()
	return e.sendInput(&sqs.SendMessageInput{QueueUrl: &url, MessageBody: &body})
}

func (e *env) sendInput(in *sqs.SendMessageInput) string {
	e.Helper()
	out, err := e.client.SendMessage(e.ctx(), in)
	e.must(err)
	return *out.MessageId
}

// receive makes one receive with all attributes and a wait in seconds.
func (e *env) receive(url string, max, wait int32) []types.Message {
	e.Helper()
	return e.receiveInput(&sqs.ReceiveMessageInput{
		QueueUrl: &url, MaxNumberOfMessages: max, WaitTimeSeconds: wait,
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
		MessageAttributeNames:       []string{"All"},
	})
}

func (e *env) receiveInput(in *sqs.ReceiveMessageInput) []types.Message {
	e.Helper()
	out, err := e.client.ReceiveMessage(e.ctx(), in)
	e.must(err)
	return out.Messages
}

// one waits for one message.
func (e *env) one(url string) types.Message {
	e.Helper()
	ms := e.receive(url, 1, 10)
	if len(ms) != 1 {
		e.Fatalf("received %d messages, want 1", len(ms))
	}
	return ms[0]
}

// none fails if a message is there.
func (e *env) none(url string) {
	e.Helper()
	if ms := e.receive(url, 10, 1); len(ms) != 0 {
		e.Fatalf("received %d messages, want none; the first is %s", len(ms), aws.ToString(ms[0].Body))
	}
}

func (e *env) delete(url string, m types.Message) {
	e.Helper()
	_, err := e.client.DeleteMessage(e.ctx(), &sqs.DeleteMessageInput{QueueUrl: &url, ReceiptHandle: m.ReceiptHandle})
	e.must(err)
}

func (e *env) attributes(url string) map[string]string {
	e.Helper()
	out, err := e.client.GetQueueAttributes(e.ctx(), &sqs.GetQueueAttributesInput{
		QueueUrl: &url, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll},
	})
	e.must(err)
	return out.Attributes
}

func (e *env) arn(url string) string {
	e.Helper()
	return e.attributes(url)["QueueArn"]
}

func (e *env) set(url, name, value string) {
	e.Helper()
	e.setAll(url, map[string]string{name: value})
}

func (e *env) setAll(url string, attributes map[string]string) {
	e.Helper()
	_, err := e.client.SetQueueAttributes(e.ctx(), &sqs.SetQueueAttributesInput{QueueUrl: &url, Attributes: attributes})
	e.must(err)
}

// fails requires an API error with one of these codes.
func (e *env) fails(err error, codes ...string) {
	e.Helper()
	var api smithy.APIError
	if !errors.As(err, &api) {
		e.Fatalf("error %v, want an API error with code %v", err, codes)
	}
	for _, c := range codes {
		if api.ErrorCode() == c {
			return
		}
	}
	e.Fatalf("error code %q (%s), want %v", api.ErrorCode(), api.ErrorMessage(), codes)
}

// pass sleeps: in virtual time in a bubble, otherwise in real time.
func (e *env) pass(d time.Duration) {
	e.Helper()
	select {
	case <-time.After(d):
	case <-e.ctx().Done():
		e.Fatal(e.ctx().Err())
	}
}
