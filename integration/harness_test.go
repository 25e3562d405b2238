package integration

import (
	"bufio"
	"io"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/integration/testutil"
	"github.com/spillwayhq/spillway/integration/testutil/localtest"
)

// patience is how long a test waits for what must come. It ends a test that would hang, and asserts no speed.
const patience = 2 * time.Minute

func TestMain(m *testing.M) { testutil.Main(m) }

// awaitAll waits until all ids have arrived but for those that were named as lost.
func awaitAll(t *testing.T, o *localtest.Arrivals, ids []string, lost map[string]string) {
	t.Helper()
	o.Await(t, "every event that was accepted", func() bool {
		for len(ids) > 0 && (lost[ids[0]] != "" || len(o.Get(ids[0])) > 0) {
			ids = ids[1:]
		}
		return len(ids) == 0
	})
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
	cmd := exec.Command(testutil.Build(t, "cmd/spillway"),
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
