package integration

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/spillwayhq/spillway/integration/testutil"
)

// api is an example API in a process of its own.
type api struct {
	cmd    *exec.Cmd
	url    string
	log    string // path of its log
	exited chan struct{}
}

var listening = regexp.MustCompile(`listening on (http://\S+)`)

// startAPI starts the example API and waits until it serves.
func startAPI(t *testing.T, args ...string) *api {
	t.Helper()
	a := &api{log: filepath.Join(t.TempDir(), "api.log"), exited: make(chan struct{})}
	a.cmd = exec.Command(testutil.Build(t, "integration/exampleapi"), append([]string{"--listen=127.0.0.1:0"}, args...)...)
	log, err := os.Create(a.log)
	if err != nil {
		t.Fatal(err)
	}
	a.cmd.Stderr = log
	stdout, err := a.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := a.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	log.Close()
	lines := bufio.NewScanner(stdout)
	for a.url == "" && lines.Scan() {
		if found := listening.FindStringSubmatch(lines.Text()); found != nil {
			a.url = found[1]
		}
	}
	go func() {
		_, _ = io.Copy(io.Discard, stdout)
		_ = a.cmd.Wait()
		close(a.exited)
	}()
	t.Cleanup(a.kill)
	if a.url == "" {
		<-a.exited
		said, _ := os.ReadFile(a.log)
		t.Fatalf("the example API does not serve: %s", said)
	}
	return a
}

// kill is kill -9.
func (a *api) kill() {
	_ = a.cmd.Process.Kill()
	<-a.exited
}

// stop asks it to end, and expects that it does so in good order.
func (a *api) stop(t *testing.T) {
	t.Helper()
	if err := a.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-a.exited
	if !a.cmd.ProcessState.Success() {
		said, _ := os.ReadFile(a.log)
		t.Errorf("the example API ended with %v and said %s", a.cmd.ProcessState, last(said, 2000))
	}
}

// lost are the ids of the events that its log names as lost.
func (a *api) lost(t *testing.T) map[string]string {
	t.Helper()
	b, err := os.ReadFile(a.log)
	if err != nil {
		t.Fatal(err)
	}
	lost := map[string]string{}
	for line := range bytes.Lines(b) {
		var entry struct{ Msg, MessageID, Error string }
		if json.Unmarshal(line, &entry) == nil && entry.Msg == "event lost" {
			lost[entry.MessageID] = entry.Error
		}
	}
	return lost
}

// memory reads how much the process takes, now (VmRSS) or at most so far (VmHWM), in bytes. Without
// a /proc it is 0.
func (a *api) memory(t *testing.T, field string) int64 {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", a.cmd.Process.Pid))
	if errors.Is(err, fs.ErrNotExist) {
		return 0
	}
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if name, value, _ := strings.Cut(line, ":"); name == field {
			kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return kb << 10
		}
	}
	t.Fatalf("no %s in %s", field, b)
	return 0
}

func last(b []byte, n int) []byte { return b[max(0, len(b)-n):] }
