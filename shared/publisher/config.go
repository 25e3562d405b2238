package publisher

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
	"github.com/segmentio/analytics-go/v3"

	"github.com/spillwayhq/spillway/shared/emf"
	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/spill"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

// Config says where events go. QueueURL must be given; the zero value of every other field is its
// default.
type Config struct {
	QueueURL string
	// Fallbacks are the queues of further regions, in order of preference: while the ones in front
	// fail, events go to the next.
	Fallbacks []string
	// WriteKey is the Segment source's. Without one the function that delivers uses its own.
	WriteKey string

	// AWS is where credentials and the HTTP client are taken from; nil: the AWS SDK's usual places.
	// The region is always that of the queue's URL. For a queue that is not at AWS, the local one
	// or a test's, any credentials will do.
	AWS *aws.Config
	// SQS makes the client of a queue. When it is nil, New makes one with the AWS configuration.
	SQS func(queueURL string) (SQS, error)

	Interval time.Duration // the longest that an event waits for others to share its message; 200 ms
	// memory for events that wait or are being sent; 20 MB, with which a process grows by less than
	// 64 MB in all
	BufferBytes int64
	Senders     int // calls to SQS at the same time; 8
	// MessageEvents bounds the events in a message; by default and at most as many as Segment takes
	// in a batch. With 1 it is to be seen what packing is worth.
	MessageEvents int

	// Durability is Memory, Process or Disk. The latter two need Dir, and every event goes through
	// the disk.
	Durability Durability
	// Dir is a directory for events that can't be sent now, of this process alone; an earlier
	// process's events in it are sent first thing. Empty: what memory can't hold is dropped.
	Dir        string
	DiskBytes  int64 // how much Dir may hold; 1 GiB
	ReplayRate int   // events/s that are sent from Dir beside fresh ones, with Durability Memory; 10,000

	// DefaultContext is Segment's context of all events, sent once a message. As in analytics-go
	// its Library is overwritten.
	DefaultContext *analytics.Context
	// Callback is told when SQS has an event, or will not have it. It must return quickly and must
	// not use the client.
	Callback analytics.Callback
	// CloseTimeout is how long Close waits for SQS; 30 s.
	CloseTimeout time.Duration
	// Metrics receives the client's metrics once a minute, as lines of CloudWatch's embedded metric
	// format: os.Stdout in a Lambda function, the CloudWatch agent's log elsewhere. Nil: none are
	// written.
	Metrics io.Writer
	// Pipeline is the name of the Spillway pipeline that QueueURL belongs to, the value of the
	// metrics' dimension Pipeline; "spillway".
	Pipeline string
	Logger   *slog.Logger // slog.Default() when nil
}

// SQS is what the publisher needs of an *sqs.Client. If a client also has GetQueueAttributes, as
// *sqs.Client has, New asks it whether the queue exists.
type SQS interface {
	SendMessageBatch(context.Context, *sqs.SendMessageBatchInput, ...func(*sqs.Options)) (*sqs.SendMessageBatchOutput,
		error)
}

func (c *Config) setDefaults() {
	fill(&c.Pipeline, emf.DefaultPipeline)
	fill(&c.Interval, 200*time.Millisecond)
	fill(&c.BufferBytes, 20<<20)
	fill(&c.Senders, 8)
	fill(&c.DiskBytes, spill.DefaultMaxBytes)
	fill(&c.ReplayRate, 10_000)
	fill(&c.CloseTimeout, 30*time.Second)
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
}

