package canary

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
)

var _ lambda.Handler = (*Function)(nil)

func TestTheIngestURLIsTheOnlyRequiredVariable(t *testing.T) {
	o, err := readOptions([]string{"PATH=/bin", "SPILLWAY_INGEST_URL=https://events.example.com",
		"SPILLWAY_CANARY_WRITE_KEY="})
	if err != nil || o.WriteKey != "spillway-canary" {
		t.Errorf("%+v, %v", o, err)
	}
}

func TestAWrongVariableIsNamedWithWhatItMustBe(t *testing.T) {
	const endpoint = "SPILLWAY_INGEST_URL=https://events.example.com"
	for _, c := range []struct{ variables, want string }{
		{"", "SPILLWAY_INGEST_URL must be the URL of the ingest endpoint"},
		{"SPILLWAY_INGEST_URL=events.example.com", "the canary's URL must be the one that SDKs use"},
		{endpoint + ",SPILLWAY_INGEST_DIAL=https://d-abc.example.com", "SPILLWAY_INGEST_DIAL or SPILLWAY_CANARY_WRITE_KEY: " +
			"where the canary connects to must be host or host:port"},
		{endpoint + ",SPILLWAY_LOG_LEVEL=loud", "must be debug, info, warn or error"},
		{endpoint + ",SPILLWAY_CANARY_WRITE_KEY=a b",
			"SPILLWAY_CANARY_WRITE_KEY: the canary's write key must be spillway-canary"},
	} {
		if _, err := FromEnvironment(t.Context(), strings.Split(c.variables, ","), io.Discard); err == nil ||
			!strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", c.variables, err, c.want)
		}
	}
}

// A canary counts in the minute for which it was due, not in that in which Lambda came to it.
func TestACanaryIsOfTheSchedulesMinute(t *testing.T) {
	now := time.Date(2018, 9, 24, 10, 16, 2, 0, time.UTC)
	for payload, want := range map[string]string{
		`{"version":"0","detail-type":"Scheduled Event","time":"2018-09-24T10:15:59Z"}`: "10:15",
		// EventBridge's clock is ahead
		`{"time":"2018-09-24T10:16:30Z"}`: "10:16",
		`{"time":"1970-01-01T00:00:00Z"}`: "10:16", // the console's test event
		`{"time":"2030-01-01T00:00:00Z"}`: "10:16",
		`{"time":7}`:                      "10:16",
		`null`:                            "10:16",
		``:                                "10:16",
	} {
		if got := scheduled([]byte(payload), now).Format("15:04"); got != want {
			t.Errorf("%s: %s, want %s", payload, got, want)
		}
	}
}

func TestTheOptionsAreShownWithoutTheWriteKey(t *testing.T) {
	for key, want := range map[string]string{"very-secret": "ends_before_segment=false",
		"spillway-canary-secret": "ends_before_segment=true"} {
		o, err := readOptions([]string{"SPILLWAY_INGEST_URL=https://events.example.com", "SPILLWAY_CANARY_WRITE_KEY=" + key})
		if shown := fmt.Sprint(o.LogValue()); err != nil || strings.Contains(shown, "secret") ||
			!strings.Contains(shown, want) {
			t.Errorf("shown: %s, %v", shown, err)
		}
	}
}

func TestWhiteSpaceAroundTheWriteKeyIsIgnoredWithAWarning(t *testing.T) {
	var log strings.Builder
	f, err := FromEnvironment(t.Context(), []string{"SPILLWAY_INGEST_URL=https://events.example.com",
		"SPILLWAY_CANARY_WRITE_KEY=secret\n"}, &log)
	if err != nil || f == nil {
		t.Fatal(err)
	}
	if text := log.String(); !strings.Contains(text, `"level":"WARN"`) || strings.Contains(text, "secret") ||
		!strings.Contains(text, `"variable":"SPILLWAY_CANARY_WRITE_KEY"`) {
		t.Errorf("the log says:\n%s", text)
	}
}

// A roll-back runs an older version in the environment of a newer one.
func TestAnUnknownVariableIsIgnoredWithAWarning(t *testing.T) {
	var log strings.Builder
	if _, err := FromEnvironment(t.Context(), []string{"SPILLWAY_INGEST_URL=https://events.example.com", "SPILLWAY_NEWER=secret"}, &log); err != nil {
		t.Fatal(err)
	}
	if text := log.String(); !strings.Contains(text, `"level":"WARN","msg":"variables that this version does not know are ignored",`+
		`"count":1,"variables":"SPILLWAY_NEWER","known":"SPILLWAY_NAME, `) || strings.Contains(text, "secret") {
		t.Errorf("the log says:\n%s", text)
	}
}
