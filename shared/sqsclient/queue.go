// Package sqsclient sends messages to SQS, and changes the visibility timeout of received messages.
//
// It exists because an HTTP 200 of SendMessageBatch can contain entries that failed, and a call can
// have at most ten entries and 1 MiB in all: ignoring either loses events. The error names each
// message that SQS did not accept.
package sqsclient

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/spillwayhq/spillway/shared/message"
)

// Limits of one call (SQS developer guide, "Quotas related to messages").
const (
	// MaxEntries is the number of messages in one call.
	MaxEntries = 10
	// MaxVisibility is the longest visibility timeout, counted from the receive.
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

// NewSender returns a Sender for the queue with the given URL.
func NewSender(api SendAPI, url string) *Sender { return &Sender{api: api, url: url} }

// A Queue is a Sender that also changes the visibility timeout of received messages. It is safe for
// concurrent use.
type Queue struct {
	Sender
	api API
}

// New returns the queue with the given URL.
func New(api API, url string) *Queue { return &Queue{Sender: Sender{api: api, url: url}, api: api} }

// ErrTooLarge is the error of a message that was not sent because SQS would refuse it.
var ErrTooLarge = fmt.Errorf("the message is larger than the %d bytes that SQS takes", message.MaxBytes)

// A SendError names the messages that SQS did not accept. All others are in the queue.
type SendError struct {
	URL    string
	Failed map[int]error // by index in the messages; not empty
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

// Failures returns the error of each message that failed, by its index, after sending n messages
// returned err: those that a *[SendError] names, all n for any other error, none for nil.
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

// A RefusedError is why SQS refused one message of a call whose other messages it may have
// accepted.
type RefusedError struct {
	Code, Message string
	SenderFault   bool // SQS would refuse it again
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("SQS refused it: %s: %s", e.Code, e.Message)
}

// An entry that SQS refused by a fault of its own is tried again. (The SDK retries a call that
// fails as a whole.)
const (
	entryTries = 3
	firstDelay = 100 * time.Millisecond
)

// Send sends the messages in as few calls as the limits allow, and returns after SQS has answered
// for each. The error is nil or a *[SendError]. A message whose call got no answer counts as
// failed, but may be in the queue.
func (s *Sender) Send(ctx context.Context, messages []message.Message) error {
	failed := map[int]error{}
	var call []int
	size := 0
	flush := func() {
		if len(call) > 0 {
			s.send(ctx, messages, call, failed)
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
		return &SendError{URL: s.url, Failed: failed}
	}
	return nil
}

// send makes one call, and further ones for the entries that SQS may accept when they are tried
// again.
func (s *Sender) send(ctx context.Context, messages []message.Message, call []int, failed map[int]error) {
	call = slices.Clone(call)
	for try := 1; ; try++ {
		answers, err := s.sendBatch(ctx, messages, call)
		if err != nil {
			for _, i := range call {
				failed[i] = err
			}
			return
		}
		retry := call[:0]
		for _, i := range call {
			err, answered := answers[strconv.Itoa(i)]
			var refused *RefusedError
			switch {
			case !answered:
				failed[i] = errors.New("SQS's answer does not name it")
			case err == nil:
				delete(failed, i)
			default:
				failed[i] = err
				if errors.As(err, &refused) && !refused.SenderFault {
					retry = append(retry, i)
				}
			}
		}
		if call = retry; len(call) == 0 || try == entryTries || !Backoff(ctx, try) {
			return
		}
	}
}

// sendBatch makes one call. It returns SQS's answer for each entry, nil or a *[RefusedError], by
// the message's index as text.
func (s *Sender) sendBatch(ctx context.Context, messages []message.Message, call []int) (map[string]error, error) {
	entries := make([]types.SendMessageBatchRequestEntry, len(call))
	for n, i := range call {
		entries[n] = types.SendMessageBatchRequestEntry{
			Id: aws.String(strconv.Itoa(i)), MessageBody: aws.String(messages[i].Body),
			MessageAttributes: Attributes(messages[i].Attributes),
		}
		if group := messages[i].Group; group != "" {
			entries[n].MessageGroupId = aws.String(group)
		}
	}
	out, err := s.api.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{QueueUrl: aws.String(s.url), Entries: entries})
	if err != nil {
		return nil, err
	}
	answers := make(map[string]error, len(call))
	for _, e := range out.Successful {
		answers[aws.ToString(e.Id)] = nil
	}
	for _, e := range out.Failed {
		answers[aws.ToString(e.Id)] = &RefusedError{Code: aws.ToString(e.Code), Message: aws.ToString(e.Message),
			SenderFault: e.SenderFault}
	}
	return answers, nil
}

// maxDoublings bounds the delay after a try: 3.2 s.
const maxDoublings = 5

// Backoff sleeps after the nth try, from 1, for a random part of a delay that begins at 100 ms and
// doubles up to 3.2 s. It returns false when ctx ends first.
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

// A VisibilityChange sets the visibility timeout of a received message.
type VisibilityChange struct {
	ReceiptHandle string
	Timeout       time.Duration // whole seconds, rounded up; 0 to MaxVisibility
}

// visibilityCalls is how many calls ChangeVisibility makes at the same time. An invocation may
// retain hundreds of messages and has a second or two for them at its end: one call after the other
// would take longer.
const visibilityCalls = 8

// ChangeVisibility changes the visibility timeouts of messages. The error counts those that SQS
// refused: they are received again when their current visibility timeout ends, so nothing is lost.
func (q *Queue) ChangeVisibility(ctx context.Context, changes []VisibilityChange) error {
	parts := slices.Collect(slices.Chunk(changes, MaxEntries))
	refused := make([]int, len(parts))
	errs := make([]error, len(parts))
	var next atomic.Int64
	var calls sync.WaitGroup
	for range min(visibilityCalls, len(parts)) {
		calls.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(parts)); i = next.Add(1) - 1 {
				refused[i], errs[i] = q.changeVisibility(ctx, parts[i])
			}
		})
	}
	calls.Wait()
	failures := 0
	var first error
	for i, n := range refused {
		failures += n
		first = cmp.Or(first, errs[i])
	}
	if failures > 0 {
		return fmt.Errorf("change the visibility of %d of %d messages of %s: %w", failures, len(changes), q.url, first)
	}
	return nil
}

