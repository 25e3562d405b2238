package deliver

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/aws/aws-lambda-go/lambda"

	"github.com/spillwayhq/spillway/shared/price"
)

var _ lambda.Handler = (*Handler)(nil)

func complete(more ...string) []string {
	return append([]string{"PATH=/bin", "SPILLWAY_QUEUE_URL=https://sqs.eu-west-1.amazonaws.com/1/events",
		"SPILLWAY_DEAD_LETTER_QUEUE_URL=https://sqs.eu-west-1.amazonaws.com/1/dead"}, more...)
}

func TestTheQueuesAreTheOnlyRequiredVariables(t *testing.T) {
	o, err := readOptions(complete())
	if err != nil {
		t.Fatal(err)
	}
	if o.Endpoint != "https://api.segment.io" || !o.Gzip || o.GzipLevel != price.Gzip().Level || o.Name != "spillway" {
		t.Errorf("%+v", o)
	}
	if _, err := FromEnvironment(t.Context(), complete("SPILLWAY_LOG_LEVEL=error"), io.Discard); err != nil {
		t.Error(err)
	}
}

func TestAWrongVariableIsNamedWithWhatItMustBe(t *testing.T) {
	for _, c := range []struct{ variable, want string }{
		{"SPILLWAY_QUEUE_URL=", "SPILLWAY_QUEUE_URL must be a queue's URL"},
		{"SPILLWAY_DEAD_LETTER_QUEUE_URL=dead", "SPILLWAY_DEAD_LETTER_QUEUE_URL must be a queue's URL"},
		{"SPILLWAY_BULK_QUEUE_URL=bulk", "SPILLWAY_BULK_QUEUE_URL must be a queue's URL"},
		{"SPILLWAY_SEGMENT_GZIP=perhaps", "must be true or false"},
		{"SPILLWAY_WRITE_KEY=a,SPILLWAY_WRITE_KEY_PARAMETER=b", "both set"},
		{"SPILLWAY_SEGMENT_ENDPOINT=https://a.example,SPILLWAY_SEGMENT_ENDPOINT_PARAMETER=b", "both set"},
		{"SPILLWAY_LOG_LEVEL=loud", "must be debug, info, warn or error"},
		{"SPILLWAY_WRITE_KEY=two words", "SPILLWAY_WRITE_KEY must be 1 to 128 printable ASCII characters without spaces"},
		{"SPILLWAY_WRITE_KEY=\"quoted\"", "SPILLWAY_WRITE_KEY must be 1 to 128 printable"},
		{"SPILLWAY_CANARY_WRITE_KEY=a:b", "SPILLWAY_CANARY_WRITE_KEY must be 1 to 128 printable"},
		{"SPILLWAY_SEGMENT_ENDPOINT=api.segment.io", "https://api.segment.io"},
	} {
		if _, err := FromEnvironment(t.Context(), complete(strings.Split(c.variable, ",")...), io.Discard); err == nil ||
			!strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", c.variable, err, c.want)
		}
	}
}

func TestTheOptionsAreShownWithoutTheWriteKeys(t *testing.T) {
	o, err := readOptions(complete("SPILLWAY_WRITE_KEY=very-secret", "SPILLWAY_CANARY_WRITE_KEY=secret-too"))
	if err != nil {
		t.Fatal(err)
	}
	if shown := fmt.Sprint(o.LogValue()); strings.Contains(shown, "secret") || !strings.Contains(shown, "sqs.eu-west-1") {
		t.Errorf("shown: %s", shown)
	}
}

// Segment answers 200 to a key with a line end, and drops the events.
func TestWhiteSpaceAroundWriteKeysIsIgnoredWithAWarning(t *testing.T) {
	var log strings.Builder
	if _, err := FromEnvironment(t.Context(), complete("SPILLWAY_WRITE_KEY=secret\n", "SPILLWAY_CANARY_WRITE_KEY= secret-too"),
		&log); err != nil {
		t.Fatal(err)
	}
	if text := log.String(); strings.Count(text, `"level":"WARN"`) != 2 || strings.Contains(text, "secret") ||
		!strings.Contains(text, `"variable":"SPILLWAY_WRITE_KEY"`) {
		t.Errorf("the log says:\n%s", text)
	}
	o, err := readOptions(complete("SPILLWAY_WRITE_KEY=secret\n", "SPILLWAY_CANARY_WRITE_KEY= secret-too"))
	if err != nil || o.WriteKey != "secret" || o.CanaryWriteKey != "secret-too" {
		t.Errorf("%q, %q, %v", o.WriteKey, o.CanaryWriteKey, err)
	}
}

func TestAParameterThatCanNotBeReadDoesNotFailTheStart(t *testing.T) {
	t.Setenv("AWS_REGION", "eu-west-1")
	t.Setenv("AWS_ACCESS_KEY_ID", "none")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "none")
	t.Setenv("AWS_ENDPOINT_URL_SSM", "http://127.0.0.1:1")
	synctest.Test(t, func(t *testing.T) { // it waits between its tries
		if _, err := FromEnvironment(t.Context(), complete("SPILLWAY_WRITE_KEY_PARAMETER=/spillway/write-key"),
			io.Discard); err != nil {
			t.Error(err)
		}
	})
}

// A roll-back runs an older version in the environment of a newer one.
func TestAnUnknownVariableIsIgnoredWithAWarning(t *testing.T) {
	var log strings.Builder
	if _, err := FromEnvironment(t.Context(), complete("SPILLWAY_NEWER=secret"), &log); err != nil {
		t.Fatal(err)
	}
	if text := log.String(); !strings.Contains(text, `"level":"WARN","msg":"variables that this version does not know are ignored",`+
		`"count":1,"variables":"SPILLWAY_NEWER","known":"SPILLWAY_NAME, `) || strings.Contains(text, "secret") {
		t.Errorf("the log says:\n%s", text)
	}
}
