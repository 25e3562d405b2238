package ssm

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go"

	"github.com/spillwayhq/spillway/shared/signed"
)

// A Client reads and writes the parameters of a region. An error that AWS answered is a
// smithy.APIError. As every client of the SDK it calls again after a lost connection, an answer 5xx
// and a throttled call: three attempts, or as AWS_MAX_ATTEMPTS says. It is safe for concurrent use.
type Client struct {
	service *signed.Client
	retryer *retry.Standard
}

// New returns the client of the configuration's region.
func New(c aws.Config) *Client {
	return &Client{signed.SSM(c), retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = c.RetryMaxAttempts // 0: the SDK's default
	})}
}

// A Value is what a parameter has. The first version is 1.
type Value struct {
	Text    string
	Version int64
}

// GetParameter reads a parameter's newest value, or of name:version that one. A SecureString that
// is not decrypted is a ciphertext. It needs the permission ssm:GetParameter.
func (c *Client) GetParameter(ctx context.Context, name string, decrypt bool) (Value, error) {
	in := struct {
		Name           string
		WithDecryption bool
	}{name, decrypt}
	var out struct {
		Parameter *struct {
			Value   string
			Version int64
		}
	}
	if err := c.call(ctx, "GetParameter", in, &out); err != nil {
		return Value{}, err
	}
	if out.Parameter == nil {
		return Value{}, errors.New("the answer has no value")
	}
	return Value{out.Parameter.Value, out.Parameter.Version}, nil
}

// A Type says how a value is stored.
type Type string

// The types that Spillway knows: a SecureString is encrypted, with the account's own key of SSM.
const (
	String       Type = "String"
	SecureString Type = "SecureString"
)

// PutParameter makes a parameter, or gives it a new value. It needs the permission
// ssm:PutParameter.
func (c *Client) PutParameter(ctx context.Context, name, text string, t Type) error {
	in := struct {
		Name, Value string
		Type        Type
		Overwrite   bool
	}{name, text, t, true}
	return c.call(ctx, "PutParameter", in, nil)
}

// DeleteParameter deletes a parameter. That there is none is an error, see NotFound. It needs the
// permission ssm:DeleteParameter.
func (c *Client) DeleteParameter(ctx context.Context, name string) error {
	return c.call(ctx, "DeleteParameter", struct{ Name string }{name}, nil)
}

// call makes a call, and makes it again as the SDK's clients do: all three have the same effect
// twice as once.
func (c *Client) call(ctx context.Context, action string, in, out any) error {
	giveBack := func(error) error { return nil } // what an attempt took of the budget for retries, if it succeeds
	for attempt := 1; ; attempt++ {
		done, err := c.retryer.GetAttemptToken(ctx)
		if err != nil {
			return err
		}
		err = c.service.Call(ctx, "AmazonSSM."+action, in, out)
		if failed := errors.Join(giveBack(err), done(err)); failed != nil {
			return errors.Join(err, failed)
		}
		switch {
		case err == nil, ctx.Err() != nil, !c.retryer.IsErrorRetryable(err):
			return err
		case attempt >= c.retryer.MaxAttempts():
			return fmt.Errorf("attempt %d, the last: %w", attempt, err)
		}
		var spent error
		if giveBack, spent = c.retryer.GetRetryToken(ctx, err); spent != nil {
			return errors.Join(err, spent)
		}
		pause, failed := c.retryer.RetryDelay(attempt, err)
		if failed != nil {
			return errors.Join(err, failed)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("attempt %d, and no time for another: %w: %w", attempt, err, ctx.Err())
		case <-time.After(pause):
		}
	}
}

const codeNotFound = "ParameterNotFound"

// NotFound reports whether an error says that a parameter does not exist.
func NotFound(err error) bool { return codeOf(err) == codeNotFound }

// codeOf is the code of an error that AWS answered, empty if it is none.
func codeOf(err error) string {
	if api := (smithy.APIError)(nil); errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}
