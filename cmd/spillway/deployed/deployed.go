// Package deployed finds a pipeline on AWS by its name. The names of its queues and logs follow from
// it, so that no stack need be read, and who works with one queue needs no other permission.
package deployed

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go/middleware"
	"github.com/spf13/pflag"

	"github.com/spillwayhq/spillway/infra/topology"
)

// A Name is the flag that names a pipeline on AWS.
type Name struct {
	set   *pflag.FlagSet
	value string
}

// Register adds the flag.
func (n *Name) Register(set *pflag.FlagSet) {
	n.set = set
	set.StringVar(&n.value, "name", "", "`name` of a pipeline on AWS, like "+topology.DefaultNames().Pipeline+
		", in the region of the AWS tools")
}

// Given reports whether a pipeline on AWS is named.
func (n *Name) Given() bool { return n.set.Changed("name") }

// Value is the name as it was given.
func (n *Name) Value() string { return n.value }

// Names returns the names of the pipeline's parts.
func (n *Name) Names() (topology.Names, error) {
	names, err := topology.NewNames(n.value)
	if err != nil {
		return names, fmt.Errorf("--name: %w", err)
	}
	return names, nil
}

// Queues asks SQS for the URLs of the pipeline's queues.
func (n *Name) Queues(ctx context.Context) (events, deadLetters string, err error) {
	names, c, err := n.load(ctx)
	if err != nil {
		return "", "", err
	}
	api := sqs.NewFromConfig(c)
	if events, err = QueueURL(ctx, api, c.Region, names.Pipeline, names.EventsQueue); err != nil {
		return "", "", err
	}
	deadLetters, err = QueueURL(ctx, api, c.Region, names.Pipeline, names.DeadLetterQueue)
	return events, deadLetters, err
}

// EventsQueue asks SQS for the URL of the pipeline's events queue.
func (n *Name) EventsQueue(ctx context.Context) (string, error) {
	names, c, err := n.load(ctx)
	if err != nil {
		return "", err
	}
	return QueueURL(ctx, sqs.NewFromConfig(c), c.Region, names.Pipeline, names.EventsQueue)
}

func (n *Name) load(ctx context.Context) (names topology.Names, c aws.Config, err error) {
	if names, err = n.Names(); err == nil {
		c, err = Config(ctx)
	}
	return names, c, err
}

// QueueAPI is what QueueURL needs of an *sqs.Client.
type QueueAPI interface {
	GetQueueUrl(context.Context, *sqs.GetQueueUrlInput, ...func(*sqs.Options)) (*sqs.GetQueueUrlOutput, error)
}

// ErrNoQueue says that a queue does not exist.
var ErrNoQueue = errors.New("there is no queue")

// QueueURL asks SQS for the URL of a queue of a pipeline.
func QueueURL(ctx context.Context, api QueueAPI, region, pipeline, queue string) (string, error) {
	out, err := api.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: aws.String(queue)})
	var missing *types.QueueDoesNotExist
	switch {
	case errors.As(err, &missing):
		return "", fmt.Errorf("%w %s in %s: is a pipeline with --name %s deployed in this region and account? "+
			"(a local pipeline is found by --queue-url)", ErrNoQueue, queue, region, pipeline)
	case err != nil:
		return "", fmt.Errorf("find the queue %s in %s: %w", queue, region, err)
	}
	return aws.ToString(out.QueueUrl), nil
}

// ClockSkew is how wrong this machine's clock is by the answer of a call to AWS: positive, it is slow.
func ClockSkew(answer middleware.Metadata) (time.Duration, error) {
	server, told := awsmiddleware.GetServerTime(answer)
	here, known := awsmiddleware.GetResponseAt(answer)
	if !told || !known {
		return 0, errors.New("the answer of AWS has no time")
	}
	return server.Sub(here), nil
}

// Config loads the configuration that the AWS tools use, which must have a region and credentials.
func Config(ctx context.Context, options ...func(*awsconfig.LoadOptions) error) (aws.Config, error) {
	c, err := awsconfig.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return c, fmt.Errorf("load the AWS configuration: %w", err)
	}
	if c.Region == "" {
		return c, errors.New("no AWS region: set AWS_REGION, or set a region in the profile that AWS_PROFILE names")
	}
	if _, err := c.Credentials.Retrieve(ctx); err != nil {
		return c, errors.New("no AWS credentials: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
	}
	return c, nil
}
