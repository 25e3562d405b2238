// Command gocloud runs the conformance tests that the Go Cloud Development Kit has for pub/sub drivers
// against its SQS driver and the SQS endpoint in AWS_ENDPOINT_URL_SQS. The test in the folder above
// starts an SQS emulator and runs it.
//
// It is a program, and no test, because Go keeps what go run links, and links each test again.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"sync/atomic"
	"testing"
	"unsafe"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
	"gocloud.dev/pubsub"
	"gocloud.dev/pubsub/awssnssqs"
	"gocloud.dev/pubsub/driver"
	"gocloud.dev/pubsub/drivertest"
)

func main() {
	endpoint := os.Getenv("AWS_ENDPOINT_URL_SQS")
	if endpoint == "" {
		fmt.Fprintln(os.Stderr, "AWS_ENDPOINT_URL_SQS names no endpoint: run go test in integration/clients, which starts one")
		os.Exit(1)
	}
	all := func(string, string) (bool, error) { return true, nil }
	testing.Main(all, []testing.InternalTest{{Name: "TheSQSDriverOfGoCloudConforms",
		F: func(t *testing.T) { conforms(t, endpoint) }}}, nil, nil)
}

func conforms(t *testing.T, endpoint string) {
	client := sqs.New(sqs.Options{Region: "us-east-1", BaseEndpoint: &endpoint,
		Credentials: credentials.NewStaticCredentialsProvider("test", "test", "")})
	drivertest.RunConformanceTests(t, func(context.Context, *testing.T) (drivertest.Harness, error) {
		return &harness{client: client, missing: endpoint + "/000000000000/missing"}, nil
	}, []drivertest.AsTest{asSQS{}})
}

// harness makes a queue for each topic. The subscription to a topic is the same queue.
type harness struct {
	client  *sqs.Client
	missing string // URL of a queue that is not there
}

// queues counts the queues of the process, for their names.
var queues atomic.Int64

// topic is a driver with the URL of its queue.
type topic struct {
	driver.Topic
	url string
}

var notNameRunes = regexp.MustCompile(`[^A-Za-z0-9_-]`)

func (h *harness) CreateTopic(ctx context.Context, test string) (driver.Topic, func(), error) {
	name := fmt.Sprintf("gocloud-%d-%.40s", queues.Add(1), notNameRunes.ReplaceAllString(test, "-"))
	out, err := h.client.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: &name})
	if err != nil {
		return nil, nil, fmt.Errorf("create queue %s: %w", name, err)
	}
	return topic{h.topicDriver(ctx, *out.QueueUrl), *out.QueueUrl}, func() {
		// The emulator ends with the test; another endpoint would keep the queue.
		_, _ = h.client.DeleteQueue(context.WithoutCancel(ctx), &sqs.DeleteQueueInput{QueueUrl: out.QueueUrl})
	}, nil
}

func (h *harness) MakeNonexistentTopic(ctx context.Context) (driver.Topic, error) {
	return h.topicDriver(ctx, h.missing), nil
}

func (h *harness) CreateSubscription(ctx context.Context, t driver.Topic, _ string) (
	driver.Subscription, func(), error) {
	return h.subscriptionDriver(ctx, t.(topic).url), func() {}, nil
}

func (h *harness) MakeNonexistentSubscription(ctx context.Context) (driver.Subscription, func(), error) {
	return h.subscriptionDriver(ctx, h.missing), func() {}, nil
}

func (h *harness) topicDriver(ctx context.Context, url string) driver.Topic {
	return driverOf[driver.Topic](awssnssqs.OpenSQSTopic(ctx, h.client, url, nil))
}

func (h *harness) subscriptionDriver(ctx context.Context, url string) driver.Subscription {
	return driverOf[driver.Subscription](awssnssqs.OpenSubscription(ctx, h.client, url, nil))
}

// driverOf returns the field driver of a *pubsub.Topic or *pubsub.Subscription. The conformance tests
// need it, and the package of the driver exports only what is made of it.
func driverOf[T any](of any) T {
	f := reflect.ValueOf(of).Elem().FieldByName("driver")
	return *(*T)(unsafe.Pointer(f.UnsafeAddr()))
}

func (*harness) Close() {}

// MaxBatchSizes are those of SQS.
func (*harness) MaxBatchSizes() (send, ack int) { return 10, 10 }

func (*harness) SupportsMultipleSubscriptions() bool { return false }

// asSQS tests that the types of the SDK can be had.
type asSQS struct{}

func (asSQS) Name() string { return "the types of the AWS SDK" }

func (asSQS) TopicCheck(t *pubsub.Topic) error {
	var c *sqs.Client
	return has(t.As(&c), "client of a topic")
}

func (asSQS) SubscriptionCheck(s *pubsub.Subscription) error {
	var c *sqs.Client
	return has(s.As(&c), "client of a subscription")
}

func (asSQS) TopicErrorCheck(t *pubsub.Topic, err error) error {
	var api smithy.APIError
	return isMissing(t.ErrorAs(err, &api), api)
}

func (asSQS) SubscriptionErrorCheck(s *pubsub.Subscription, err error) error {
	var api smithy.APIError
	return isMissing(s.ErrorAs(err, &api), api)
}

func (asSQS) MessageCheck(m *pubsub.Message) error {
	var got types.Message
	return has(m.As(&got), "received message")
}

func (asSQS) BeforeSend(as func(any) bool) error {
	var entry *types.SendMessageBatchRequestEntry
	return has(as(&entry), "entry of a batch")
}

func (asSQS) AfterSend(as func(any) bool) error {
	var entry types.SendMessageBatchResultEntry
	return has(as(&entry), "answer to an entry of a batch")
}

func has(ok bool, what string) error {
	if !ok {
		return errors.New("As gives no " + what)
	}
	return nil
}

func isMissing(ok bool, err smithy.APIError) error {
	if !ok {
		return errors.New("the error is not the SDK's")
	}
	if want := "AWS.SimpleQueueService.NonExistentQueue"; err.ErrorCode() != want {
		return fmt.Errorf("code %s, want %s", err.ErrorCode(), want)
	}
	return nil
}
