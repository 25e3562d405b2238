// Package storetest has the tests that every status.Store must pass.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/spillwayhq/spillway/shared/status"
)

// Run tests stores. open returns two of the same new and empty place, as two processes have them.
// atOnce says that the place decides itself between writers at the same moment.
func Run(t *testing.T, open func(t *testing.T) (one, other status.Store), atOnce bool) {
	tests := map[string]func(*testing.T, status.Store, status.Store){
		"a file that does not exist is not found":             notFound,
		"a file is made once":                                 madeOnce,
		"a file is replaced by who has read its last version": replaced,
		"what is put replaces whatever is there":              put,
		"a file that is gone is not written over":             gone,
		"files have any content, and folders":                 contents,
		"nothing is written after its time":                   ended,
		"who reads while another writes gets one of the two":  whole,
	}
	if atOnce {
		tests["of two writers at the same moment none loses its change"] = noneLost
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			one, other := open(t)
			test(t, one, other)
		})
	}
}

const file = "status.json"

func write(t *testing.T, s status.Store, name, content, version string) {
	t.Helper()
	if err := s.Write(t.Context(), name, []byte(content), version); err != nil {
		t.Fatalf("write %s: %v", name, err)
	}
}

func read(t *testing.T, s status.Store, name, want string) (version string) {
	t.Helper()
	data, version, err := s.Read(t.Context(), name)
	if err != nil || string(data) != want {
		t.Fatalf("read %s: %.100q, %v, want %.100q", name, data, err, want)
	}
	if version == "" {
		t.Fatalf("%s has no version", name)
	}
	return version
}

func isChanged(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, status.ErrChanged) || errors.Is(err, status.ErrNotFound) {
		t.Fatalf("got %v, want status.ErrChanged", err)
	}
}

func notFound(t *testing.T, one, _ status.Store) {
	for _, name := range []string{file, "history/2026-11.html"} {
		data, version, err := one.Read(t.Context(), name)
		if !errors.Is(err, status.ErrNotFound) || errors.Is(err, status.ErrChanged) || len(data) > 0 || version != "" {
			t.Errorf("%s: %q, %q, %v", name, data, version, err)
		}
	}
}

func madeOnce(t *testing.T, one, other status.Store) {
	write(t, one, file, "first", "")
	isChanged(t, other.Write(t.Context(), file, []byte("second"), ""))
	isChanged(t, one.Write(t.Context(), file, []byte("second"), ""))
	read(t, other, file, "first")
}

func replaced(t *testing.T, one, other status.Store) {
	write(t, one, file, "first", "")
	before := read(t, other, file, "first")
	write(t, one, file, "second", before)
	isChanged(t, other.Write(t.Context(), file, []byte("third"), before))
	after := read(t, other, file, "second")
	if after == before {
		t.Fatal("the version has not changed")
	}
	write(t, other, file, "third", after)
	read(t, one, file, "third")
}

func put(t *testing.T, one, other status.Store) {
	var before string
	for _, content := range []string{"<p>1", "<p>2", "<p>2"} {
		if err := one.Put(t.Context(), "index.html", "text/html; charset=utf-8", []byte(content)); err != nil {
			t.Fatal(err)
		}
		version := read(t, other, "index.html", content)
		if content == "<p>2" && before != "" {
			isChanged(t, other.Write(t.Context(), "index.html", []byte("x"), before))
		}
		if content == "<p>1" {
			before = version
		}
	}
}

func gone(t *testing.T, one, other status.Store) {
	write(t, one, "other.json", "x", "")
	version := read(t, one, "other.json", "x")
	isChanged(t, other.Write(t.Context(), file, []byte("x"), version))
	if _, _, err := one.Read(t.Context(), file); !errors.Is(err, status.ErrNotFound) {
		t.Errorf("the refused write has made the file: %v", err)
	}
}

func contents(t *testing.T, one, other status.Store) {
	large := strings.Repeat("{\"incident\": \"Ünïcode\"}\n", 50_000) // 1.3 MB
	for name, content := range map[string]string{file: "", "history/2026-11.html": "\x00\xff<>",
		"api/v2/incidents/unresolved.json": large} {
		write(t, one, name, content, "")
		version := read(t, other, name, content)
		write(t, other, name, content+"!", version)
		read(t, one, name, content+"!")
	}
}

func ended(t *testing.T, one, other status.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := one.Write(ctx, file, []byte("x"), ""); !errors.Is(err, context.Canceled) {
		t.Errorf("write: %v", err)
	}
	if err := one.Put(ctx, file, "application/json", []byte("x")); !errors.Is(err, context.Canceled) {
		t.Errorf("put: %v", err)
	}
	if _, _, err := one.Read(ctx, file); !errors.Is(err, context.Canceled) {
		t.Errorf("read: %v", err)
	}
	if _, _, err := other.Read(t.Context(), file); !errors.Is(err, status.ErrNotFound) {
		t.Errorf("it was written: %v", err)
	}
}

func whole(t *testing.T, one, other status.Store) {
	contents := [2][]byte{bytes.Repeat([]byte("a"), 100_000), bytes.Repeat([]byte("b"), 50_000)}
	if err := one.Put(t.Context(), file, "text/plain", contents[0]); err != nil {
		t.Fatal(err)
	}
	var writing sync.WaitGroup
	writing.Go(func() {
		for i := range 20 {
			if err := one.Put(t.Context(), file, "text/plain", contents[i%2]); err != nil {
				t.Error(err)
			}
		}
	})
	for range 40 {
		data, _, err := other.Read(t.Context(), file)
		if err != nil || !bytes.Equal(data, contents[0]) && !bytes.Equal(data, contents[1]) {
			t.Errorf("read %d bytes, %v", len(data), err)
		}
	}
	writing.Wait()
}

// noneLost lets ten writers add to a number ten times each, and expects the sum.
func noneLost(t *testing.T, one, other status.Store) {
	write(t, one, file, "0", "")
	var all sync.WaitGroup
	for i := range 10 {
		store := []status.Store{one, other}[i%2]
		all.Go(func() {
			for range 10 {
				if err := add(t.Context(), store); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	read(t, other, file, "100")
}

func add(ctx context.Context, s status.Store) error {
	for {
		data, version, err := s.Read(ctx, file)
		if err != nil {
			return err
		}
		n, err := strconv.Atoi(string(data))
		if err != nil {
			return err
		}
		if err = s.Write(ctx, file, fmt.Append(nil, n+1), version); !errors.Is(err, status.ErrChanged) {
			return err
		}
	}
}
