package ingest

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/integration/testutil"
	"github.com/spillwayhq/spillway/shared/ingest"
)

func complete(more ...string) []string {
	return append([]string{"PATH=/bin", "SPILLWAY_QUEUE_URL=https://sqs.eu-west-1.amazonaws.com/1/events",
		"SPILLWAY_DEAD_LETTER_QUEUE_URL=https://sqs.eu-west-1.amazonaws.com/1/dead"}, more...)
}

func TestTheQueuesAreTheOnlyRequiredVariables(t *testing.T) {
	o, err := readOptions(complete(), 0)
	if want := (Server{Listen: ":8080", ShutdownGrace: 25 * time.Second, Linger: 5 * time.Millisecond,
		SpillBytes: 1 << 30}); err != nil ||
		o.Server == nil || *o.Server != want || o.Name != "spillway" {
		t.Errorf("%+v, %v", o, err)
	}
}

func TestListenCountsMoreThanPort(t *testing.T) {
	for _, c := range []struct {
		variables []string
		want      string
	}{
		{[]string{"PORT=3000"}, ":3000"},
		{[]string{"PORT="}, ":8080"},
		{[]string{"PORT=3000", "SPILLWAY_LISTEN=127.0.0.1:0"}, "127.0.0.1:0"},
		{[]string{"SPILLWAY_LISTEN=[::1]:9000", "PORT=3000"}, "[::1]:9000"},
		{[]string{"SPILLWAY_LISTEN="}, ":8080"},
	} {
		o, err := readOptions(complete(c.variables...), 0)
		if err != nil || o.Server.Listen != c.want {
			t.Errorf("%v: %+v, %v", c.variables, o.Server, err)
		}
	}
}

func TestAWrongVariableIsNamedWithWhatItMustBe(t *testing.T) {
	for _, c := range []struct {
		variables []string
		want      string
	}{
		{[]string{"SPILLWAY_QUEUE_URL="}, "must be a queue's URL"},
		{[]string{"SPILLWAY_DEAD_LETTER_QUEUE_URL=dead"}, "must be a queue's URL"},
		{[]string{"SPILLWAY_LOG_LEVEL=loud"}, "must be debug, info, warn or error"},
		{[]string{"SPILLWAY_WRITE_KEYS_FILE=a", "SPILLWAY_WRITE_KEYS_PARAMETER=b"}, "both set: set one of them"},
		{[]string{"SPILLWAY_WRITE_KEYS_FILE="}, "SPILLWAY_WRITE_KEYS_FILE must be a file with write keys, is empty"},
		{[]string{"SPILLWAY_WRITE_KEYS_FILE= \n"}, "SPILLWAY_WRITE_KEYS_FILE must be a file"},
		{[]string{"SPILLWAY_WRITE_KEYS_PARAMETER="}, "SPILLWAY_WRITE_KEYS_PARAMETER must be an SSM parameter"},
		{[]string{"SPILLWAY_WRITE_KEYS_PARAMETER=/a,"}, "or several separated by commas"},
		{[]string{"SPILLWAY_WRITE_KEYS_PARAMETER=/a, /a"}, "has /a twice"},
		{[]string{"SPILLWAY_CANARY_WRITE_KEY=a:b"}, "SPILLWAY_CANARY_WRITE_KEY must be 1 to 128 printable"},
		{[]string{"SPILLWAY_TRUSTED_PROXIES=many"}, "0 to 10"},
		{[]string{"SPILLWAY_TRUSTED_PROXIES=-1"}, "0 to 10"},
		{[]string{"SPILLWAY_SHUTDOWN_GRACE=25"}, "must be a duration above 0 like 25s"},
		{[]string{"SPILLWAY_PATH_PREFIX=https://a.example/x"}, "must be a path like /events"},
		{[]string{"SPILLWAY_FAIR_QUEUES=often"},
			"SPILLWAY_FAIR_QUEUES must be true or false, is \"often\": remove the variable"},
		{[]string{"SPILLWAY_PATH_PREFIX=/a?b"}, "SPILLWAY_PATH_PREFIX must be a path like /events"},
		{[]string{"SPILLWAY_LISTEN=8080"}, "SPILLWAY_LISTEN must be host:port"},
		{[]string{"SPILLWAY_LISTEN=:web"}, "must be host:port"},
		{[]string{"PORT=99999"}, "PORT must be a port between 0 and 65535, is \"99999\""},
		{[]string{"AWS_LAMBDA_RUNTIME_API=127.0.0.1:9001", "SPILLWAY_LISTEN=:80"},
			"SPILLWAY_LISTEN must not be set in a Lambda function"},
		{[]string{"AWS_LAMBDA_RUNTIME_API=127.0.0.1:9001", "SPILLWAY_TRUSTED_PROXIES=1"},
			"SPILLWAY_TRUSTED_PROXIES must not be set in a Lambda function"},
	} {
		if _, err := readOptions(complete(c.variables...), 0); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: got %v, want an error with %q", c.variables, err, c.want)
		}
	}
}

