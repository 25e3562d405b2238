package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/infra/local/segmentd"
	"github.com/spillwayhq/spillway/infra/topology"
)

// patience ends a test that would hang. It asserts no speed.
const patience = 90 * time.Second

var binary struct {
	sync.Once
	dir, path string
	err       error
}

// built is the binary as it is deployed, built once.
func built(t testing.TB) string {
	t.Helper()
	binary.Do(func() {
		binary.path = filepath.Join(binary.dir, "bootstrap")
		out, err := exec.Command("go", "build", "-trimpath", "-tags", "lambda.norpc", "-ldflags", "-s -w -buildid=", "-o",
			binary.path, ".").CombinedOutput()
		if err != nil {
			binary.err = fmt.Errorf("%w: %s", err, out)
		}
	})
	if binary.err != nil {
		t.Fatal(binary.err)
	}
	return binary.path
}

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "spillway-ingest-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "make a directory for the binary:", err)
		os.Exit(1)
	}
	binary.dir = dir
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// behind is a whole pipeline behind the door, whose stand-in keeps what arrives.
type behind struct {
	*local.Pipeline
	mu      sync.Mutex
	arrived map[string]segmentd.Received
	change  chan struct{}
}

func pipeline(t *testing.T) *behind {
	t.Helper()
	b := &behind{arrived: map[string]segmentd.Received{}, change: make(chan struct{})}
	p, err := local.Start(local.Config{Dir: t.TempDir(), SQSAddr: "127.0.0.1:0", SegmentAddr: "127.0.0.1:0",
		OnEvent: func(e segmentd.Received) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.arrived[e.MessageID] = e
			close(b.change)
			b.change = make(chan struct{})
		}})
	if err != nil {
		t.Fatal(err)
	}
	b.Pipeline = p
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := p.Run(ctx); err != nil {
			t.Errorf("run the pipeline: %v", err)
		}
	})
	t.Cleanup(func() { cancel(); running.Wait() })
	return b
}

// env is what the binary is told.
func (b *behind) env(more ...string) []string {
	return append([]string{
		"AWS_ACCESS_KEY_ID=" + local.AccessKey, "AWS_SECRET_ACCESS_KEY=" + local.AccessKey, "AWS_REGION=" + local.Region,
		"AWS_ENDPOINT_URL_SQS=" + b.SQSURL, "SPILLWAY_QUEUE_URL=" + b.QueueURL(topology.DefaultNames().EventsQueue),
		"SPILLWAY_DEAD_LETTER_QUEUE_URL=" + b.QueueURL(topology.DefaultNames().DeadLetterQueue),
	}, more...)
}

// await returns the event of that id as it arrived.
func (b *behind) await(t *testing.T, id string) segmentd.Received {
	t.Helper()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for {
		b.mu.Lock()
		e, ok := b.arrived[id]
		change := b.change
		b.mu.Unlock()
		if ok {
			return e
		}
		select {
		case <-change:
		case <-timeout.C:
			t.Fatalf("%s has not arrived", id)
		}
	}
}

// output collects what processes write.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}
