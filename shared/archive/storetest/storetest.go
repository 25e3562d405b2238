// Package storetest has the tests that every archive.Store and every archive.Appender must pass.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/shared/archive"
)

// A Place is a new and empty archive.
type Place struct {
	One, Other archive.Store // of the same archive, as two processes have them
	// Create makes a finished object, as whatever fills the archive does.
	Create func(t *testing.T, name string, content []byte)
	// Page is how many objects an answer to a listing has at most; 0: it has all.
	Page int
}

// Run tests stores. open returns a new place.
func Run(t *testing.T, open func(t *testing.T) Place) {
	for name, test := range map[string]func(*testing.T, Place){
		"an empty archive has no objects":                        empty,
		"objects are listed in the order of their hours":         ordered,
		"a range of hours has its first and its last":            ranges,
		"a listing can be ended, by its caller or its context":   ended,
		"more objects than a page has are listed":                pages,
		"what is no object is not listed":                        others,
		"an object is read from any byte":                        opened,
		"an object that is gone is not found":                    notFound,
		"an object is replaced by who has read its last version": replaced,
		"of two who replace an object at once one succeeds":      raced,
		"who reads while another replaces gets one of the two":   whole,
		"an object is deleted by who has read its last version":  deleted,
		"names that no object has are refused":                   names,
		"files are written, read, listed and deleted":            files,
		"nothing is changed after its time":                      cancelled,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

// Hour is the hour of most objects of the tests.
var Hour = time.Date(2026, 11, 27, 14, 0, 0, 0, time.UTC)

// Name is the name of an object.
func Name(hour time.Time, name string) string {
	return archive.Prefix + hour.UTC().Format(archive.HourFormat) + "/" + name + archive.Extension
}

func list(t *testing.T, s archive.Store, from, to time.Time) (objects []archive.Object) {
	t.Helper()
	for o, err := range s.Objects(t.Context(), from, to) {
		if err != nil {
			t.Fatalf("list: %v", err)
		}
		objects = append(objects, o)
	}
	return objects
}

// always is a range that has every hour.
func always() (from, to time.Time) {
	return time.Time{}, time.Date(9999, 12, 31, 23, 59, 0, 0, time.UTC)
}

func all(t *testing.T, s archive.Store) []archive.Object {
	t.Helper()
	from, to := always()
	return list(t, s, from, to)
}

func namesOf(objects []archive.Object) (names []string) {
	for _, o := range objects {
		names = append(names, o.Name)
	}
	return names
}

func one(t *testing.T, s archive.Store) archive.Object {
	t.Helper()
	objects := all(t, s)
	if len(objects) != 1 {
		t.Fatalf("%d objects, want 1: %v", len(objects), namesOf(objects))
	}
	return objects[0]
}

// Read returns an object from a byte on.
func Read(t *testing.T, s archive.Store, o archive.Object, offset int64) string {
	t.Helper()
	r, err := s.Open(t.Context(), o, offset)
	if err != nil {
		t.Fatalf("open %s: %v", o.Name, err)
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("read %s: %v", o.Name, err)
	}
	return string(data)
}

func empty(t *testing.T, p Place) {
	if objects := all(t, p.One); len(objects) > 0 {
		t.Errorf("objects %v", namesOf(objects))
	}
	for name, err := range p.One.Files(t.Context(), "replay/") {
		t.Errorf("file %q, %v", name, err)
	}
}

func ordered(t *testing.T, p Place) {
	var want []string
	for _, hour := range []time.Time{
		time.Date(2025, 12, 31, 23, 0, 0, 0, time.UTC), time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
		Hour.Add(-time.Hour), Hour, Hour.Add(time.Hour), Hour.AddDate(0, 0, 1),
	} {
		for _, name := range []string{"a", "b", "b-2"} {
			want = append(want, Name(hour, name))
		}
	}
	slices.Sort(want)
	for i := range want { // not in their order
		name := want[(i*7)%len(want)]
		p.Create(t, name, []byte(name))
	}
	objects := all(t, p.Other)
	if got := namesOf(objects); !slices.Equal(got, want) {
		t.Fatalf("objects\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, o := range objects {
		if hour, _ := archive.ParseName(o.Name); !o.Hour.Equal(hour) || o.Size != int64(len(o.Name)) || o.Version == "" {
			t.Errorf("%+v", o)
		}
	}
}

func ranges(t *testing.T, p Place) {
	for h := range 6 {
		p.Create(t, Name(Hour.Add(time.Duration(h)*time.Hour), "x"), []byte("x"))
	}
	at := func(h int, minute time.Duration) time.Time {
		return Hour.Add(time.Duration(h)*time.Hour + minute*time.Minute)
	}
	for _, c := range []struct {
		from, to time.Time
		want     int
	}{
		{at(0, 0), at(5, 0), 6}, {at(1, 0), at(1, 0), 1}, {at(1, 59), at(2, 0), 2}, {at(1, 0), at(1, 59), 1},
		{at(4, 0), at(50, 0), 2}, {at(-50, 0), at(0, 0), 1}, {at(6, 0), at(9, 0), 0}, {at(3, 0), at(2, 0), 0},
		{at(2, 0).In(time.FixedZone("", 5*3600+1800)), at(3, 0).In(time.FixedZone("", -7*3600)), 2},
		{time.Time{}, at(0, 0), 1},
		{time.Date(-5, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(20000, 1, 1, 0, 0, 0, 0, time.UTC), 6},
	} {
		if got := list(t, p.One, c.from, c.to); len(got) != c.want {
			t.Errorf("from %v to %v: %v, want %d", c.from, c.to, namesOf(got), c.want)
		}
	}
}

func ended(t *testing.T, p Place) {
	for i := range 5 {
		p.Create(t, Name(Hour.Add(time.Duration(i)*time.Hour), "x"), []byte("x"))
	}
	from, to := always()
	n := 0
	for range p.One.Objects(t.Context(), from, to) {
		if n++; n == 2 {
			break
		}
	}
	if n != 2 {
		t.Errorf("%d objects before the break", n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	n = 0
	for o, err := range p.One.Objects(ctx, from, to) {
		if n++; !errors.Is(err, context.Canceled) || o.Name != "" {
			t.Errorf("with an ended context: %+v, %v", o, err)
		}
	}
	if n != 1 {
		t.Errorf("with an ended context: %d results, want the error", n)
	}
}

func pages(t *testing.T, p Place) {
	objects := p.Page + 50
	for i := range objects {
		p.Create(t, Name(Hour, fmt.Sprintf("%05d", i)), []byte("x"))
	}
	got := namesOf(list(t, p.One, Hour, Hour))
	if len(got) != objects || !slices.IsSorted(got) {
		t.Errorf("%d objects, sorted: %v", len(got), slices.IsSorted(got))
	}
}

func others(t *testing.T, p Place) {
	p.Create(t, Name(Hour, "x"), []byte("x"))
	for _, name := range []string{"replay/2026/11/27/14/y.ndjson.zst", "archived/2026/11/27/14/y.ndjson.zst", "z.json"} {
		if err := p.One.WriteFile(t.Context(), name, []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if got := namesOf(all(t, p.Other)); len(got) != 1 {
		t.Errorf("objects %v", got)
	}
}

func opened(t *testing.T, p Place) {
	content := strings.Repeat("0123456789", 30_000)
	p.Create(t, Name(Hour, "x"), []byte(content))
	o := one(t, p.Other)
	for _, offset := range []int64{0, 1, 200_000, 299_999, 300_000} {
		if got := Read(t, p.Other, o, offset); got != content[offset:] {
			t.Errorf("from byte %d: %d bytes, want %d", offset, len(got), len(content)-int(offset))
		}
	}
	finished, err := p.One.Finish(t.Context(), o)
	if err != nil || finished.Name != o.Name || finished.Version != o.Version || finished.Size != o.Size {
		t.Errorf("a finished object is finished as %+v, %v; it was %+v", finished, err, o)
	}
}

func notFound(t *testing.T, p Place) {
	o := archive.Object{Name: Name(Hour, "x"), Hour: Hour, Version: "1"}
	if _, err := p.One.Open(t.Context(), o, 0); !errors.Is(err, archive.ErrNotFound) {
		t.Errorf("open: %v", err)
	}
	if _, err := p.One.Finish(t.Context(), o); !errors.Is(err, archive.ErrNotFound) {
		t.Errorf("finish: %v", err)
	}
	if _, err := p.One.Replace(t.Context(), o, strings.NewReader("x")); !errors.Is(err, archive.ErrNotFound) {
		t.Errorf("replace: %v", err)
	}
	if err := p.One.Delete(t.Context(), o); err != nil {
		t.Errorf("delete: %v", err)
	}
	if got := all(t, p.Other); len(got) > 0 {
		t.Errorf("it was made: %v", namesOf(got))
	}
}

func replaced(t *testing.T, p Place) {
	p.Create(t, Name(Hour, "x"), []byte("content 1"))
	first := one(t, p.One)
	last := first
	for _, content := range []string{"content 2", "content 3", "content 3", "", "content 4"} { // of equal size, one empty
		next, err := p.One.Replace(t.Context(), last, strings.NewReader(content))
		if err != nil {
			t.Fatal(err)
		}
		seen := one(t, p.Other)
		if next.Version == last.Version && content != "content 3" || seen.Version != next.Version ||
			next.Size != int64(len(content)) || next.Name != last.Name || !next.Hour.Equal(last.Hour) {
			t.Errorf("replaced %+v as %+v, seen as %+v", last, next, seen)
		}
		if got := Read(t, p.Other, seen, 0); got != content {
			t.Errorf("content %q, want %q", got, content)
		}
		last = next
	}
	for _, o := range []archive.Object{first, {Name: first.Name, Hour: first.Hour}} {
		if _, err := p.Other.Replace(t.Context(), o, strings.NewReader("other")); !errors.Is(err, archive.ErrChanged) {
			t.Errorf("replace version %q: %v", o.Version, err)
		}
	}
	if got := Read(t, p.One, last, 0); got != "content 4" {
		t.Errorf("a refused Replace has written %q", got)
	}
}

func raced(t *testing.T, p Place) {
	p.Create(t, Name(Hour, "x"), []byte("first"))
	o := one(t, p.One)
	const n = 4
	var wg sync.WaitGroup
	errs := make([]error, n)
	for i := range n {
		s := []archive.Store{p.One, p.Other}[i%2]
		wg.Go(func() { _, errs[i] = s.Replace(t.Context(), o, strings.NewReader(fmt.Sprint("by ", i))) })
	}
	wg.Wait()
	winner := -1
	for i, err := range errs {
		switch {
		case err == nil && winner >= 0:
			t.Errorf("both %d and %d have replaced it", winner, i)
		case err == nil:
			winner = i
		case !errors.Is(err, archive.ErrChanged):
			t.Errorf("%d: %v", i, err)
		}
	}
	if got, want := Read(t, p.One, o, 0), fmt.Sprint("by ", winner); got != want {
		t.Errorf("content %q, want %q", got, want)
	}
}

func whole(t *testing.T, p Place) {
	contents := [][]byte{bytes.Repeat([]byte("a"), 300_000), bytes.Repeat([]byte("b"), 200_000)}
	p.Create(t, Name(Hour, "x"), contents[0])
	o := one(t, p.One)
	var wg sync.WaitGroup
	done := make(chan struct{})
	wg.Go(func() {
		defer close(done)
		last := o
		for i := range 10 {
			next, err := p.One.Replace(t.Context(), last, bytes.NewReader(contents[(i+1)%2]))
			if err != nil {
				t.Errorf("replace: %v", err)
				return
			}
			last = next
		}
	})
	for reading := true; reading; {
		select {
		case <-done:
			reading = false
		default:
		}
		if got := Read(t, p.Other, o, 0); got != string(contents[0]) && got != string(contents[1]) {
			t.Errorf("%d bytes that nobody wrote", len(got))
		}
	}
	wg.Wait()
}

func deleted(t *testing.T, p Place) {
	p.Create(t, Name(Hour, "x"), []byte("1"))
	p.Create(t, Name(Hour, "y"), []byte("1"))
	first := all(t, p.One)[0]
	second, err := p.One.Replace(t.Context(), first, strings.NewReader("22"))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Other.Delete(t.Context(), first); !errors.Is(err, archive.ErrChanged) {
		t.Errorf("delete an older version: %v", err)
	}
	for range 2 { // the second time it is gone
		if err := p.Other.Delete(t.Context(), second); err != nil {
			t.Errorf("delete: %v", err)
		}
	}
	if o := one(t, p.One); o.Name != Name(Hour, "y") {
		t.Errorf("%s is left", o.Name)
	}
}

func cancelled(t *testing.T, p Place) {
	p.Create(t, Name(Hour, "x"), []byte("1"))
	o := one(t, p.One)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, openErr := p.One.Open(ctx, o, 0)
	_, replaceErr := p.One.Replace(ctx, o, strings.NewReader("x"))
	for what, err := range map[string]error{
		"open": openErr, "replace": replaceErr, "delete": p.One.Delete(ctx, o),
		"write": p.One.WriteFile(ctx, "replay/a.json", []byte("x")),
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if got := Read(t, p.Other, one(t, p.Other), 0); got != "1" {
		t.Errorf("it was changed: %q", got)
	}
	if _, err := p.Other.ReadFile(t.Context(), "replay/a.json"); !errors.Is(err, archive.ErrNotFound) {
		t.Errorf("it was written: %v", err)
	}
}
