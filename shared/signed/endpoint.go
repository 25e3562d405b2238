package signed

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// endpoint is where the service is: as the SDK's variables say, otherwise beside SQS, whose client
// knows the partitions.
func (c *Client) endpoint(ctx context.Context) (string, error) {
	set := cmp.Or(os.Getenv("AWS_ENDPOINT_URL_"+c.variable), aws.ToString(c.config.BaseEndpoint))
	if set != "" {
		set = strings.TrimRight(set, "/")
		if c.bucket != "" {
			set += "/" + c.bucket
		}
		return set, nil
	}
	fips, dualStack, err := c.variant(ctx)
	if err != nil {
		return "", err
	}
	return c.host(ctx, fips, dualStack)
}

// Address is the URL of a path where AWS itself finds it, as CloudFormation reads a template from S3:
// whatever AWS_ENDPOINT_URL and the variants of hosts say that this machine uses.
func (c *Client) Address(ctx context.Context, path string) (string, error) {
	host, err := c.host(ctx, false, false)
	return host + path, err
}

func (c *Client) host(ctx context.Context, fips, dualStack bool) (string, error) {
	found, err := sqs.NewDefaultEndpointResolverV2().ResolveEndpoint(ctx,
		sqs.EndpointParameters{Region: aws.String(c.config.Region), UseFIPS: aws.Bool(fips),
			UseDualStack: aws.Bool(dualStack)})
	if err != nil {
		return "", fmt.Errorf("find %s in %s: %w", c.service, c.config.Region, err)
	}
	host := c.service
	if c.bucket != "" {
		host = c.bucket + "." + host
	}
	return strings.Replace(found.URI.String(), "://sqs", "://"+host, 1), nil
}

// The sources of a configuration that know which of a service's hosts is wanted: variables, and
// files.
type (
	fipsSource interface {
		GetUseFIPSEndpoint(context.Context) (aws.FIPSEndpointState, bool, error)
	}
	dualStackSource interface {
		GetUseDualStackEndpoint(context.Context) (aws.DualStackEndpointState, bool, error)
	}
)

// variant reads AWS_USE_FIPS_ENDPOINT, AWS_USE_DUALSTACK_ENDPOINT and their like in a profile, as
// the SDK's clients do. The dual-stack hosts of S3 alone are called otherwise.
func (c *Client) variant(ctx context.Context) (fips, dualStack bool, err error) {
	f, err := ask(c, func(s fipsSource) (aws.FIPSEndpointState, bool, error) { return s.GetUseFIPSEndpoint(ctx) })
	d, failed := ask(c, func(s dualStackSource) (aws.DualStackEndpointState, bool, error) {
		return s.GetUseDualStackEndpoint(ctx)
	})
	return f == aws.FIPSEndpointStateEnabled, d == aws.DualStackEndpointStateEnabled && c.bucket == "",
		errors.Join(err, failed)
}

// ask returns what the first source of the configuration says that knows.
func ask[Source, T any](c *Client, get func(Source) (T, bool, error)) (value T, err error) {
	for _, s := range c.config.ConfigSources {
		if source, is := s.(Source); is {
			if value, found, err := get(source); found || err != nil {
				return value, err
			}
		}
	}
	return value, nil
}
