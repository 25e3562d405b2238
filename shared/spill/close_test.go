package spill

import (
	"errors"
	"sync"
	"testing"

	"github.com/spillwayhq/spillway/shared/frame"
)

func TestAppendDuringCloseIsInTheLogOrFails(t *testing.T) {
	t.Parallel()
	for range 100 {
		dir := t.TempDir()
		l, err := Open(Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		var appending, begun sync.WaitGroup
		accepted := make([]int, 8)
		for g := range accepted {
			begun.Add(1)
			appending.Go(func() {
				for first := true; ; first = false {
					err := l.Append([]byte("record"))
					if first {
						begun.Done()
					}
					if errors.Is(err, ErrClosed) {
						return
					}
					if err != nil {
						t.Error(err)
						return
					}
					accepted[g]++
				}
			})
		}
		begun.Wait()
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		appending.Wait()
		want := 0
		for _, n := range accepted {
			want += n
		}
		if l, err = Open(Options{Dir: dir}); err != nil {
			t.Fatal(err)
		}
		records := make([]Record, want+1)
		got := 0
		for got < want {
			n, err := l.Read(t.Context(), records[got:])
			if err != nil {
				t.Fatal(err)
			}
			got += n
		}
		if l.Stats().Unread != 0 || got != want {
			t.Errorf("%d records were accepted, %d are there, and %d bytes more", want, got, l.Stats().Unread)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCloseRemovesASegmentThatIsReadToItsLastRecordAndDone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l, err := Open(Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Append([]byte("a"), []byte("b")); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if l, err = Open(Options{Dir: dir}); err != nil {
		t.Fatal(err)
	}
	records := make([]Record, 2) // not one more, so that the reader does not notice that nothing follows
	if n, err := l.Read(t.Context(), records); n != 2 || err != nil {
		t.Fatal(n, err)
	}
	l.Done(records...)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if s := l.Stats(); s.Segments != 0 || s.Bytes != 0 {
		t.Errorf("%+v is left", s)
	}
}

func TestCloseLeavesASegmentOfWhichOnlyAPartIsRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := open(t, Options{Dir: dir})
	if err := l.Append([]byte("a"), []byte("b"), []byte("c")); err != nil {
		t.Fatal(err)
	}
	closeLog(t, l)
	l = open(t, Options{Dir: dir})
	records := make([]Record, 2)
	if n, err := l.Read(t.Context(), records); n != 2 || err != nil {
		t.Fatal(n, err)
	}
	l.Done(records...)
	if s := l.Stats(); s.Unread != frame.Overhead+1 {
		t.Errorf("with one record unread: %+v", s)
	}
	closeLog(t, l)
	l = open(t, Options{Dir: dir})
	defer closeLog(t, l)
	records = make([]Record, 3)
	if n, err := l.Read(t.Context(), records); n != 3 || err != nil || string(records[2].Data) != "c" {
		t.Errorf("after a restart: %d records, %v", n, err)
	}
}
