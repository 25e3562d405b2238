package dirstore

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillwayhq/spillway/shared/archive"
	"github.com/spillwayhq/spillway/shared/archive/storetest"
	"github.com/spillwayhq/spillway/shared/diskdir"
)

func putAll(t testing.TB, w *Writer, events ...string) {
	t.Helper()
	if err := w.Put(context.Background(), storetest.Frames(t, events...)); err != nil {
		t.Fatal(err)
	}
}

func objects(t testing.TB, s *Store) (all []archive.Object) {
	t.Helper()
	for o, err := range s.Objects(context.Background(), time.Time{}, forever()) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, o)
	}
	return all
}

func wantEvents(t testing.TB, s *Store, want ...string) {
	t.Helper()
	slices.Sort(want)
	if got := storetest.Events(t, s); !slices.Equal(got, want) {
		t.Errorf("the archive has %.300q, want %.300q", got, want)
	}
}

func finished(t testing.TB, s *Store, o archive.Object) bool {
	t.Helper()
	info, err := os.Stat(s.path(o.Name))
	if err != nil {
		t.Fatal(err)
	}
	return isFinished(info)
}

func TestAPutReturnsAfterTheSyncWhichConcurrentPutsShare(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := openWriter(t, dir, Options{})
		release := make(chan struct{})
		var syncs, returned atomic.Int32
		w.disk.sync = func(f *os.File) error {
			syncs.Add(1)
			<-release
			return f.Sync()
		}
		var want []string
		for i := range 11 {
			event := fmt.Sprintf(`{"i":%d}`, i)
			want = append(want, event)
			frames := storetest.Frames(t, event)
			go func() {
				if err := w.Put(t.Context(), frames); err != nil {
					t.Error(err)
				}
				returned.Add(1)
			}()
			synctest.Wait() // the first one is in the sync, the others wait
		}
		if n := returned.Load(); n != 0 {
			t.Errorf("%d puts returned before the sync", n)
		}
		close(release)
		synctest.Wait()
		if syncs.Load() != 2 || returned.Load() != 11 {
			t.Errorf("%d puts returned after %d syncs", returned.Load(), syncs.Load())
		}
		wantEvents(t, w.Store(), want...)
	})
}

func TestAnObjectIsOfOneHourAlsoWhenTheClockGoesBack(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := openWriter(t, dir, Options{})
		putAll(t, w, "1")
		putAll(t, w, "2")
		time.Sleep(time.Hour)
		putAll(t, w, "3")
		all := objects(t, w.Store())
		if len(all) != 2 || all[1].Hour.Sub(all[0].Hour) != time.Hour || !finished(t, w.Store(), all[0]) ||
			finished(t, w.Store(), all[1]) {
			t.Errorf("after an hour: %+v", all)
		}
		w.turn <- struct{}{}
		if err := w.append(storetest.Frames(t, "4")[0].Data, time.Now().Add(-5*time.Hour)); err != nil {
			t.Fatal(err)
		}
		<-w.turn
		putAll(t, w, "5")
		all = objects(t, w.Store())
		if len(all) != 4 || all[3].Hour.Sub(all[0].Hour) != 5*time.Hour {
			t.Errorf("after the clock was back for a while: %+v", all)
		}
		wantEvents(t, w.Store(), "1", "2", "3", "4", "5")
	})
}

func TestTheObjectOfAnHourIsFinishedWithoutAnotherPut(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := openWriter(t, dir, Options{})
		putAll(t, w, "1")
		time.Sleep(time.Hour + interval)
		synctest.Wait()
		o := objects(t, w.Store())[0]
		if _, err := os.Stat(w.Store().path(o.Name) + indexExtension); err != nil || !finished(t, w.Store(), o) {
			t.Errorf("an hour later: %v", err)
		}
	})
}

