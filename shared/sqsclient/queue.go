// Package sqsclient sends messages to SQS, and changes the visibility timeout of messages that are
// to be received again later.
//
// It exists because an HTTP 200 of SendMessageBatch can carry entries that failed, a call holds at
// most ten entries and 1 MiB in total, and forgetting either of it loses events. What SQS did not
// take is named in the error, message by message.
package sqsclient

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/spillwayhq/spillway/shared/message"
)

// Limits of one call (SQS developer guide, "Quotas related to messages").
const (
	MaxEntries = 10
	// MaxVisibility is counted from the receive.
	MaxVisibility = 12 * time.Hour
)

// SendAPI is what sending needs of an *sqs.Client.
type SendAPI interface {
	SendMessageBatch(context.Context, *sqs.SendMessageBatchInput, ...func(*sqs.Options)) (*sqs.SendMessageBatchOutput,
		error)
}

// API is what a [Queue] needs of an *sqs.Client.
type API interface {
	SendAPI
	ChangeMessageVisibilityBatch(context.Context, *sqs.ChangeMessageVisibilityBatchInput,
		...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityBatchOutput, error)
}

// A Sender sends messages to one SQS queue. It is safe for concurrent use.
type Sender struct {
	api SendAPI
	url string
}

// NewSender makes a Sender of the client and the queue's URL.
func NewSender(api SendAPI, url string) *Sender { return &Sender{api: api, url: url} }

// A Queue is one SQS queue. It is safe for concurrent use.
type Queue struct {
	Sender
	api API
}

// New makes a Queue of the client and the queue's URL.
func New(api API, url string) *Queue { return &Queue{Sender: Sender{api: api, url: url}, api: api} }

// ErrTooLarge is why a message that SQS could never take was not sent.
var ErrTooLarge = fmt.Errorf("the message is larger than the %d bytes that SQS takes", message.MaxBytes)

// A SendError names the messages that SQS did not take. All others are in the queue.
type SendError struct {
	URL    string
	Failed map[int]error // by index in what was to be sent
}

func (e *SendError) Error() string {
	indexes := make([]int, 0, len(e.Failed))
	for i := range e.Failed {
		indexes = append(indexes, i)
	}
	first := slices.Min(indexes)
	return fmt.Sprintf("send to %s: %d messages failed, the first is message %d: %v", e.URL, len(e.Failed), first,
		e.Failed[first])
}

// Unwrap returns the errors of the messages.
func (e *SendError) Unwrap() []error {
	errs := make([]error, 0, len(e.Failed))
	for _, err := range e.Failed {
		errs = append(errs, err)
	}
	return errs
}

// Failures sorts what a sender of n messages returned, by the index of the message: those that a
// *SendError names, all of them for any other error, none for nil.
func Failures(err error, n int) map[int]error {
	var partial *SendError
	if err == nil || errors.As(err, &partial) {
		if partial == nil {
			return nil
		}
		return partial.Failed
	}
	failed := make(map[int]error, n)
	for i := range n {
		failed[i] = err
	}
	return failed
}

// A RefusedError is why SQS did not take one message of a call that it answered.
type RefusedError struct {
	Code, Message string
	SenderFault   bool // no second try will mend it
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("SQS refused it: %s: %s", e.Code, e.Message)
}

// Tries of an entry that SQS refused for a reason of its own. (A call that fails as a whole is
// tried again by the SDK.)
const (
	entryTries = 3
	firstDelay = 100 * time.Millisecond
)

// Send sends the messages in as few calls as the limits allow, and returns when SQS has answered
// for each. The error is nil or a *SendError. A message whose call got no answer counts as failed,
// but may be in the queue all the same.
func (q *Sender) Send(ctx context.Context, messages []message.Message) error {
	failed := map[int]error{}
	var call []int
	size := 0
	flush := func() {
		if len(call) > 0 {
			q.send(ctx, messages, call, failed)
		}
		call, size = call[:0], 0
	}
	for i := range messages {
		n := messages[i].Size()
		if n > message.MaxBytes {
			failed[i] = ErrTooLarge
			continue
		}
		if len(call) == MaxEntries || size+n > message.MaxBytes {
			flush()
		}
		call = append(call, i)
		size += n
	}
	flush()
	if len(failed) > 0 {
		return &SendError{URL: q.url, Failed: failed}
	}
	return nil
}

