package sqsclient

import (
	"context"
	"errors"
	"fmt"
	neturl "net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// Errors of [NewClient].
var (
	ErrInvalidQueueURL = errors.New("the queue's URL must be that of an SQS standard queue")
	ErrNoCredentials   = errors.New("there are no AWS credentials")
)

// A Location is what a queue's URL says about where the queue is.
type Location struct {
	Endpoint string // scheme and host
	Region   string // empty: not at AWS
	Default  bool   // the endpoint is the one that the AWS SDK takes by itself for the region
}

const likeThis = "like https://sqs.eu-west-1.amazonaws.com/123456789012/spillway-events"

// ParseURL reads the URL of a standard queue. The error wraps [ErrInvalidQueueURL].
func ParseURL(queueURL string) (Location, error) {
	u, err := neturl.Parse(queueURL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") == "" {
		return Location{}, fmt.Errorf("%w, %s, is %q", ErrInvalidQueueURL, likeThis, queueURL)
	}
	if strings.HasSuffix(u.Path, ".fifo") {
		return Location{}, fmt.Errorf("%w: %q is a FIFO queue", ErrInvalidQueueURL, queueURL)
	}
	p := Location{Endpoint: u.Scheme + "://" + u.Host}
	host := u.Hostname()
	if !strings.HasSuffix(host, ".amazonaws.com") && !strings.HasSuffix(host, ".amazonaws.com.cn") &&
		!strings.HasSuffix(host, ".api.aws") {
		return p, nil
	}
	labels := strings.Split(host, ".")
	for i, label := range labels[:len(labels)-1] {
		if label == "sqs" || label == "sqs-fips" {
			p.Region = labels[i+1]
			p.Default = i == 0 && label == "sqs" && !strings.HasSuffix(host, ".api.aws")
			return p, nil
		}
	}
	return Location{}, fmt.Errorf("%w, %s: %q is at AWS and names no region", ErrInvalidQueueURL, likeThis, queueURL)
}

// credentialsTimeout bounds the search for credentials.
const credentialsTimeout = 3 * time.Second

// NewClient returns an SQS client for the endpoint and the region of a queue's URL. For a queue at
// AWS it uses the credentials and the HTTP client of base, or the AWS SDK's default configuration
// when base is nil; the error wraps [ErrNoCredentials] when there are no credentials. For a queue
// elsewhere, such as a local one, it makes up credentials unless base has some. ctx bounds the
// search for credentials, which takes 3 s at most.
func NewClient(ctx context.Context, queueURL string, base *aws.Config, options ...func(*sqs.Options)) (*sqs.Client,
	error) {
	place, err := ParseURL(queueURL)
	if err != nil {
		return nil, err
	}
	c, err := configFor(ctx, place, base)
	if err != nil {
		return nil, err
	}
	return sqs.NewFromConfig(c, append(options, func(o *sqs.Options) {
		if !place.Default {
			o.BaseEndpoint = aws.String(place.Endpoint)
		}
		AvoidLostResponses(o)
	})...), nil
}

// configFor returns the AWS configuration for a queue.
func configFor(ctx context.Context, place Location, base *aws.Config) (c aws.Config, err error) {
	if base != nil {
		c = base.Copy()
	}
	if place.Region == "" {
		c.Region = "us-east-1"
		if c.Credentials == nil {
			c.Credentials = credentials.NewStaticCredentialsProvider("local", "local", "")
		}
		return c, nil
	}
	if base == nil {
		if c, err = awsconfig.LoadDefaultConfig(ctx, awsconfig.WithRegion(place.Region)); err != nil {
			return c, fmt.Errorf("load the AWS configuration: %w", err)
		}
	}
	c.Region = place.Region
	if c.Credentials == nil {
		return c, noCredentials(errors.New("none are configured"))
	}
	ctx, cancel := context.WithTimeout(ctx, credentialsTimeout)
	defer cancel()
	if _, err := c.Credentials.Retrieve(ctx); err != nil {
		return c, noCredentials(err)
	}
	return c, nil
}

func noCredentials(err error) error {
	return fmt.Errorf("%w: give the process a role, or set AWS_PROFILE, or AWS_ACCESS_KEY_ID and "+
		"AWS_SECRET_ACCESS_KEY: %w", ErrNoCredentials, err)
}
