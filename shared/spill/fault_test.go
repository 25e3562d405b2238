package spill

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
)

var errDisk = errors.New("disk says no")

// faultyDisk makes files that fail as its fields say.
type faultyDisk struct {
	osFS
	create, write, half, truncate, sync, read bool
}

type faultyFile struct {
	*os.File
	disk *faultyDisk
}

func (d *faultyDisk) Create(path string) (File, error) {
	if d.create {
		return nil, errDisk
	}
	f, err := d.osFS.Create(path)
	if err != nil {
		return nil, err
	}
	return faultyFile{f.(*os.File), d}, nil
}

func (f faultyFile) WriteAt(b []byte, at int64) (int, error) {
	switch {
	case f.disk.write:
		return 0, errDisk
	case f.disk.half:
		n, err := f.File.WriteAt(b[:len(b)/2], at)
		return n, errors.Join(errDisk, err)
	}
	return f.File.WriteAt(b, at)
}

func (f faultyFile) Truncate(n int64) error {
	if f.disk.truncate {
		return errDisk
	}
	return f.File.Truncate(n)
}

func (f faultyFile) Sync() error {
	if f.disk.sync {
		return errDisk
	}
	return nil // without waiting for the disk: nothing here cuts the power
}

func (f faultyFile) ReadAt(b []byte, at int64) (int, error) {
	if f.disk.read {
		return 0, errDisk
	}
	return f.File.ReadAt(b, at)
}

func TestFailedAppendLeavesNoRecordAndAUsableLog(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(*faultyDisk){
		"no new file":                          func(d *faultyDisk) { d.create = true },
		"nothing written":                      func(d *faultyDisk) { d.write = true },
		"half of it written":                   func(d *faultyDisk) { d.half = true },
		"half of it written and not truncated": func(d *faultyDisk) { d.half, d.truncate = true, true },
		"no sync":                              func(d *faultyDisk) { d.sync = true },
		"no sync and not truncated":            func(d *faultyDisk) { d.sync, d.truncate = true, true },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dir, disk := t.TempDir(), &faultyDisk{}
				options := Options{Dir: dir, MaxBytes: 1 << 20, SegmentBytes: 1500, Sync: true, FS: disk}
				l := open(t, options)
				var want []uint64
				for id := range uint64(100) {
					*disk = faultyDisk{}
					if id%3 == 1 {
						fail(disk)
					}
					err := l.Append(numbered(id, 50), numbered(id, 300))
					if err == nil {
						want = append(want, id, id)
					} else if !errors.Is(err, errDisk) {
						t.Fatalf("record %d: %v", id, err)
					}
					if id == 50 { // the first half is read now, the second when all is written
						if got := ids(rest(t, l)); !slices.Equal(got, want) {
							t.Fatalf("got %v, want %v", got, want)
						}
					}
				}
				*disk = faultyDisk{}
				if len(want) < 120 {
					t.Errorf("only %d records were accepted", len(want))
				}
				got := rest(t, l)
				if !slices.Equal(ids(got), want[len(want)-len(got):]) || len(got) < 50 {
					t.Errorf("got %v, want the end of %v", ids(got), want)
				}
				if s := l.Stats(); s.Corrupt != 0 || s.Torn != 0 || s.SetAside != 0 || s.Records != len(want) {
					t.Errorf("%d records were accepted: %+v", len(want), s)
				}
				closeLog(t, l)
				l = open(t, options)
				defer closeLog(t, l)
				all := rest(t, l)
				i := 0
				for _, id := range ids(all) {
					if i < len(want) && id == want[i] {
						i++
					} else if id%3 != 1 {
						t.Errorf("after a restart record %d was handed out twice, or late", id)
					}
				}
				if i != len(want) {
					t.Errorf("after a restart %d of %d records were handed out", i, len(want))
				}
				l.Done(all...)
				if s := l.Stats(); s.Bytes != 0 || s.Records != 0 {
					t.Errorf("with all records done: %+v", s)
				}
			})
		})
	}
}

