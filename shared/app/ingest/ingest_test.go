package ingest

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"

	"github.com/spillwayhq/spillway/integration/testutil/s3test"
	"github.com/spillwayhq/spillway/shared/apigateway"
	"github.com/spillwayhq/spillway/shared/heavy"
	"github.com/spillwayhq/spillway/shared/reload"
	"github.com/spillwayhq/spillway/shared/s3"
	"github.com/spillwayhq/spillway/shared/ssm"
)

var _ lambda.Handler = apigateway.Handler{}

// fakeSQS accepts every message.
type fakeSQS struct{ SQS }

func (fakeSQS) SendMessageBatch(_ context.Context, in *sqs.SendMessageBatchInput,
	_ ...func(*sqs.Options)) (*sqs.SendMessageBatchOutput, error) {
	out := new(sqs.SendMessageBatchOutput)
	for _, e := range in.Entries {
		out.Successful = append(out.Successful, sqstypes.SendMessageBatchResultEntry{Id: e.Id})
	}
	return out, nil
}

// fakeSSM has the versions of a parameter with a document; the last is the newest.
type fakeSSM struct {
	versions []string
	err      error

	mu    sync.Mutex // parameters are read at the same time
	names []string   // that were asked for
}

func (f *fakeSSM) GetParameter(_ context.Context, name string, _ bool) (ssm.Value, error) {
	f.mu.Lock()
	f.names = append(f.names, name)
	f.mu.Unlock()
	version := len(f.versions)
	if _, selector, ok := strings.Cut(name, ":"); ok {
		version, _ = strconv.Atoi(selector)
	}
	if f.err != nil || version < 1 || version > len(f.versions) {
		return ssm.Value{}, cmp.Or(f.err, error(&smithy.GenericAPIError{Code: "ParameterNotFound"}))
	}
	return ssm.Value{Text: f.versions[version-1], Version: int64(version)}, nil
}

func document(writeKey string) string {
	return fmt.Sprintf(`{"writeKeys":[{"name":"web","writeKey":%q}]}`, writeKey)
}

// track invokes the function with an event under a write key, and returns the answer's status.
func track(t *testing.T, function lambda.Handler, writeKey string) int {
	t.Helper()
	request := events.APIGatewayV2HTTPRequest{Version: "2.0", RawPath: "/v1/track",
		Body: fmt.Sprintf(`{"writeKey":%q,"userId":"u","event":"Run"}`, writeKey)}
	request.RequestContext.HTTP.Method, request.RequestContext.HTTP.SourceIP = "POST", "203.0.113.9"
	payload, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	out, err := function.Invoke(t.Context(), payload)
	if err != nil {
		t.Fatal(err)
	}
	var answer events.APIGatewayV2HTTPResponse
	if err := json.Unmarshal(out, &answer); err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode
}

func expect(t *testing.T, function lambda.Handler, writeKey string, status int) {
	t.Helper()
	if got := track(t, function, writeKey); got != status {
		t.Errorf("the write key %s is answered %d, want %d", writeKey, got, status)
	}
}

func newFunction(t *testing.T, api *fakeSSM, metrics io.Writer, parameters ...string) (lambda.Handler, *Endpoint) {
	t.Helper()
	e, err := New(t.Context(), Options{Name: "staging", WriteKeysParameters: parameters, CanaryWriteKey: "canary"},
		Parts{SQS: fakeSQS{}, SSM: api, Metrics: metrics, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return e.Lambda(), e
}

func TestALambdaFunctionReadsTheWriteKeysWithinItsInvocations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &fakeSSM{err: errors.New("ThrottlingException")}
		var metrics strings.Builder
		function, _ := newFunction(t, api, &metrics, "/keys")
		expect(t, function, "any", 429)
		expect(t, function, "canary", 429)
		if strings.Count(metrics.String(), `"WriteKeysUnread":1`) != 2 {
			t.Errorf("the metrics do not say that the set is unread:\n%s", &metrics)
		}
		metrics.Reset()
		api.versions, api.err = []string{document("first")}, nil
		time.Sleep(reload.FirstInterval * 11 / 10)
		expect(t, function, "any", 400)
		expect(t, function, "first", 200)
		expect(t, function, "canary", 200)
		api.versions = []string{document("first"), document("second")}
		time.Sleep(reload.Interval * 11 / 10)
		accepted := 3 // those above and below that are answered 200
		// This invocation reads the keys while it answers, so either set may decide.
		if track(t, function, "first") == 200 {
			accepted++
		}
		expect(t, function, "first", 400)
		expect(t, function, "second", 200)
		if got := strings.Count(metrics.String(), `"EventsAccepted":1`); got != accepted ||
			!strings.Contains(metrics.String(), `"Pipeline":"staging"`) || strings.Contains(metrics.String(), "WriteKeysOld") ||
			strings.Contains(metrics.String(), "WriteKeysUnread") {
			t.Errorf("%d invocations with an accepted event have metrics:\n%s", got, &metrics)
		}
	})
}

