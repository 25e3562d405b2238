package spill

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync"
	"testing"
	"testing/synctest"
)

// childDir makes the test's binary another process, which appends to the log in that directory and
// prints the ids of the records that Append accepted.
const childDir = "SPILL_TEST_CHILD_DIR"

func child(dir string) {
	l, err := Open(Options{Dir: dir, SegmentBytes: 64 << 10})
	if err != nil {
		os.Exit(3)
	}
	var writing, printing sync.WaitGroup
	accepted := make(chan uint64, 1000)
	printing.Go(func() {
		for id := range accepted {
			text := binary.BigEndian.AppendUint64(nil, id)
			for range len(accepted) { // all that wait share a write
				text = binary.BigEndian.AppendUint64(text, <-accepted)
			}
			if _, err := os.Stdout.Write(text); err != nil {
				os.Exit(4)
			}
		}
	})
	for w := range uint64(8) {
		writing.Go(func() {
			for i := uint64(0); ; i++ {
				id := w<<32 | i
				if err := l.Append(numbered(id, int(i%2000))); err != nil {
					os.Exit(5)
				}
				accepted <- id
			}
		})
	}
	writing.Wait()
}

func startChild(t *testing.T, dir string) (*exec.Cmd, io.Reader) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), childDir+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, bufio.NewReader(out)
}

func TestKilledProcessLosesNoRecordThatAppendAccepted(t *testing.T) {
	t.Parallel()
	for range 5 {
		dir := t.TempDir()
		cmd, out := startChild(t, dir)
		var accepted []uint64
		stop := 1 + rand.IntN(5000)
		for {
			var id uint64
			if err := binary.Read(out, binary.BigEndian, &id); err != nil {
				break
			}
			if accepted = append(accepted, id); len(accepted) == stop {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = cmd.Wait() // the error says that it was killed
		if len(accepted) < stop {
			t.Fatalf("the child ended by itself after %d records: %v", len(accepted), cmd.ProcessState)
		}
		synctest.Test(t, func(t *testing.T) {
			l := open(t, Options{Dir: dir})
			defer closeLog(t, l)
			there := map[uint64]bool{}
			for _, r := range rest(t, l) {
				there[idOf(r.Data)] = true
			}
			for _, id := range accepted {
				if !there[id] {
					t.Fatalf("record %x was accepted and is lost", id)
				}
			}
			if s := l.Stats(); s.Corrupt != 0 || s.Torn > 1 || s.SetAside != 0 {
				t.Errorf("%+v", s)
			}
			t.Logf("%d records accepted, %d read", len(accepted), len(there))
		})
	}
}

func TestDirectoryIsLockedUntilItsProcessEnds(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cmd, out := startChild(t, dir)
	var id uint64
	if err := binary.Read(out, binary.BigEndian, &id); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{Dir: dir}); !errors.Is(err, ErrLocked) {
		t.Errorf("while the process runs: %v", err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	closeLog(t, open(t, Options{Dir: dir}))
}
