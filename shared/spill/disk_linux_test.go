package spill

import (
	"errors"
	"syscall"
	"testing"
	"testing/synctest"
)

// TestFullFileSystemFailsAppendAndLosesNoRecord fills a file system of 1 MB several times.
func TestFullFileSystemFailsAppendAndLosesNoRecord(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("can't mount a small file system here (it takes root): %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		l := open(t, Options{Dir: dir + "/log", SegmentBytes: 64 << 10})
		defer closeLog(t, l)
		next := uint64(0)
		for round := range 10 {
			first := next
			for full := 0; full < 20; {
				err := l.Append(numbered(next, 3000))
				switch {
				case errors.Is(err, syscall.ENOSPC):
					full++
				case err != nil:
					t.Fatal(err)
				default:
					next++
				}
			}
			if next-first < 100 {
				t.Errorf("round %d: only %d records fit on the disk", round, next-first)
			}
			got := rest(t, l)
			for i, id := range ids(got) {
				if id != first+uint64(i) {
					t.Fatalf("got record %d, want %d", id, first+uint64(i))
				}
			}
			if uint64(len(got)) != next-first {
				t.Fatalf("got %d of %d records", len(got), next-first)
			}
			l.Done(got...)
			if s := l.Stats(); s.Records != 0 || s.Bytes > 64<<10 || s.Corrupt != 0 {
				t.Errorf("%+v", s)
			}
		}
	})
}