// A typing error in the newest set must open a new environment to nobody, and close it to nobody.
func TestANewEnvironmentFindsTheLastGoodSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &fakeSSM{versions: []string{document("older"), document("good"), `{"writeKeys":[{"name":"web",}]}`}}
		var metrics strings.Builder
		function, e := newFunction(t, api, &metrics, "/keys")
		expect(t, function, "good", 200)
		expect(t, function, "older", 400)
		expect(t, function, "any", 400)
		if got := strings.Join(api.names, " "); got != "/keys /keys:2" {
			t.Errorf("SSM was asked for %s", got)
		}
		if n := strings.Count(metrics.String(), `"WriteKeysOld":1`); n != 3 || e.KeysFailure() == nil {
			t.Errorf("%d invocations tell that an older set is used (%v):\n%s", n, e.KeysFailure(), &metrics)
		}
		metrics.Reset()
		api.versions = append(api.versions, document("repaired"))
		time.Sleep(reload.Interval * 11 / 10)
		track(t, function, "good") // reads while it answers
		expect(t, function, "repaired", 200)
		if e.KeysFailure() != nil || strings.Contains(metrics.String(), "WriteKeysOld") ||
			strings.Contains(metrics.String(), "WriteKeysUnread") {
			t.Errorf("%v:\n%s", e.KeysFailure(), &metrics)
		}
	})
}

func TestASetInSeveralParametersIsReadWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &fakeSSM{versions: []string{document("one")}}
		function, _ := newFunction(t, api, io.Discard, "/keys", "/keys-2")
		expect(t, function, "one", 200)
		expect(t, function, "two", 400)
		synctest.Wait() // for the readers of both parameters
		slices.Sort(api.names)
		if got := strings.Join(api.names, " "); got != "/keys /keys-2" {
			t.Errorf("SSM was asked for %s", got)
		}
	})
}

// SSM holds 8 KB; S3 holds the write keys of thousands of sources. A trial reads them too.
func TestASetMayBeInAnObjectOfS3(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := s3test.New()
		server.Set("versioned-keys", "web.json", []byte(document("web")))
		cloud := aws.Config{Region: "us-east-1", BaseEndpoint: aws.String("http://s3.local"), HTTPClient: server,
			Credentials: credentials.NewStaticCredentialsProvider("test", "test", "")}
		o := Options{WriteKeysParameters: []string{"/keys"}, WriteKeysObject: "s3://versioned-keys/web.json"}
		p := Parts{SQS: fakeSQS{}, SSM: &fakeSSM{versions: []string{document("partner")}}, Metrics: io.Discard,
			Logger: slog.New(slog.DiscardHandler),
			Object: func(bucket, key string) reload.Source { return s3.Source(s3.Open(cloud, bucket), key) }}
		e, err := New(t.Context(), o, p)
		if err != nil {
			t.Fatal(err)
		}
		expect(t, e.Lambda(), "web", 200)
		expect(t, e.Lambda(), "partner", 200)
		expect(t, e.Lambda(), "new", 400)
		server.Set("versioned-keys", "web.json", []byte(document("new")))
		time.Sleep(reload.Interval * 11 / 10)
		track(t, e.Lambda(), "partner") // reads while it answers
		synctest.Wait()
		expect(t, e.Lambda(), "new", 200)
		expect(t, e.Lambda(), "web", 400)
		o.WriteKeysObject = "s3://versioned-keys"
		if _, err := New(t.Context(), o, p); err == nil || !strings.Contains(err.Error(), "SPILLWAY_WRITE_KEYS_OBJECT") {
			t.Errorf("a bucket without a key: %v", err)
		}
	})
}

// The parameter that the settings name may not exist yet, or no longer: that opens nothing either.
func TestAMissingParameterAcceptsNoKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		function, _ := newFunction(t, new(fakeSSM), io.Discard, "/keys")
		expect(t, function, "any", 429)
		without, _ := newFunction(t, new(fakeSSM), io.Discard)
		expect(t, without, "any", 200)
	})
}

