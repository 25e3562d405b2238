package ssm

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/aws/smithy-go"

	"github.com/spillwayhq/spillway/shared/reload"
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

func TestAParameterIsReadDecrypted(t *testing.T) {
	api := parameters{"/spillway/write-key", aws.String("secret")}
	if got, err := Parameter(api, "/spillway/write-key").Read(t.Context()); err != nil || string(got.Data) != "secret" {
		t.Errorf("%q, %v", got.Data, err)
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

// history is an SSM with the versions of one parameter, which holds these values or errors.
type history []any

func (h history) GetParameter(_ context.Context, in *ssm.GetParameterInput,
	_ ...func(*ssm.Options)) (*ssm.GetParameterOutput, error) {
	version := len(h)
	if _, selector, ok := strings.Cut(aws.ToString(in.Name), ":"); ok {
		version, _ = strconv.Atoi(selector)
	}
	if version < 1 || version > len(h) {
		return nil, &types.ParameterVersionNotFound{}
	}
	p := &types.Parameter{Value: aws.String("ciphertext"), Version: int64(version)}
	if aws.ToBool(in.WithDecryption) {
		switch value := h[version-1].(type) {
		case error:
			return nil, value
		case string:
			p.Value = aws.String(value)
		}
	}
	return &ssm.GetParameterOutput{Parameter: p}, nil
}

func TestAVersionIsReadByItsNumber(t *testing.T) {
	noKey := &smithy.GenericAPIError{Code: "AccessDeniedException"}
	throttled := &smithy.GenericAPIError{Code: "ThrottlingException"}
	source := Parameter(history{"one", noKey, &types.InvalidKeyId{}, " ", throttled, "six"}, "/keys")
	if got, err := source.Read(t.Context()); err != nil || string(got.Data) != "six" || got.Version != 6 {
		t.Errorf("%q, version %d, %v", got.Data, got.Version, err)
	}
	if got, err := source.ReadVersion(t.Context(), 1); err != nil || string(got.Data) != "one" || got.Version != 1 {
		t.Errorf("%q, version %d, %v", got.Data, got.Version, err)
	}
	for version, never := range map[int64]bool{2: true, 3: true, 4: true, 5: false, 7: true} {
		if _, err := source.ReadVersion(t.Context(), version); err == nil || errors.Is(err, reload.ErrUnreadable) != never {
			t.Errorf("version %d: %v", version, err)
		}
	}
}

// A value that was put with a KMS key that the function may not use must not hide those before it.
func TestAValueThatCantBeDecryptedStillHasItsVersion(t *testing.T) {
	for _, err := range []error{&smithy.GenericAPIError{Code: "AccessDeniedException"}, &types.InvalidKeyId{}} {
		got, failed := Parameter(history{"one", err}, "/keys").Read(t.Context())
		if failed == nil || got.Version != 2 || len(got.Data) > 0 {
			t.Errorf("%v: %q, version %d, %v", err, got.Data, got.Version, failed)
		}
	}
}
