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

// Config configures a client. Only QueueURL is required. A field with its zero value has the
// default that its comment names.
type Config struct {
	// QueueURL is the URL of the pipeline's events queue.
	QueueURL string
	// Fallbacks are the events queues of further regions, in the order of preference. Events go to
	// the first queue that takes them. Default: none.
	Fallbacks []string
	// WriteKey is the write key of the Segment source. Default: the one that the pipeline is
	// deployed with.
	WriteKey string

	// AWS has the credentials and the HTTP client. The region is always the one in the queue's URL.
	// A queue that is not at AWS, such as that of `spillway up`, needs no credentials. Default: the
	// AWS SDK's default configuration.
	AWS *aws.Config
	// SQS makes the client of a queue. Default: a client with the configuration AWS.
	SQS func(queueURL string) (SQS, error)

	// Interval is the longest time that an event waits for others to share its message. Default:
	// 200 ms.
	Interval time.Duration
	// BufferBytes bounds the memory for events that wait or are being sent. Default: 20 MB, with
	// which a process grows by less than 64 MB.
	BufferBytes int64
	// Senders is the number of calls to SQS at the same time. Default: 8.
	Senders int
	// MessageEvents bounds the events in a message. Default: as many as Segment takes in a batch.
	MessageEvents int
	// FairQueues sets a MessageGroupId, a hash of the write key, on each message: while one source
	// floods the queue, SQS delivers the events of the others first. Set it where several write
	// keys share a pipeline, in all of its publishers. SQS then takes $0.10 more per million
	// requests. Default: off.
	FairQueues bool

	// Durability says when an event is safe. Process and Disk need Dir, and write every event to
	// it. Default: Memory.
	Durability Durability
	// Dir is a directory for events that can't be sent now. It belongs to one process at a time; a
	// client first sends what an earlier process left there. Default: none; events that memory
	// can't hold are dropped.
	Dir string
	// DiskBytes bounds the files in Dir. Default: 1 GiB.
	DiskBytes int64
	// ReplayRate bounds the events/s that are sent from Dir beside fresh ones with Durability
	// Memory. Default: 10,000.
	ReplayRate int

	// DefaultContext is Segment's context of all events, sent once a message. As in analytics-go
	// its Library is overwritten. Default: the Library alone.
	DefaultContext *analytics.Context
	// Callback is told when SQS has an event, or will not get it. It must return quickly and must
	// not use the client. Default: none.
	Callback analytics.Callback
	// CloseTimeout is how long Close waits for SQS. Default: 30 s.
	CloseTimeout time.Duration
	// Metrics receives the client's metrics once a minute, as lines of CloudWatch's embedded metric
	// format, and a line of JSON with the names of the events that are sent most: os.Stdout in a
	// Lambda function, the CloudWatch agent's log elsewhere. Default: none.
	Metrics io.Writer
	// Pipeline is the name of the Spillway pipeline that QueueURL belongs to, the value of the
	// metrics' dimension Pipeline. Default: "spillway".
	Pipeline string
	// Logger is told about losses and about queues that take no events. Default: slog.Default().
	Logger *slog.Logger
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

// minBufferBytes is room for a batch of the largest events for each of a few senders.
const minBufferBytes = 4 << 20

// minDiskBytes is room for some of the largest messages.
const minDiskBytes = 4 << 20

const maxInterval = time.Minute

func (c *Config) validate() error {
	bad := func(field, format string, args ...any) error {
		return &ConfigError{Field: field, Err: fmt.Errorf(format, args...)}
	}
	switch {
	case c.QueueURL == "":
		return bad("QueueURL", "%w: must be the URL of the events queue, is empty", ErrNotAQueueURL)
	case c.Interval < 0 || c.Interval > maxInterval:
		return bad("Interval", "must be between 0 and %v, is %v", maxInterval, c.Interval)
	case c.BufferBytes < minBufferBytes:
		return bad("BufferBytes", "must be at least %d, is %d", minBufferBytes, c.BufferBytes)
	case c.Senders < 0:
		return bad("Senders", "must be at least 1, is %d", c.Senders)
	case c.MessageEvents < 0:
		return bad("MessageEvents", "must be at least 1, is %d", c.MessageEvents)
	case c.Durability < Memory || c.Durability > Disk:
		return bad("Durability", "must be publisher.Memory, Process or Disk, is %d", c.Durability)
	case c.Durability != Memory && c.Dir == "":
		return bad("Dir", "must be a directory of this process alone with Durability Process or Disk, is empty")
	case c.DiskBytes < minDiskBytes:
		return bad("DiskBytes", "must be at least %d, is %d", minDiskBytes, c.DiskBytes)
	case c.ReplayRate < 0:
		return bad("ReplayRate", "must be at least 1, is %d", c.ReplayRate)
	case c.CloseTimeout < 0:
		return bad("CloseTimeout", "must be at least 0, is %v", c.CloseTimeout)
	}
	if c.WriteKey != "" && !event.ValidWriteKey(c.WriteKey) {
		return bad("WriteKey", "must be a write key as Segment shows it, letters and digits")
	}
	return nil
}

// checkTimeout bounds the call that asks whether a queue exists.
const checkTimeout = 3 * time.Second

// newAPI makes the client for a queue's URL.
func (c *Config) newAPI(ctx context.Context, queueURL string) (SQS, error) {
	place, err := sqsclient.ParseURL(queueURL)
	if err != nil {
		return nil, err
	}
	if c.SQS == nil {
		// The publisher retries by itself, and in other regions.
		return sqsclient.NewClient(ctx, queueURL, c.AWS, func(o *sqs.Options) { o.RetryMaxAttempts = 1 })
	}
	api, err := c.SQS(queueURL)
	if client, ok := api.(*sqs.Client); err == nil && ok && place.Region != "" && client.Options().Region != place.Region {
		return nil, fmt.Errorf("%w: %s is in %s, and its client must be too, is for %s", ErrOtherRegion, queueURL,
			place.Region, client.Options().Region)
	}
	return api, err
}

// attributes is what check needs of an *sqs.Client.
type attributes interface {
	GetQueueAttributes(context.Context, *sqs.GetQueueAttributesInput,
		...func(*sqs.Options)) (*sqs.GetQueueAttributesOutput, error)
}

// check asks SQS whether the queue exists. Only a definite no is an error: a program must start
// also when SQS is down, or its role may only send.
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
		return fmt.Errorf("%w: %s; check its name, account and region, or create it", ErrNoQueue, queueURL)
	case errors.As(err, &answer) &&
		(answer.ErrorCode() == "InvalidClientTokenId" || answer.ErrorCode() == "UnrecognizedClientException" ||
			answer.ErrorCode() == "SignatureDoesNotMatch" || answer.ErrorCode() == "InvalidSignatureException"):
		return fmt.Errorf("%w that AWS accepts: %w", ErrNoCredentials, err)
	default:
		c.Logger.WarnContext(ctx, "can't check that the queue exists; events wait until it takes them", "queue", queueURL,
			"error", err)
	}
	return nil
}
