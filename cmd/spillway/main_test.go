package main

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spillwayhq/spillway/cmd/spillway/interrupt"
	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/infra/topology"
)

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

func TestErrorsAreOneLineThatSaysWhatToDo(t *testing.T) {
	notADirectory := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(notADirectory, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	noKeys := filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(noKeys, []byte(`{"writeKeys":[{"name":"","writeKey":"a b"},{"name":"","writeKey":""}]}`),
		0o600); err != nil {
		t.Fatal(err)
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, takenPort, _ := net.SplitHostPort(taken.Addr().String())
	held := t.TempDir()
	p, err := local.Start(local.Config{Dir: held, SQSAddr: "127.0.0.1:0", SegmentAddr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	defer func() { _ = p.Run(stopped) }()

	up := func(args ...string) []string {
		return append([]string{"up", "--sqs-port=0", "--segment-port=0", "--ingest-port=0"}, args...)
	}
	for _, c := range []struct {
		name string
		args []string
		want string
	}{
		{"an unknown verb", []string{"nothing"}, "unknown command spillway nothing: see spillway --help"},
		{"a misspelt verb", []string{"upp"}, "unknown command spillway upp: did you mean up?"},
		{"a misspelt verb of dlq", []string{"dlq", "redive"}, "did you mean redrive?"},
		{"a verb of dlq without dlq", []string{"redrive"}, "did you mean dlq?"},
		{"an unknown flag", up("--prot=1"), "see spillway up --help"},
		{"an argument too many", up("now"), `spillway up takes no arguments, got "now": see spillway up --help`},
		{"a port above 65535", []string{"up", "--sqs-port=70000"}, "see spillway up --help"},
		{"a port in use", up("--data-dir="+t.TempDir(), "--sqs-port="+takenPort), "name another port with --sqs-port"},
		{"the Segment emulator's port in use", up("--data-dir="+t.TempDir(), "--segment-port="+takenPort),
			"name another port with --segment-port"},
		{"the ingest endpoint's port in use", up("--data-dir="+t.TempDir(), "--ingest-port="+takenPort),
			"name another port with --ingest-port"},
		{"a data directory that is a file", up("--data-dir=" + notADirectory), "--data-dir"},
		{"a data directory below a file", up("--data-dir=" + notADirectory + "/x"), "--data-dir"},
		{"a data directory that another process holds", up("--data-dir=" + held), "another process"},
		{"a Segment that is not a URL", up("--data-dir="+t.TempDir(), "--segment=api.segment.io"),
			"must be a URL such as https://api.segment.io"},
		{"latency of another Segment", up("--data-dir="+t.TempDir(), "--segment=http://localhost:1", "--latency=1s"),
			"remove one of them"},
		{"a negative latency", up("--data-dir="+t.TempDir(), "--latency=-1s"), "--latency must be at least 0"},
		{"nothing to make up", []string{"send", "--count=0"}, "must be at least 1, is 0"},
		{"a queue that is not a URL", []string{"send", "--count=1", "--queue-url=events"},
			"must be that of a standard SQS queue"},
		{"a queue of another protocol", []string{"send", "--count=1", "--queue-url=ftp://localhost/x"},
			"must be that of a standard SQS queue"},
		{"an impossible write key", []string{"send", "--count=1", "--write-key=a b"}, "as Segment shows the key"},
		{"an impossible write key for up", up("--data-dir="+t.TempDir(), "--write-key=a\nb"), "as Segment shows the key"},
		{"an impossible name", up("--name=Staging"), "--name: the pipeline's name must begin with a lower-case letter"},
		{"a missing write-key document", up("--write-keys=/does/not/exist"), "--write-keys: open /does/not/exist"},
		{"a write-key document without keys", up("--write-keys=" + noKeys), "--write-keys: " + noKeys},
		{"a port that is not a number", up("--sqs-port=abc"), "must be a number from 0 to 65535"},
		{"a switch that is neither on nor off", up("--gzip=maybe"), "must be true or false"},
		{"a duration without a unit", up("--latency=5"), "must be a duration like 50ms or 2s"},
		{"a bench of nothing", []string{"bench", "--events=0", "--single=0", "--baseline=0"}, "nothing to measure"},
		{"a bench with a negative latency", []string{"bench", "--latency=-1s"}, "--latency must be at least 0"},
		{"a bill for a negative number of events", []string{"cost", "--events-per-day=-1"},
			"must be between 0 and 1,000,000,000,000"},
		{"a bill for events that are too large", []string{"cost", "--event-bytes=40000"}, "must be between 1 and 32,768"},
		{"a bill for messages that are too large", []string{"cost", "--event-bytes=32768", "--events-per-message=20"},
			"must be at most 14"},
		{"a bill for an unknown ingest endpoint", []string{"cost", "--ingest=alb"},
			"must be one of function-url, http-api, none"},
		{"a bill for a canary without an ingest endpoint", []string{"cost", "--ingest=none"}, "give --canary=false"},
		{"a bill for no region", []string{"cost", "--regions=0"}, "must be between 1 and 40"},
		{"a negative bench", []string{"bench", "--events=-1"}, "must be at least 0"},
		{"a bench without a directory", []string{"bench", "--dir=/does/not/exist"}, "--dir"},
		{"the Segment emulator alone on a port in use", []string{"segmentd", "--port=" + takenPort},
			"give another port with --port"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := spillway(t.Context(), "", c.args...)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want an error with %q", err, c.want)
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("more than one line: %q", err)
			}
		})
	}
}

// running starts a pipeline for the verbs to talk to, which only accepts.
func running(t *testing.T) *local.Pipeline {
	t.Helper()
	return runs(t, local.Config{Hold: true})
}

func runs(t *testing.T, c local.Config) *local.Pipeline {
	t.Helper()
	c.Dir, c.SQSAddr, c.SegmentAddr = t.TempDir(), "127.0.0.1:0", "127.0.0.1:0"
	p, err := local.Start(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = p.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })
	return p
}

func TestSendPacksMadeUpEvents(t *testing.T) {
	p := running(t)
	out, _, err := spillway(t.Context(), "", "send", "--count=1200",
		"--queue-url="+p.QueueURL(topology.DefaultNames().EventsQueue))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(out, "sent 1,200 events in 3 messages") {
		t.Errorf("said %q", out)
	}
	if s := p.Status(); s.Accepted != 1200 || s.BacklogEvents != 1200 || s.Backlog != 3 {
		t.Errorf("accepted %d events, backlog %d in %d messages", s.Accepted, s.BacklogEvents, s.Backlog)
	}
}

func TestSendSingleSendsOneEventPerMessage(t *testing.T) {
	p := running(t)
	if _, _, err := spillway(t.Context(), "", "send", "--count=25", "--single",
		"--queue-url="+p.QueueURL(topology.DefaultNames().EventsQueue)); err != nil {
		t.Fatal(err)
	}
	if s := p.Status(); s.Accepted != 25 || s.Backlog != 25 {
		t.Errorf("accepted %d events in %d messages", s.Accepted, s.Backlog)
	}
}

func TestSendReportsLinesThatAreNotEventsAndSendsTheOthers(t *testing.T) {
	p := running(t)
	const good = `{"type":"track","userId":"u","event":"E"}`
	in := "\xef\xbb\xbf" + good + "\r\n\nnot JSON\n[1]\n{\"type\":\"track\"}\n{\"batch\":[" + good + "]}\n{\"x\":\"" +
		strings.Repeat("x", 3<<20) + "\"}\n" +
		"{\"x\":\"" + strings.Repeat("x", 33<<10) + "\"}\n" + good
	out, errOut, err := spillway(t.Context(), in, "send", "--queue-url="+p.QueueURL(topology.DefaultNames().EventsQueue))
	if err == nil || !strings.Contains(err.Error(), "5 lines skipped") {
		t.Errorf("error %v", err)
	}
	for _, want := range []string{"line 3 is skipped: it is not JSON", "line 4 is skipped: it is not a JSON object",
		"line 6 is skipped: it is a batch",
		"line 7 is skipped: it is larger", "line 8 is skipped: it is larger"} {
		if !strings.Contains(errOut, want) {
			t.Errorf("%q is missing in %q", want, errOut)
		}
	}
	if !strings.HasPrefix(out, "sent 3 events in 1 message,") || p.Status().Accepted != 3 {
		t.Errorf("said %q, accepted %d", out, p.Status().Accepted)
	}
}

func TestSendSendsTheSampleEvents(t *testing.T) {
	p := running(t)
	sample, err := os.ReadFile("../../events/events.ndjson")
	if err != nil {
		t.Fatal(err)
	}
	if out, _, err := spillway(t.Context(), string(sample), "send",
		"--queue-url="+p.QueueURL(topology.DefaultNames().EventsQueue)); err != nil ||
		!strings.HasPrefix(out, "sent 3 events") {
		t.Errorf("said %q: %v", out, err)
	}
}

func TestSendSaysWhereToContinueWhenTheQueueIsUnreachable(t *testing.T) {
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	queueURL := "--queue-url=http://" + nobody.Addr().String() + "/000000000000/" + topology.DefaultNames().EventsQueue
	nobody.Close()
	_, _, err = spillway(t.Context(), "", "send", "--count=10", queueURL)
	if err == nil || !strings.Contains(err.Error(), "10 of 10 events were not sent: nothing listens at") {
		t.Errorf("made up: error %v", err)
	}
	_, _, err = spillway(t.Context(), "nothing\n"+strings.Repeat("{\"type\":\"track\"}\n", 10), "send", queueURL)
	if err == nil || !strings.Contains(err.Error(), "continue from line 2 (tail -n +2): nothing listens at") {
		t.Errorf("from standard input: error %v", err)
	}
}

// endless never ends, like a pipe whose writer waits.
type endless struct{ begun chan struct{} }

func (e *endless) Read(p []byte) (int, error) {
	select {
	case <-e.begun:
		select {}
	default:
		close(e.begun)
		return copy(p, "{\"type\":\"track\"}\n"), nil
	}
}

func TestSendCanBeInterruptedWhileItsInputHasNotEnded(t *testing.T) {
	p := running(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	in := &endless{make(chan struct{})}
	go func() { <-in.begun; cancel(interrupt.Err) }()
	var out, errOut bytes.Buffer
	err := send(ctx, in, &out, &errOut, sendFlags{queueURL: p.QueueURL(topology.DefaultNames().EventsQueue)})
	if err == nil || !strings.Contains(err.Error(), "interrupted") {
		t.Errorf("error %v, said %q", err, out.String())
	}
}

func TestUpRunsUnderAnotherNameAndAcceptsTheWriteKeysOfAFile(t *testing.T) {
	t.Parallel()
	keys := filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(keys, []byte(`{"writeKeys":[{"name":"shop","writeKey":"theshopkey"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	out, stop := inBackground(t, "up", "--name=staging", "--write-keys="+keys, "--sqs-port=0", "--segment-port=0",
		"--ingest-port=0", "--data-dir="+t.TempDir())
	await(t, "its addresses", func() bool { return strings.Contains(out.String(), "spillway dlq ls") })
	found := regexp.MustCompile(`events queue +(http\S+/staging-events)`).FindStringSubmatch(out.String())
	ingest := regexp.MustCompile(`ingest endpoint +(http\S+)`).FindStringSubmatch(out.String())
	if found == nil || ingest == nil || !strings.Contains(out.String(), "/staging-dead-letters\n") ||
		!strings.Contains(out.String(), "dlq ls --queue-url "+found[1]) {
		t.Fatalf("it printed\n%s", out)
	}
	if out, _, err := spillway(t.Context(), "", "dlq", "ls", "--queue-url="+found[1]); err != nil ||
		!strings.Contains(out, "There are no dead letters.") {
		t.Errorf("dlq ls: %v, printed %q", err, out)
	}
	for key, want := range map[string]int{"theshopkey": http.StatusOK, "other": http.StatusBadRequest} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, ingest[1]+"/v1/track",
			strings.NewReader(`{"userId":"u","event":"E"}`))
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth(key, "")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("write key %s: status %d, want %d", key, resp.StatusCode, want)
		}
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

func TestUpPrintsItsAddressesAndStopsWhenItsContextEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	out, _, err := spillway(ctx, "", "up", "--sqs-port=0", "--segment-port=0", "--ingest-port=0",
		"--data-dir="+t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"SQS emulator", "events queue", "AWS_DEFAULT_REGION=us-east-1", "aws sqs send-message",
		"spillway send --count", "backlog_messages=0"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in:\n%s", want, out)
		}
	}
}
