package main

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/lambda"
)

var _ lambda.Handler = (*function)(nil)

func TestTheDoorsURLIsEnough(t *testing.T) {
	c, err := readConfig([]string{"PATH=/bin", "SPILLWAY_INGEST_URL=https://events.example.com",
		"SPILLWAY_CANARY_WRITE_KEY="})
	if err != nil || c.writeKey != "spillway-canary" {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestAWrongVariableIsNamedWithWhatToWrite(t *testing.T) {
	const door = "SPILLWAY_INGEST_URL=https://events.example.com"
	for _, c := range []struct{ variables, want string }{
		{"", "SPILLWAY_INGEST_URL is missing: write the URL of the door"},
		{"SPILLWAY_INGEST_URL=events.example.com", `is "events.example.com": write the one that SDKs use`},
		{door + ",SPILLWAY_LOG_LEVEL=loud", "write debug, info, warn or error"},
		{door + ",SPILLWAY_WRITE_KEY=x", "SPILLWAY_WRITE_KEY is not known: write one of SPILLWAY_NAME,"},
		{door + ",SPILLWAY_CANARY_WRITE_KEY=a b", "SPILLWAY_CANARY_WRITE_KEY: the canary's write key can't be one"},
	} {
		if _, err := newFunction(strings.Split(c.variables, ","), io.Discard); err == nil ||
			!strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", c.variables, err, c.want)
		}
	}
}

func TestTheConfigurationIsShownWithoutTheWriteKey(t *testing.T) {
	for key, want := range map[string]string{"very-secret": "ends_before_segment=false",
		"spillway-canary-secret": "ends_before_segment=true"} {
		c, err := readConfig([]string{"SPILLWAY_INGEST_URL=https://events.example.com", "SPILLWAY_CANARY_WRITE_KEY=" + key})
		if shown := fmt.Sprint(c.LogValue()); err != nil || strings.Contains(shown, "secret") ||
			!strings.Contains(shown, want) {
			t.Errorf("shown: %s, %v", shown, err)
		}
	}
}
