package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/shared/archive"
)

// A Pair is a new and empty archive that an appender fills.
type Pair struct {
	Appender archive.Appender
	Store    archive.Store
	// Settle waits until what was put is in the store.
	Settle func(t *testing.T)
}

// RunAppender tests an appender together with the store in which its frames end up. open returns a
// new pair.
func RunAppender(t *testing.T, open func(t *testing.T) Pair) {
	for name, test := range map[string]func(*testing.T, Pair){
		"what was put is read, byte for byte, in the hour of its arrival": put,
		"puts at the same moment lose nothing":                            together,
		"a frame that is too large fails alone":                           tooLarge,
		"nothing is put after its time":                                   late,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

// Frames packs events of a test, one record each.
func Frames(t testing.TB, events ...string) []archive.Frame {
	t.Helper()
	p, err := archive.NewPacker()
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range events {
		p.Add(&archive.Record{Time: time.Now(), Outcome: archive.Delivered, WriteKey: "key", Event: []byte(e)}, i)
	}
	return p.Frames()
}

// Events returns the events of all records of an archive, sorted.
func Events(t testing.TB, s archive.Store) (events []string) {
	t.Helper()
	from, to := always()
	var joiner archive.Joiner
	for o, err := range s.Objects(context.Background(), from, to) {
		if err != nil {
			t.Fatalf("list: %v", err)
		}
		object, err := s.Open(context.Background(), o, 0)
		if err != nil {
			t.Fatalf("open: %v", err)
		}
		data, err := io.ReadAll(object)
		if err = errors.Join(err, object.Close()); err != nil {
			t.Fatalf("read %s: %v", o.Name, err)
		}
		events = append(events, eventsOf(t, &joiner, o.Name, data)...)
	}
	if n := joiner.Incomplete(); n > 0 {
		t.Errorf("%d records lack a part", n)
	}
	slices.Sort(events)
	return events
}

func eventsOf(t testing.TB, joiner *archive.Joiner, name string, object []byte) (events []string) {
	t.Helper()
	r, err := archive.NewReader(bytes.NewReader(object), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for {
		block, err := r.Next()
		if err == io.EOF {
			return events
		}
		if err != nil {
			t.Fatalf("read %s: %v", name, err)
		}
		for line := range block.Lines() {
			record, err := archive.ParseRecord(line)
			if err != nil {
				t.Fatalf("read %s: %v", name, err)
			}
			if whole, ok, err := joiner.Add(record); err != nil {
				t.Fatalf("read %s: %v", name, err)
			} else if ok {
				events = append(events, string(whole.Event))
			}
		}
	}
}

func check(t *testing.T, s archive.Store, want []string) {
	t.Helper()
	slices.Sort(want)
	got := Events(t, s)
	if slices.Equal(got, want) {
		return
	}
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			t.Errorf("event %d is %.60q, want %.60q", i, got[i], want[i])
			break
		}
	}
	t.Errorf("%d events, want %d", len(got), len(want))
}

func put(t *testing.T, p Pair) {
	events := []string{`{"a":1}`, "{\n}", "", "\x00\xff", `"` + string(bytes.Repeat([]byte("x"), 100_000)) + `"`}
	before := time.Now().Add(-time.Minute)
	for _, e := range events {
		if err := p.Appender.Put(t.Context(), Frames(t, e)); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Appender.Put(t.Context(), Frames(t, events...)); err != nil {
		t.Fatal(err)
	}
	if err := p.Appender.Put(t.Context(), nil); err != nil {
		t.Errorf("no frames: %v", err)
	}
	p.Settle(t)
	check(t, p.Store, slices.Concat(events, events))
	for _, o := range list(t, p.Store, before, time.Now().Add(time.Minute)) {
		if o.Hour.Before(before.Truncate(time.Hour)) || o.Hour.After(time.Now().Add(time.Minute)) {
			t.Errorf("%s is of %v", o.Name, o.Hour)
		}
	}
	if n, m := len(list(t, p.Store, before, time.Now().Add(time.Minute))), len(all(t, p.Store)); n != m || n == 0 {
		t.Errorf("%d of %d objects are of this hour", n, m)
	}
}

func together(t *testing.T, p Pair) {
	const callers, puts = 8, 5
	var want []string
	var wg sync.WaitGroup
	for c := range callers {
		for i := range puts {
			want = append(want, fmt.Sprintf(`{"c":%d,"i":%d}`, c, i), fmt.Sprintf(`{"c":%d,"i":%d,"second":true}`, c, i))
		}
		mine := slices.Clone(want[len(want)-2*puts:])
		wg.Go(func() {
			for pair := range slices.Chunk(mine, 2) {
				if err := p.Appender.Put(t.Context(), append(Frames(t, pair[0]), Frames(t, pair[1])...)); err != nil {
					t.Errorf("put: %v", err)
				}
			}
		})
	}
	wg.Wait()
	p.Settle(t)
	check(t, p.Store, want)
}

func tooLarge(t *testing.T, p Pair) {
	frames := slices.Concat(Frames(t, `{"n":1}`), []archive.Frame{{Data: make([]byte, archive.MaxFrameBytes+1)}, {}},
		Frames(t, `{"n":2}`))
	err := p.Appender.Put(t.Context(), frames)
	if got := archive.Unarchived(len(frames), err); !slices.Equal(got, []int{1, 2}) {
		t.Errorf("not archived: %v, %v", got, err)
	}
	p.Settle(t)
	check(t, p.Store, []string{`{"n":1}`, `{"n":2}`})
}

func late(t *testing.T, p Pair) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Appender.Put(ctx, Frames(t, `{"n":1}`)); !errors.Is(err, context.Canceled) {
		t.Errorf("put: %v", err)
	}
	p.Settle(t)
	check(t, p.Store, nil)
}
