// Package testutil is what the tests of several packages need: an output that is read while it is
// written, a command that is built once, a process that serves, a free port.
//
// It knows the standard library only, so that every package's tests can use it. What starts a
// pipeline is in localtest.
package testutil

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// A Buffer is an output that is read while it is written. The zero value is empty. It is safe for
// concurrent use.
type Buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

// String is what has been written so far.
func (b *Buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// builds are the commands that this test binary has built.
type builds struct {
	dir string

	mu       sync.Mutex
	commands map[string]func() (path string, err error) // each builds at its first call
}

var built builds

// atOnce is how many parallel tests run at the same time unless -parallel says otherwise. Go's
// default is the number of cores, but these tests wait: for processes, long polls and timeouts.
const atOnce = 32

// Main runs a package's tests, many at the same time, and removes afterwards what [Build] has made.
// A package that calls Build, or whose tests wait in real time, has
//
//	func TestMain(m *testing.M) { testutil.Main(m) }
func Main(m *testing.M) {
	flag.Parse()
	chosen := false
	flag.Visit(func(f *flag.Flag) { chosen = chosen || f.Name == "test.parallel" })
	if !chosen {
		_ = flag.Set("test.parallel", strconv.Itoa(atOnce))
	}
	MainOnePerCore(m)
}

// MainInVirtualTime is MainOnePerCore for tests in virtual time. The garbage collector runs a quarter as
// often as usual: it takes a fifth of their CPU, and they hold little.
func MainInVirtualTime(m *testing.M) {
	CollectLess(400)
	MainOnePerCore(m)
}

// MainOnePerCore is Main for tests that compute and do not wait: as many run at the same time as the
// machine has cores. It calls each of last when the tests have ended.
func MainOnePerCore(m *testing.M, last ...func()) {
	dir, err := os.MkdirTemp("", "spillway-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "make a directory for the binaries:", err)
		os.Exit(1)
	}
	built.dir, built.commands = dir, map[string]func() (string, error){}
	code := m.Run()
	for _, f := range last {
		f()
	}
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// Build compiles a command of the project, such as "cmd/spillway", and returns the path of the
// binary. The Lambda functions are built without RPC, as they are deployed.
//
// It is go run that builds, and a copy that it runs: Go keeps binaries that go run makes in its
// build cache, so that the tests of all packages link each command once. Several commands are built
// at the same time.
func Build(t testing.TB, command string) string {
	t.Helper()
	path, err := built.command(t, command)()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// command returns what builds a command once, and then only says where it is.
func (b *builds) command(t testing.TB, command string) func() (string, error) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.commands == nil {
		t.Fatal("testutil.Build needs a TestMain that calls testutil.Main")
	}
	if b.commands[command] == nil {
		b.commands[command] = sync.OnceValues(func() (string, error) { return build(b.dir, command) })
	}
	return b.commands[command]
}

// build compiles a command into a directory, and returns the path of the binary.
func build(dir, command string) (string, error) {
	path := filepath.Join(dir, filepath.Base(command))
	args := []string{"run", "-exec", "cp"}
	if filepath.Dir(command) == "functions" {
		args = append(args, "-tags", "lambda.norpc")
	}
	args = append(args, "github.com/spillwayhq/spillway/"+command, path)
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", command, err, out)
	}
	return path, nil
}

// A Process is a command that runs beside the test and has said where it serves.
type Process struct {
	Cmd     *exec.Cmd
	Address string // what it has said
	Log     Buffer // its stdout and stderr

	asked  sync.Once
	exited chan struct{}
	err    error // of its end; read it after exited is closed
}

// Serve starts a command and waits until a line of its stdout matches address, whose first group is
// where it serves. The process is killed at the end of the test at the latest.
func Serve(t testing.TB, cmd *exec.Cmd, address *regexp.Regexp) *Process {
	t.Helper()
	p := &Process{Cmd: cmd, exited: make(chan struct{})}
	cmd.Stderr = &p.Log
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	found := make(chan string, 1)
	go func() {
		defer close(p.exited)
		defer close(found)
		lines := bufio.NewScanner(io.TeeReader(stdout, &p.Log))
		for said := false; lines.Scan(); {
			if match := address.FindStringSubmatch(lines.Text()); match != nil && !said {
				said = true
				found <- match[1]
			}
		}
		p.err = cmd.Wait()
	}()
	if p.Address = <-found; p.Address == "" {
		t.Fatalf("%s did not say where it serves: %s", cmd.Path, &p.Log)
	}
	return p
}

// Kill kills the process with SIGKILL, if it still runs, and waits for its end.
func (p *Process) Kill() {
	_ = p.Cmd.Process.Kill()
	<-p.exited
}

// Ask asks the process to end, with SIGTERM, and does not wait for it. It may have ended. It is asked
// once: a second signal ends a process at once.
func (p *Process) Ask(t testing.TB) {
	t.Helper()
	p.asked.Do(func() {
		if err := p.Cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Fatal(err)
		}
	})
}

// Stop asks the process to end and waits until it has. The error is that of its exit code.
func (p *Process) Stop(t testing.TB) error {
	t.Helper()
	p.Ask(t)
	<-p.exited
	return p.err
}

// Memory is how many bytes the process has in memory: now (VmRSS) or at the most so far (VmHWM). It
// is 0 where there is no /proc.
func (p *Process) Memory(t testing.TB, field string) int64 {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Cmd.Process.Pid))
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

// FreePort is a port of the loopback interface that nobody listened on a moment ago, and that the
// system hands to nobody who asks for any port: it lies below the ranges for that (from 32768 on
// Linux, from 49152 elsewhere). A process that is killed and started again on it would otherwise
// find another test's server there.
func FreePort(t testing.TB) string {
	t.Helper()
	const lowest, highest, tries = 20000, 32767, 100
	for range tries {
		port := strconv.Itoa(lowest + rand.IntN(highest-lowest+1))
		if l, err := net.Listen("tcp", "127.0.0.1:"+port); err == nil {
			_ = l.Close()
			return port
		}
	}
	t.Fatalf("none of %d ports between %d and %d is free", tries, lowest, highest)
	return ""
}
