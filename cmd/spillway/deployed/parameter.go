package deployed

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/spillwayhq/spillway/shared/ssm"
)

// ReadParameter returns the text of a parameter of SSM in the region of the configuration; empty: it
// does not exist.
func ReadParameter(ctx context.Context, c aws.Config, name string) (string, error) {
	value, err := ssm.New(c).GetParameter(ctx, name, false)
	if ssm.NotFound(err) {
		return "", nil
	}
	return value.Text, Explain(err, "read the parameter "+name+" in "+c.Region, "ssm:GetParameter")
}

// WriteParameter makes a parameter, or replaces its text.
func WriteParameter(ctx context.Context, c aws.Config, name, text string) error {
	err := ssm.New(c).PutParameter(ctx, name, text, ssm.String)
	return Explain(err, "write the parameter "+name+" in "+c.Region, "ssm:PutParameter")
}

// RemoveParameter deletes a parameter. It is no error if there is none: somebody else was faster.
func RemoveParameter(ctx context.Context, c aws.Config, name string) error {
	err := ssm.New(c).DeleteParameter(ctx, name)
	if ssm.NotFound(err) {
		return nil
	}
	return Explain(err, "delete the parameter "+name+" in "+c.Region, "ssm:DeleteParameter")
}
