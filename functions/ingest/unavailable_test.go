package main

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/infra/local/lambda"
	"github.com/spillwayhq/spillway/integration/testutil"
	"github.com/spillwayhq/spillway/integration/testutil/localtest"
)

// asFunction is the built binary as a Lambda function, with Lambda's default timeout of 3 s.
func asFunction(t *testing.T, env []string) (invoke func(*testing.T, func(*payload)) reply, log *testutil.Buffer) {
	t.Helper()
	return asFunctionFor(t, 3*time.Second, env)
}

func asFunctionFor(t *testing.T, timeout time.Duration, env []string) (invoke func(*testing.T, func(*payload)) reply,
	log *testutil.Buffer) {
	t.Helper()
	log = new(testutil.Buffer)
	f := lambda.NewFunction(lambda.FunctionConfig{
		Timeout:        timeout,
		NewEnvironment: lambda.Process(lambda.ProcessConfig{Path: binary(t), Env: env, Output: log}),
	})
	t.Cleanup(f.Close)
	return func(t *testing.T, change func(*payload)) (r reply) {
		t.Helper()
		out, err := f.Invoke(t.Context(), invocation(t, change))
		if err != nil {
			t.Fatalf("%v\n%s", err, log)
		}
		if err := json.Unmarshal(out, &r); err != nil {
			t.Fatal(err)
		}
		return r
	}, log
}

func tracking(writeKey, id string) func(*payload) {
	return func(p *payload) {
		p.Body = `{"writeKey":"` + writeKey +
			`","batch":[{"type":"track","userId":"u-1","event":"Run Started","messageId":"` + id + `"}]}`
	}
}

func TestAQueueThatHangsIsA429BeforeTheFunctionTimesOut(t *testing.T) {
	t.Parallel()
	// It takes connections and never answers.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	hanging := "http://" + l.Addr().String()
	// Less time than the endpoint waits for the queue by itself.
	invoke, log := asFunctionFor(t, 2*time.Second, []string{
		"AWS_ACCESS_KEY_ID=local", "AWS_SECRET_ACCESS_KEY=local", "AWS_ENDPOINT_URL_SQS=" + hanging,
		"SPILLWAY_QUEUE_URL=" + hanging + "/1/events", "SPILLWAY_DEAD_LETTER_QUEUE_URL=" + hanging + "/1/dead",
	})
	health := func(when string, want int) {
		t.Helper()
		r := invoke(t, func(p *payload) { p.RawPath, p.RequestContext.HTTP.Method = "/health", http.MethodGet })
		if r.StatusCode != want {
			t.Errorf("health %s: %+v\n%s", when, r, log)
		}
	}
	health("before anything was sent", http.StatusOK)
	r := invoke(t, tracking("wk-demo", "away-1"))
	if r.StatusCode != http.StatusTooManyRequests || r.Headers["Retry-After"] == "" ||
		!strings.Contains(r.Body, "queue_unavailable") {
		t.Errorf("%+v\n%s", r, log)
	}
	health("of the same environment", http.StatusServiceUnavailable)
}

func TestWriteKeysComeFromAParameter(t *testing.T) {
	t.Parallel()
	var asked atomic.Value
	store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked.Store(r.Header.Get("X-Amz-Target") + string(body))
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		_, _ = io.WriteString(w, `{"Parameter":{"Name":"/spillway/keys","Type":"SecureString","Value":"{\"writeKeys\":[{\"name\":\"a\",\"writeKey\":\"wk-a\"},{\"name\":\"b\",\"writeKey\":\"wk-b\",\"enabled\":false}]}"}}`)
	}))
	defer store.Close()
	p, arrivals := pipeline(t)
	invoke, log := asFunction(t,
		localtest.Environment(p.SQSURL, "SPILLWAY_WRITE_KEYS_PARAMETER=/spillway/keys", "AWS_ENDPOINT_URL_SSM="+store.URL))
	for key, want := range map[string]string{"wk-a": `{"success":true}`, "wk-b": "source_disabled",
		"wk-c": "invalid_write_key"} {
		if r := invoke(t, tracking(key, "parameter-"+key)); !strings.Contains(r.Body, want) {
			t.Errorf("%s: %+v\n%s", key, r, log)
		}
	}
	if text, _ := asked.Load().(string); !strings.HasPrefix(text, "AmazonSSM.GetParameter{") ||
		!strings.Contains(text, `"WithDecryption":true`) || !strings.Contains(text, "/spillway/keys") {
		t.Errorf("SSM was asked %s", text)
	}
	arrivals.AwaitEvent(t, "parameter-wk-a")
}

