package dirstore

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/spillwayhq/spillway/shared/diskdir"
	"github.com/spillwayhq/spillway/shared/status"
	"github.com/spillwayhq/spillway/shared/status/storetest"
)

func open(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestADirectoryIsAStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) (one, other status.Store) {
		dir := filepath.Join(t.TempDir(), "status")
		return open(t, dir), open(t, dir)
	}, true)
}

func TestAFileOutsideOfTheDirectoryIsNeitherReadNorWritten(t *testing.T) {
	dir := t.TempDir()
	s := open(t, filepath.Join(dir, "status"))
	if err := os.WriteFile(filepath.Join(dir, "secret"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"../secret", "/etc/passwd", "", ".", "a/../../secret", ".lock", ".new", "a/.b",
		`..\secret`,
		"a//b", "a\x00b", strings.Repeat("x", 300)} {
		if _, _, err := s.Read(t.Context(), name); err == nil || errors.Is(err, status.ErrNotFound) {
			t.Errorf("read %q: %v", name, err)
		}
		if err := s.Put(t.Context(), name, "", nil); err == nil {
			t.Errorf("put %q: no error", name)
		}
		if err := s.Write(t.Context(), name, nil, ""); err == nil || errors.Is(err, status.ErrChanged) {
			t.Errorf("write %q: %v", name, err)
		}
	}
}

func TestAnErrorOfTheDiskNamesTheFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "status")
	s := open(t, dir)
	if err := os.MkdirAll(filepath.Join(dir, "status.json", "x"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		s.Write(t.Context(), "status.json", []byte("x"), ""), s.Put(t.Context(), "status.json", "", []byte("x")),
	} {
		if err == nil || errors.Is(err, status.ErrChanged) || !strings.Contains(err.Error(), "status.json") {
			t.Errorf("got %v", err)
		}
	}
	if _, err := Open(filepath.Join(os.Args[0], "status")); err == nil {
		t.Error("a directory below a file was made")
	}
}

func TestADirectoryThatSomebodyRemovesIsMadeAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "status")
	s := open(t, dir)
	for _, name := range []string{"index.html", "history/2026-11.html"} {
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		if err := s.Put(t.Context(), name, "", []byte("x")); err != nil {
			t.Error(err)
		}
	}
}

func TestAFullDiskLeavesWhatWasThere(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("this system has no /dev/full")
	}
	s := open(t, t.TempDir())
	if err := s.Write(t.Context(), "status.json", []byte("before"), ""); err != nil {
		t.Fatal(err)
	}
	_, version, err := s.Read(t.Context(), "status.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/dev/full", filepath.Join(s.Dir(), newName)); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{s.Write(t.Context(), "status.json", []byte("after"), version),
		s.Put(t.Context(), "status.json", "", []byte("after"))} {
		if !errors.Is(err, syscall.ENOSPC) || errors.Is(err, status.ErrChanged) {
			t.Errorf("got %v", err)
		}
	}
	if data, _, err := s.Read(t.Context(), "status.json"); err != nil || string(data) != "before" {
		t.Errorf("%q, %v", data, err)
	}
}

func TestAFileThatIsFarTooLargeIsNotReadIntoMemory(t *testing.T) {
	s := open(t, t.TempDir())
	if err := os.Truncate(s.path("status.json"), 0); err == nil {
		t.Fatal("it exists")
	}
	f, err := os.Create(s.path("status.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Truncate(10<<30), f.Close()); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Read(t.Context(), "status.json"); err == nil || !strings.Contains(err.Error(), "remove it") {
		t.Errorf("got %v", err)
	}
}

// A process that hangs in the middle of a write, as one that is stopped does, must not stop others
// for ever: they say who is in the way.
func TestAWriterThatHangsDelaysOthersForSecondsOnly(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	locked, err := diskdir.Lock(filepath.Join(s.Dir(), lockName))
	if err != nil {
		t.Fatal(err)
	}
	s.patience = patience / 50
	if err := s.Put(t.Context(), "index.html", "", nil); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("got %v", err)
	}
	locked.Close()
	if err := s.Put(t.Context(), "index.html", "", nil); err != nil {
		t.Error(err)
	}
}

// killable is what a process does that the test kills: it adds a line to a file for ever.
func TestMain(m *testing.M) {
	dir := os.Getenv("DIRSTORE_TEST_DIR")
	if dir == "" {
		os.Exit(m.Run())
	}
	s, err := Open(dir)
	for ; err == nil; fmt.Println("written") {
		err = appendLine(s)
	}
	fmt.Println(err)
	os.Exit(1)
}

const line = "0123456789\n"

func appendLine(s *Store) error {
	ctx, big := context.Background(), strings.Repeat(line, 2000)
	data, version, err := s.Read(ctx, "status.json")
	if err != nil && !errors.Is(err, status.ErrNotFound) {
		return err
	}
	if len(data) > 1<<20 {
		data = nil
	}
	return s.Write(ctx, "status.json", append(data, big...), version)
}

func TestAWriterThatIsKilledLeavesAWholeFileAndNoLock(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	for range 5 {
		process := exec.Command(os.Args[0])
		process.Env = append(os.Environ(), "DIRSTORE_TEST_DIR="+dir)
		out, err := process.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := process.Start(); err != nil {
			t.Fatal(err)
		}
		if text, err := bufio.NewReader(out).ReadString('\n'); text != "written\n" {
			t.Errorf("it says %q, %v", text, err)
		}
		go func() { _, _ = io.Copy(io.Discard, out) }()
		_ = process.Process.Kill()
		_ = process.Wait()
		data, _, err := s.Read(t.Context(), "status.json")
		if err != nil || len(data) == 0 || len(data)%len(line) != 0 {
			t.Fatalf("%d bytes, %v", len(data), err)
		}
		if err := appendLine(s); err != nil {
			t.Error(err)
		}
	}
}
