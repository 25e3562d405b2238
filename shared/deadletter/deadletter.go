// Package deadletter lists dead letters, redrives them (sends them to the events queue again),
// exports them, and drops them.
//
// SQS can show the messages of a queue only by receiving them, which makes them invisible to other
// consumers. So each operation is a scan of the queue: it receives every dead letter once, extends
// the visibility timeout for as long as the scan takes, and at the end makes visible again what was
// not deleted. After a scan was killed its dead letters stay invisible for at most
// [VisibilityTimeout]. Receiving increases their receive count, which does no harm, because the
// dead-letter queue has no redrive policy.
//
// SQS lets 120,000 messages of a queue be invisible in this way, and hands out none beyond. So a
// scan that holds 100,000 puts back what it receives further: it sends a copy with the same ID to
// the end of the queue, which is visible after [PutBackFor], and deletes the original.
//
// A dead letter is deleted only after it was sent or written. So an interruption loses none, and
// may leave one in both places. Package deliver derives the messageIds that its events lack from
// the dead letter's ID, so that Segment recognises events that are sent twice.
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
	// scan of as many as SQS lets be in flight takes, 120,000, at two receives a second and
	// worker; short enough to wait for after a scan was killed.
	VisibilityTimeout = 5 * time.Minute
	// workers receive at the same time, and send or write what they got. Each holds up to ten
	// messages of 1 MiB.
	workers = 4
	// readers receive at the same time if nothing is done with a dead letter: with calls of 15 ms
	// they read some 10,000 a second.
	readers = 16
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

// A Queue is a dead-letter queue. It is safe for concurrent use, also by several processes; but a
// scan does not see the dead letters that another one has received.
type Queue struct {
	api     API
	url     string
	own     *sqsclient.Queue
	wait    int32 // seconds that a receive waits for messages
	maxHeld int
}

// New returns the dead-letter queue with the given URL.
func New(api API, url string) *Queue {
	q := &Queue{api: api, url: url, own: sqsclient.New(api, url), maxHeld: maxHeld}
	// SQS has many servers, of which only a receive that waits asks all: without a wait an empty answer
	// means little. An emulator is one server.
	if place, err := sqsclient.ParseURL(url); err != nil || place.Region != "" {
		q.wait = 1
	}
	return q
}

// Size returns approximately how many dead letters are visible, and how many are invisible: another
// scan has received them, or one that was killed.
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
