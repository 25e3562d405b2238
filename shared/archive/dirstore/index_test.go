package dirstore

import (
	"bytes"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/shared/archive"
	"github.com/spillwayhq/spillway/shared/archive/storetest"
)

func logTo(w interface{ Write([]byte) (int, error) }) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, nil))
}

// random is text that zstd can't compress much.
func random(n int, seed byte) string {
	r := rand.NewChaCha8([32]byte{seed})
	b := make([]byte, n)
	r.Read(b)
	for i := range b {
		b[i] = 'A' + b[i]&31
	}
	return string(b)
}

func event(i int) string {
	return fmt.Sprintf(`{"type":"track","event":"e","messageId":"m%d","userId":"u%d","properties":{"a":%q}}`, i, i%7,
		random(50, byte(i)))
}

// find returns the events of the records that an index leads to and that have the text.
func find(t testing.TB, s *Store, term archive.Term) (events []string) {
	t.Helper()
	for place, err := range s.Find(t.Context(), time.Time{}, forever(), term) {
		if err != nil {
			t.Fatal(err)
		}
		err := archive.ReadPlace(t.Context(), s, place, func(r archive.Record) error {
			if slices.Contains(archive.AppendTerms(nil, &r), term) {
				events = append(events, string(r.Event))
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return events
}

func wantFound(t *testing.T, s *Store, events int) {
	t.Helper()
	for i := range events {
		if got := find(t, s, archive.MessageIDTerm(fmt.Sprint("m", i))); !slices.Equal(got, []string{event(i)}) {
			t.Errorf("event %d is found as %q", i, got)
		}
	}
	for u := range 7 {
		if got, want := len(find(t, s, archive.UserTerm(fmt.Sprint("u", u)))), (events-u+6)/7; got != want {
			t.Errorf("%d events of user %d, want %d", got, u, want)
		}
	}
	for _, term := range []archive.Term{archive.MessageIDTerm("m-1"), archive.UserTerm("m1"), 0, 1<<64 - 1} {
		if got := find(t, s, term); len(got) > 0 {
			t.Errorf("what is not there is found: %q", got)
		}
	}
}

func TestAnEventIsFoundInFinishedObjectsAndInTheOneThatIsBeingWritten(t *testing.T) {
	t.Parallel()
	w := openWriter(t, t.TempDir(), Options{})
	s := Open(w.Store().Dir())
	const events = 60
	for i := range events {
		putAll(t, w, event(i))
		if i%25 == 24 {
			for _, o := range objects(t, s) {
				if _, err := s.Finish(t.Context(), o); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if n := len(objects(t, s)); n != 3 {
		t.Fatalf("%d objects", n)
	}
	wantFound(t, s, events)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	wantFound(t, s, events)
}

func TestAnEventThatIsTooLargeForAFrameIsFound(t *testing.T) {
	t.Parallel()
	w := openWriter(t, t.TempDir(), Options{})
	large := fmt.Sprintf(`{"type":"track","event":"e","messageId":"large","userId":"u","properties":{"a":%q}}`, random(1_200_000, 1))
	putAll(t, w, event(1), large, event(2))
	frames, s := storetest.Frames(t, event(1), large, event(2)), w.Store()
	if len(frames) < 4 {
		t.Fatalf("it takes %d frames, and so is not in parts", len(frames))
	}
	for _, finished := range []bool{false, true} {
		for _, term := range []archive.Term{archive.MessageIDTerm("large"), archive.UserTerm("u")} {
			if got := find(t, s, term); !slices.Equal(got, []string{large}) {
				t.Errorf("finished %v: found %.100q", finished, got)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAnIndexThatIsMissingDamagedOrOfAnotherObjectIsMadeAgain(t *testing.T) {
	t.Parallel()
	w := openWriter(t, t.TempDir(), Options{})
	const events = 800 // three pages
	var all []string
	for i := range events {
		all = append(all, event(i))
	}
	putAll(t, w, all[:events/2]...)
	putAll(t, w, all[events/2:]...)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	s := w.Store()
	o := objects(t, s)[0]
	file := s.path(o.Name) + indexExtension
	whole, err := os.ReadFile(file)
	if err != nil || len(whole) != indexHeader+3*pageBytes {
		t.Fatalf("the index has %d bytes, %v", len(whole), err)
	}
	check := func(what string) {
		t.Helper()
		for _, i := range []int{0, events / 2, events - 1} {
			if got := find(t, s, archive.MessageIDTerm(fmt.Sprint("m", i))); !slices.Equal(got, []string{event(i)}) {
				t.Errorf("%s: event %d is found as %.100q", what, i, got)
			}
		}
	}
	check("whole")
	for i := 0; i < len(whole); i += 613 {
		damaged := slices.Clone(whole)
		damaged[i] ^= 0x10
		if err := os.WriteFile(file, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		check(fmt.Sprint("damaged at byte ", i))
	}
	for _, n := range []int{0, 10, indexHeader, indexHeader + pageBytes, len(whole) - 1} {
		if err := os.WriteFile(file, whole[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		check(fmt.Sprint("cut to ", n))
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	check("missing")
	if again, err := os.ReadFile(file); err != nil || !slices.Equal(again, whole) {
		t.Errorf("it is not written again: %d bytes, %v", len(again), err)
	}
}

func TestAReplacedObjectHasTheIndexOfItsContent(t *testing.T) {
	t.Parallel()
	w := openWriter(t, t.TempDir(), Options{})
	putAll(t, w, event(0), event(1))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	s := w.Store()
	content := storetest.Frames(t, event(1))[0].Data
	if _, err := s.Replace(t.Context(), objects(t, s)[0], bytes.NewReader(content)); err != nil {
		t.Fatal(err)
	}
	if got := find(t, s, archive.MessageIDTerm("m0")); len(got) > 0 {
		t.Errorf("what was removed is found: %q", got)
	}
	if got := find(t, s, archive.MessageIDTerm("m1")); len(got) != 1 {
		t.Errorf("what is left is found as %q", got)
	}
	offsets, err := searchFile(s.path(objects(t, s)[0].Name)+indexExtension, objects(t, s)[0], archive.MessageIDTerm("m0"))
	if err != nil || len(offsets) > 0 {
		t.Errorf("the index still leads to what was removed: %v, %v", offsets, err)
	}
}
