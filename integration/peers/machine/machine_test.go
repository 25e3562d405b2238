package machine

import (
	"os"
	"testing"
	"time"
)

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
