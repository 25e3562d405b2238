package ssm

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	awsconfig "github.com/aws/aws-sdk-go-v2/config"

	"github.com/spillwayhq/spillway/integration/testutil/mototest"
)

// moto reads what is sent by AWS's own models.
func TestTheCallsAreThoseOfAWSsModels(t *testing.T) {
	if os.Getenv("SPILLWAY_REQUIRE_MOTO") == "" {
		t.Skip("it takes 5 s: set SPILLWAY_REQUIRE_MOTO=1, as .ci/run does; it needs " + mototest.Need)
	}
	mototest.Start(t, filepath.Join("..", ".."))
	config, err := awsconfig.LoadDefaultConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c := New(config)
	for _, text := range []string{"first", "second <&> \u2028"} {
		if err := c.PutParameter(t.Context(), "/shop/secret", text, SecureString); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]Value{"/shop/secret": {"second <&> \u2028", 2}, "/shop/secret:1": {"first", 1}} {
		if got, err := c.GetParameter(t.Context(), name, true); err != nil || got != want {
			t.Errorf("%s is %+v, %v, want %+v", name, got, err, want)
		}
	}
	if got, err := c.GetParameter(t.Context(), "/shop/secret", false); err != nil || got.Version != 2 ||
		!strings.HasPrefix(got.Text, "kms:") { // moto's way to encrypt
		t.Errorf("without decryption it is %+v, %v", got, err)
	}
	if _, err := c.GetParameter(t.Context(), "/shop/secret:9", true); codeOf(err) != "ParameterVersionNotFound" {
		t.Errorf("a version that does not exist: %v", err)
	}
	if err := c.DeleteParameter(t.Context(), "/shop/secret"); err != nil {
		t.Error(err)
	}
	_, err = c.GetParameter(t.Context(), "/shop/secret", true)
	if again := c.DeleteParameter(t.Context(), "/shop/secret"); !NotFound(err) || !NotFound(again) {
		t.Errorf("after it was deleted: %v, %v", err, again)
	}
}
