package reload

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestAFileIsReadAnewWhenItWasReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	source := File(path)
	if _, err := source.Read(t.Context()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
	for _, text := range []string{"a", "another"} {
		// As an editor or an orchestrator does it: another file under the same name.
		if err := errors.Join(os.WriteFile(path+".new", []byte(text), 0o600), os.Rename(path+".new", path)); err != nil {
			t.Fatal(err)
		}
		if got, err := source.Read(t.Context()); err != nil || string(got.Data) != text {
			t.Errorf("%q, %v", got.Data, err)
		}
	}
	if err := os.WriteFile(path, make([]byte, maxFileBytes+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := source.Read(t.Context()); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("%v", err)
	}
}

func TestAPipeIsRefusedAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Skip(err)
	}
	if _, err := File(path).Read(t.Context()); err == nil || !strings.Contains(err.Error(), "must be a regular file") {
		t.Errorf("%v", err)
	}
}

func TestReadingsOfAFileSystemThatHangsDoNotPileUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var readings atomic.Int32
		source := Source{Read: abandonable(func() (Content, error) {
			readings.Add(1)
			<-release
			return Content{Data: []byte("late")}, nil
		})}
		v := newValue(source, new(bytes.Buffer))
		start := time.Now()
		v.Refresh(t.Context())
		if took := time.Since(start); took != Timeout {
			t.Errorf("the start took %v", took)
		}
		for range 5 {
			time.Sleep(FirstInterval * 11 / 10)
			v.Refresh(t.Context())
		}
		if n := readings.Load(); n != 1 {
			t.Errorf("%d readings hang", n)
		}
		close(release)
		synctest.Wait()
		time.Sleep(FirstInterval * 11 / 10)
		if v.Refresh(t.Context()); !v.loaded() {
			t.Error("the value was not read after the file system had come back")
		}
	})
}
