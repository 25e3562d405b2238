package ssm

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/smithy-go"

	"github.com/spillwayhq/spillway/shared/reload"
)

// parameters is an SSM with one parameter.
type parameters struct{ name, value string }

func (p parameters) GetParameter(_ context.Context, name string, decrypt bool) (Value, error) {
	if name != p.name || !decrypt {
		return Value{}, coded("ParameterNotFound")
	}
	return Value{Text: p.value}, nil
}

// coded is an error of AWS.
func coded(code string) error { return &smithy.GenericAPIError{Code: code} }

func TestAParameterIsReadDecrypted(t *testing.T) {
	api := parameters{"/spillway/write-key", "secret"}
	if got, err := Parameter(api, "/spillway/write-key").Read(t.Context()); err != nil || string(got.Data) != "secret" {
		t.Errorf("%q, %v", got.Data, err)
	}
}

func TestAParameterWithoutAValueIsAnErrorThatNamesIt(t *testing.T) {
	if _, err := Parameter(parameters{}, "/other").Read(t.Context()); !NotFound(err) ||
		!strings.Contains(err.Error(), "/other") {
		t.Errorf("%v", err)
	}
	for name, value := range map[string]string{"/empty": "", "/blank": " \n"} {
		if _, err := Parameter(parameters{name, value}, name).Read(t.Context()); err == nil ||
			!strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// history is an SSM with the versions of one parameter, which holds these values or errors.
type history []any

func (h history) GetParameter(_ context.Context, name string, decrypt bool) (Value, error) {
	version := len(h)
	if _, selector, ok := strings.Cut(name, ":"); ok {
		version, _ = strconv.Atoi(selector)
	}
	if version < 1 || version > len(h) {
		return Value{}, coded("ParameterVersionNotFound")
	}
	value := Value{Text: "ciphertext", Version: int64(version)}
	if decrypt {
		switch text := h[version-1].(type) {
		case error:
			return Value{}, text
		case string:
			value.Text = text
		}
	}
	return value, nil
}

func TestAVersionIsReadByItsNumber(t *testing.T) {
	source := Parameter(history{"one", coded("AccessDeniedException"), coded("InvalidKeyId"), " ",
		coded("ThrottlingException"), "six"}, "/keys")
	if got, err := source.Read(t.Context()); err != nil || string(got.Data) != "six" || got.Version != "6" {
		t.Errorf("%q, version %s, %v", got.Data, got.Version, err)
	}
	if got, err := source.Before(t.Context(), "2"); err != nil || string(got.Data) != "one" || got.Version != "1" {
		t.Errorf("%q, version %s, %v", got.Data, got.Version, err)
	}
	for after, never := range map[int]bool{3: true, 4: true, 5: true, 6: false, 8: true} {
		got, err := source.Before(t.Context(), strconv.Itoa(after))
		if err == nil || errors.Is(err, reload.ErrUnreadable) != never || got.Version != strconv.Itoa(after-1) {
			t.Errorf("the version %s before %d: %v", got.Version, after, err)
		}
	}
	if _, err := source.Before(t.Context(), "1"); !errors.Is(err, reload.ErrFirst) {
		t.Errorf("before the first: %v", err)
	}
	if _, err := source.Before(t.Context(), "x"); err == nil || errors.Is(err, reload.ErrUnreadable) {
		t.Errorf("before what is no version: %v", err)
	}
}

// A value that was put with a KMS key that the function may not use must not hide those before it.
func TestAValueThatCantBeDecryptedStillHasItsVersion(t *testing.T) {
	for _, err := range []error{coded("AccessDeniedException"), coded("InvalidKeyId")} {
		got, failed := Parameter(history{"one", err}, "/keys").Read(t.Context())
		if failed == nil || got.Version != "2" || len(got.Data) > 0 {
			t.Errorf("%v: %q, version %s, %v", err, got.Data, got.Version, failed)
		}
	}
}