func TestBoundsRemoveTheOldestAndCountThem(t *testing.T) {
	t.Parallel()
	t.Run("by age", func(t *testing.T) {
		dir := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			w := openWriter(t, dir, Options{MaxAge: 5 * time.Hour})
			for i := range 8 {
				putAll(t, w, fmt.Sprintf("%d", 2*i), fmt.Sprintf("%d", 2*i+1))
				time.Sleep(time.Hour)
			}
			time.Sleep(interval)
			synctest.Wait()
			all, stats := objects(t, w.Store()), w.Stats()
			if len(all) != 5 || stats.Objects != 5 || !stats.Oldest.Equal(all[0].Hour) ||
				stats.Removed.Objects != 3 || stats.Removed.Records != 6 || stats.Removed.Bytes == 0 {
				t.Errorf("%d objects, %+v", len(all), stats)
			}
			if age := time.Since(all[0].Hour); age > 6*time.Hour+2*interval {
				t.Errorf("the oldest is %v old", age)
			}
			time.Sleep(7 * time.Hour) // without a put
			if all := objects(t, w.Store()); len(all) != 0 {
				t.Errorf("%d objects are left", len(all))
			}
			entries, err := os.ReadDir(dir)
			for _, e := range entries {
				if e.IsDir() {
					t.Errorf("the empty folder %s is left", e.Name())
				}
			}
			if err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("by bytes", func(t *testing.T) {
		const bound = 1 << 20
		var log bytes.Buffer
		w := openWriter(t, t.TempDir(), Options{MaxBytes: bound, Log: logTo(&log)})
		var last string
		const events = 24
		for i := range events {
			last = fmt.Sprintf(`{"i":%d,"a":%q}`, i, random(100_000, byte(i)))
			putAll(t, w, last)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		w = openWriter(t, w.Store().Dir(), Options{MaxBytes: bound})
		stats := w.Stats()
		if stats.Bytes > bound || stats.Bytes < bound/2 || !strings.Contains(log.String(), "bounds removed") {
			t.Errorf("%+v, log %s", stats, log.String())
		}
		left := storetest.Events(t, w.Store())
		if !slices.Contains(left, last) {
			t.Error("the last event is gone")
		}
		for i := range len(left) { // the youngest without a gap
			if want := fmt.Sprintf(`{"i":%d,`, events-1-i); !slices.ContainsFunc(left, hasPrefix(want)) {
				t.Errorf("%s is gone, though %d younger ones are there", want, i)
			}
		}
	})
}

func hasPrefix(prefix string) func(string) bool {
	return func(s string) bool { return strings.HasPrefix(s, prefix) }
}

func TestAnotherProcessMayFinishReplaceOrRemoveWhatIsBeingWritten(t *testing.T) {
	t.Parallel()
	w := openWriter(t, t.TempDir(), Options{})
	other := Open(w.Store().Dir())
	putAll(t, w, "1")
	putAll(t, w, "2")
	o := objects(t, other)[0]
	if _, err := other.Replace(t.Context(), o, strings.NewReader("")); !errors.Is(err, archive.ErrChanged) ||
		!strings.Contains(err.Error(), "finish it first") {
		t.Errorf("replaced while it is being written: %v", err)
	}
	o, err := other.Finish(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	putAll(t, w, "3")
	if _, err := other.Replace(t.Context(), o, bytes.NewReader(storetest.Frames(t, "2")[0].Data)); err != nil {
		t.Fatal(err)
	}
	wantEvents(t, other, "2", "3")
	if err := os.Remove(other.path(objects(t, other)[1].Name)); err != nil {
		t.Fatal(err)
	}
	putAll(t, w, "4")
	wantEvents(t, other, "2", "4")
	if err := os.RemoveAll(filepath.Join(w.Store().Dir(), time.Now().UTC().Format("2006"))); err != nil {
		t.Fatal(err)
	}
	putAll(t, w, "5")
	wantEvents(t, other, "5")
}

func TestWhatTheDiskRefusesIsNotArchivedAndHarmsNothing(t *testing.T) {
	t.Parallel()
	full := errors.New("no space left on device")
	for name, fail := range map[string]func(w *Writer){
		"a write": func(w *Writer) {
			w.disk.writeAt = func(*os.File, []byte, int64) (int, error) { return 0, full }
		},
		"the rest of a write": func(w *Writer) {
			w.disk.writeAt = func(f *os.File, b []byte, offset int64) (int, error) {
				n, err := f.WriteAt(b[:len(b)/2], offset)
				return n, errors.Join(full, err)
			}
		},
		"the rest of a write and to take it back": func(w *Writer) {
			w.disk.writeAt = func(f *os.File, b []byte, offset int64) (int, error) {
				n, err := f.WriteAt(b[:len(b)/2], offset)
				return n, errors.Join(full, err, f.Close()) // truncate fails
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := openWriter(t, t.TempDir(), Options{})
			putAll(t, w, "1")
			whole := w.disk
			fail(w)
			for range 3 {
				if err := w.Put(t.Context(), storetest.Frames(t, "lost")); !errors.Is(err, full) {
					t.Errorf("got %v", err)
				} else if got := archive.Unarchived(1, err); len(got) != 1 {
					t.Errorf("not archived: %v", got)
				}
				wantEvents(t, Open(w.Store().Dir()), "1")
			}
			w.disk = whole
			putAll(t, w, "2")
			wantEvents(t, w.Store(), "1", "2")
		})
	}
	t.Run("a sync", func(t *testing.T) {
		w := openWriter(t, t.TempDir(), Options{})
		putAll(t, w, "1")
		w.disk.sync = func(*os.File) error { return full }
		if err := w.Put(t.Context(), storetest.Frames(t, "2")); !errors.Is(err, full) {
			t.Errorf("got %v", err)
		}
		w.disk.sync = (*os.File).Sync
		putAll(t, w, "3")
		if all := objects(t, w.Store()); len(all) != 2 || !finished(t, w.Store(), all[0]) {
			t.Errorf("it goes on in the file that the disk has refused: %+v", all)
		}
	})
}

func TestWhatAKilledWriterHasLeftIsCutOff(t *testing.T) {
	t.Parallel()
	first, second := storetest.Frames(t, "1")[0].Data, storetest.Frames(t, "2")[0].Data
	for n := 0; n <= len(second); n = min(n+9, max(n+1, len(second))) {
		s := Open(t.TempDir())
		create(t, s, storetest.Name(storetest.Hour, "x"), slices.Concat(first, second[:n]), 0o600)
		want := []string{"1"}
		if n == len(second) {
			want = []string{"1", "2"}
		}
		wantEvents(t, s, want...) // nobody has opened a Writer yet
		w := openWriter(t, s.Dir(), Options{})
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		wantEvents(t, s, want...)
		o := objects(t, s)[0]
		if !finished(t, s, o) || s.records(o) != int64(len(want)) {
			t.Errorf("with %d bytes of a frame: %d records in the index", n, s.records(o))
		}
	}
}

func TestAnEmptyObjectOfAKilledWriterIsRemoved(t *testing.T) {
	t.Parallel()
	s := Open(t.TempDir())
	create(t, s, storetest.Name(storetest.Hour, "x"), storetest.Frames(t, "1")[0].Data[:3], 0o600)
	openWriter(t, s.Dir(), Options{})
	if all := objects(t, s); len(all) > 0 {
		t.Errorf("%+v", all)
	}
}

func TestFilesThatAKilledProcessWasWritingAreRemoved(t *testing.T) {
	t.Parallel()
	s := Open(t.TempDir())
	create(t, s, storetest.Name(storetest.Hour, "x"), storetest.Frames(t, "1")[0].Data, readOnly)
	dir := filepath.Dir(s.path(storetest.Name(storetest.Hour, "x")))
	old, young := filepath.Join(dir, newPrefix+"old"), filepath.Join(dir, newPrefix+"young")
	for _, file := range []string{old, young} {
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	before := time.Now().Add(-2 * abandoned)
	if err := os.Chtimes(old, before, before); err != nil {
		t.Fatal(err)
	}
	openWriter(t, s.Dir(), Options{})
	_, oldErr := os.Stat(old)
	if _, err := os.Stat(young); err != nil || !errors.Is(oldErr, fs.ErrNotExist) {
		t.Errorf("old: %v, young: %v", oldErr, err)
	}
}

func TestFilesOfKilledProcessesAreRemovedWhileAWriterRuns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := openWriter(t, t.TempDir(), Options{})
		left := filepath.Join(w.Store().Dir(), newPrefix+"left")
		if err := os.WriteFile(left, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(left, time.Now(), time.Now()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(abandoned / 2)
		if _, err := os.Stat(left); err != nil {
			t.Errorf("after half the time: %v", err)
		}
		time.Sleep(abandoned)
		if _, err := os.Stat(left); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("it remains: %v", err)
		}
	})
}

func TestOneProcessWritesAtATime(t *testing.T) {
	t.Parallel()
	w := openWriter(t, t.TempDir(), Options{})
	if _, err := OpenWriter(w.Store().Dir(), Options{}); !errors.Is(err, diskdir.ErrLocked) {
		t.Errorf("a second one: %v", err)
	}
	if err := errors.Join(w.Close(), w.Close()); err != nil {
		t.Error(err)
	}
	if err := w.Put(t.Context(), storetest.Frames(t, "1")); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("put after Close: %v", err)
	}
	openWriter(t, w.Store().Dir(), Options{})
	if _, err := OpenWriter(t.TempDir(), Options{MaxBytes: 1000}); err == nil {
		t.Error("an archive of 1,000 bytes is opened")
	}
}

func TestReadersSeeWholeFramesWhileTheWriterWrites(t *testing.T) {
	t.Parallel()
	w := openWriter(t, t.TempDir(), Options{MaxBytes: 64 << 20})
	s := Open(w.Store().Dir())
	var put atomic.Int64
	var wg sync.WaitGroup
	for c := range 3 {
		wg.Go(func() {
			for i := range 40 {
				e := fmt.Sprintf(`{"c":%d,"i":%d,"a":%q}`, c, i, random(5000, byte(i)))
				if err := w.Put(t.Context(), storetest.Frames(t, e)); err != nil {
					t.Error(err)
				}
				put.Add(1)
			}
		})
	}
	for n := 0; n < 120; {
		least := int(put.Load())
		n = len(storetest.Events(t, s)) // which fails on damage
		if n < least {
			t.Fatalf("%d events are read, after %d were put", n, least)
		}
	}
	wg.Wait()
}

// TestHelperProcess is the writer that is killed.
func TestHelperProcess(t *testing.T) {
	dir := os.Getenv("DIRSTORE_TEST_DIR")
	if dir == "" {
		t.Skip("it is run by TestNothingThatWasPutIsLostWhenTheProcessIsKilled")
	}
	w, err := OpenWriter(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	run := os.Getenv("DIRSTORE_TEST_RUN")
	for c := range 3 {
		go func() {
			for i := 0; ; i++ {
				e := fmt.Sprintf(`{"run":%s,"c":%d,"i":%d,"a":%q}`, run, c, i, random(3000, byte(i)))
				if err := w.Put(context.Background(), storetest.Frames(t, e)); err != nil {
					panic(err)
				}
				os.Stdout.WriteString(e + "\n")
			}
		}()
	}
	select {}
}

func TestNothingThatWasPutIsLostWhenTheProcessIsKilled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var want []string
	for run := range 4 {
		child := exec.Command(os.Args[0], "-test.run=^TestHelperProcess$")
		child.Env = append(os.Environ(), "DIRSTORE_TEST_DIR="+dir, fmt.Sprint("DIRSTORE_TEST_RUN=", run))
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			if e := lines.Text(); strings.HasPrefix(e, "{") && strings.HasSuffix(e, `"}`) {
				want = append(want, e)
			}
			if n == 20+run*7 {
				if err := child.Process.Signal(syscall.SIGKILL); err != nil {
					t.Fatal(err)
				}
			}
		}
		child.Wait() // killed
	}
	if len(want) < 80 {
		t.Fatalf("only %d events were put", len(want))
	}
	got := storetest.Events(t, Open(dir)) // which fails on damage
	w := openWriter(t, dir, Options{})
	if again := storetest.Events(t, w.Store()); !slices.Equal(got, again) {
		t.Errorf("%d events before the next writer, %d after", len(got), len(again))
	}
	for _, e := range want {
		if !slices.Contains(got, e) {
			t.Errorf("%.60s is lost", e)
		}
	}
}
