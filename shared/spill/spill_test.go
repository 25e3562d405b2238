package spill

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/spillwayhq/spillway/shared/frame"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		child(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

func TestRecordsAreReadInOrderWithTheirTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := open(t, Options{Dir: t.TempDir()})
		defer closeLog(t, l)
		start := time.Now()
		for id := range uint64(10) {
			if err := l.Append(numbered(2*id, 100), numbered(2*id+1, int(id))); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		got := rest(t, l)
		for i, r := range got {
			if want := numbered(uint64(i), len(r.Data)); !bytes.Equal(r.Data, want) ||
				!r.Appended.Equal(start.Add(time.Duration(i/2)*time.Second)) {
				t.Errorf("record %d is %x of %v", i, r.Data[:8], r.Appended)
			}
		}
		if len(got) != 20 {
			t.Errorf("got %d records", len(got))
		}
	})
}

func TestOnlyRecordsNotDoneAreReadAgainAfterClose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		l := open(t, Options{Dir: dir})
		for id := range uint64(3) {
			if err := l.Append(numbered(id, 10)); err != nil {
				t.Fatal(err)
			}
		}
		l.Done(rest(t, l)...)
		closeLog(t, l)
		if files := segmentFiles(t, dir); len(files) != 0 {
			t.Errorf("all records are done, and %v remains", files)
		}
		l = open(t, Options{Dir: dir})
		if err := l.Append(numbered(7, 10)); err != nil {
			t.Fatal(err)
		}
		closeLog(t, l)
		l = open(t, Options{Dir: dir})
		defer closeLog(t, l)
		if got := ids(rest(t, l)); !slices.Equal(got, []uint64{7}) {
			t.Errorf("got %v", got)
		}
	})
}

func TestSegmentIsDeletedWhenItsRecordsAreDone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		l := open(t, Options{Dir: dir, MaxBytes: 1 << 20, SegmentBytes: 1000})
		for id := range uint64(100) {
			if err := l.Append(numbered(id, 100)); err != nil {
				t.Fatal(err)
			}
		}
		all := rest(t, l)
		before := len(segmentFiles(t, dir))
		first := all[0]
		slices.Reverse(all)
		for _, r := range all[:99] {
			l.Done(r)
			l.Done(r)
		}
		if s := l.Stats(); s.Records != 1 || s.Segments != 1 || s.Bytes <= 0 || s.Bytes > 1200 ||
			!s.Oldest.Equal(first.Appended) || s.Unread != 0 {
			t.Errorf("with one record left: %+v", s)
		}
		if after := len(segmentFiles(t, dir)); after != 1 || before < 10 {
			t.Errorf("%d files before, %d after", before, after)
		}
		l.Done(first)
		if s := l.Stats(); s != (Stats{}) {
			t.Errorf("with none left: %+v", s)
		}
		closeLog(t, l)
	})
}

func TestOnlyRecordsDoneOfLateAreReadAgainAfterACrash(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		l := open(t, Options{Dir: dir})
		var inFlight []Record // some are always not done
		for id := range uint64(10_000) {
			if err := l.Append(numbered(id, 100)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Millisecond)
			if inFlight = append(inFlight, rest(t, l)...); len(inFlight) > 100 {
				l.Done(inFlight[:50]...)
				inFlight = inFlight[50:]
			}
		}
		crash(t, l)
		l = open(t, Options{Dir: dir})
		defer closeLog(t, l)
		if got := len(rest(t, l)); got > 1200 {
			t.Errorf("%d of 10,000 records of 10 s are read again, %d of them were not done", got, len(inFlight))
		}
	})
}

func TestIdleLogRemovesDoneRecords(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		l := open(t, Options{Dir: dir})
		for id := range uint64(3) {
			time.Sleep(300 * time.Millisecond)
			if err := l.Append(numbered(id, 100)); err != nil {
				t.Fatal(err)
			}
			l.Done(rest(t, l)...)
		}
		time.Sleep(2 * settleAge)
		if files := segmentFiles(t, dir); len(files) != 0 || l.Stats() != (Stats{}) {
			t.Errorf("all records are done, and %v remains: %+v", files, l.Stats())
		}
		if err := l.Append(numbered(7, 100)); err != nil {
			t.Fatal(err)
		}
		if got := ids(rest(t, l)); !slices.Equal(got, []uint64{7}) {
			t.Errorf("got %v", got)
		}
		time.Sleep(time.Hour)
		if files := segmentFiles(t, dir); len(files) != 1 {
			t.Errorf("one record is not done, and %v remains", files)
		}
		crash(t, l)
	})
}

