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

// Why there is no client for a queue.
var (
	ErrInvalidQueueURL = errors.New("it is no queue's URL")
	ErrNoCredentials   = errors.New("there are no AWS credentials")
)

// A Location is what a queue's URL says of where the queue is.
type Location struct {
	Endpoint string // scheme and host
	Region   string // empty: not at AWS
	Default  bool   // the endpoint is the one that the AWS SDK takes by itself for the region
}

const likeThis = "write one like https://sqs.eu-west-1.amazonaws.com/123456789012/spillway-events"

// ParseURL reads the URL of a standard queue. The error wraps ErrInvalidQueueURL and says what to
// write.
func ParseURL(queueURL string) (Location, error) {
	u, err := neturl.Parse(queueURL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") == "" {
		return Location{}, fmt.Errorf("%w: %q; %s", ErrInvalidQueueURL, queueURL, likeThis)
	}
	if strings.HasSuffix(u.Path, ".fifo") {
		return Location{}, fmt.Errorf("%w: %q is a FIFO queue; events need a standard one", ErrInvalidQueueURL, queueURL)
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
	return Location{}, fmt.Errorf("%w: %q is at AWS and names no region; %s", ErrInvalidQueueURL, queueURL, likeThis)
}

// credentialsTimeout bounds the search for credentials.
const credentialsTimeout = 3 * time.Second

// NewClient makes an SQS client for the endpoint and the region that a queue's URL names. At AWS it
// has the credentials and the HTTP client of base, or of the AWS SDK's usual places when base is
// nil, and an error that wraps ErrNoCredentials when there are none. Elsewhere, in front of a local
// queue, any credentials will do, and it makes some up.
func NewClient(ctx context.Context, queueURL string, base *aws.Config, options ...func(*sqs.Options)) (*sqs.Client,
	error) {
	place, err := ParseURL(queueURL)
	if err != nil {
		return nil, err
	}
	var c aws.Config
	if base != nil {
		c = base.Copy()
	}
	if place.Region == "" {
		c.Region = "us-east-1"
		if c.Credentials == nil {
			c.Credentials = credentials.NewStaticCredentialsProvider("local", "local", "")
		}
	} else {
		if base == nil {
			if c, err = awsconfig.LoadDefaultConfig(ctx, awsconfig.WithRegion(place.Region)); err != nil {
				return nil, fmt.Errorf("load the AWS configuration: %w", err)
			}
		}
		c.Region = place.Region
		if c.Credentials == nil {
			return nil, noCredentials(errors.New("none are configured"))
		}
		ctx, cancel := context.WithTimeout(ctx, credentialsTimeout)
		defer cancel()
		if _, err := c.Credentials.Retrieve(ctx); err != nil {
			return nil, noCredentials(err)
		}
	}
	return sqs.NewFromConfig(c, append(options, func(o *sqs.Options) {
		if !place.Default {
			o.BaseEndpoint = aws.String(place.Endpoint)
		}
		AvoidLostResponses(o)
	})...), nil
}

func noCredentials(err error) error {
	return fmt.Errorf("%w: give the process a role, name a profile in AWS_PROFILE, or set AWS_ACCESS_KEY_ID and "+
		"AWS_SECRET_ACCESS_KEY: %w", ErrNoCredentials, err)
}
