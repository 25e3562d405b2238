package main

import (
	"strings"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/infra/local/lambda"
	"github.com/spillwayhq/spillway/integration/testutil"
	"github.com/spillwayhq/spillway/integration/testutil/localtest"
)

// scheduled is what EventBridge hands over.
const scheduled = `{"version":"0","id":"53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa","detail-type":"Scheduled Event","source":"aws.events","account":"123456789012",` +
	`"time":"2026-11-24T23:00:00Z","region":"eu-west-1","resources":["arn:aws:events:eu-west-1:123456789012:rule/spillway-canary"],"detail":{}}`

func TestMain(m *testing.M) { testutil.Main(m) }

func TestTheDeployedFunctionSendsThroughTheIngestEndpointToSegment(t *testing.T) {
	var log testutil.Buffer
	invoke := func(t *testing.T, ingestURL string, variables ...string) {
		t.Helper()
		f := lambda.NewFunction(lambda.FunctionConfig{
			Name: "spillway-canary", Timeout: 15 * time.Second,
			NewEnvironment: lambda.Process(lambda.ProcessConfig{Path: testutil.Build(t, "functions/canary"),
				Env: append(variables, "SPILLWAY_INGEST_URL="+ingestURL), Output: &log}),
		})
		defer f.Close()
		if out, err := f.Invoke(t.Context(), []byte(scheduled)); err != nil || string(out) != "null" {
			t.Fatalf("%q, %v\n%s", out, err, &log)
		}
	}
	accepted := func(value string, times int) {
		t.Helper()
		if got := strings.Count(log.String(), `"CanaryAccepted":`+value); got != times {
			t.Errorf("%d lines with %s, want %d:\n%s", got, value, times, &log)
		}
	}
	arrivals := localtest.NewArrivals()
	var ingestURL string
	t.Run("while the pipeline runs", func(t *testing.T) {
		ingestURL = localtest.StartEager(t, local.Config{IngestAddr: "127.0.0.1:0", OnEvent: arrivals.Add}).IngestURL
		invoke(t, ingestURL) // this canary ends before Segment
		invoke(t, ingestURL, "SPILLWAY_CANARY_WRITE_KEY=a-source-of-its-own", "SPILLWAY_VERSION=v9.8.7")
		accepted("1", 2)
		arrivals.Await(t, "the canary", func() bool { return arrivals.Distinct() > 0 })
	})
	all := arrivals.All() // the pipeline has stopped
	if len(all) != 1 || all[0].WriteKey != "a-source-of-its-own" ||
		!strings.Contains(string(all[0].Raw), "Spillway Canary") {
		t.Errorf("%d events arrived, want the canary with a source of its own alone: %+v", len(all), all)
	}
	if !strings.Contains(log.String(), `"configured","version":"v9.8.7"`) {
		t.Errorf("the log does not name the version:\n%s", &log)
	}
	invoke(t, ingestURL)
	accepted("0", 1)
	// "connection refused", unless another process listens at the port by now.
	if !strings.Contains(log.String(), "the canary was not accepted") || strings.Contains(log.String(), "a-source-of-its-own") {
		t.Errorf("log:\n%s", &log)
	}
}
