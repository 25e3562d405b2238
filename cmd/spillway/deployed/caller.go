package deployed

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/spillwayhq/spillway/shared/signed"
)

// Caller returns the ARN of whom the credentials belong to, to be noted with what he switches. It
// needs no permission.
func Caller(ctx context.Context, c aws.Config) (string, error) {
	var answer struct {
		Arn string `xml:"GetCallerIdentityResult>Arn"`
	}
	if err := signed.STS(c).XML(ctx, "GetCallerIdentity", "2011-06-15", nil, &answer); err != nil {
		return "", Explain(err, "ask whose the AWS credentials are", "sts:GetCallerIdentity")
	}
	if answer.Arn == "" {
		return "", fmt.Errorf("ask whose the AWS credentials are: the answer of sts in %s has no ARN", c.Region)
	}
	return answer.Arn, nil
}
