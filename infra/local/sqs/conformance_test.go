package sqs

import (
	"context"
	"os"
	"testing"
	"testing/synctest"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/spillwayhq/spillway/infra/local/sqs/sqstest"
)

// TestConformance runs the suite against this package's server in virtual
// time. With SPILLWAY_SQS_ENDPOINT it runs against that endpoint in real time:
// a URL, or "aws" for SQS itself with the default credentials.
func TestConformance(t *testing.T) {
	if endpoint := os.Getenv("SPILLWAY_SQS_ENDPOINT"); endpoint != "" {
		sqstest.Run(t, func(t *testing.T) *sqs.Client { return remote(t, endpoint) })
		return
	}
	sqstest.RunIn(t, local, bubble)
}

func local(t *testing.T) *sqs.Client { return sdk(open(t, Options{})) }

func bubble(t *testing.T, f func(*testing.T)) { synctest.Test(t, f) }

func remote(t *testing.T, endpoint string) *sqs.Client {
	t.Helper()
	if endpoint == "aws" {
		cfg, err := config.LoadDefaultConfig(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return sqs.NewFromConfig(cfg)
	}
	return sqs.New(sqs.Options{
		Region: "us-east-1", BaseEndpoint: aws.String(endpoint),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
		}),
	})
}
