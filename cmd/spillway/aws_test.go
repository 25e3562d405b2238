package main

import (
	"strings"
	"testing"
)

func TestErrorsOfVerbsOnAWSAreOneLine(t *testing.T) {
	t.Setenv("AWS_REGION", "")
	t.Setenv("AWS_DEFAULT_REGION", "")
	t.Setenv("AWS_CONFIG_FILE", "/does/not/exist")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", "/does/not/exist")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	check := func(want string, args ...string) {
		t.Helper()
		_, _, err := spillway(t.Context(), "", args...)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v: %v", args, err)
		}
	}
	check("set AWS_REGION", "dlq", "ls", "--stack=spillway")
	check("remove --queue-url", "dlq", "ls", "--stack=spillway", "--queue-url=http://localhost:1/a/b")
	check("has no events", "tail", "--stack=spillway", "--payload")
	check("remove --log-group", "tail", "--stack=spillway", "--log-group=x")
	check("no AWS credentials", "dlq", "ls",
		"--queue-url=https://sqs.eu-west-1.amazonaws.com/123456789012/spillway-events")
	t.Setenv("AWS_REGION", "eu-west-1")
	check("no AWS credentials", "tail", "--log-group=x")
}
