package compat

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/spillwayhq/spillway/integration/testutil"
	"github.com/spillwayhq/spillway/integration/testutil/localtest"
)

func TestMain(m *testing.M) { testutil.Main(m) }

// The programs whose formats are compared.
const (
	commandLine = "cmd/spillway"
	deliver     = "functions/deliver"
	ingest      = "functions/ingest"
	exampleAPI  = "integration/exampleapi" // an API with the publisher
)

// A version is the programs of one version of Spillway.
type version struct {
	name  string
	build func(t testing.TB, command string) string // returns the path of the binary
}

// head is this version.
var head = version{"this version", testutil.Build}

// builtIn is a version whose programs are in a directory.
func builtIn(name, dir string) version {
	return version{name, func(_ testing.TB, command string) string { return filepath.Join(dir, filepath.Base(command)) }}
}

// run runs the command line, and returns what it printed and the error of its exit code.
func (v version) run(t testing.TB, stdin string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	c := exec.CommandContext(t.Context(), v.build(t, commandLine), args...)
	c.Stdin = strings.NewReader(stdin)
	var out, errOut bytes.Buffer
	c.Stdout, c.Stderr = &out, &errOut
	err = c.Run()
	return out.String(), errOut.String(), err
}

// mustRun is run for what must succeed.
func (v version) mustRun(t testing.TB, stdin string, args ...string) (stdout string) {
	t.Helper()
	stdout, stderr, err := v.run(t, stdin, args...)
	if err != nil {
		t.Fatalf("%s: spillway %s: %v\n%s", v.name, strings.Join(args, " "), err, stderr)
	}
	return stdout
}

// A pipeline is a running `spillway up`.
type pipeline struct {
	*testutil.Process
	sqsURL, queueURL, deadLetterURL, ingestURL string
	events                                     *sqs.Client
}

var (
	eventsQueue    = regexp.MustCompile(`events queue\s+(http://\S+)`)
	ingestEndpoint = regexp.MustCompile(`ingest endpoint\s+(http://\S+)`)
	listening      = regexp.MustCompile(`"msg":"listening","address":"([^"]+)"`)
	apiListening   = regexp.MustCompile(`listening on (http://\S+)`)
)

// up starts `spillway up` with ports of its own.
func (v version) up(t testing.TB, dir string, args ...string) *pipeline {
	t.Helper()
	binary := v.build(t, commandLine)
	all := []string{"up", "--data-dir=" + dir, "--sqs-port=0", "--ingest-port=0", "--segment-port=0", "--canary=false"}
	help, _ := exec.CommandContext(t.Context(), binary, "up", "--help").CombinedOutput()
	if bytes.Contains(help, []byte("--console-port")) { // the operator's page came later
		all = append(all, "--console-port=0")
	}
	p := &pipeline{Process: testutil.Serve(t, exec.Command(binary, append(all, args...)...), eventsQueue)}
	p.queueURL = p.Address
	p.deadLetterURL = strings.Replace(p.queueURL, "-events", "-dead-letters", 1)
	p.sqsURL = p.queueURL[:strings.LastIndex(p.queueURL, "/000000000000/")]
	p.events = localtest.Client(p.sqsURL)
	match := ingestEndpoint.FindStringSubmatch(p.Log.String())
	if match == nil {
		t.Fatalf("up did not say where its ingest endpoint is: %s", &p.Log)
	}
	p.ingestURL = match[1]
	return p
}

// ingestServer starts ingest as a server, whose queues are in an SQS emulator.
func (v version) ingestServer(t testing.TB, sqsURL string, more ...string) (url string, p *testutil.Process) {
	t.Helper()
	c := exec.Command(v.build(t, ingest))
	c.Env = append(localtest.Environment(sqsURL, "SPILLWAY_LISTEN=127.0.0.1:0", "PATH="+os.Getenv("PATH")), more...)
	p = testutil.Serve(t, c, listening)
	return "http://" + p.Address, p
}

// api starts the example API, whose events go to a queue with the publisher.
func (v version) api(t testing.TB, queueURL, dir string) (url string, p *testutil.Process) {
	t.Helper()
	c := exec.Command(v.build(t, exampleAPI), "--listen=127.0.0.1:0", "--queue-url="+queueURL, "--work=0s",
		"--track=process", "--dir="+dir, "--write-key=api")
	c.Env = append(localtest.Environment(""), "PATH="+os.Getenv("PATH"))
	p = testutil.Serve(t, c, apiListening)
	return p.Address, p
}

// post posts to the ingest endpoint or the API, and returns an error unless it answers 200.
func post(ctx context.Context, url, writeKey, body string, header ...string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	if writeKey != "" {
		r.SetBasicAuth(writeKey, "")
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	said, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answered %s: %s", url, answer.Status, said)
	}
	return err
}

// A storedMessage is a message of a queue as a sample keeps it.
type storedMessage struct {
	Body       string
	Attributes map[string]attribute
}

type attribute struct{ Type, Text string }

// receiveAll receives and returns every message of a queue. They are invisible for a while then.
func receiveAll(t testing.TB, c *sqs.Client, queueURL string) (all []storedMessage) {
	t.Helper()
	for {
		out, err := c.ReceiveMessage(t.Context(),
			&sqs.ReceiveMessageInput{QueueUrl: aws.String(queueURL), MaxNumberOfMessages: 10,
				MessageAttributeNames: []string{"All"}, VisibilityTimeout: 600})
		if err != nil {
			t.Fatal(err)
		}
		if len(out.Messages) == 0 {
			return all
		}
		for _, m := range out.Messages {
			s := storedMessage{*m.Body, map[string]attribute{}}
			for name, a := range m.MessageAttributes {
				s.Attributes[name] = attribute{*a.DataType, aws.ToString(a.StringValue)}
			}
			all = append(all, s)
		}
	}
}

// send puts messages on a queue.
func send(t testing.TB, c *sqs.Client, queueURL string, messages ...storedMessage) {
	t.Helper()
	for _, m := range messages {
		in := &sqs.SendMessageInput{QueueUrl: aws.String(queueURL), MessageBody: aws.String(m.Body),
			MessageAttributes: map[string]types.MessageAttributeValue{}}
		for name, a := range m.Attributes {
			in.MessageAttributes[name] = types.MessageAttributeValue{DataType: aws.String(a.Type),
				StringValue: aws.String(a.Text)}
		}
		if _, err := c.SendMessage(t.Context(), in); err != nil {
			t.Fatal(err)
		}
	}
}

// await waits for what must come; it asserts no speed.
func await(t testing.TB, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("gave up waiting for %s", what)
		}
	}
}
