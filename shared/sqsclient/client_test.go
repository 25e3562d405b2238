package sqsclient

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

const atAWS = "https://sqs.eu-west-1.amazonaws.com/123456789012/spillway-events"

func TestAQueuesURLNamesItsEndpointAndRegion(t *testing.T) {
	for in, want := range map[string]Location{
		atAWS: {"https://sqs.eu-west-1.amazonaws.com", "eu-west-1", true},
		"https://sqs.cn-north-1.amazonaws.com.cn/123456789012/e": {"https://sqs.cn-north-1.amazonaws.com.cn", "cn-north-1",
			true},
		"https://sqs-fips.us-east-1.amazonaws.com/123456789012/e": {"https://sqs-fips.us-east-1.amazonaws.com", "us-east-1",
			false},
		"https://sqs.us-east-1.api.aws/123456789012/e": {"https://sqs.us-east-1.api.aws",
			"us-east-1", false},
		"https://vpce-1a-2b.sqs.eu-central-1.vpce.amazonaws.com/123456789012/e":         {"https://vpce-1a-2b.sqs.eu-central-1.vpce.amazonaws.com", "eu-central-1", false},
		"http://localhost:9324/000000000000/spillway-events":                            {"http://localhost:9324", "", false},
		"http://sqs.us-east-1.localhost.localstack.cloud:4566/000000000000/some-events": {"http://sqs.us-east-1.localhost.localstack.cloud:4566", "", false},
	} {
		if got, err := ParseURL(in); err != nil || got != want {
			t.Errorf("%s: %+v, %v; want %+v", in, got, err, want)
		}
	}
}

func TestAnInvalidQueueURLIsRefused(t *testing.T) {
	for in, want := range map[string]string{
		"": "like https://sqs", "spillway-events": "like https://sqs", "ftp://localhost/x": "like https://sqs",
		"https://sqs.eu-west-1.amazonaws.com/":               "like https://sqs",
		"arn:aws:sqs:eu-west-1:123456789012:spillway-events": "like https://sqs", atAWS + ".fifo": "FIFO",
		"https://queue.amazonaws.com/123456789012/e": "names no region",
	} {
		if _, err := NewClient(t.Context(), in, nil); !errors.Is(err, ErrInvalidQueueURL) ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", in, err)
		}
	}
}

func TestAClientUsesTheRegionOfItsQueue(t *testing.T) {
	static := credentials.NewStaticCredentialsProvider("a", "b", "")
	c, err := NewClient(t.Context(), atAWS, &aws.Config{Region: "us-east-1", Credentials: static})
	if err != nil || c.Options().Region != "eu-west-1" || c.Options().BaseEndpoint != nil {
		t.Errorf("%+v: %v", c.Options(), err)
	}
	c, err = NewClient(t.Context(), "http://localhost:9324/0/e", nil)
	if err != nil || aws.ToString(c.Options().BaseEndpoint) != "http://localhost:9324" {
		t.Errorf("%+v: %v", c.Options(), err)
	}
	if used, err := c.Options().Credentials.Retrieve(t.Context()); err != nil || used.AccessKeyID == "" {
		t.Errorf("for a local queue: %v", err)
	}
}

func TestAClientForAWSNeedsCredentials(t *testing.T) {
	none := aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{}, errors.New("no EC2 IMDS role found")
	})
	for _, c := range []aws.Config{{}, {Credentials: none}} {
		if _, err := NewClient(t.Context(), atAWS, &c); !errors.Is(err, ErrNoCredentials) ||
			!strings.Contains(err.Error(), "AWS_ACCESS_KEY_ID") {
			t.Errorf("%v", err)
		}
	}
}
