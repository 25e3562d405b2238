package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spillwayhq/spillway/infra/bundle/bundletest"
	"github.com/spillwayhq/spillway/integration/testutil/mototest"
)

func TestDeployRefusesBeforeItAsksAWS(t *testing.T) {
	mototest.OwnConfiguration(t)
	t.Setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1") // a call would fail otherwise than is expected
	good := bundletest.Write(t, "v1.2.3")
	broken := filepath.Join(t.TempDir(), "spillway_1_aws.zip")
	if err := os.WriteFile(broken, []byte("no zip"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"no bundle":                {nil, "there is no bundle spillway_"},
		"a bundle that is none":    {[]string{"--bundle", broken}, "it is no zip archive"},
		"a bundle that is missing": {[]string{"--bundle", "x.zip"}, "open the bundle: open x.zip: no such file"},
		"a bucket that is none":    {[]string{"--bundle", good, "--bucket", "Bad_Name"}, `--bucket must be a bucket's name, 3 to 63 lower-case letters, digits, hyphens and dots, is "Bad_Name"`},
		"an invalid name":          {[]string{"--bundle", good, "--name", "No"}, "must begin with a lower-case letter"},
		"an unknown setting":       {[]string{"--bundle", good, "--set", "x=1"}, `unknown setting "x"`},
		"several regions":          {[]string{"--bundle", good, "--set", "regions=eu-west-1,us-east-1"}, "a release can't express these settings, nothing is changed:\n  regions must be one, are 2"},
		"two at a time":            {[]string{"--bundle", good, "--set", "canary=false", "--set", "domain=x.example.com", "--set", "hostedZone=example.com"}, "\n  domain is not in the template"},
		"an unknown region":        {[]string{"--bundle", good, "--set", "regions=eu-wset-1"}, `unknown region "eu-wset-1"`},
		"no terminal":              {[]string{"--bundle", good}, "there is no terminal to ask on: give --yes"},
		"an argument":              {[]string{"spillway"}, "takes no arguments"},
		"an empty flag":            {[]string{"--bucket="}, "--bucket must not be empty"},
	} {
		if _, _, err := spillway(t.Context(), "", append([]string{"deploy"}, c.args...)...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	for variable, want := range map[string]string{"AWS_REGION": "no AWS region: set AWS_REGION", "AWS_ACCESS_KEY_ID": "no AWS credentials: set AWS_PROFILE"} {
		before := os.Getenv(variable)
		t.Setenv(variable, "")
		if _, _, err := spillway(t.Context(), "", "deploy", "--bundle", good, "--yes"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("without %s: %v", variable, err)
		}
		t.Setenv(variable, before)
	}
}

// TestTheCommandLineHasNeitherTheCDKNorTheClientsOfItsServices holds its size: the CDK is 100 MB, and
// each of the clients 6 to 7.
func TestTheCommandLineHasNeitherTheCDKNorTheClientsOfItsServices(t *testing.T) {
	t.Parallel()
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	packages := strings.Fields(string(out))
	if len(packages) < 200 {
		t.Errorf("only %d packages were found", len(packages))
	}
	for _, p := range packages {
		for _, none := range []string{"aws-cdk-go", "jsii", "/constructs-go", "/service/cloudformation", "/service/s3", "/service/ssm",
			"/service/lambda", "spillway/infra/aws"} {
			if strings.Contains(p, none) {
				t.Errorf("the command line has %s", p)
			}
		}
	}
}
