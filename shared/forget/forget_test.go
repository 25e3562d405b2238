package forget

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/shared/archive"
	"github.com/spillwayhq/spillway/shared/message"
)

var seeds = flag.Int("seeds", 4, "how many worlds the test with faults makes")

func TestForgettingRemovesThePersonsLinesAndNoOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	for range 4 {
		w.put(w.frames())
	}
	before := w.contents()
	mine := map[string]bool{}
	for _, content := range before {
		for _, line := range expand(t, content) {
			if saysGone(t, line) {
				r, _ := archive.ParseRecord([]byte(line))
				var e struct{ MessageID string }
				if err := json.Unmarshal(r.Event, &e); err != nil {
					t.Fatal(err)
				}
				mine[e.MessageID] = true
			}
		}
	}
	var list bytes.Buffer
	dry, err := w.forget(t.Context(), w.store, &list, func(o *Options) { o.DryRun = true })
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range w.contents() {
		if !bytes.Equal(content, before[name]) {
			t.Errorf("a dry run changed %s", name)
		}
	}
	listed := list.String()
	list.Reset()
	r, err := w.forget(t.Context(), w.store, &list, nil)
	if err != nil {
		t.Fatal(err)
	}
	w.check(before, true)
	if sorted(list.String()) != sorted(listed) {
		t.Error("the dry run lists something else")
	}
	for line := range strings.Lines(list.String()) {
		var f Found
		if err := json.Unmarshal([]byte(line), &f); err != nil || !mine[f.MessageID] || f.Object == "" || f.By == "" ||
			f.Time.IsZero() || f.Where != InArchive {
			t.Errorf("%s is listed: %v", line, err)
		}
		delete(mine, f.MessageID)
	}
	if len(mine) > 0 {
		t.Errorf("not listed: %v", mine)
	}
	n := strings.Count(listed, "\n")
	if r.Archive.Events != n || dry.Archive.Events != n || dry.Archive.Rewritten != r.Archive.Rewritten+r.Archive.Deleted {
		t.Errorf("%d are listed, the dry run says %+v, the run %+v", n, dry.Archive, r.Archive)
	}
	if r.SharedDevice == 0 || r.Mentions == 0 || r.Archive.Unreadable == 0 || r.Others[Other{ByUserID, "anne"}] == 0 {
		t.Errorf("what else was found: %+v", r)
	}
	again, err := w.forget(t.Context(), w.store, &list, nil)
	if err != nil || again.Archive.Events != 0 || again.Archive.Skipped == 0 || again.Archive.Unreadable != r.Archive.Unreadable {
		t.Errorf("run again: %+v, %v", again, err)
	}
	for range w.store.Files(t.Context(), checkpointPrefix) {
		t.Error("a run that has found nothing leaves its checkpoint")
	}
}

func sorted(text string) string {
	return strings.Join(slices.Sorted(strings.Lines(text)), "")
}

func TestUnreadableBodiesGoOnlyWhenAsked(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	for i, event := range []string{"broken, of anna", "broken, of joanna", `{"userId":"anna"`, `{"userId":"bob"}`} {
		r := archive.Record{Time: time.Unix(int64(i), 0), Outcome: archive.DeadLettered, Reason: "undecodable", Event: []byte(event)}
		w.packer.Add(&r, 0)
	}
	w.put(w.packer.Frames())
	var list bytes.Buffer
	// The third says whose it is, as far as it can be read.
	for _, c := range []struct {
		unreadable          bool
		removed, mention, n int
	}{{false, 1, 1, 3}, {true, 1, 1, 2}} {
		r, err := w.forget(t.Context(), w.store, &list, func(o *Options) { o.Unreadable = c.unreadable })
		n := 0
		for _, content := range w.contents() {
			n += len(expand(t, content))
		}
		if err != nil || r.Archive.Events != c.removed || r.Archive.Unreadable != c.mention || n != c.n {
			t.Errorf("%+v: %+v, %d are left, %v", c, r.Archive, n, err)
		}
	}
}

func TestARecordInPartsIsRemovedFromEachObject(t *testing.T) {
	t.Parallel()
	for _, interrupted := range []bool{false, true} {
		w := newWorld(t, 3)
		annas, bobs := w.largeRecord("anna"), w.largeRecord("bob")
		w.put(append(w.frames(), annas[0], bobs[0]))
		w.put(w.frames())
		w.put(append([]archive.Frame{bobs[1], annas[1]}, w.frames()...))
		var list bytes.Buffer
		if interrupted { // between the two objects
			replaced := 0
			store := &faulty{Store: w.store, fault: func(call string) (bool, error) {
				if call == "replace" {
					replaced++
				}
				return replaced <= 3, cond(replaced > 3, errFault)
			}}
			if _, err := w.forget(t.Context(), store, &list, nil); !errors.Is(err, errFault) {
				t.Fatal(err)
			}
			list.Reset()
		}
		r, err := w.forget(t.Context(), w.store, &list, nil)
		if err != nil || r.Archive.Incomplete != 0 {
			t.Fatalf("%+v, %v", r.Archive, err)
		}
		if !interrupted && !strings.Contains(list.String(), "large-") {
			t.Error("it is not in the list")
		}
		var joiner archive.Joiner
		var users []string
		for _, content := range w.contents() {
			for _, line := range expand(t, content) {
				if record, err := archive.ParseRecord([]byte(line)); err != nil {
					t.Error(err)
				} else if whole, ok, err := joiner.Add(record); err != nil {
					t.Error(err)
				} else if ok && record.Parts > 0 {
					users = append(users, string(whole.Event))
				}
			}
		}
		if len(users) != 1 || !strings.Contains(users[0], `"bob"`) || joiner.Incomplete() > 0 {
			t.Errorf("interrupted %v: left are %.100q, and parts of %d", interrupted, users, joiner.Incomplete())
		}
	}
}

