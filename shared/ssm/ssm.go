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

// Parameter returns a source that reads a String or a SecureString. It trims white space, which an
// editor or a pipe may add, and an empty value is an error. Reading needs the permission
// ssm:GetParameter, and kms:Decrypt for a customer managed key.
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
