package deployed

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/spillwayhq/spillway/shared/signed"
)

// callerTimeout bounds Caller: what is switched must not wait for who does it.
const callerTimeout = 5 * time.Second

// Caller returns the ARN of whom the credentials belong to, to be noted with what that person
// switches. It needs no permission, and takes 5 seconds at most.
func Caller(ctx context.Context, c aws.Config) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, callerTimeout)
	defer cancel()
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
