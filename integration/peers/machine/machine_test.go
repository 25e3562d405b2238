package machine

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"testing"
	"time"
)

// asParent makes this test's program a parent that starts a program that is not ours, prints its
// process ID, and waits to be killed.
const asParent = "PEERS_TEST_PARENT"

func TestRedisEndsWithItsParentEvenIfThatIsKilled(t *testing.T) {
	if os.Getenv(asParent) != "" {
		p, err := runForeign(t.Context(), "sleep", "sleep", "60")
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println(p.PID())
		time.Sleep(time.Minute)
	}
	parent := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	parent.Env = append(os.Environ(), asParent+"=1")
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line, _, err := bufio.NewReader(out).ReadLine()
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(string(line))
	if err != nil || !runs(pid) {
		t.Fatalf("process %q does not run: %v", line, err)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	for begin := time.Now(); runs(pid); time.Sleep(10 * time.Millisecond) {
		if time.Since(begin) > 20*time.Second {
			t.Fatal("the process has outlived its parent")
		}
	}
}

// runs reports whether there is a process that has not ended.
func runs(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, state, _ := bytes.Cut(stat, []byte(") "))
	return err == nil && !bytes.HasPrefix(state, []byte("Z"))
}

func TestSQSChargesEach64KB(t *testing.T) {
	for bytes, want := range map[int64]int64{-1: 1, 0: 1, 1: 1, 64 << 10: 1, 64<<10 + 1: 2, 1 << 20: 16} {
		if got := charged(bytes); got != want {
			t.Errorf("%d bytes are %d requests, want %d", bytes, got, want)
		}
	}
}

func TestTheKernelSaysWhatAProcessHasUsed(t *testing.T) {
	for begin := time.Now(); time.Since(begin) < 50*time.Millisecond; { // uses the CPU
	}
	u := UseOf(os.Getpid())
	if u.CPU < 20*time.Millisecond || u.CPU > time.Hour || u.PeakRSS < 1<<20 || u.PeakRSS > 1<<36 {
		t.Errorf("this test has used %v", u)
	}
	if u := UseOf(-1); u != (Use{}) {
		t.Errorf("no process has used %v", u)
	}
}

func TestTheMemoryOfAProcessIsNotThatOfWhoStartedIt(t *testing.T) {
	large := bytes.Repeat([]byte{1}, 100<<20) // in memory, not only reserved
	p, err := run(t.Context(), nil, "sleep", "sleep", "60")
	if err != nil {
		t.Fatal(err)
	}
	for begin := time.Now(); p.Use().PeakRSS == 0 || p.Use().PeakRSS >= int64(len(large)); { // until it is the other program
		if time.Since(begin) > 20*time.Second {
			t.Fatalf("it has used %v", p.Use())
		}
		time.Sleep(time.Millisecond)
	}
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	if peak := p.Use().PeakRSS; peak == 0 || peak >= int64(len(large)) {
		t.Errorf("sleep took %d bytes at most, and this program %d", peak, len(large))
	}
	runtime.KeepAlive(large)
}

func TestTheEndOfAnOutputIsKept(t *testing.T) {
	var tail tail
	for range 1000 {
		if _, err := tail.Write([]byte("0123456789\n")); err != nil {
			t.Fatal(err)
		}
	}
	if got := tail.last(); len(got) > tailBytes || got[len(got)-10:] != "0123456789" {
		t.Errorf("%d bytes are kept, the last are %q", len(got), got[len(got)-10:])
	}
}