func cond(is bool, err error) error {
	if is {
		return err
	}
	return nil
}

var errFault = errors.New("the disk has failed")

// faulty is a store whose calls fail before or after their work.
type faulty struct {
	mu sync.Mutex // of fault
	archive.Store
	fault func(call string) (run bool, err error)
}

// call asks for the fault of a call. Objects are worked on at the same time.
func (f *faulty) call(name string) (run bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.fault(name)
}

func (f *faulty) Finish(ctx context.Context, o archive.Object) (archive.Object, error) {
	run, err := f.call("finish")
	if !run {
		return o, err
	}
	now, failed := f.Store.Finish(ctx, o)
	return now, errors.Join(failed, err)
}

func (f *faulty) Open(ctx context.Context, o archive.Object, offset int64) (io.ReadCloser, error) {
	run, err := f.call("open")
	if !run {
		return nil, err
	}
	r, failed := f.Store.Open(ctx, o, offset)
	if failed == nil && err != nil { // it ends in the middle
		return struct {
			io.Reader
			io.Closer
		}{io.MultiReader(io.LimitReader(r, 100), failing{}), r}, nil
	}
	return r, failed
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errFault }

func (f *faulty) Replace(ctx context.Context, o archive.Object, content io.ReadSeeker) (archive.Object, error) {
	run, err := f.call("replace")
	if !run {
		return o, err
	}
	now, failed := f.Store.Replace(ctx, o, content)
	return now, errors.Join(failed, err)
}

func (f *faulty) Delete(ctx context.Context, o archive.Object) error {
	run, err := f.call("delete")
	if !run {
		return err
	}
	return errors.Join(f.Store.Delete(ctx, o), err)
}

func (f *faulty) WriteFile(ctx context.Context, name string, data []byte) error {
	run, err := f.call("write")
	if !run {
		return err
	}
	return errors.Join(f.Store.WriteFile(ctx, name, data), err)
}