func fill[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// minBuffer holds a batch of the largest events for each of a few senders.
const minBuffer = 4 << 20

// minDisk holds some of the largest messages.
const minDisk = 4 << 20

func (c *Config) validate() error {
	bad := func(field, format string, args ...any) error {
		return &ConfigError{Field: field, Err: fmt.Errorf(format, args...)}
	}
	switch {
	case c.QueueURL == "":
		return bad("QueueURL", "%w: it is empty; write the URL of the events queue", ErrNotAQueueURL)
	case c.Interval < 0 || c.Interval > time.Minute:
		return bad("Interval", "it is %v; write 0 for the default, or up to a minute", c.Interval)
	case c.BufferBytes < minBuffer:
		return bad("BufferBytes", "it is %d; write 0 for the default, or at least %d", c.BufferBytes, minBuffer)
	case c.Senders < 0:
		return bad("Senders", "it is %d; write 0 for the default, or 1 and more", c.Senders)
	case c.MessageEvents < 0:
		return bad("MessageEvents", "it is %d; write 0 for as many as fit, or 1 and more", c.MessageEvents)
	case c.Durability < Memory || c.Durability > Disk:
		return bad("Durability", "it is %d; write publisher.Memory, publisher.Process or publisher.Disk", c.Durability)
	case c.Durability != Memory && c.Dir == "":
		return bad("Dir", "it is empty; events that are to be durable need a directory, of this process alone and on a "+
			"disk that outlives it")
	case c.DiskBytes < minDisk:
		return bad("DiskBytes", "it is %d; write 0 for the default, or at least %d", c.DiskBytes, minDisk)
	case c.ReplayRate < 0:
		return bad("ReplayRate", "it is %d; write 0 for the default, or 1 and more", c.ReplayRate)
	case c.CloseTimeout < 0:
		return bad("CloseTimeout", "it is %v; write 0 for the default", c.CloseTimeout)
	}
	if c.WriteKey != "" && !event.ValidWriteKey(c.WriteKey) {
		return bad("WriteKey", "it can't be a write key: write it as Segment shows it, letters and digits")
	}
	return nil
}

// checkTimeout bounds the question whether the queue exists.
const checkTimeout = 3 * time.Second

// newAPI makes the client for a queue's URL.
func (c *Config) newAPI(ctx context.Context, queueURL string) (SQS, error) {
	place, err := sqsclient.ParseURL(queueURL)
	if err != nil {
		return nil, err
	}
	if c.SQS == nil {
		// The publisher tries again itself, and in other regions.
		return sqsclient.NewClient(ctx, queueURL, c.AWS, func(o *sqs.Options) { o.RetryMaxAttempts = 1 })
	}
	api, err := c.SQS(queueURL)
	if client, ok := api.(*sqs.Client); err == nil && ok && place.Region != "" && client.Options().Region != place.Region {
		return nil, fmt.Errorf("%w: %s is in %s, its client is for %s; make the client with Region %[3]q", ErrOtherRegion,
			queueURL, place.Region, client.Options().Region)
	}
	return api, err
}

// attributes is what the check needs of an *sqs.Client.
type attributes interface {
	GetQueueAttributes(context.Context, *sqs.GetQueueAttributesInput,
		...func(*sqs.Options)) (*sqs.GetQueueAttributesOutput, error)
}

// check asks SQS whether the queue exists. Only a definite no is an error: an SQS that is away, or
// a role that may do no more than send, must not keep an API from starting.
func (c *Config) check(ctx context.Context, api SQS, queueURL string) error {
	client, ok := api.(attributes)
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	_, err := client.GetQueueAttributes(ctx,
		&sqs.GetQueueAttributesInput{QueueUrl: aws.String(queueURL),
			AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameQueueArn}})
	var none *types.QueueDoesNotExist
	var answer smithy.APIError
	switch {
	case err == nil:
	case errors.As(err, &none):
		return fmt.Errorf("%w: %s; look at its name, account and region, or create it", ErrNoQueue, queueURL)
	case errors.As(err, &answer) &&
		(answer.ErrorCode() == "InvalidClientTokenId" || answer.ErrorCode() == "UnrecognizedClientException" ||
			answer.ErrorCode() == "SignatureDoesNotMatch" || answer.ErrorCode() == "InvalidSignatureException"):
		return fmt.Errorf("%w that AWS accepts: %w", ErrNoCredentials, err)
	default:
		c.Logger.Warn("it is not known whether the queue takes events; they are kept and tried until it does", "queue",
			queueURL, "error", err)
	}
	return nil
}
