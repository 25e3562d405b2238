package main

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/integration/testutil/localtest"
)

// noAWS are the variables that hide the AWS configuration of the machine from a command.
func noAWS() []string {
	all := []string{"AWS_CONFIG_FILE=/does/not/exist", "AWS_SHARED_CREDENTIALS_FILE=/does/not/exist",
		"AWS_EC2_METADATA_DISABLED=true"}
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); strings.HasPrefix(name, "AWS_") && name != "AWS_CA_BUNDLE" &&
			!slices.ContainsFunc(all, func(v string) bool { return strings.HasPrefix(v, name+"=") }) {
			all = append(all, name+"=")
		}
	}
	return all
}

// withoutAWS hides the AWS configuration of the machine from this process.
func withoutAWS(t *testing.T) {
	t.Helper()
	for _, v := range noAWS() {
		name, value, _ := strings.Cut(v, "=")
		t.Setenv(name, value)
	}
}

func TestErrorsOfVerbsOnAWSAreOneLine(t *testing.T) {
	withoutAWS(t)
	check := func(want string, args ...string) {
		t.Helper()
		_, _, err := spillway(t.Context(), "", args...)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v: %v", args, err)
		}
	}
	check("remove --queue-url", "dlq", "ls", "--name=spillway", "--queue-url=http://localhost:1/a/b")
	check("--name must not be empty", "dlq", "ls", "--name=")
	check("set AWS_REGION", "dlq", "ls", "--name=staging")
	check("must begin with a lower-case letter", "send", "--name=No", "--count=1")
	check("remove --queue-url", "send", "--name=staging", "--queue-url=http://localhost:1/a/b", "--count=1")
	check("has no events", "tail", "--name=spillway", "--payload")
	check("remove --log-group", "tail", "--name=spillway", "--log-group=x")
	check("must begin with a lower-case letter", "tail", "--name=No")
	check("no AWS credentials", "dlq", "ls",
		"--queue-url=https://sqs.eu-west-1.amazonaws.com/123456789012/spillway-events")
	t.Setenv("AWS_REGION", "eu-west-1")
	check("no AWS credentials", "tail", "--log-group=x")
}

func TestNameFindsTheQueuesOfAPipelineInTheRegion(t *testing.T) {
	withoutAWS(t)
	staging, err := topology.NewNames("staging")
	if err != nil {
		t.Fatal(err)
	}
	p := localtest.Start(t, local.Config{Hold: true, Name: "staging"})
	put(t, p, staging.DeadLetterQueue, `{"type":"track","userId":"u","event":"E"}`)
	t.Setenv("AWS_ENDPOINT_URL_SQS", p.SQSURL)
	t.Setenv("AWS_REGION", local.Region)
	t.Setenv("AWS_ACCESS_KEY_ID", local.AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", local.AccessKey)
	if out, _, err := spillway(t.Context(), "", "dlq", "ls", "--name=staging"); err != nil ||
		!strings.Contains(out, "not given") {
		t.Errorf("dlq ls: %v, printed %q", err, out)
	}
	if out, _, err := spillway(t.Context(), "", "send", "--name=staging", "--count=3"); err != nil ||
		!strings.HasPrefix(out, "sent 3 events") {
		t.Errorf("send: %v, printed %q", err, out)
	}
	if _, _, err := spillway(t.Context(), "", "dlq", "ls", "--name=other"); err == nil ||
		!strings.Contains(err.Error(), "there is no queue other-events in "+local.Region) {
		t.Errorf("dlq ls of a pipeline that does not exist: %v", err)
	}
}
