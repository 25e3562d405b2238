// Package deadletter is what a person can do with dead letters: list them, redrive them (send them
// to the events queue again), export them, and drop them.
//
// SQS has no way to look at a queue but to receive its messages, which hides them from others
// meanwhile. So everything here is a scan of the queue: it receives each dead letter once, hides it
// for as long as the scan takes, and makes it visible again at the end unless it was deleted. A
// scan that is killed leaves its dead letters invisible for [VisibilityTimeout] and no longer.
// Receiving increases their receive count, which does no harm, because the dead-letter queue has no
// dead-letter queue of its own.
//
// A dead letter is deleted only after it was sent or written. So an interruption at any point loses
// none, and may leave one in both places. Package deliver derives from its ID what its events do
// not say themselves; so they are the same events to Segment when they are sent twice.
package deadletter

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/spillwayhq/spillway/shared/sqsclient"
)

const (
	// VisibilityTimeout is how long a received dead letter is invisible to others: longer than the
	// scan of as many as SQS lets be in flight takes, 120,000, at five receives a second and
	// worker; short enough to wait for after a scan was killed.
	VisibilityTimeout = 5 * time.Minute
	// workers receive at the same time. Each holds up to ten dead letters of 1 MiB.
	workers = 4
	// callTimeout bounds a call that continues when its caller is interrupted.
	callTimeout = 30 * time.Second
	// deleteTries is how often a dead letter is deleted before its deletion has failed.
	deleteTries = 3
)

// API is what the package needs of an *sqs.Client.
type API interface {
	sqsclient.API
	ReceiveMessage(context.Context, *sqs.ReceiveMessageInput, ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error)
	DeleteMessageBatch(context.Context, *sqs.DeleteMessageBatchInput,
		...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error)
	GetQueueAttributes(context.Context, *sqs.GetQueueAttributesInput,
		...func(*sqs.Options)) (*sqs.GetQueueAttributesOutput, error)
}

// A Queue is a dead-letter queue. It is safe for concurrent use, also with others that scan the
// same queue; but a scan does not see the dead letters that another one holds.
type Queue struct {
	api API
	url string
	own *sqsclient.Queue
}

// New returns the dead-letter queue with the given URL.
func New(api API, url string) *Queue { return &Queue{api: api, url: url, own: sqsclient.New(api, url)} }

// Size returns about how many dead letters are visible, and how many are invisible: somebody works
// on them, or did and was killed.
func (q *Queue) Size(ctx context.Context) (visible, invisible int, err error) {
	out, err := q.api.GetQueueAttributes(ctx,
		&sqs.GetQueueAttributesInput{QueueUrl: aws.String(q.url), AttributeNames: []types.QueueAttributeName{
			types.QueueAttributeNameApproximateNumberOfMessages, types.QueueAttributeNameApproximateNumberOfMessagesNotVisible,
		}})
	if err != nil {
		return 0, 0, fmt.Errorf("get the number of dead letters in %s: %w", q.url, err)
	}
	number := func(name types.QueueAttributeName) int {
		n, _ := strconv.Atoi(out.Attributes[string(name)])
		return n
	}
	return number(types.QueueAttributeNameApproximateNumberOfMessages),
		number(types.QueueAttributeNameApproximateNumberOfMessagesNotVisible), nil
}

// ReasonCounts counts dead letters by their reasons.
type ReasonCounts map[string]int