func TestAllWrongVariablesAreNamedAtOnce(t *testing.T) {
	_, err := readOptions([]string{"SPILLWAY_LISTEN=x", "SPILLWAY_LOG_LEVEL=loud"}, 0)
	for _, name := range []string{envQueueURL, envDeadLetterQueueURL, envListen, envLogLevel} {
		if err == nil || !strings.Contains(err.Error(), name+" must be") {
			t.Errorf("%s is not named: %v", name, err)
		}
	}
}

func TestALambdaFunctionIsRecognisedAndNeedsNoAddress(t *testing.T) {
	o, err := readOptions(complete("AWS_LAMBDA_RUNTIME_API=127.0.0.1:9001", "PORT=rubbish"), 0)
	if err != nil || o.Server != nil {
		t.Errorf("%+v, %v", o, err)
	}
	if shown := fmt.Sprint(o.LogValue()); !strings.Contains(shown, "sqs.eu-west-1") || strings.Contains(shown, "listen") {
		t.Errorf("shown: %s", shown)
	}
}

func TestTheCanarysWriteKeyIsNotShown(t *testing.T) {
	o, err := readOptions(complete("SPILLWAY_CANARY_WRITE_KEY=very-secret"), 0)
	if err != nil || o.CanaryWriteKey != "very-secret" {
		t.Errorf("%+v, %v", o, err)
	}
	if shown := fmt.Sprint(o.LogValue()); !strings.Contains(shown, "canary=true") || strings.Contains(shown, "secret") {
		t.Errorf("shown: %s", shown)
	}
}

