package integration

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/infra/local/segmentd"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

// patience is how long a test waits for what must come. It ends a test that would hang, and asserts
// no speed.
const patience = 2 * time.Minute

// oracle writes down what came out: for each messageId, every form in which it arrived.
type oracle struct {
	mu     sync.Mutex
	events map[string][]string
	change chan struct{} // closed and renewed at each arrival
}

func newOracle() *oracle { return &oracle{events: map[string][]string{}, change: make(chan struct{})} }

func (o *oracle) note(e segmentd.Received) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.events[e.MessageID] = append(o.events[e.MessageID], string(e.Raw))
	close(o.change)
	o.change = make(chan struct{})
}

func (o *oracle) distinct() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.events)
}

func (o *oracle) get(id string) []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.events[id]
}

// await waits until done says so, looking again whenever an event arrives.
func (o *oracle) await(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.After(patience)
	for {
		o.mu.Lock()
		change := o.change
		o.mu.Unlock()
		if done() {
			return
		}
		select {
		case <-change:
		case <-time.After(50 * time.Millisecond): // what done looks at may change without an arrival
		case <-deadline:
			t.Fatalf("gave up waiting for %s: %d distinct events arrived", what, o.distinct())
		}
	}
}

// awaitAll waits until all ids have arrived but for those that were named as lost.
func (o *oracle) awaitAll(t *testing.T, ids []string, lost map[string]string) {
	t.Helper()
	o.await(t, "every event that was accepted", func() bool {
		for len(ids) > 0 && (lost[ids[0]] != "" || len(o.get(ids[0])) > 0) {
			ids = ids[1:]
		}
		return len(ids) == 0
	})
}

// standIn starts a Segment stand-in of this process, which outlives the pipelines that a test
// kills.
func standIn(t *testing.T, o *oracle, latency time.Duration) (*segmentd.Server, string) {
	t.Helper()
	s := segmentd.New(segmentd.Options{Latency: latency, OnEvent: o.note, Keep: -1})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() { _ = s.Serve(ctx, l) })
	t.Cleanup(func() { cancel(); serving.Wait() })
	return s, "http://" + l.Addr().String()
}

// pipeline starts a local pipeline in this process and stops it in good order at the end of the
// test.
func pipeline(t *testing.T, c local.Config) *local.Pipeline {
	t.Helper()
	if c.Dir == "" {
		c.Dir = t.TempDir()
	}
	c.SQSAddr, c.SegmentAddr = "127.0.0.1:0", "127.0.0.1:0"
	p, err := local.Start(c)
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
	t.Cleanup(func() { cancel(); running.Wait() })
	return p
}

// client is the real SDK, over HTTP.
func client(endpoint string) *sqs.Client {
	return sqs.New(sqs.Options{
		Region: local.Region, BaseEndpoint: aws.String(endpoint),
		Credentials: credentials.NewStaticCredentialsProvider(local.AccessKey, local.AccessKey, ""),
	}, sqsclient.AvoidLostResponses)
}

var binaries struct {
	sync.Mutex
	dir  string
	made map[string]string
}

// build compiles a command once for all tests, as it is deployed.
func build(t *testing.T, pkg string, args ...string) string {
	t.Helper()
	binaries.Lock()
	defer binaries.Unlock()
	if path := binaries.made[pkg]; path != "" {
		return path
	}
	path := filepath.Join(binaries.dir, filepath.Base(pkg))
	args = append(append([]string{"build", "-trimpath", "-o", path}, args...), "github.com/spillwayhq/spillway/"+pkg)
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", pkg, err, out)
	}
	binaries.made[pkg] = path
	return path
}

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "spillway-integration-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "make a directory for the binaries:", err)
		os.Exit(1)
	}
	binaries.dir, binaries.made = dir, map[string]string{}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// process is a spillway of its own.
type process struct {
	cmd    *exec.Cmd
	url    string // of the events queue
	exited chan struct{}
}

var eventsQueue = regexp.MustCompile(`events queue\s+(http://\S+)`)

// spillwayUp starts `spillway up` and waits until it has said where its queue is.
func spillwayUp(t *testing.T, args ...string) *process {
	t.Helper()
	cmd := exec.Command(build(t, "cmd/spillway"),
		append([]string{"up", "--sqs-port=0", "--ingest-port=0", "--segment-port=0"}, args...)...)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: cmd, exited: make(chan struct{})}
	lines := bufio.NewScanner(stdout)
	for p.url == "" && lines.Scan() {
		if found := eventsQueue.FindStringSubmatch(lines.Text()); found != nil {
			p.url = found[1]
		}
	}
	go func() {
		_, _ = io.Copy(io.Discard, stdout)
		_ = cmd.Wait()
		close(p.exited)
	}()
	t.Cleanup(p.kill)
	if p.url == "" {
		<-p.exited
		t.Fatalf("spillway up said no queue: %s", stderr.String())
	}
	return p
}

func (p *process) endpoint() string { return p.url[:strings.LastIndex(p.url, "/"+local.AccountID)] }

// kill is kill -9.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.exited
}
