package spilltest

import (
	"errors"
	"io/fs"
	"slices"
	"testing"

	"github.com/spillwayhq/spillway/shared/spill"
)

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func TestAPowerCutLeavesOnlyWhatWasSynced(t *testing.T) {
	d := New()
	must(t, d.Mkdir("/a"), d.Mkdir("/lost"), d.SyncDir("/"))
	must(t, d.Mkdir("/unsynced"))
	write := func(path, text string, sync bool) spill.File {
		f, err := d.Create(path)
		must(t, err)
		_, err = f.WriteAt([]byte(text), 0)
		must(t, err)
		if sync {
			must(t, f.Sync())
		}
		return f
	}
	write("/a/both", "kept", true)
	write("/a/content", "gone", false)
	more := write("/a/more", "kept", true)
	must(t, d.SyncDir("/a"))
	_, err := more.WriteAt([]byte(" and gone"), 4)
	must(t, err)
	write("/a/entry", "gone", true)
	must(t, d.Remove("/a/both"))
	left := d.PowerCut()
	if _, err := d.Create("/a/late"); !errors.Is(err, ErrOff) {
		t.Errorf("the old disk still works: %v", err)
	}
	if _, err := more.WriteAt([]byte("x"), 0); !errors.Is(err, ErrOff) {
		t.Errorf("a file of the old disk still works: %v", err)
	}
	names, err := left.ReadDir("/a")
	must(t, err)
	if want := []string{"both", "content", "more"}; !slices.Equal(names, want) {
		t.Errorf("the directory has %v, want %v", names, want)
	}
	for name, want := range map[string]string{"both": "kept", "content": "", "more": "kept"} {
		f, err := left.Open("/a/" + name)
		must(t, err)
		info, err := f.Stat()
		must(t, err)
		got := make([]byte, info.Size())
		if _, err := f.ReadAt(got, 0); err != nil || string(got) != want {
			t.Errorf("%s holds %q (%v), want %q", name, got, err, want)
		}
	}
	if _, err := left.ReadDir("/unsynced"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a directory that was not synced is there: %v", err)
	}
}
