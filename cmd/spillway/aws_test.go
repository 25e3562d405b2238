package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/integration/testutil/localtest"
)

// withoutAWS hides the AWS configuration of the machine.
func withoutAWS(t *testing.T) {
	t.Helper()
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); strings.HasPrefix(name, "AWS_") && name != "AWS_CA_BUNDLE" {
			t.Setenv(name, "")
		}
	}
	t.Setenv("AWS_CONFIG_FILE", "/does/not/exist")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", "/does/not/exist")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
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
	check("set AWS_REGION", "dlq", "ls", "--stack=spillway")
	check("remove --queue-url", "dlq", "ls", "--stack=spillway", "--queue-url=http://localhost:1/a/b")
	check("must begin with a lower-case letter", "dlq", "ls", "--name=")
	check("set AWS_REGION", "dlq", "ls", "--name=staging")
	check("must begin with a lower-case letter", "send", "--name=No", "--count=1")
	check("remove --queue-url", "send", "--name=staging", "--queue-url=http://localhost:1/a/b", "--count=1")
	check("--name and --stack both name the stack", "tail", "--name=staging", "--stack=spillway-eu-west-1")
	check("has no events", "tail", "--stack=spillway", "--payload")
	check("remove --log-group", "tail", "--stack=spillway", "--log-group=x")
	check("no AWS credentials", "dlq", "ls",
		"--queue-url=https://sqs.eu-west-1.amazonaws.com/123456789012/spillway-events")
	t.Setenv("AWS_REGION", "eu-west-1")
	check("no AWS credentials", "tail", "--log-group=x")
}

func TestNameFindsTheStackOfAPipelineInTheRegion(t *testing.T) {
	withoutAWS(t)
	p := localtest.Start(t, local.Config{Hold: true})
	put(t, p, topology.DefaultNames().DeadLetterQueue, `{"type":"track","userId":"u","event":"E"}`)
	// CloudFormation knows one stack. Its queues are those of the local pipeline.
	cloudFormation := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if name := r.FormValue("StackName"); name != "staging-eu-west-1" {
			http.Error(w, "no stack "+name, http.StatusBadRequest)
			return
		}
		outputs := ""
		for key, value := range map[string]string{
			"EventsQueueUrl":     p.QueueURL(topology.DefaultNames().EventsQueue),
			"DeadLetterQueueUrl": p.QueueURL(topology.DefaultNames().DeadLetterQueue), "DeliverLogGroup": "log",
		} {
			outputs += "<member><OutputKey>" + key + "</OutputKey><OutputValue>" + value + "</OutputValue></member>"
		}
		fmt.Fprintf(w, "<DescribeStacksResponse><DescribeStacksResult><Stacks><member><Outputs>%s</Outputs></member>"+
			"</Stacks></DescribeStacksResult></DescribeStacksResponse>", outputs)
	}))
	defer cloudFormation.Close()
	t.Setenv("AWS_ENDPOINT_URL_CLOUDFORMATION", cloudFormation.URL)
	t.Setenv("AWS_REGION", "eu-west-1")
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
	if _, _, err := spillway(t.Context(), "", "tail", "--name=other"); err == nil ||
		!strings.Contains(err.Error(), "other-eu-west-1") {
		t.Errorf("tail of a pipeline that does not exist: %v", err)
	}
}
