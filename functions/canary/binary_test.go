package main

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/infra/local/lambda"
	"github.com/spillwayhq/spillway/infra/local/segmentd"
	"github.com/spillwayhq/spillway/integration/testutil"
)

// scheduled is what EventBridge hands over.
const scheduled = `{"version":"0","id":"53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa","detail-type":"Scheduled Event","source":"aws.events","account":"123456789012",` +
	`"time":"2026-11-24T23:00:00Z","region":"eu-west-1","resources":["arn:aws:events:eu-west-1:123456789012:rule/spillway-canary"],"detail":{}}`

func TestMain(m *testing.M) { testutil.Main(m) }

func TestTheDeployedFunctionSendsThroughTheIngestEndpointToSegment(t *testing.T) {
	arrived := make(chan segmentd.Received, 10)
	p, err := local.Start(local.Config{
		Dir: t.TempDir(), SQSAddr: "127.0.0.1:0", IngestAddr: "127.0.0.1:0", SegmentAddr: "127.0.0.1:0",
		OnEvent: func(e segmentd.Received) { arrived <- e },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := p.Run(ctx); err != nil {
			t.Errorf("run the pipeline: %v", err)
		}
	})
	stop := sync.OnceFunc(func() { cancel(); running.Wait() })
	t.Cleanup(stop)

	var log testutil.Buffer
	invoke := func(t *testing.T, variables ...string) {
		t.Helper()
		f := lambda.NewFunction(lambda.FunctionConfig{
			Name: "spillway-canary", Timeout: 15 * time.Second,
			NewEnvironment: lambda.Process(lambda.ProcessConfig{Path: testutil.Build(t, "functions/canary"),
				Env: append(variables, "SPILLWAY_INGEST_URL="+p.IngestURL), Output: &log}),
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
	invoke(t) // ends before Segment
	invoke(t, "SPILLWAY_CANARY_WRITE_KEY=a-source-of-its-own")
	accepted("1", 2)
	select {
	case e := <-arrived:
		if e.WriteKey != "a-source-of-its-own" || !strings.Contains(string(e.Raw), "Spillway Canary") {
			t.Errorf("%s under %q", e.Raw, e.WriteKey)
		}
	case <-time.After(2 * time.Minute):
		t.Fatal("the canary has not arrived")
	}
	stop()
	if len(arrived) > 0 {
		t.Errorf("one that was to end before Segment arrived there: %s", (<-arrived).Raw)
	}
	invoke(t)
	accepted("0", 1)
	if !strings.Contains(log.String(), "connection refused") || strings.Contains(log.String(), "a-source-of-its-own") {
		t.Errorf("log:\n%s", &log)
	}
}
