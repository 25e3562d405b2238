package ssm

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
)

// parameters is an SSM with one parameter, which has no value when that is nil.
type parameters struct {
	name  string
	value *string
}

func (p parameters) GetParameter(_ context.Context, in *ssm.GetParameterInput,
	_ ...func(*ssm.Options)) (*ssm.GetParameterOutput, error) {
	if aws.ToString(in.Name) != p.name || !aws.ToBool(in.WithDecryption) {
		return nil, &types.ParameterNotFound{}
	}
	if p.value == nil {
		return &ssm.GetParameterOutput{}, nil
	}
	return &ssm.GetParameterOutput{Parameter: &types.Parameter{Value: p.value}}, nil
}

func TestAParameterIsReadDecryptedAndTrimmed(t *testing.T) {
	api := parameters{"/spillway/write-key", aws.String(" secret\r\n")}
	if got, err := Parameter(api, "/spillway/write-key").Read(t.Context()); err != nil || string(got) != "secret" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestAParameterWithoutAValueIsAnErrorThatNamesIt(t *testing.T) {
	var notFound *types.ParameterNotFound
	if _, err := Parameter(parameters{}, "/other").Read(t.Context()); !errors.As(err, &notFound) ||
		!strings.Contains(err.Error(), "/other") {
		t.Errorf("%v", err)
	}
	for name, value := range map[string]*string{"/absent": nil, "/empty": aws.String(""), "/blank": aws.String(" \n")} {
		if _, err := Parameter(parameters{name, value}, name).Read(t.Context()); err == nil ||
			!strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
