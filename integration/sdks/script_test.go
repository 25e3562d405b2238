package sdks

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
)

const install = "apt-get install nodejs npm chromium (Node.js 20 or later), then npm ci in integration/sdks"

// probes holds what the probe commands have said: each takes a fifth of a second, and most tests
// have the same.
var probes struct {
	sync.Mutex
	failures map[string]string // by the command; empty: it succeeds
}

// probed runs a probe command once and returns how it fails.
func probed(command ...string) (failure string) {
	probes.Lock()
	defer probes.Unlock()
	name := strings.Join(command, "\x00")
	if failure, known := probes.failures[name]; known {
		return failure
	}
	if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		failure = fmt.Sprintf("%v: %s", err, lines[len(lines)-1])
	}
	if probes.failures == nil {
		probes.failures = map[string]string{}
	}
	probes.failures[name] = failure
	return failure
}

// needs skips the test if the probe command fails; with SPILLWAY_REQUIRE_SDKS=1 it fails the test.
func needs(t *testing.T, what string, probe ...string) {
	t.Helper()
	failure := probed(probe...)
	if failure == "" {
		return
	}
	message := fmt.Sprintf("%s is missing or too old: %s (%s)", what, install, failure)
	if os.Getenv("SPILLWAY_REQUIRE_SDKS") == "1" {
		t.Fatal(message)
	}
	t.Skip(message)
}

// script is a running Node program that writes lines of JSON to stdout.
type script struct {
	input  io.WriteCloser
	lines  chan map[string]any // closed when the program ends
	failed strings.Builder     // stderr; read it after the end
	cmd    *exec.Cmd
}

// node starts a program of this folder and ends it with the test at the latest.
func node(t *testing.T, env []string, args ...string) *script {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), testTimeout)
	s := &script{cmd: exec.CommandContext(ctx, "node", args...), lines: make(chan map[string]any, 1000)}
	s.cmd.Env = append(os.Environ(), append([]string{"NODE_NO_WARNINGS=1"}, env...)...)
	s.cmd.Stderr = &s.failed
	var err error
	if s.input, err = s.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		defer close(s.lines)
		for scanner := bufio.NewScanner(out); scanner.Scan(); {
			var line map[string]any
			if json.Unmarshal(scanner.Bytes(), &line) == nil {
				s.lines <- line
			}
		}
	}()
	t.Cleanup(func() {
		_ = s.input.Close()
		<-read
		if err := s.cmd.Wait(); err != nil {
			t.Errorf("%s: %v\n%s", args[0], err, s.failed.String())
		}
		cancel()
	})
	return s
}
