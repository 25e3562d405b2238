package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/integration/testutil/localtest"
)

func TestErrorsAreOneLineThatSaysWhatToDo(t *testing.T) {
	t.Parallel()
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
	localtest.StartEager(t, local.Config{Dir: held})

	up := func(args ...string) []string {
		return append([]string{"up", "--sqs-port=0", "--segment-port=0", "--ingest-port=0", "--console-port=0"}, args...)
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
		{"an argument of version", []string{"version", "x"}, `spillway version takes no arguments, got "x"`},
		{"an unknown flag", up("--prot=1"), "see spillway up --help"},
		{"an argument too many", up("now"), `spillway up takes no arguments, got "now": see spillway up --help`},
		{"a port above 65535", []string{"up", "--sqs-port=70000"}, "see spillway up --help"},
		{"a port in use", up("--data-dir="+t.TempDir(), "--sqs-port="+takenPort), "name another port with --sqs-port"},
		{"the Segment emulator's port in use", up("--data-dir="+t.TempDir(), "--segment-port="+takenPort),
			"name another port with --segment-port"},
		{"the ingest endpoint's port in use", up("--data-dir="+t.TempDir(), "--ingest-port="+takenPort),
			"name another port with --ingest-port"},
		{"the operator's page's port in use", up("--data-dir="+t.TempDir(), "--console-port="+takenPort),
			"name another port with --console-port"},
		{"the page's port for another", up("--data-dir="+t.TempDir(), "--console-port=9", "--ingest-port=9"),
			"--ingest-port and --console-port are both 9"},
		{"a page where nothing runs", []string{"console", "--queue-url=" + unreachableQueue(t)}, "is `spillway up` running?"},
		{"a page of a queue on AWS", []string{"console",
			"--queue-url=https://sqs.eu-west-1.amazonaws.com/123456789012/spillway-events"}, "must be of a running `spillway up`"},
		{"one port for two", up("--data-dir="+t.TempDir(), "--sqs-port=9", "--segment-port=9"),
			"--sqs-port and --segment-port are both 9: name a port of its own for each"},
		{"a default port for another", []string{"up", "--data-dir=" + t.TempDir(), "--ingest-port=9324"},
			"--sqs-port and --ingest-port are both 9324"},
		{"an address with a port", up("--listen=0.0.0.0:8080"),
			"--listen must be an IP address of this machine without a port"},
		{"an empty address", []string{"segmentd", "--listen="}, "--listen must not be empty"},
		{"an address of another machine", up("--data-dir="+t.TempDir(), "--listen=192.0.2.1"),
			"this machine does not have the address: name one that it has with --listen"},
		{"an address of another machine for the emulator", []string{"segmentd", "--port=0", "--listen=192.0.2.1"},
			"this machine does not have the address"},
		{"a flag without its value", []string{"send", "--write-key"},
			"--write-key needs a value after it: see spillway send --help"},
		{"an empty variable for a queue", []string{"send", "--count=1", "--queue-url="},
			"--queue-url must not be empty: give a value, or leave the flag out"},
		{"an empty variable for the queue of dead letters", []string{"dlq", "ls", "--queue-url", ""},
			"--queue-url must not be empty"},
		{"an empty variable for a dead-letter queue", []string{"dlq", "drop", "--dead-letter-queue-url="},
			"--dead-letter-queue-url must not be empty"},
		{"an empty variable for Segment", up("--segment="), "--segment must not be empty"},
		{"an empty variable for a write-key document", up("--write-keys="), "--write-keys must not be empty"},
		{"an empty variable for a host name", up("--allow-host="), "--allow-host must not be empty"},
		{"an empty variable for a log group", []string{"tail", "--log-group="}, "--log-group must not be empty"},
		{"a switch's value as an argument", up("--gzip", "false"), "a switch has its value behind =, like --switch=false"},
		{"a dead-letter queue to send to",
			[]string{"send", "--count=1", "--queue-url=https://sqs.eu-west-1.amazonaws.com/1/shop-dead-letters"},
			"messages in shop-dead-letters are not delivered: give https://sqs.eu-west-1.amazonaws.com/1/shop-events"},
		{"a dead-letter queue with a slash",
			[]string{"send", "--count=1", "--queue-url=http://localhost:1/a/b-dead-letters/"},
			"give http://localhost:1/a/b-events"},
		{"the name of a dead-letter queue", []string{"send", "--count=1", "--queue-url=shop-dead-letters"},
			"must be that of a standard SQS queue"},
		{"an events queue for dead letters",
			[]string{"dlq", "drop", "--yes", "--dead-letter-queue-url=http://localhost:1/a/shop-events"},
			"shop-events holds events that wait for their delivery: give the events queue with --queue-url"},
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
		{"an impossible write key", []string{"send", "--count=1", "--write-key=a b"}, "without spaces"},
		{"an impossible write key for up", up("--data-dir="+t.TempDir(), "--write-key=a\nb"), "without spaces"},
		{"an impossible name", up("--name=Staging"), "--name: the pipeline's name must begin with a lower-case letter"},
		{"a missing write-key document", up("--write-keys=/does/not/exist"), "--write-keys: open /does/not/exist"},
		{"a write-key document without keys", up("--write-keys=" + noKeys), "--write-keys: " + noKeys},
		{"a check of no file", []string{"keys", "check"}, "spillway keys check needs a file with a write-key document"},
		{"a check of a missing file", []string{"keys", "check", "/does/not/exist"}, "open /does/not/exist"},
		{"a check of wrong files", []string{"keys", "check", noKeys, "/does/not/exist"},
			noKeys + ": invalid set of 2 write keys: a write key has no name; "},
		{"a host name with a port", up("--allow-host=events.test:80"), "--allow-host must be a host name without a port"},
		{"a host name with a port for the emulator", []string{"segmentd", "--allow-host=*"},
			"--allow-host must be a host name"},
		{"a port that is not a number", up("--sqs-port=abc"), "must be a number from 0 to 65535"},
		{"a switch that is neither on nor off", up("--gzip=maybe"), "must be true or false"},
		{"a duration without a unit", up("--latency=5"), "must be a duration like 50ms or 2s"},
		{"a bench of nothing", []string{"bench", "--events=0", "--single=0", "--baseline=0"}, "nothing to measure"},
		{"a batch of no messages", up("--batch-size=0"), "--batch-size must be 1 to 10,000, is 0"},
		{"a bench with batches that Lambda does not make", []string{"bench", "--batch-size=10001"},
			"--batch-size must be 1 to 10,000, is 10001"},
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
			"name another port with --port"},
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
