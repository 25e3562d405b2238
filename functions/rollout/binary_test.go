package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/infra/local/codedeploy"
	"github.com/spillwayhq/spillway/infra/local/lambda"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/integration/testutil"
	"github.com/spillwayhq/spillway/integration/testutil/localtest"
)

func TestMain(m *testing.M) { testutil.Main(m) }

// nowhere is where SQS is for the functions: what they sent would fail.
const nowhere = "http://127.0.0.1:1"

// deployed makes a function of a built binary with the alias that gets the traffic.
func deployed(t *testing.T, name, command string, log *testutil.Buffer, env ...string) (f *lambda.Function,
	live *lambda.Alias, code func(env ...string) lambda.EnvironmentFactory) {
	t.Helper()
	code = func(env ...string) lambda.EnvironmentFactory {
		return lambda.Process(lambda.ProcessConfig{Path: testutil.Build(t, command), Output: log, Env: env})
	}
	f = lambda.NewFunction(lambda.FunctionConfig{Name: name, Timeout: 15 * time.Second, NewEnvironment: code(env...)})
	t.Cleanup(f.Close)
	live, err := f.CreateAlias(topology.LiveAlias, lambda.Routing{Version: f.Publish().Number()})
	if err != nil {
		t.Fatal(err)
	}
	return f, live, code
}

// The programs as they are deployed: a version that can't read a parameter gets no traffic, its
// remedy does, and nothing of a trial is in a log or a metric.
func TestADeploymentGivesTrafficOnlyToAVersionThatPassesItsTrials(t *testing.T) {
	var log, hookLog testutil.Buffer
	good := localtest.Environment(nowhere, "SPILLWAY_SEGMENT_ENDPOINT="+nowhere)
	deliver, live, code := deployed(t, "spillway-deliver", "functions/deliver", &log, good...)
	ingest, _, _ := deployed(t, "spillway-ingest", "functions/ingest", &log, good...)
	aws := http.NewServeMux()
	deployments := codedeploy.New()
	aws.Handle("/2015-03-31/", lambda.NewAPI(deliver, ingest))
	aws.Handle("/", deployments)
	server := httptest.NewServer(aws)
	t.Cleanup(server.Close)

	deploy := func(env ...string) codedeploy.Result {
		t.Helper()
		deliver.UpdateCode(code(env...))
		version := deliver.Publish()
		hook := lambda.NewFunction(lambda.FunctionConfig{Name: "spillway-rollout", Timeout: 30 * time.Second,
			NewEnvironment: lambda.Process(lambda.ProcessConfig{Path: testutil.Build(t, "functions/rollout"), Output: &hookLog,
				Env: localtest.Environment(nowhere, "AWS_ENDPOINT_URL_LAMBDA="+server.URL, "AWS_ENDPOINT_URL_CODEDEPLOY="+server.URL,
					"SPILLWAY_DELIVER_VERSION="+version.ARN(),
					"SPILLWAY_INGEST_VERSION="+ingest.ARN()+":1")})})
		defer hook.Close()
		result, err := deployments.Deploy(t.Context(), codedeploy.Deployment{Alias: live, Version: version.Number(), Before: hook})
		if err != nil {
			t.Fatal(err)
		}
		deployments.Wait()
		return result
	}
	bad := localtest.Environment(nowhere, "SPILLWAY_SEGMENT_ENDPOINT_PARAMETER=/spillway/endpoint",
		"AWS_ENDPOINT_URL_SSM="+nowhere, "AWS_MAX_ATTEMPTS=1")
	if r := deploy(bad...); r.Status != codedeploy.Failed || live.Routing().Version != "1" {
		t.Errorf("a version that does not find Segment: %+v, and the alias names %+v\n%s", r, live.Routing(), &hookLog)
	}
	for _, want := range []string{`"status":"Failed"`, "spillway-deliver version 2: ",
		"trial-good-1 reached Segment 0 times, not 1", "the endpoint of Segment could not be read"} {
		if !strings.Contains(hookLog.String(), want) {
			t.Errorf("the hook's log does not say %q:\n%s", want, &hookLog)
		}
	}
	if r := deploy(good...); r.Status != codedeploy.Succeeded || live.Routing().Version != "3" {
		t.Errorf("a good version: %+v, and the alias names %+v\n%s", r, live.Routing(), &hookLog)
	}
	for _, mustNot := range []string{"_aws", `"msg":"delivered"`, "trial"} {
		if strings.Contains(log.String(), mustNot) {
			t.Errorf("the functions' log has %q of a trial:\n%s", mustNot, &log)
		}
	}
}
