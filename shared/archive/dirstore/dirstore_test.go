package dirstore

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/spillwayhq/spillway/shared/archive"
	"github.com/spillwayhq/spillway/shared/archive/storetest"
)

var (
	_ archive.Store    = (*Store)(nil)
	_ archive.Finder   = (*Store)(nil)
	_ archive.Appender = (*Writer)(nil)
)

func TestTheStoreIsAStore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) storetest.Place {
		dir := filepath.Join(t.TempDir(), "archive") // which does not exist yet
		s := Open(dir)
		return storetest.Place{One: s, Other: Open(dir), Create: func(t *testing.T, name string, content []byte) {
			t.Helper()
			create(t, s, name, content, readOnly)
		}}
	})
}

func create(t testing.TB, s *Store, name string, content []byte, mode os.FileMode) {
	t.Helper()
	file := s.path(name)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, content, mode); err != nil {
		t.Fatal(err)
	}
}

func openWriter(t testing.TB, dir string, o Options) *Writer {
	t.Helper()
	w, err := OpenWriter(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

func TestTheWriterIsAnAppender(t *testing.T) {
	t.Parallel()
	storetest.RunAppender(t, func(t *testing.T) storetest.Pair {
		dir := t.TempDir()
		return storetest.Pair{Appender: openWriter(t, dir, Options{}), Store: Open(dir), Settle: func(*testing.T) {}}
	})
}