func TestFullLogTakesRecordsAgainWhenOthersAreDone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const bound = 64 << 10
		dir := t.TempDir()
		l := open(t, Options{Dir: dir, MaxBytes: bound})
		defer closeLog(t, l)
		for round := range 5 {
			n := 0
			for ; ; n++ {
				if err := l.Append(numbered(uint64(n), 1000)); errors.Is(err, ErrFull) {
					break
				} else if err != nil {
					t.Fatal(err)
				}
			}
			if n < 50 || l.Stats().Bytes > bound {
				t.Errorf("round %d: %d records fit, %+v", round, n, l.Stats())
			}
			var onDisk int64
			for _, path := range segmentFiles(t, dir) {
				info, err := os.Stat(path)
				if err != nil {
					t.Fatal(err)
				}
				onDisk += info.Size()
			}
			if onDisk != l.Stats().Bytes {
				t.Errorf("%d bytes are on disk, Stats say %d", onDisk, l.Stats().Bytes)
			}
			got := rest(t, l)
			if len(got) != n {
				t.Errorf("round %d: %d of got %d records", round, len(got), n)
			}
			l.Done(got...)
		}
	})
}

func TestOldestIsTheTimeOfTheFirstRecordNotDone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		l := open(t, Options{Dir: dir})
		start := time.Now()
		at := func(hour int) time.Time { return start.Add(time.Duration(hour) * time.Hour) }
		expect := func(what string, want time.Time) {
			t.Helper()
			if got := l.Stats().Oldest; !got.Equal(want) {
				t.Errorf("%s: oldest is %v, want %v", what, got, want)
			}
		}
		expect("nothing", time.Time{})
		add := func() {
			if err := l.Append([]byte("x")); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Hour)
		}
		next := func() Record {
			r, err := l.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		add() // at 0
		add() // at 1
		expect("two unread", at(0))
		first := next()
		second := next()
		l.Done(first)
		expect("the second is read", at(1))
		l.Done(second)
		expect("both done", time.Time{})
		add() // at 2
		expect("one unread after those", at(2))
		third := next()
		add() // at 3
		expect("one read, one unread", at(2))
		crash(t, l)
		l = open(t, Options{Dir: dir})
		defer closeLog(t, l)
		expect("after a crash, all of the segment that was not removed", at(2))
		l.Done(third) // a record of the earlier log changes nothing
	})
}

func TestNextWaitsForARecordTheContextOrClose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := open(t, Options{Dir: t.TempDir()})
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if _, err := l.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("without a record: %v", err)
		}
		var waiting sync.WaitGroup
		waiting.Go(func() {
			r, err := l.Next(t.Context())
			if err != nil || string(r.Data) != "late" {
				t.Errorf("got %q, %v", r.Data, err)
			}
			if _, err := l.Next(t.Context()); !errors.Is(err, ErrClosed) {
				t.Errorf("of a closed log: %v", err)
			}
		})
		synctest.Wait()
		if err := l.Append([]byte("late")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		closeLog(t, l)
		waiting.Wait()
		closeLog(t, l) // a second Close is no error
		if err := l.Append([]byte("x")); !errors.Is(err, ErrClosed) {
			t.Errorf("append to a closed log: %v", err)
		}
	})
}