func TestTheMemoryLimitFitsWhereItRuns(t *testing.T) {
	for name, c := range map[string]struct {
		environ   []string
		container int64
		want      int64
	}{
		"a server":             {nil, 0, 200 << 20},
		"a small container":    {nil, 100 << 20, 80 << 20},
		"a large container":    {nil, 1000 << 20, 800 << 20},
		"Go's own setting":     {[]string{"GOMEMLIMIT=1GiB", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=512"}, 100 << 20, -1},
		"Go's setting off":     {[]string{"GOMEMLIMIT=off"}, 100 << 20, -1},
		"Go's setting, empty":  {[]string{"GOMEMLIMIT="}, 100 << 20, 80 << 20},
		"a Lambda function":    {[]string{"AWS_LAMBDA_FUNCTION_MEMORY_SIZE=1000"}, 0, 800 << 20},
		"Lambda's own groups":  {[]string{"AWS_LAMBDA_FUNCTION_MEMORY_SIZE=1000"}, 100 << 20, 800 << 20},
		"nonsense":             {[]string{"AWS_LAMBDA_FUNCTION_MEMORY_SIZE=much"}, 0, 200 << 20},
		"nonsense in its size": {[]string{"AWS_LAMBDA_FUNCTION_MEMORY_SIZE=-5"}, 100 << 20, 80 << 20},
	} {
		if o, err := readOptions(complete(c.environ...), c.container); err != nil || o.MemoryLimit != c.want {
			t.Errorf("%s: %d, want %d (%v)", name, o.MemoryLimit, c.want, err)
		}
	}
}

func TestRequestsHoldLessInASmallContainer(t *testing.T) {
	for limit, want := range map[int64]int{
		-1: 48 << 20, 0: 48 << 20, 110 << 20: 48 << 20, 1 << 40: 48 << 20, 88 << 20: 40265318, 1: ingest.LeastMemory(),
	} {
		if got := requestMemory(limit); got != want {
			t.Errorf("with a limit of %d bytes they hold %d, want %d", limit, got, want)
		}
		if _, err := New(t.Context(),
			Options{QueueURL: "http://localhost:1/1/e", DeadLetterQueueURL: "http://localhost:1/1/d",
				MemoryLimit: limit, Server: &Server{}},
			Parts{Logger: slog.New(slog.DiscardHandler), Metrics: io.Discard}); err != nil {
			t.Errorf("with a limit of %d bytes: %v", limit, err)
		}
	}
}

func TestASetMayBeInSeveralParameters(t *testing.T) {
	o, err := readOptions(complete("SPILLWAY_WRITE_KEYS_PARAMETER=/spillway/write-keys, /spillway/partners"), 0)
	if err != nil || len(o.WriteKeysParameters) != 2 || o.WriteKeysParameters[1] != "/spillway/partners" {
		t.Errorf("%q, %v", o.WriteKeysParameters, err)
	}
}

func TestASetInAnObjectExcludesAFile(t *testing.T) {
	const object = "SPILLWAY_WRITE_KEYS_OBJECT=s3://keys/web.json"
	o, err := readOptions(complete(object, "SPILLWAY_WRITE_KEYS_PARAMETER=/keys"), 0)
	if err != nil || o.WriteKeysObject != "s3://keys/web.json" {
		t.Errorf("%q, %v", o.WriteKeysObject, err)
	}
	for variable, want := range map[string]string{
		"SPILLWAY_WRITE_KEYS_FILE=keys.json":       "both set",
		"SPILLWAY_WRITE_KEYS_OBJECT=keys/web.json": "like s3://my-bucket/write-keys.json",
	} {
		if _, err := readOptions(complete(object, variable), 0); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", variable, err)
		}
	}
}

func TestWhiteSpaceAroundTheCanarysWriteKeyIsIgnoredWithAWarning(t *testing.T) {
	var log testutil.Buffer
	e, err := FromEnvironment(t.Context(), complete("SPILLWAY_CANARY_WRITE_KEY=secret\r\n"), &log)
	if err != nil || e.Options.CanaryWriteKey != "secret" {
		t.Fatalf("%v", err)
	}
	if text := log.String(); !strings.Contains(text, `"level":"WARN"`) || strings.Contains(text, "secret") ||
		!strings.Contains(text, `"variable":"SPILLWAY_CANARY_WRITE_KEY"`) {
		t.Errorf("the log says:\n%s", text)
	}
}

// A roll-back runs an older version in the environment of a newer one.
func TestAnUnknownVariableIsIgnoredWithAWarning(t *testing.T) {
	var log testutil.Buffer
	if _, err := FromEnvironment(t.Context(), complete("SPILLWAY_NEWER=secret"), &log); err != nil {
		t.Fatal(err)
	}
	if text := log.String(); !strings.Contains(text,
		`"level":"WARN","msg":"variables that this version does not know are ignored",`+
			`"count":1,"variables":"SPILLWAY_NEWER","known":"SPILLWAY_NAME, `) || strings.Contains(text, "secret") {
		t.Errorf("the log says:\n%s", text)
	}
}
