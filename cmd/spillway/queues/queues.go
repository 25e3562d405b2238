// Package queues finds the SQS queues that a command works on by their URLs, and explains SQS's
// errors: which flag to set, which program to start.
package queues

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"syscall"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"

	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/publisher"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

// DefaultURL is the events queue of a `spillway up` without flags.
var DefaultURL = "http://localhost:9324/" + local.AccountID + "/" + topology.DefaultNames().EventsQueue

// NewClient makes a client for the endpoint that a queue's URL names. It does not try again where
// nothing listens: on this machine that is a pipeline that does not run.
func NewClient(ctx context.Context, queueURL string) (*sqs.Client, error) {
	client, err := sqsclient.NewClient(ctx, queueURL, nil, func(o *sqs.Options) {
		o.Retryer = retry.NewStandard(func(o *retry.StandardOptions) {
			o.Retryables = append([]retry.IsErrorRetryable{retry.IsErrorRetryableFunc(func(err error) aws.Ternary {
				if errors.Is(err, syscall.ECONNREFUSED) {
					return aws.FalseTernary
				}
				return aws.UnknownTernary
			})}, o.Retryables...)
		})
	})
	return client, Explain(err, queueURL)
}

// Endpoint returns the endpoint that a queue's URL names.
func Endpoint(queueURL string) (*url.URL, error) {
	place, err := sqsclient.ParseURL(queueURL)
	if err != nil {
		return nil, Explain(err, queueURL)
	}
	return url.Parse(place.Endpoint)
}

// DeadLetterURL asks an events queue for its dead-letter queue, which is in the same region and
// account.
func DeadLetterURL(ctx context.Context, api *sqs.Client, eventsURL string) (string, error) {
	out, err := api.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
		QueueUrl:       aws.String(eventsURL),
		AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameRedrivePolicy},
	})
	if err != nil {
		return "", Explain(err, eventsURL)
	}
	var policy struct{ DeadLetterTargetArn string }
	if json.Unmarshal([]byte(out.Attributes["RedrivePolicy"]), &policy) != nil || policy.DeadLetterTargetArn == "" {
		return "", fmt.Errorf("%s has no dead-letter queue: give the events queue, or the dead-letter queue itself with "+
			"--dead-letter-queue-url", eventsURL)
	}
	name := policy.DeadLetterTargetArn[strings.LastIndex(policy.DeadLetterTargetArn, ":")+1:]
	return eventsURL[:strings.LastIndex(eventsURL, "/")+1] + name, nil
}

// BulkURL returns the URL of the bulk queue of the pipeline that an events queue belongs to; none
// if the pipeline has none, because its version is older or because the queue has no name of a
// pipeline's. Both are in the same region and account.
func BulkURL(ctx context.Context, api BulkAPI, eventsURL string) (url string, err error) {
	place, name := split(eventsURL)
	names, ok := topology.NamesOfEventsQueue(name)
	if !ok {
		return "", nil
	}
	url = place + names.BulkQueue
	_, err = api.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &url,
		AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameQueueArn}})
	var missing *types.QueueDoesNotExist
	switch {
	case errors.As(err, &missing):
		return "", nil
	case err != nil && ctx.Err() != nil:
		return "", context.Cause(ctx)
	case err != nil:
		return "", Explain(err, url)
	}
	return url, nil
}

// BulkAPI is what BulkURL needs of an *sqs.Client.
type BulkAPI interface {
	GetQueueAttributes(context.Context, *sqs.GetQueueAttributesInput, ...func(*sqs.Options)) (
		*sqs.GetQueueAttributesOutput, error)
}

// NoBulk says where events go that are meant for a bulk queue that does not exist.
const NoBulk = "there is no bulk queue beside the events queue, as in a pipeline of an earlier version, or because " +
	"the queue's name is not that of a pipeline's: they go to the events queue, and fresh events wait for them"

// CheckEvents refuses the URL of a dead-letter queue where that of an events queue is meant: what
// is sent there is never delivered.
func CheckEvents(queueURL string) error {
	place, name := split(queueURL)
	if names, ok := topology.NamesOfDeadLetterQueue(name); ok && place != "" {
		return fmt.Errorf("--queue-url must be an events queue, and messages in %s are not delivered: give %s%s",
			name, place, names.EventsQueue)
	}
	if names, ok := topology.NamesOfBulkQueue(name); ok && place != "" {
		return fmt.Errorf("--queue-url must be an events queue, which tells what belongs to it: in place of %s give %s%s",
			name, place, names.EventsQueue)
	}
	return nil
}

// CheckDeadLetters refuses the URL of an events queue where that of a dead-letter queue is meant:
// its messages still wait for their delivery.
func CheckDeadLetters(queueURL string) error {
	place, name := split(queueURL)
	_, events := topology.NamesOfEventsQueue(name)
	_, bulk := topology.NamesOfBulkQueue(name)
	if (events || bulk) && place != "" {
		return fmt.Errorf("--dead-letter-queue-url must be a dead-letter queue, and %s holds events that wait for their "+
			"delivery: give the events queue with --queue-url", name)
	}
	return nil
}

// split cuts a queue's URL before the queue's name.
func split(queueURL string) (place, name string) {
	i := strings.LastIndex(strings.TrimRight(queueURL, "/"), "/") + 1
	return queueURL[:i], strings.TrimRight(queueURL[i:], "/")
}

// Explain adds to an error of SQS or its client what to do about it, and returns other errors
// unchanged.
func Explain(err error, queueURL string) error {
	var (
		missing *types.QueueDoesNotExist
		unknown *net.DNSError
		answer  smithy.APIError
	)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, sqsclient.ErrInvalidQueueURL):
		return fmt.Errorf("the queue URL must be that of a standard SQS queue, like %s, is %q", DefaultURL, queueURL)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("nothing listens at %s: is `spillway up` running? "+
			"If it has another port, give the --queue-url that it prints", queueURL)
	case errors.As(err, &missing), errors.Is(err, publisher.ErrNoQueue):
		return fmt.Errorf("queue %s does not exist: give another with --queue-url", queueURL)
	case strings.Contains(err.Error(), "get credentials"),
		strings.Contains(err.Error(), "failed to refresh cached credentials"):
		return fmt.Errorf("no AWS credentials for %s: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
			queueURL)
	case errors.As(err, &unknown) && unknown.IsNotFound:
		return fmt.Errorf("there is no host %s, which the queue URL %s names: correct the URL", unknown.Name, queueURL)
	case errors.As(err, &answer):
		return fmt.Errorf("SQS answered %s for %s: %s", answer.ErrorCode(), queueURL, answer.ErrorMessage())
	}
	return err
}