func TestWithoutAReadableParameterNoWriteKeyIsAccepted(t *testing.T) {
	t.Parallel()
	store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"__type":"ThrottlingException","message":"Rate exceeded"}`)
	}))
	defer store.Close()
	p, _ := pipeline(t)
	invoke, log := asFunction(t,
		localtest.Environment(p.SQSURL, "SPILLWAY_WRITE_KEYS_PARAMETER=/spillway/keys", "AWS_ENDPOINT_URL_SSM="+store.URL))
	if r := invoke(t, tracking("wk-demo", "open-1")); r.StatusCode != http.StatusTooManyRequests ||
		!strings.Contains(r.Body, "write_keys_unread") || r.Headers["Retry-After"] == "" {
		t.Errorf("%+v\n%s", r, log)
	}
	r := invoke(t, func(p *payload) { p.RawPath, p.RequestContext.HTTP.Method = "/health", http.MethodGet })
	if r.StatusCode != http.StatusServiceUnavailable || !strings.Contains(r.Body, "write_keys_unread") {
		t.Errorf("health: %+v\n%s", r, log)
	}
	if text := log.String(); !strings.Contains(text, "requests with a key of it are answered 429") ||
		!strings.Contains(text, `"WriteKeysUnread":1`) {
		t.Errorf("the log does not say so:\n%s", log)
	}
}

// parameterStore is an SSM with the versions of one parameter, over HTTP.
func parameterStore(versions ...string) *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct{ Name string }
		_ = json.NewDecoder(r.Body).Decode(&in)
		version := len(versions)
		if _, selector, ok := strings.Cut(in.Name, ":"); ok {
			version, _ = strconv.Atoi(selector)
		}
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		if version < 1 || version > len(versions) {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"__type":"ParameterVersionNotFound"}`)
			return
		}
		answer := map[string]any{"Name": "/spillway/keys", "Type": "SecureString", "Value": versions[version-1], "Version": version}
		_ = json.NewEncoder(w).Encode(map[string]any{"Parameter": answer})
	}))
}

func TestANewEnvironmentUsesTheLastGoodVersionOfTheParameter(t *testing.T) {
	t.Parallel()
	store := parameterStore(`{"writeKeys":[{"name":"a","writeKey":"wk-a"},{"name":"b","writeKey":"wk-b","enabled":false}]}`,
		`{"writeKeys":[{"name":"a","writeKey":"wk-a"}`, `{"writeKeys":[]}`)
	defer store.Close()
	p, arrivals := pipeline(t)
	invoke, log := asFunction(t,
		localtest.Environment(p.SQSURL, "SPILLWAY_WRITE_KEYS_PARAMETER=/spillway/keys", "AWS_ENDPOINT_URL_SSM="+store.URL))
	for key, want := range map[string]string{"wk-a": `{"success":true}`, "wk-b": "source_disabled",
		"wk-c": "invalid_write_key"} {
		if r := invoke(t, tracking(key, "version-"+key)); !strings.Contains(r.Body, want) {
			t.Errorf("%s: %+v\n%s", key, r, log)
		}
	}
	arrivals.AwaitEvent(t, "version-wk-a")
	if text := log.String(); !strings.Contains(text, "an earlier version of the set of write keys is used") ||
		!strings.Contains(text, `"version":"1"`) || !strings.Contains(text, `"WriteKeysOld":1`) || strings.Contains(text, "wk-") {
		t.Errorf("log:\n%s", text)
	}
}
