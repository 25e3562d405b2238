package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"testing"

	"github.com/aws/aws-lambda-go/events"

	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/integration/testutil"
	"github.com/spillwayhq/spillway/integration/testutil/localtest"
)

// binary is the program as it is deployed.
func binary(t testing.TB) string { return testutil.Build(t, "functions/ingest") }

// pipeline is a whole pipeline for the endpoint's events, with those that have come to Segment.
func pipeline(t *testing.T) (*local.Pipeline, *localtest.Arrivals) {
	t.Helper()
	arrivals := localtest.NewArrivals()
	return localtest.Start(t, local.Config{OnEvent: arrivals.Add}), arrivals
}

var listening = regexp.MustCompile(`"msg":"listening","address":"([^"]+)"`)

// start starts the built binary as a plain server.
func start(t testing.TB, env []string) *testutil.Process {
	t.Helper()
	cmd := exec.Command(binary(t))
	cmd.Env = append(env, "SPILLWAY_LISTEN=127.0.0.1:0", "PATH="+os.Getenv("PATH"))
	return testutil.Serve(t, cmd, listening)
}

type (
	payload = events.APIGatewayV2HTTPRequest
	reply   = events.APIGatewayV2HTTPResponse
)

// invocation is what a gateway makes of a request; change sets what a test is about.
func invocation(t *testing.T, change func(*payload)) []byte {
	t.Helper()
	p := payload{Version: "2.0", RawPath: "/v1/batch"}
	p.RequestContext.HTTP.Method, p.RequestContext.HTTP.SourceIP, p.RequestContext.Stage = "POST", "203.0.113.9",
		"$default"
	p.RequestContext.DomainName = "abc.execute-api.us-east-1.amazonaws.com"
	change(&p)
	out, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
