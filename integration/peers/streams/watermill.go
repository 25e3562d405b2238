package streams

import (
	"context"
	"fmt"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	wsqs "github.com/ThreeDotsLabs/watermill-aws/sqs"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/integration/peers/flush"
	"github.com/spillwayhq/spillway/integration/peers/peer"
)

// handlers is as many as the repaired job queue has workers. A handler of Watermill takes one message
// after the other.
const handlers = 100

// runWatermill runs Watermill's router until ctx ends.
func runWatermill(ctx context.Context, w peer.Working) error {
	logger := watermill.NopLogger{}
	subscriber, err := wsqs.NewSubscriber(wsqs.SubscriberConfig{
		AWSConfig: aws.Config{Region: local.Region,
			Credentials: credentials.NewStaticCredentialsProvider(local.AccessKey, local.AccessKey, "")},
		OptFns: []func(*sqs.Options){func(o *sqs.Options) {
			o.BaseEndpoint = aws.String(peer.Endpoint(w.QueueURL))
		}},
		QueueUrlResolver:            wsqs.TransparentUrlResolver{},
		GenerateReceiveMessageInput: receiveTen,
	}, logger)
	if err != nil {
		return fmt.Errorf("make Watermill's subscriber: %w", err)
	}
	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: 20 * time.Second}, logger)
	if err != nil {
		return fmt.Errorf("make Watermill's router: %w", err)
	}
	// As the router's documentation has it. A message that still fails then comes back when its
	// visibility timeout has passed.
	router.AddMiddleware(middleware.Retry{MaxRetries: 3, InitialInterval: 100 * time.Millisecond}.Middleware,
		middleware.Recoverer)
	for i := range handlers {
		router.AddNoPublisherHandler(fmt.Sprintf("segment-%d", i), w.QueueURL, subscriber, func(m *message.Message) error {
			track, err := flush.Decode(m.Payload)
			if err != nil {
				return err
			}
			return flush.AndClose(w.Segment, track)
		})
	}
	if err := router.Run(ctx); err != nil {
		return fmt.Errorf("run Watermill's router: %w", err)
	}
	return nil
}

// receiveTen asks for as many messages as SQS gives at a time. Watermill asks for one.
func receiveTen(_ context.Context, queueURL wsqs.QueueURL) (*sqs.ReceiveMessageInput, error) {
	return &sqs.ReceiveMessageInput{
		QueueUrl: aws.String(string(queueURL)), MessageAttributeNames: []string{"All"},
		WaitTimeSeconds: 20, MaxNumberOfMessages: 10,
	}, nil
}