func TestUnreadableSegmentIsSkippedAndReadAfterTheNextStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir, disk := t.TempDir(), &faultyDisk{}
		l := open(t, Options{Dir: dir, FS: disk})
		if err := l.Append(numbered(1, 100)); err != nil {
			t.Fatal(err)
		}
		disk.read = true
		if got := rest(t, l); len(got) != 0 {
			t.Fatalf("%d records were read from a disk that fails", len(got))
		}
		disk.read = false
		if err := l.Append(numbered(2, 100)); err != nil {
			t.Fatal(err)
		}
		got := rest(t, l)
		if !slices.Equal(ids(got), []uint64{2}) || l.Stats().SetAside != 1 {
			t.Fatalf("got %v, %+v", ids(got), l.Stats())
		}
		l.Done(got...)
		closeLog(t, l)
		l = open(t, Options{Dir: dir})
		defer closeLog(t, l)
		if got := ids(rest(t, l)); !slices.Equal(got, []uint64{1}) {
			t.Errorf("after a restart got %v", got)
		}
	})
}

func TestRemovedOrTruncatedFileLosesOnlyItsOwnRecords(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		l := open(t, Options{Dir: dir, MaxBytes: 1 << 20, SegmentBytes: 1000})
		for id := range uint64(30) { // ten to a segment
			if err := l.Append(numbered(id, 80)); err != nil {
				t.Fatal(err)
			}
		}
		files := segmentFiles(t, dir)
		if err := os.Remove(files[0]); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(files[1], 300); err != nil {
			t.Fatal(err)
		}
		got := rest(t, l)
		if want := []uint64{10, 11, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29}; !slices.Equal(ids(got), want) {
			t.Errorf("got %v", ids(got))
		}
		if s := l.Stats(); s.SetAside != 2 {
			t.Errorf("%+v", s)
		}
		l.Done(got...)
		closeLog(t, l)
	})
}

func TestAppendFailsWhenTheDirectoryIsRemoved(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "log")
	l := open(t, Options{Dir: dir})
	defer closeLog(t, l)
	if err := os.RemoveAll(dir); err != nil {
		t.Skipf("a directory in use can't be removed here: %v", err)
	}
	if err := l.Append([]byte("x")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("append: %v", err)
	}
}

func TestEveryAppendOfAFailedWriteGetsItsError(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	failing, writes := false, 0
	l := open(t, Options{Dir: t.TempDir(), FS: hookedDisk{before: func() error {
		mu.Lock()
		defer mu.Unlock()
		writes++
		if failing = !failing; failing && writes > 1 {
			return io.ErrShortWrite
		}
		return nil
	}}})
	defer closeLog(t, l)
	var writing sync.WaitGroup
	var accepted sync.Map
	for w := range uint64(8) {
		writing.Go(func() {
			for i := range uint64(200) {
				if id := w*200 + i; l.Append(numbered(id, 20)) == nil {
					accepted.Store(id, true)
				}
			}
		})
	}
	writing.Wait()
	n := l.Stats().Records
	for range n {
		r, err := l.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := accepted.LoadAndDelete(idOf(r.Data)); !ok {
			t.Fatalf("record %d was not accepted, or was handed out twice", idOf(r.Data))
		}
	}
	accepted.Range(func(id, _ any) bool { t.Errorf("record %v was accepted and not handed out", id); return false })
	if n == 0 || n == 1600 {
		t.Errorf("%d of 1600 records were accepted: the faults do not work", n)
	}
}

// hookedDisk makes files that call before in front of each write.
type hookedDisk struct {
	osFS
	before func() error
}

func (d hookedDisk) Create(path string) (File, error) {
	f, err := d.osFS.Create(path)
	if err != nil {
		return nil, err
	}
	return hookedFile{f.(*os.File), d.before}, nil
}

type hookedFile struct {
	*os.File
	before func() error
}

func (f hookedFile) WriteAt(b []byte, at int64) (int, error) {
	if err := f.before(); err != nil {
		n, _ := f.File.WriteAt(b[:len(b)/3], at)
		return n, err
	}
	return f.File.WriteAt(b, at)
}
