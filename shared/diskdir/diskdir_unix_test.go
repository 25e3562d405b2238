//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package diskdir

import (
	"errors"
	"path/filepath"
	"syscall"
	"testing"
)

func TestAChildThatIsJustStartedHoldsNoLockThatWasClosed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	first, err := Lock(path)
	if err != nil {
		t.Fatal(err)
	}
	copied, err := syscall.Dup(int(first.(lock).Fd())) // as a child has it until it is its program
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(copied)
	if _, err := Lock(path); !errors.Is(err, ErrLocked) {
		t.Errorf("a second lock: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	again, err := Lock(path)
	if err != nil {
		t.Fatalf("after the lock was closed: %v", err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}
