// Package ssm reads a parameter of AWS Systems Manager, for package reload.
package ssm

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"github.com/spillwayhq/spillway/shared/reload"
)

// API is what the package needs of an *ssm.Client of the AWS SDK.
type API interface {
	GetParameter(context.Context, *ssm.GetParameterInput, ...func(*ssm.Options)) (*ssm.GetParameterOutput, error)
}

// Parameter is a String or a SecureString, without the white space around it, which an editor or a
// pipe leaves behind. It is never empty. Reading it needs ssm:GetParameter, and kms:Decrypt if it
// is encrypted with a key of one's own.
func Parameter(api API, name string) reload.Source {
	return reload.Source{Name: name, Read: func(ctx context.Context) ([]byte, error) {
		out, err := api.GetParameter(ctx, &ssm.GetParameterInput{Name: aws.String(name), WithDecryption: aws.Bool(true)})
		if err != nil {
			return nil, fmt.Errorf("read the parameter %s: %w", name, err)
		}
		if out.Parameter == nil {
			return nil, fmt.Errorf("read the parameter %s: the answer has no value", name)
		}
		value := bytes.TrimSpace([]byte(aws.ToString(out.Parameter.Value)))
		if len(value) == 0 {
			return nil, fmt.Errorf("read the parameter %s: %w", name, errEmpty)
		}
		return value, nil
	}}
}

var errEmpty = errors.New("its value is empty")
