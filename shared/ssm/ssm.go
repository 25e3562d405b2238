// Package ssm reads a parameter of AWS Systems Manager, for package reload.
package ssm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/smithy-go"

	"github.com/spillwayhq/spillway/shared/reload"
)

// API is what the package needs of an *ssm.Client of the AWS SDK.
type API interface {
	GetParameter(context.Context, *ssm.GetParameterInput, ...func(*ssm.Options)) (*ssm.GetParameterOutput, error)
}

// Parameter returns a source that reads a String or a SecureString, and its earlier versions. An
// empty value is an error. Reading needs the permission ssm:GetParameter, and kms:Decrypt for a
// customer managed key.
func Parameter(api API, name string) reload.Source {
	p := parameter{api, name}
	return reload.Source{Name: name, Read: p.read, ReadVersion: p.readVersion}
}

type parameter struct {
	api  API
	name string
}

func (p parameter) read(ctx context.Context) (reload.Content, error) {
	c, err := p.get(ctx, p.name)
	if code := codeOf(err); code == "InvalidKeyId" || code == "AccessDeniedException" {
		// The key of the newest value can't be used. Its version can be read without decrypting it.
		out, withoutKey := p.api.GetParameter(ctx, &ssm.GetParameterInput{Name: aws.String(p.name)})
		if withoutKey == nil && out.Parameter != nil {
			c.Version = out.Parameter.Version
		}
	}
	return c, err
}

// readVersion uses a selector, name:version, which needs no permission of its own.
func (p parameter) readVersion(ctx context.Context, version int64) (reload.Content, error) {
	c, err := p.get(ctx, fmt.Sprint(p.name, ":", version))
	code := codeOf(err)
	if errors.Is(err, errEmpty) ||
		slices.Contains([]string{"InvalidKeyId", "AccessDeniedException", "ParameterNotFound", "ParameterVersionNotFound"},
			code) {
		err = fmt.Errorf("%w: %w", reload.ErrUnreadable, err)
	}
	return c, err
}

func (p parameter) get(ctx context.Context, name string) (reload.Content, error) {
	out, err := p.api.GetParameter(ctx, &ssm.GetParameterInput{Name: aws.String(name), WithDecryption: aws.Bool(true)})
	if err != nil {
		return reload.Content{}, fmt.Errorf("read the parameter %s: %w", name, err)
	}
	if out.Parameter == nil {
		return reload.Content{}, fmt.Errorf("read the parameter %s: the answer has no value", name)
	}
	c := reload.Content{Data: []byte(aws.ToString(out.Parameter.Value)), Version: out.Parameter.Version}
	if len(bytes.TrimSpace(c.Data)) == 0 {
		return c, fmt.Errorf("read the parameter %s: %w", name, errEmpty)
	}
	return c, nil
}

var errEmpty = errors.New("its value is empty")

// codeOf is the code of an error that AWS answered, empty if it is none.
func codeOf(err error) string {
	if api := (smithy.APIError)(nil); errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}
