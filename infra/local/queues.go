package local

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/spillwayhq/spillway/infra/local/lambda"
	"github.com/spillwayhq/spillway/infra/local/sqs"
	"github.com/spillwayhq/spillway/infra/topology"
)

// CreateQueues creates the topology's queues: dead-letter queues first, because the others refer to
// them.
func CreateQueues(server *sqs.Server, t *topology.Topology) error {
	for _, isSource := range []bool{false, true} {
		for _, q := range t.Queues {
			if isSource != (q.DeadLetterQueue != "") {
				continue
			}
			if _, err := server.CreateQueue(q.Name, q.Attributes(QueueARN(q.Name))); err != nil {
				return fmt.Errorf("create queue %s: %w", q.Name, err)
			}
			if isSource {
				continue
			}
			if err := permitSources(server, t, q.Name); err != nil {
				return fmt.Errorf("let queue %s take dead letters of others: %w", q.Name, err)
			}
		}
	}
	return nil
}

// permitSources corrects a dead-letter queue that `spillway dlq restore` of a version with fewer
// queues has made: it would not take the dead letters of the others, which could not be created.
func permitSources(server *sqs.Server, t *topology.Topology, dead string) error {
	const anywhere = "http://sqs.local" // the client calls the server without a socket
	client, url := newClient(server, anywhere), aws.String(QueueURL(anywhere, dead))
	has, err := client.GetQueueAttributes(context.Background(), &awssqs.GetQueueAttributesInput{QueueUrl: url,
		AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll}})
	if err != nil || t.Permits(dead, has.Attributes) {
		return err
	}
	_, err = client.SetQueueAttributes(context.Background(), &awssqs.SetQueueAttributesInput{QueueUrl: url,
		Attributes: map[string]string{"RedriveAllowPolicy": t.RedriveAllowPolicy(dead, QueueARN(dead))}})
	return err
}

// QueueARN is the ARN of a queue of the SQS emulator.
func QueueARN(name string) string { return "arn:aws:sqs:" + Region + ":" + AccountID + ":" + name }

// QueueURL returns the URL of a queue of the SQS emulator at an endpoint.
func QueueURL(endpoint, name string) string { return endpoint + "/" + AccountID + "/" + name }

// Client is the AWS SDK in front of an SQS emulator at an endpoint, by default over HTTP.
func Client(endpoint string, options ...func(*awssqs.Options)) *awssqs.Client {
	return awssqs.New(awssqs.Options{
		Region: Region, BaseEndpoint: aws.String(endpoint),
		Credentials: credentials.NewStaticCredentialsProvider(AccessKey, AccessKey, ""),
	}, options...)
}

// newClient returns a client that calls the SQS emulator without a socket.
func newClient(server *sqs.Server, endpoint string) *awssqs.Client {
	return Client(endpoint, func(o *awssqs.Options) { o.HTTPClient = server.HTTPClient() })
}

// Feed connects a queue to the Lambda emulator without HTTP: receiving and deleting messages
// through an SDK would take most of the machine's CPU time.
func Feed(q *sqs.Queue) lambda.Queue { return lambdaQueue{q} }

// FeedFrom is Feed for the queues of a server, by their names, which must exist.
func FeedFrom(server *sqs.Server) func(queue string) lambda.Queue {
	return func(name string) lambda.Queue {
		q, _ := server.Queue(name)
		return Feed(q)
	}
}

type lambdaQueue struct{ *sqs.Queue }

// Receive implements lambda.Queue.
func (f lambdaQueue) Receive(ctx context.Context, max int, wait time.Duration) ([]lambda.Message, error) {
	received, err := f.Queue.Receive(ctx, max, wait)
	messages := make([]lambda.Message, len(received))
	for i, m := range received {
		messages[i] = lambda.Message{
			MessageID: m.MessageID, ReceiptHandle: m.ReceiptHandle, Body: m.Body, MD5OfBody: m.MD5OfBody,
			MD5OfMessageAttributes: m.MD5OfMessageAttributes, Attributes: m.Attributes,
		}
		if len(m.MessageAttributes) > 0 {
			messages[i].MessageAttributes = make(map[string]lambda.MessageAttribute, len(m.MessageAttributes))
			for name, a := range m.MessageAttributes {
				messages[i].MessageAttributes[name] = lambda.MessageAttribute(a)
			}
		}
	}
	return messages, err
}