func TestAWrongCanaryWriteKeyIsNamed(t *testing.T) {
	_, err := New(t.Context(), Options{WriteKeysParameters: []string{"/keys"}, CanaryWriteKey: "a secret"},
		Parts{SQS: fakeSQS{}, SSM: &fakeSSM{}, Metrics: io.Discard, Logger: slog.New(slog.DiscardHandler)})
	if err == nil || !strings.Contains(err.Error(), "SPILLWAY_CANARY_WRITE_KEY") ||
		strings.Contains(err.Error(), "secret") {
		t.Errorf("%v", err)
	}
}

// A Lambda environment writes what it has counted at the end of the first invocation of a minute,
// its first one included: it may be the last.
func TestALambdaFunctionWritesOnceAMinuteWhoSendsWhat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		function, _ := newFunction(t, &fakeSSM{versions: []string{document("first")}}, &out, "/keys")
		for range 3 * 60 {
			track(t, function, "first")
			track(t, function, "wrong")
			track(t, function, "canary")
			time.Sleep(time.Second)
		}
		var accepted, refused, lines uint64
		for line := range strings.Lines(out.String()) {
			l, ok := heavy.Parse([]byte(line))
			if !ok {
				continue
			}
			lines++
			accepted += l.Events
			refused += l.Refused
			if l.Pipeline != "staging" || l.Part != heavy.PartIngest || len(l.Heaviest) > 4 {
				t.Errorf("the line is %s", line)
			}
		}
		if lines != 3 || accepted < 120 || accepted > 180 || refused < 120 || refused > 180 ||
			strings.Contains(out.String(), "canary") {
			t.Errorf("%d lines have %d accepted and %d refused events:\n%s", lines, accepted, refused, &out)
		}
	})
}

// An alarm on a new version needs its metrics under its number, and the function's as before.
func TestTheMetricsAreCountedByTheVersionThatLambdaNames(t *testing.T) {
	for variable, want := range map[string]bool{"AWS_LAMBDA_FUNCTION_VERSION=7": true,
		"AWS_LAMBDA_FUNCTION_VERSION=$LATEST": false, "PATH=/bin": false} {
		o, err := readOptions([]string{"AWS_LAMBDA_RUNTIME_API=127.0.0.1:9001", variable,
			"SPILLWAY_QUEUE_URL=https://sqs.eu-west-1.amazonaws.com/1/events",
			"SPILLWAY_DEAD_LETTER_QUEUE_URL=https://sqs.eu-west-1.amazonaws.com/1/dead"}, 0)
		if err != nil {
			t.Fatal(err)
		}
		var metrics strings.Builder
		e, err := New(t.Context(), o, Parts{SQS: fakeSQS{}, Metrics: &metrics, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		expect(t, e.Lambda(), "any", 200)
		expect(t, e.Lambda(), "no key", 400)
		if text := metrics.String(); strings.Contains(text, `"Version":"7"`) != want ||
			strings.Contains(text, `["Pipeline","Function","Version"]],"Metrics":[{"Name":"EventsAccepted","Unit":"Count"},`+
				`{"Name":"Failures","Unit":"Count"}]`) != want || !strings.Contains(text, `"Failures":1`) {
			t.Errorf("%s: the metrics are\n%s", variable, text)
		}
	}
}

func TestMessagesAreGroupedWhereWriteKeysShareTheQueue(t *testing.T) {
	two := `{"writeKeys":[{"name":"web","writeKey":"a"},{"name":"app","writeKey":"b"}]}`
	for _, c := range []struct {
		variable string // empty: none
		document string // empty: any write key is accepted
		want     bool
	}{
		{"", "", true}, {"", document("a"), false}, {"", two, true},
		{"SPILLWAY_FAIR_QUEUES=true", document("a"), true}, {"SPILLWAY_FAIR_QUEUES=false", two, false},
		{"SPILLWAY_FAIR_QUEUES=false", "", false},
	} {
		var variables []string
		if c.variable != "" {
			variables = []string{c.variable}
		}
		o, err := readOptions(complete(append(variables, "SPILLWAY_CANARY_WRITE_KEY=canary")...), 0)
		if err != nil {
			t.Fatal(err)
		}
		o.Server = nil
		if c.document != "" {
			o.WriteKeysParameters = []string{"/keys"}
		}
		e, err := New(t.Context(), o,
			Parts{SQS: fakeSQS{}, SSM: &fakeSSM{versions: []string{c.document}}, Metrics: io.Discard,
				Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		if got := e.fair(); got != c.want {
			t.Errorf("%q with the write keys %q: grouped is %v, want %v", c.variable, c.document, got, c.want)
		}
	}
}
