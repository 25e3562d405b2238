package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/spillwayhq/spillway/shared/deliver"
)

var _ lambda.Handler = (*deliver.Handler)(nil)

func complete(more ...string) []string {
	return append([]string{"PATH=/bin", "SPILLWAY_QUEUE_URL=https://sqs.eu-west-1.amazonaws.com/1/events",
		"SPILLWAY_DEAD_LETTER_QUEUE_URL=https://sqs.eu-west-1.amazonaws.com/1/dead"}, more...)
}

func TestTheDefaultsAreEnoughWithTheTwoQueues(t *testing.T) {
	c, err := readConfig(complete())
	if err != nil {
		t.Fatal(err)
	}
	if c.endpoint != "https://api.segment.io" || !c.gzip {
		t.Errorf("endpoint %q, gzip %v", c.endpoint, c.gzip)
	}
	if _, err := newHandler(t.Context(), complete("SPILLWAY_LOG_LEVEL=error")); err != nil {
		t.Error(err)
	}
}

func TestAWrongVariableIsNamedWithWhatToWrite(t *testing.T) {
	for _, c := range []struct{ variable, want string }{
		{"SPILLWAY_QUEUE_URL=", "write the queue's URL"},
		{"SPILLWAY_DEAD_LETTER_QUEUE_URL=dead", "write the queue's URL"},
		{"SPILLWAY_SEGMENT_GZIP=perhaps", "write true or false"},
		{"SPILLWAY_WRITE_KEY=a,SPILLWAY_WRITE_KEY_PARAMETER=b", "both set"},
		{"SPILLWAY_SEGMENT_ENDPOINT=https://a.example,SPILLWAY_SEGMENT_ENDPOINT_PARAMETER=b", "both set"},
		{"SPILLWAY_LOG_LEVEL=loud", "write debug, info, warn or error"},
		{"SPILLWAY_WRITEKEY=x", "SPILLWAY_WRITEKEY is not known"},
		{"SPILLWAY_SEGMENT_ENDPOINT=api.segment.io", "https://api.segment.io"},
	} {
		if _, err := newHandler(t.Context(), complete(strings.Split(c.variable, ",")...)); err == nil ||
			!strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", c.variable, err, c.want)
		}
	}
}

func TestTheConfigurationIsShownWithoutTheWriteKey(t *testing.T) {
	c, err := readConfig(complete("SPILLWAY_WRITE_KEY=very-secret", "SPILLWAY_CANARY_WRITE_KEY=secret-too"))
	if err != nil {
		t.Fatal(err)
	}
	if shown := fmt.Sprint(c.LogValue()); strings.Contains(shown, "secret") || !strings.Contains(shown, "sqs.eu-west-1") {
		t.Errorf("shown: %s", shown)
	}
}

func TestAParameterThatCanNotBeReadDoesNotFailTheStart(t *testing.T) {
	t.Setenv("AWS_REGION", "eu-west-1")
	t.Setenv("AWS_ACCESS_KEY_ID", "none")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "none")
	t.Setenv("AWS_ENDPOINT_URL_SSM", "http://127.0.0.1:1")
	if _, err := newHandler(t.Context(), complete("SPILLWAY_WRITE_KEY_PARAMETER=/spillway/write-key")); err != nil {
		t.Error(err)
	}
}
