package main

import (
	"encoding/json"
	"testing"

	"github.com/aws/aws-lambda-go/events"

	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/integration/testutil"
	"github.com/spillwayhq/spillway/integration/testutil/localtest"
)

func TestMain(m *testing.M) { testutil.Main(m) }

// binary is the program as it is deployed.
func binary(t testing.TB) string { return testutil.Build(t, "functions/ingest") }

// pipeline is a whole pipeline for the endpoint's events, with those that have come to Segment.
func pipeline(t *testing.T) (*local.Pipeline, *localtest.Arrivals) {
	t.Helper()
	arrivals := localtest.NewArrivals()
	return localtest.Start(t, local.Config{OnEvent: arrivals.Add}), arrivals
}

// environ is the environment of an endpoint in front of a pipeline's queues.
func environ(p *local.Pipeline, more ...string) []string {
	names := topology.DefaultNames()
	return append([]string{
		"AWS_ACCESS_KEY_ID=" + local.AccessKey, "AWS_SECRET_ACCESS_KEY=" + local.AccessKey, "AWS_REGION=" + local.Region,
		"AWS_ENDPOINT_URL_SQS=" + p.SQSURL, "SPILLWAY_QUEUE_URL=" + p.QueueURL(names.EventsQueue),
		"SPILLWAY_DEAD_LETTER_QUEUE_URL=" + p.QueueURL(names.DeadLetterQueue),
	}, more...)
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
