package main

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/integration/testutil"
	"github.com/spillwayhq/spillway/integration/testutil/localtest"
)

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
		return
	}
	testutil.CollectLess(400)
	localtest.KeepConnections()
	testutil.Main(m)
}

// spillway runs a command line in this process.
func spillway(ctx context.Context, stdin string, args ...string) (stdout, stderr string, err error) {
	root := newRoot()
	var out, errOut bytes.Buffer
	root.SetArgs(args)
	root.SetIn(strings.NewReader(stdin))
	root.SetOut(&out)
	root.SetErr(&errOut)
	err = root.ExecuteContext(ctx)
	return out.String(), errOut.String(), err
}

// inBackground runs a command line until stop is called, which returns its error.
func inBackground(t *testing.T, args ...string) (out *testutil.Buffer, stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	out = &testutil.Buffer{}
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(out)
	root.SetErr(out)
	ended := make(chan error, 1)
	go func() { ended <- root.ExecuteContext(ctx) }()
	return out, func() error { cancel(); return <-ended }
}

// patience ends a test that would hang. It asserts no speed.
const patience = time.Minute

func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("gave up waiting for %s", what)
		}
	}
}

// queueFlag names the events queue of a pipeline.
func queueFlag(p *local.Pipeline) string {
	return "--queue-url=" + p.QueueURL(topology.DefaultNames().EventsQueue)
}

// unreachableQueue returns the URL of a queue where nothing listens.
func unreachableQueue(t *testing.T) string {
	t.Helper()
	return local.QueueURL("http://127.0.0.1:"+testutil.FreePort(t), topology.DefaultNames().EventsQueue)
}

// put sends a body to a queue of the pipeline, as any SQS client does.
func put(t *testing.T, p *local.Pipeline, queue, body string) {
	t.Helper()
	if _, err := localtest.Client(p.SQSURL).SendMessage(t.Context(),
		&sqs.SendMessageInput{QueueUrl: aws.String(p.QueueURL(queue)), MessageBody: aws.String(body)}); err != nil {
		t.Fatal(err)
	}
}
