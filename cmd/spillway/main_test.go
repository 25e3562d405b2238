package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

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

func TestWrongUseIsOneLineThatSaysWhatToWrite(t *testing.T) {
	notADirectory := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(notADirectory, nil, 0o600); err != nil {
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
		{"unknown verb", []string{"nothing"}, "there is no command spillway nothing: see spillway --help"},
		{"a misspelt verb", []string{"upp"}, "there is no command spillway upp: did you mean up?"},
		{"a misspelt verb of dlq", []string{"dlq", "redive"}, "did you mean redrive?"},
		{"a verb of dlq without dlq", []string{"redrive"}, "did you mean dlq?"},
		{"unknown flag", up("--prot=1"), "see spillway up --help"},
		{"an argument too many", up("now"), `spillway up takes no argument like "now": see spillway up --help`},
		{"a port that is none", []string{"up", "--sqs-port=70000"}, "see spillway up --help"},
		{"a port in use", up("--data-dir="+t.TempDir(), "--sqs-port="+takenPort), "name another port with --sqs-port"},
		{"the stand-in's port in use", up("--data-dir="+t.TempDir(), "--segment-port="+takenPort),
			"name another port with --segment-port"},
		{"the door's port in use", up("--data-dir="+t.TempDir(), "--ingest-port="+takenPort),
			"name another port with --ingest-port"},
		{"a data directory that is a file", up("--data-dir=" + notADirectory), "--data-dir"},
		{"a data directory below a file", up("--data-dir=" + notADirectory + "/x"), "--data-dir"},
		{"a data directory that another process holds", up("--data-dir=" + held), "another process"},
		{"a Segment that is no URL", up("--data-dir="+t.TempDir(), "--segment=api.segment.io"),
			"write one like https://api.segment.io"},
		{"latency of another Segment", up("--data-dir="+t.TempDir(), "--segment=http://localhost:1", "--latency=1s"),
			"leave one of them out"},
		{"negative latency", up("--data-dir="+t.TempDir(), "--latency=-1s"), "write 0 or more"},
		{"nothing to make up", []string{"send", "--count=0"}, "write 1 or more"},
		{"a queue that is no URL", []string{"send", "--count=1", "--queue-url=events"}, "is no queue's URL"},
		{"a queue of another protocol", []string{"send", "--count=1", "--queue-url=ftp://localhost/x"}, "is no queue's URL"},
		{"a write key that can't be one", []string{"send", "--count=1", "--write-key=a b"}, "as Segment shows it"},
		{"the same for up", up("--data-dir="+t.TempDir(), "--write-key=a\nb"), "as Segment shows it"},
		{"a port that is no number", up("--sqs-port=abc"), "write a number from 0 to 65535"},
		{"a switch that is neither", up("--gzip=maybe"), "write true or false"},
		{"a duration without a unit", up("--latency=5"), "write a duration like 50ms or 2s"},
		{"a bench of nothing", []string{"bench", "--events=0", "--single=0", "--baseline=0"}, "nothing to measure"},
		{"a bench with a negative latency", []string{"bench", "--latency=-1s"}, "write 0 or more"},
		{"a bill of less than nothing", []string{"cost", "--events-per-day=-1"}, "write 0 to 1,000,000,000,000"},
		{"a bill of events that are too large", []string{"cost", "--event-bytes=40000"}, "write 1 to 32,768"},
		{"a bill of messages that are too large", []string{"cost", "--event-bytes=32768", "--events-per-message=20"},
			"holds at most 14 events"},
		{"a bill of a door that is none", []string{"cost", "--ingest=alb"}, "write function-url, http-api, none"},
		{"a bill of a canary without a door", []string{"cost", "--ingest=none"}, "write --canary=false too"},
		{"a bill of no region", []string{"cost", "--regions=0"}, "write 1 to 40"},
		{"negative bench", []string{"bench", "--events=-1"}, "write 0"},
		{"a bench without a directory", []string{"bench", "--dir=/does/not/exist"}, "--dir"},
		{"the stand-in alone on a port in use", []string{"segmentd", "--port=" + takenPort}, "name another port with --port"},
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

func TestSendOfSinglesIsAMessageAnEvent(t *testing.T) {
	p := running(t)
	if _, _, err := spillway(t.Context(), "", "send", "--count=25", "--single",
		"--queue-url="+p.QueueURL(topology.DefaultNames().EventsQueue)); err != nil {
		t.Fatal(err)
	}
	if s := p.Status(); s.Accepted != 25 || s.Backlog != 25 {
		t.Errorf("accepted %d events in %d messages", s.Accepted, s.Backlog)
	}
}

func TestALineThatIsNoEventIsNamedAndTheOthersAreSent(t *testing.T) {
	p := running(t)
	const good = `{"type":"track","userId":"u","event":"E"}`
	in := "\xef\xbb\xbf" + good + "\r\n\nnot JSON\n[1]\n{\"type\":\"track\"}\n{\"batch\":[" + good + "]}\n{\"x\":\"" +
		strings.Repeat("x", 3<<20) + "\"}\n" +
		"{\"x\":\"" + strings.Repeat("x", 33<<10) + "\"}\n" + good
	out, errOut, err := spillway(t.Context(), in, "send", "--queue-url="+p.QueueURL(topology.DefaultNames().EventsQueue))
	if err == nil || !strings.Contains(err.Error(), "5 lines were left out") {
		t.Errorf("error %v", err)
	}
	for _, want := range []string{"line 3 is left out: it is not JSON", "line 4 is left out: it is not a JSON object",
		"line 6 is left out: it is a batch",
		"line 7 is left out: it is larger", "line 8 is left out: it is larger"} {
		if !strings.Contains(errOut, want) {
			t.Errorf("%q is missing in %q", want, errOut)
		}
	}
	if !strings.HasPrefix(out, "sent 3 events in 1 message,") || p.Status().Accepted != 3 {
		t.Errorf("said %q, accepted %d", out, p.Status().Accepted)
	}
}

func TestTheSampleIsSent(t *testing.T) {
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

func TestAQueueThatIsAwayIsAnErrorThatSaysFromWhereToGoOn(t *testing.T) {
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
	if err == nil || !strings.Contains(err.Error(), "from line 2 on (tail -n +2) send it again: nothing listens at") {
		t.Errorf("from standard input: error %v", err)
	}
}

// endless never ends, as a pipe whose writer waits.
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

func TestSendIsInterruptedAlthoughItsInputDoesNotEnd(t *testing.T) {
	p := running(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	in := &endless{make(chan struct{})}
	go func() { <-in.begun; cancel(errInterrupted) }()
	var out, errOut bytes.Buffer
	err := send(ctx, in, &out, &errOut, sendFlags{queueURL: p.QueueURL(topology.DefaultNames().EventsQueue)})
	if err == nil || !strings.Contains(err.Error(), "interrupted") {
		t.Errorf("error %v, said %q", err, out.String())
	}
}

func TestUpSaysWhereItListensAndStopsWhenItsContextEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	out, _, err := spillway(ctx, "", "up", "--sqs-port=0", "--segment-port=0", "--ingest-port=0",
		"--data-dir="+t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"SQS endpoint", "events queue", "AWS_DEFAULT_REGION=us-east-1", "aws sqs send-message",
		"spillway send --count", "backlog_messages=0"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in:\n%s", want, out)
		}
	}
}

func TestTheViewShowsTheSpeedOfTheLastSeconds(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var v view
	at := func(after time.Duration, delivered int64) local.Status {
		return local.Status{At: start.Add(after), Totals: local.Totals{Delivered: delivered}}
	}
	for _, c := range []struct {
		status local.Status
		want   float64
	}{
		{at(0, 0), 0},
		{at(500*time.Millisecond, 500), 1000},
		{at(2*time.Second, 4000), 2000},
		{at(4*time.Second, 4000), 0}, // against the status of 2 s before
		{at(14*time.Second, 14_000), 1000},
	} {
		if got := v.rate(c.status); got != c.want {
			t.Errorf("%v after the start: %.0f events/s, want %.0f", c.status.At.Sub(start), got, c.want)
		}
	}
}

func TestTheViewShowsHowTheCanaryDoes(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	heard := local.Canary{On: true, At: now.Add(-12 * time.Second), Latency: 35 * time.Millisecond}
	failed := heard
	failed.Failure = "the door refused the canary: 429"
	for _, c := range []struct {
		canary     local.Canary
		drawn, row string
	}{
		{local.Canary{}, "canary        off", ""},
		{local.Canary{On: true}, "canary        none yet\n", " canary=none"},
		{heard, "canary        35 ms, 12.0s ago\n", " canary=35ms canary_ago=12.0s"},
		{failed, "canary        35 ms, 12.0s ago; the last one failed",
			` canary=35ms canary_ago=12.0s canary_failure="the door refused the canary: 429"`},
	} {
		var v view
		s := local.Status{At: now, Canary: c.canary}
		if drawn := v.draw(s, 80); !strings.Contains(drawn, c.drawn) {
			t.Errorf("%q is missing in:\n%s", c.drawn, drawn)
		}
		if line := v.line(s); !strings.HasSuffix(line, "shed_requests=0"+c.row) {
			t.Errorf("the line does not end in %q: %s", c.row, line)
		}
	}
}

func TestTheViewDrawsOverWhatItDrewBefore(t *testing.T) {
	var v view
	first := v.draw(local.Status{At: time.Now(), Accepted: 1_234_567, Backlog: 12, BacklogEvents: 3000,
		OldestAge: 90 * time.Second}, 80)
	for _, want := range []string{"accepted      1,234,567 events", "3,000 events in 12 messages", "oldest        1m30s"} {
		if !strings.Contains(first, want) {
			t.Errorf("%q is missing in:\n%s", want, first)
		}
	}
	if strings.Contains(first, "A\x1b") || !strings.HasPrefix(v.draw(local.Status{At: time.Now()}, 80), "\x1b[9A") {
		t.Error("the second drawing does not begin where the first one did")
	}
}

func TestTheViewBreaksItsLinesSoThatTheNextOneCoversThem(t *testing.T) {
	escapes := regexp.MustCompile("\x1b\\[[0-9]*[A-Z]")
	long := local.Status{At: time.Now(),
		Trouble: "Segment can't be reached or fails: events wait up to 15 min for their next try"}
	for _, columns := range []int{1, 27, 40, 80, 200} {
		var v view
		lines := strings.Split(escapes.ReplaceAllString(v.draw(long, columns), ""), "\n")
		for _, line := range lines {
			if n := utf8.RuneCountInString(line); n > max(columns, viewIndent+10) {
				t.Errorf("a line of %d in %d columns: %q", n, columns, line)
			}
		}
		if again, up := v.draw(local.Status{At: time.Now()}, columns),
			fmt.Sprintf("\x1b[%dA", len(lines)-1); !strings.HasPrefix(again, up) || !strings.HasSuffix(again, "\x1b[J") {
			t.Errorf("%d columns: it does not cover %d lines: %q", columns, len(lines)-1, again)
		}
	}
	for text, want := range map[string][]string{
		"":                      {""},
		"none":                  {"none"},
		"0123456789 1":          {"0123456789", "1"},
		"one two three":         {"one two", "three"},
		"http://localhost:9324": {"http://loc", "alhost:932", "4"},
	} {
		if got := broken(text, 10); !slices.Equal(got, want) {
			t.Errorf("%q is broken into %q, want %q", text, got, want)
		}
	}
}
