// Package testutil is what the tests of several packages need: an output that may be read while it
// is written, a command that is built once, a port that is free.
//
// It knows the standard library only, so that every package's tests can use it. What starts a
// pipeline is in localtest.
package testutil

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
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
	mu    sync.Mutex
	dir   string
	paths map[string]string
}

var built builds

// Main runs a package's tests and removes afterwards what [Build] has made. A package that calls
// Build has
//
//	func TestMain(m *testing.M) { testutil.Main(m) }
func Main(m *testing.M) {
	dir, err := os.MkdirTemp("", "spillway-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "make a directory for the binaries:", err)
		os.Exit(1)
	}
	built = builds{dir: dir, paths: map[string]string{}}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// Build compiles a command of the project, such as "cmd/spillway", once for all tests of the
// package, and returns the path of the binary. The Lambda functions are built with the flags with
// which they are deployed.
func Build(t testing.TB, command string) string {
	t.Helper()
	built.mu.Lock()
	defer built.mu.Unlock()
	if built.paths == nil {
		t.Fatal("testutil.Build needs a TestMain that calls testutil.Main")
	}
	if path := built.paths[command]; path != "" {
		return path
	}
	path := filepath.Join(built.dir, filepath.Base(command))
	args := []string{"build", "-trimpath", "-o", path}
	if filepath.Dir(command) == "functions" {
		args = append(args, "-tags", "lambda.norpc", "-ldflags", "-s -w -buildid=")
	}
	args = append(args, "github.com/spillwayhq/spillway/"+command)
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", command, err, out)
	}
	built.paths[command] = path
	return path
}

// FreePort is a port of the loopback interface that nobody listened on a moment ago.
func FreePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}
