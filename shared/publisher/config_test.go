package publisher

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
	"github.com/segmentio/analytics-go/v3"
)

const atAWS = "https://sqs.eu-west-1.amazonaws.com/123456789012/spillway-events"

// checked is a queue that can be asked whether it exists.
type checked struct {
	fakeQueue
	err  error
	hang bool
}

func (c *checked) GetQueueAttributes(ctx context.Context, _ *sqs.GetQueueAttributesInput,
	_ ...func(*sqs.Options)) (*sqs.GetQueueAttributesOutput, error) {
	if c.hang {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return &sqs.GetQueueAttributesOutput{}, c.err
}

func answering(err error) func(string) (SQS, error) {
	return func(string) (SQS, error) { return &checked{err: err}, nil }
}

func TestNewNamesTheWrongFieldAndWhatItMustBe(t *testing.T) {
	none := aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{}, errors.New("no EC2 IMDS role found")
	})
	sqsOf := func(region string) func(string) (SQS, error) {
		return func(string) (SQS, error) { return sqs.New(sqs.Options{Region: region}), nil }
	}
	for _, c := range []struct {
		name   string
		config Config
		field  string
		is     error
		want   string
	}{
		{"no queue", Config{}, "QueueURL", ErrNotAQueueURL, "must be the URL of the events queue"},
		{"no URL", Config{QueueURL: "spillway-events"}, "QueueURL", ErrNotAQueueURL, "like https://sqs"},
		{"no queue in the URL", Config{QueueURL: "https://sqs.eu-west-1.amazonaws.com/"}, "QueueURL",
			ErrNotAQueueURL, "like https://sqs"},
		{"an ARN", Config{QueueURL: "arn:aws:sqs:eu-west-1:123456789012:spillway-events"}, "QueueURL",
			ErrNotAQueueURL, "like https://sqs"},
		{"a FIFO queue", Config{QueueURL: atAWS + ".fifo"}, "QueueURL", ErrNotAQueueURL, "standard"},
		{"AWS without a region", Config{QueueURL: "https://queue.amazonaws.com/123456789012/e"}, "QueueURL",
			ErrNotAQueueURL, "no region"},
		{"a fallback that is no URL",
			Config{QueueURL: "http://localhost:1/0/e", SQS: answering(nil), Fallbacks: []string{"http://localhost:2/0/e", "x"}},
			"Fallbacks[1]", ErrNotAQueueURL, "like https://sqs"},
		{"another region", Config{QueueURL: atAWS, SQS: sqsOf("us-east-1")}, "QueueURL", ErrOtherRegion,
			"is in eu-west-1, and its client must be too"},
		{"no credentials", Config{QueueURL: atAWS, AWS: &aws.Config{Credentials: none}}, "QueueURL",
			ErrNoCredentials, "AWS_ACCESS_KEY_ID"},
		{"no provider of credentials", Config{QueueURL: atAWS, AWS: &aws.Config{}}, "QueueURL", ErrNoCredentials,
			"AWS_ACCESS_KEY_ID"},
		{"wrong credentials", Config{QueueURL: atAWS, SQS: answering(&smithy.GenericAPIError{Code: "InvalidClientTokenId"})},
			"QueueURL", ErrNoCredentials, "InvalidClientTokenId"},
		{"a queue that does not exist", Config{QueueURL: atAWS, SQS: answering(&types.QueueDoesNotExist{})}, "QueueURL",
			ErrNoQueue, "or create it"},
		{"a write key with a space", Config{QueueURL: atAWS, WriteKey: "a b"}, "WriteKey", nil, "as Segment shows it"},
		{"a negative interval", Config{QueueURL: atAWS, Interval: -1}, "Interval", nil, "must be between"},
		{"an interval of hours", Config{QueueURL: atAWS, Interval: time.Hour}, "Interval", nil, "must be between"},
		{"a small buffer", Config{QueueURL: atAWS, BufferBytes: 1000}, "BufferBytes", nil, "at least"},
		{"negative senders", Config{QueueURL: atAWS, Senders: -1}, "Senders", nil, "must be at least 1"},
		{"negative events", Config{QueueURL: atAWS, MessageEvents: -1}, "MessageEvents", nil, "must be at least 1"},
		{"a negative time to close", Config{QueueURL: atAWS, CloseTimeout: -1}, "CloseTimeout", nil, "must be at least 0"},
		{"a context with a wrong IP", Config{QueueURL: atAWS, DefaultContext: &analytics.Context{IP: []byte{1}}},
			"DefaultContext", nil, "IPv4"},
		{"a context that fills the batch",
			Config{QueueURL: atAWS, DefaultContext: &analytics.Context{Locale: strings.Repeat("x", 480_000)}}, "DefaultContext",
			nil, "must have at most"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.config.Logger = slog.New(slog.DiscardHandler)
			_, err := New(t.Context(), c.config)
			var typed *ConfigError
			if !errors.As(err, &typed) || typed.Field != c.field || c.is != nil && !errors.Is(err, c.is) ||
				!strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestNewSucceedsWhileSQSIsDown(t *testing.T) {
	for name, api := range map[string]*checked{
		"refused": {err: errRefused}, "black hole": {hang: true},
		"a role that may only send": {err: &smithy.GenericAPIError{Code: "AccessDenied"}},
		"an internal error":         {err: &smithy.GenericAPIError{Code: "InternalFailure"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log logs
				start := time.Now()
				c, err := New(t.Context(),
					Config{QueueURL: atAWS, SQS: func(string) (SQS, error) { return api, nil },
						Logger: slog.New(slog.NewTextHandler(&log, nil))})
				if err != nil || time.Since(start) > checkTimeout {
					t.Fatalf("after %v: %v", time.Since(start), err)
				}
				if !log.has("can't check that the queue exists") {
					t.Errorf("the log is:\n%s", log.String())
				}
				mustClose(t, c)
			})
		})
	}
}
