package forget

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/integration/testutil"
	"github.com/spillwayhq/spillway/shared/archive"
	"github.com/spillwayhq/spillway/shared/archive/dirstore"
)

var kills = flag.Int("kills", 4, "how often the test kills a process that forgets")

// childDir tells this program that it is the process to be killed, and the directory.
const childDir = "SPILLWAY_TEST_FORGET_IN"

func TestMain(m *testing.M) {
	dir := os.Getenv(childDir)
	if dir == "" {
		testutil.CollectLess(200) // as usual, a third of the CPU would be the collector's
		os.Exit(m.Run())
	}
	if err := child(dir); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

// child is the process that the test kills.
func child(dir string) error {
	list, err := os.OpenFile(filepath.Join(dir, "list"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	fmt.Println("began")
	var r Result
	return Archive(context.Background(), dirstore.Open(filepath.Join(dir, "archive")), Options{Person: anna,
		Write: func(lines []byte) error {
			_, err := list.Write(lines)
			return errors.Join(err, list.Sync())
		}}, &r)
}

// A run is killed (-9) at random moments, and begins again. After each all lines of others must be
// there, at the end none of anna's, and each of hers is in the list.
func TestAKilledRunLosesNoLine(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w := newWorld(t, uint64(time.Now().UnixNano()))
	w.dir = filepath.Join(dir, "archive")
	w.store = dirstore.Open(w.dir)
	for range 8 {
		w.put(w.frames())
	}
	before := w.contents()
	killed := 0
	for killed < *kills && !t.Failed() {
		finished := runChild(t, dir, time.Duration(w.rng.IntN(40_000))*time.Microsecond)
		w.check(before, finished)
		if !finished {
			killed++
			continue
		}
		// It was faster: there must be something to do again.
		w.put(append(w.frames(), w.frames()...))
		before = w.contents()
	}
	for name, content := range w.contents() { // what the runs have left of what was put last
		if before[name] == nil {
			before[name] = content
		}
	}
	if !runChild(t, dir, time.Minute) {
		t.Fatal("the last run did not end")
	}
	w.check(before, true)
	list, err := os.ReadFile(filepath.Join(dir, "list"))
	if err != nil {
		t.Fatal(err)
	}
	for _, content := range before {
		for _, line := range expand(t, content) {
			if saysGone(t, line) && !listedIn(t, list, line) {
				t.Errorf("%s was removed and is not listed", line)
			}
		}
	}
	leftovers := 0
	for o, err := range w.store.Objects(t.Context(), time.Time{}, time.Now().Add(time.Hour)) {
		if _, ok := archive.ParseName(o.Name); !ok || err != nil {
			leftovers++
		}
	}
	if leftovers > 0 {
		t.Errorf("%d objects have other names, or can't be read", leftovers)
	}
}

// runChild starts a process that forgets, and kills it after a time. It reports whether the process
// has ended by itself.
func runChild(t *testing.T, dir string, after time.Duration) (finished bool) {
	t.Helper()
	c := exec.CommandContext(t.Context(), os.Args[0])
	c.Env = append(os.Environ(), childDir+"="+dir)
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	began := make(chan string)
	rest := make(chan string, 1)
	go func() {
		lines := bufio.NewScanner(out)
		var all strings.Builder
		for lines.Scan() {
			if all.WriteString(lines.Text() + "\n"); lines.Text() == "began" {
				close(began)
			}
		}
		rest <- all.String()
	}()
	<-began
	timer := time.AfterFunc(after, func() { _ = c.Process.Kill() })
	said := <-rest
	err = c.Wait()
	timer.Stop()
	switch {
	case err == nil:
		return true
	case c.ProcessState.ExitCode() >= 0: // not by a signal
		t.Fatalf("the process failed: %v\n%s", err, said)
	}
	return false
}