func TestConcurrentAppendsLoseNoRecordAndNoOrder(t *testing.T) {
	t.Parallel()
	for synced, each := range map[bool]uint64{false: 300, true: 100} {
		t.Run(fmt.Sprint("sync ", synced), func(t *testing.T) {
			const writers = uint64(16)
			dir := t.TempDir()
			l := open(t, Options{Dir: dir, MaxBytes: 8 << 20, SegmentBytes: 20_000, Sync: synced})
			var writing, reading sync.WaitGroup
			for w := range writers {
				writing.Go(func() {
					for i := range each {
						if err := l.Append(numbered(w*each+i, int(i))); err != nil {
							t.Error(err)
						}
					}
				})
			}
			last := map[uint64]uint64{}
			done := make(chan []Record, 10)
			reading.Go(func() {
				defer close(done)
				for n := uint64(0); n < writers*each; {
					some := make([]Record, 50)
					got, err := l.Read(t.Context(), some)
					if err != nil {
						t.Error(err)
						return
					}
					for _, id := range ids(some[:got]) {
						if w := id / each; id%each != last[w] {
							t.Errorf("writer %d: got record %d, want %d", w, id%each, last[w])
						}
						last[id/each]++
					}
					n += uint64(got)
					done <- some[:got]
				}
			})
			for range 3 {
				reading.Go(func() {
					for records := range done {
						l.Done(records...)
						l.Stats()
					}
				})
			}
			writing.Wait()
			reading.Wait()
			closeLog(t, l)
			if files := segmentFiles(t, dir); len(files) != 0 {
				t.Errorf("these files remain: %v", files)
			}
		})
	}
}

func TestAppendAndOpenErrors(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := open(t, Options{Dir: dir, MaxBytes: 10_000})
	defer closeLog(t, l)
	if err := l.Append(make([]byte, 10_001)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("larger than the log: %v", err)
	}
	if err := l.Append([]byte("x"), make([]byte, MaxRecordBytes+1)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("larger than a record may be: %v", err)
	}
	if err := l.Append(); err != nil {
		t.Errorf("nothing: %v", err)
	}
	if err := l.Append(nil); err != nil {
		t.Errorf("an empty record: %v", err)
	}
	if _, err := Open(Options{Dir: dir}); !errors.Is(err, ErrLocked) {
		t.Errorf("a directory in use: %v", err)
	}
	for _, o := range []Options{{}, {Dir: dir, MaxBytes: -1}, {Dir: dir, MaxBytes: 100, SegmentBytes: 26},
		{Dir: filepath.Join(dir, "lock")}} {
		if _, err := Open(o); err == nil {
			t.Errorf("%+v was opened", o)
		}
	}
}

func TestForeignFilesAndLaterVersionsAreNotTouched(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		later := frame.AppendHeaders(nil, 1, 1)
		for _, h := range [][]byte{later[:frame.HeaderBytes], later[frame.HeaderBytes:]} {
			binary.LittleEndian.PutUint32(h[8:], frame.Version+1)
			binary.LittleEndian.PutUint32(h[24:], frame.Checksum(1, h[:24]))
		}
		files := map[string][]byte{
			"0000000000000005.spill": later,
			"0000000000000006.spill": make([]byte, 5000), // as a power cut may leave it
			"notes.txt":              []byte("foreign"),
			"0000000000000007.spill": []byte("spillw"), // its process was killed while making it
		}
		for name, content := range files {
			if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		l := open(t, Options{Dir: dir})
		defer closeLog(t, l)
		if s := l.Stats(); s.SetAside != 2 || s.Torn != 1 || s.Bytes != 5000+frame.HeadersBytes {
			t.Errorf("%+v", s)
		}
		if err := l.Append(numbered(1, 8)); err != nil {
			t.Fatal(err)
		}
		if got := rest(t, l); len(got) != 1 {
			t.Errorf("got %d records", len(got))
		}
		delete(files, "0000000000000007.spill")
		for name, content := range files {
			if b, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !bytes.Equal(b, content) {
				t.Errorf("%s was changed: %v", name, err)
			}
		}
		if _, err := os.Stat(segmentPath(dir, 8)); err != nil {
			t.Errorf("the new segment is not the last one: %v", err)
		}
	})
}

// The directory was written by Spillway before its first release. Every later version must read it.
func TestSegmentsOfVersion1AreRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS("testdata/version1")); err != nil {
			t.Fatal(err)
		}
		l := open(t, Options{Dir: dir})
		defer closeLog(t, l)
		all := rest(t, l)
		var got []string
		for _, r := range all {
			got = append(got, string(r.Data))
			if r.Appended.UTC().Format("2006-01") != "2026-11" {
				t.Errorf("%q was appended at %v", r.Data, r.Appended)
			}
		}
		if want := []string{"one", "two", strings.Repeat("three ", 20), "four"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		l.Done(all...)
		if s := l.Stats(); s != (Stats{}) {
			t.Errorf("with all records done: %+v", s)
		}
	})
}
