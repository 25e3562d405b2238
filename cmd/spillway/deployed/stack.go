package deployed

import (
	"context"
	"net/url"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/spillwayhq/spillway/shared/signed"
)

// Outputs returns the outputs of a stack by name. It needs the permission
// cloudformation:DescribeStacks; that there is no such stack is an error, see NoStack.
func Outputs(ctx context.Context, c aws.Config, stack string) (map[string]string, error) {
	var page struct {
		Outputs []struct {
			OutputKey, OutputValue string
		} `xml:"DescribeStacksResult>Stacks>member>Outputs>member"`
	}
	err := signed.CloudFormation(c).XML(ctx, "DescribeStacks", "2010-05-15", url.Values{"StackName": {stack}}, &page)
	if err != nil {
		return nil, err
	}
	outputs := map[string]string{}
	for _, o := range page.Outputs {
		outputs[o.OutputKey] = o.OutputValue
	}
	return outputs, nil
}

// NoStack reports whether an error of Outputs says that there is no such stack: CloudFormation has no
// code of its own for it.
func NoStack(err error) bool { return hasCode(err, []string{"ValidationError"}) }