// send makes one call, and further ones for the entries that SQS may take at a second try.
func (q *Sender) send(ctx context.Context, messages []message.Message, call []int, failed map[int]error) {
	call = slices.Clone(call)
	for try := 1; ; try++ {
		entries := make([]types.SendMessageBatchRequestEntry, len(call))
		for n, i := range call {
			entries[n] = types.SendMessageBatchRequestEntry{
				Id: aws.String(strconv.Itoa(i)), MessageBody: aws.String(messages[i].Body),
				MessageAttributes: Attributes(messages[i].Attributes),
			}
		}
		out, err := q.api.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{QueueUrl: aws.String(q.url), Entries: entries})
		if err != nil {
			for _, i := range call {
				failed[i] = err
			}
			return
		}
		answered := make(map[string]error, len(call))
		again := map[string]bool{}
		for _, e := range out.Successful {
			answered[aws.ToString(e.Id)] = nil
		}
		for _, e := range out.Failed {
			id := aws.ToString(e.Id)
			answered[id] = &RefusedError{Code: aws.ToString(e.Code), Message: aws.ToString(e.Message),
				SenderFault: e.SenderFault}
			again[id] = !e.SenderFault
		}
		retry := call[:0]
		for _, i := range call {
			id := strconv.Itoa(i)
			err, ok := answered[id]
			switch {
			case !ok:
				failed[i] = errors.New("SQS's answer does not name it")
			case err == nil:
				delete(failed, i)
			default:
				failed[i] = err
				if again[id] {
					retry = append(retry, i)
				}
			}
		}
		if call = retry; len(call) == 0 || try == entryTries || !Backoff(ctx, try) {
			return
		}
	}
}

// maxDoublings bounds the delay behind a try: 3.2 s.
const maxDoublings = 5

// Wait sleeps behind the nth try, from 1, by a random part of a delay that begins at 100 ms and
// doubles up to 3.2 s; false when ctx ends first.
func Backoff(ctx context.Context, try int) bool {
	t := time.NewTimer(rand.N(firstDelay << min(try-1, maxDoublings)))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// VisibilityChange says how long a received message is to stay hidden.
type VisibilityChange struct {
	ReceiptHandle string
	Timeout       time.Duration // whole seconds, rounded up; 0 to MaxVisibility
}

// ChangeVisibility changes how long messages stay invisible. The error counts those that SQS
// refused: they come again when their present visibility timeout ends, which is late but loses
// nothing.
func (q *Queue) ChangeVisibility(ctx context.Context, hidden []VisibilityChange) error {
	var failures int
	var first error
	fail := func(n int, err error) {
		failures += n
		if first == nil {
			first = err
		}
	}
	for part := range slices.Chunk(hidden, MaxEntries) {
		entries := make([]types.ChangeMessageVisibilityBatchRequestEntry, len(part))
		for i, h := range part {
			seconds := int32((min(max(h.Timeout, 0), MaxVisibility) + time.Second - 1) / time.Second)
			entries[i] = types.ChangeMessageVisibilityBatchRequestEntry{
				Id: aws.String(strconv.Itoa(i)), ReceiptHandle: aws.String(h.ReceiptHandle), VisibilityTimeout: seconds,
			}
		}
		out, err := q.api.ChangeMessageVisibilityBatch(ctx,
			&sqs.ChangeMessageVisibilityBatchInput{QueueUrl: aws.String(q.url), Entries: entries})
		if err != nil {
			fail(len(part), err)
			continue
		}
		if len(out.Failed) > 0 {
			e := out.Failed[0]
			fail(len(out.Failed), fmt.Errorf("%s: %s", aws.ToString(e.Code), aws.ToString(e.Message)))
		}
	}
	if failures > 0 {
		return fmt.Errorf("hide %d of %d messages of %s: %w", failures, len(hidden), q.url, first)
	}
	return nil
}

// Attributes are a message's attributes in the SDK's form.
func Attributes(attributes map[string]message.Attribute) map[string]types.MessageAttributeValue {
	if len(attributes) == 0 {
		return nil
	}
	values := make(map[string]types.MessageAttributeValue, len(attributes))
	for name, a := range attributes {
		values[name] = types.MessageAttributeValue{DataType: aws.String(a.Type), StringValue: aws.String(a.Text)}
	}
	return values
}

// ParseAttributes reads attributes in the SDK's form. Binary ones, which Spillway never writes, are
// left out.
func ParseAttributes(values map[string]types.MessageAttributeValue) map[string]message.Attribute {
	attributes := make(map[string]message.Attribute, len(values))
	for name, v := range values {
		if v.StringValue != nil {
			attributes[name] = message.Attribute{Type: aws.ToString(v.DataType), Text: *v.StringValue}
		}
	}
	return attributes
}
