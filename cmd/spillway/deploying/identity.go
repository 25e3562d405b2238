package deploying

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/spillwayhq/spillway/cmd/spillway/deployed"
	"github.com/spillwayhq/spillway/shared/signed"
)

// identity asks STS whose the credentials are: the account and the partition that it is in. It needs
// no permission, so that it fails only for wrong credentials or a wrong region.
func identity(ctx context.Context, c aws.Config) (account, partition string, err error) {
	limited, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var answer struct {
		Account string `xml:"GetCallerIdentityResult>Account"`
		ARN     string `xml:"GetCallerIdentityResult>Arn"`
	}
	client := signed.STS(c)
	for attempt := range 3 {
		if attempt > 0 && !signed.Pause(ctx, time.Second, attempt) {
			break
		}
		if err = client.XML(limited, "GetCallerIdentity", "2011-06-15", nil, &answer); err == nil {
			break
		}
		if code, _ := codeOf(err); code != "" || ctx.Err() != nil {
			break // an answer is the same the next time
		}
	}
	if ctx.Err() != nil {
		return "", "", context.Cause(ctx)
	}
	if err != nil {
		return "", "", deployed.Explain(err, "ask whose the AWS credentials are", "sts:GetCallerIdentity")
	}
	parts := strings.Split(answer.ARN, ":") // arn:PARTITION:sts::ACCOUNT:…
	if len(parts) < 5 || answer.Account == "" {
		return "", "", fmt.Errorf("ask whose the AWS credentials are: STS in %s answered with the ARN %q", c.Region,
			answer.ARN)
	}
	return answer.Account, parts[1], nil
}