// Each world is an archive with damage in it. Runs of forget end by faults of the store, by a full
// disk of the list, and by interruptions, at random moments, and after each all lines of others
// must be there; at the end none of anna's.
func TestNoFaultCostsAnotherLine(t *testing.T) {
	t.Parallel()
	for seed := range uint64(*seeds) {
		w := newWorld(t, seed+100)
		for range 1 + w.rng.IntN(4) {
			w.put(w.frames())
		}
		w.damage()
		before := w.contents()
		var turn sync.Mutex
		rng := rand.New(rand.NewPCG(seed, 4))
		draw := func(n int) bool {
			turn.Lock()
			defer turn.Unlock()
			return rng.IntN(n) == 0
		}
		store := &faulty{Store: w.store, fault: func(call string) (bool, error) {
			switch {
			case draw(8):
				return false, errFault
			case draw(8):
				return true, errFault
			case call == "replace" && draw(8):
				return false, archive.ErrChanged
			}
			return true, nil
		}}
		var list bytes.Buffer
		for range 6 {
			ctx, cancel := context.WithCancel(t.Context())
			if draw(3) {
				stop := time.AfterFunc(time.Duration(rng.IntN(3000))*time.Microsecond, cancel)
				defer stop.Stop()
			}
			_, _ = w.forget(ctx, store, &list, func(o *Options) {
				write := o.Write
				o.Write = func(lines []byte) error {
					if draw(8) {
						return errFault
					}
					return write(lines)
				}
			})
			cancel()
			w.check(before, false)
		}
		if _, err := w.forget(t.Context(), w.store, &list, nil); err != nil {
			t.Fatal(err)
		}
		w.check(before, true)
		for _, content := range before {
			for _, line := range expand(t, content) {
				if saysGone(t, line) && !listedIn(t, list.Bytes(), line) {
					t.Errorf("seed %d: %s was removed and is not listed", seed, line)
				}
			}
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func listedIn(t *testing.T, list []byte, line string) bool {
	t.Helper()
	r, err := archive.ParseRecord([]byte(line))
	if err != nil {
		t.Fatal(err)
	}
	var e struct{ MessageID string }
	if err := json.Unmarshal(r.Event, &e); err != nil {
		t.Fatal(err)
	}
	return bytes.Contains(list, fmt.Appendf(nil, `"messageId":%q`, e.MessageID))
}

// The archive is written while it is forgotten in: what was archived must be there, and what comes
// later is found by the next run.
func TestForgettingInTheFileThatIsWritten(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 5)
	a := w.writer()
	var written []string // lines of others
	stop := make(chan struct{})
	var writing sync.WaitGroup
	var puts atomic.Int32
	writing.Go(func() {
		for ; ; puts.Add(1) {
			select {
			case <-stop:
				return
			default:
			}
			frames := w.frames()
			if err := a.Put(context.Background(), frames); err != nil {
				t.Error(err)
				return
			}
			for _, f := range frames {
				for _, line := range expand(t, f.Data) {
					if !saysGone(t, line) {
						written = append(written, line)
					}
				}
			}
		}
	})
	var list bytes.Buffer
	for puts.Load() < 60 && !t.Failed() {
		if _, err := w.forget(t.Context(), w.store, &list, nil); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	writing.Wait()
	if _, err := w.forget(t.Context(), w.store, &list, nil); err != nil {
		t.Error(err)
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	var left []string
	for _, content := range w.contents() {
		for _, line := range expand(t, content) {
			if left = append(left, line); saysGone(t, line) {
				t.Errorf("left: %s", line)
			}
		}
	}
	slices.Sort(left)
	slices.Sort(written)
	if !slices.Equal(left, written) {
		t.Errorf("%d lines of others were archived, %d are there", len(written), len(left))
	}
	if len(written) < 100 || list.Len() == 0 {
		t.Errorf("only %d lines were written meanwhile, and %d bytes listed", len(written), list.Len())
	}
}

// appending is a store in which something is appended to an object until it is finished.
type appending struct {
	archive.Store
	before func()
}

func (a *appending) Finish(ctx context.Context, o archive.Object) (archive.Object, error) {
	if before := a.before; before != nil {
		a.before = nil
		before()
	}
	return a.Store.Finish(ctx, o)
}

func TestTheListHasWhatIsAppendedWhileAnObjectIsRead(t *testing.T) {
	w := newWorld(t, 7)
	writer := w.writer()
	defer writer.Close()
	put := func(id, user string) {
		r := archive.Record{Time: time.Now(), Outcome: archive.Delivered, WriteKey: "k",
			Event: fmt.Appendf(nil, `{"type":"track","event":"e","messageId":%q,"userId":%q}`, id, user)}
		w.packer.Add(&r, 0)
		if err := writer.Put(t.Context(), w.packer.Frames()); err != nil {
			t.Fatal(err)
		}
	}
	put("m-1", "anna")
	put("m-2", "bob")
	store := &appending{w.store, func() {
		put("m-3", "anna")
		put("m-4", "bob")
	}}
	var list bytes.Buffer
	r, err := w.forget(t.Context(), store, &list, nil)
	if err != nil || r.Archive.Events != 2 || !strings.Contains(list.String(), "m-1") || !strings.Contains(list.String(), "m-3") {
		t.Errorf("%v; %d events are removed, and the list is\n%s", err, r.Archive.Events, list.String())
	}
	for name, content := range w.contents() {
		if lines := strings.Join(expand(t, content), "\n"); strings.Contains(lines, "anna") || strings.Count(lines, "bob") != 2 {
			t.Errorf("%s has\n%s", name, lines)
		}
	}
}

func TestEachRunSaysWhatCanNotBeRead(t *testing.T) {
	w := newWorld(t, 8)
	for _, id := range []string{"m-1", "m-2"} { // two frames of an object, of which the second is damaged
		for _, user := range []string{"anna", "bob"} {
			w.packer.Add(&archive.Record{Time: time.Now(), Outcome: archive.Delivered,
				Event: fmt.Appendf(nil, `{"type":"track","messageId":%q,"userId":%q}`, id, user)}, 0)
		}
	}
	broken := archive.Record{Time: time.Now(), Outcome: archive.DeadLettered, Reason: message.ReasonUndecodable,
		Event: []byte("a broken body of anna")}
	w.packer.Add(&broken, 0)
	first := w.packer.Frames()
	w.packer.Add(&archive.Record{Time: time.Now(), Outcome: archive.Delivered, Event: []byte(`{"userId":"bob"}`)}, 0)
	second := w.packer.Frames()
	second[0].Data[len(second[0].Data)-1] ^= 1 // its checksum
	w.put(append(first, second...))
	for _, events := range []int{2, 0, 0} {
		r, err := w.forget(t.Context(), w.store, &bytes.Buffer{}, nil)
		if err != nil || r.Archive.Events != events || len(r.Archive.Damage) != 1 || r.Archive.Unreadable != 1 {
			t.Errorf("%+v, %v; want %d events, a damage and a body that can't be read", r.Archive, err, events)
		}
	}
}