// changeVisibility makes one call. It returns how many changes were refused, and why the first one
// was.
func (q *Queue) changeVisibility(ctx context.Context, changes []VisibilityChange) (refused int, why error) {
	entries := make([]types.ChangeMessageVisibilityBatchRequestEntry, len(changes))
	for i, c := range changes {
		seconds := int32((min(max(c.Timeout, 0), MaxVisibility) + time.Second - 1) / time.Second)
		entries[i] = types.ChangeMessageVisibilityBatchRequestEntry{
			Id: aws.String(strconv.Itoa(i)), ReceiptHandle: aws.String(c.ReceiptHandle), VisibilityTimeout: seconds,
		}
	}
	out, err := q.api.ChangeMessageVisibilityBatch(ctx,
		&sqs.ChangeMessageVisibilityBatchInput{QueueUrl: aws.String(q.url), Entries: entries})
	switch {
	case err != nil:
		return len(changes), err
	case len(out.Failed) > 0:
		e := out.Failed[0]
		return len(out.Failed), fmt.Errorf("%s: %s", aws.ToString(e.Code), aws.ToString(e.Message))
	}
	return 0, nil
}

// Attributes returns a message's attributes in the SDK's form; nil for none.
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

// ParseAttributes reads attributes in the SDK's form. It leaves out binary ones, which Spillway
// never writes.
func ParseAttributes(values map[string]types.MessageAttributeValue) map[string]message.Attribute {
	attributes := make(map[string]message.Attribute, len(values))
	for name, v := range values {
		if v.StringValue != nil {
			attributes[name] = message.Attribute{Type: aws.ToString(v.DataType), Text: *v.StringValue}
		}
	}
	return attributes
}
