package diskdir

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestMakeMakesWhatIsMissingAboveADirectory(t *testing.T) {
	top := t.TempDir()
	dir := filepath.Join(top, "a", "b", "c")
	for range 2 { // the second time it is there
		if err := Make(dir); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		t.Errorf("%v, %v", info, err)
	}
	t.Chdir(top)
	if err := Make("relative/path"); err != nil {
		t.Error(err)
	}
}

func TestAllocateMakesAFileOfThatSize(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := Allocate(f, 1<<20); errors.Is(err, errors.ErrUnsupported) {
		t.Skip("this file system can't")
	} else if err != nil {
		t.Fatal(err)
	}
	if info, err := f.Stat(); err != nil || info.Size() != 1<<20 {
		t.Errorf("%v, %v", info, err)
	}
}

func TestMakeRefusesAPathThatIsAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{file, filepath.Join(file, "below")} {
		if err := Make(dir); err == nil {
			t.Errorf("%s: no error", dir)
		}
	}
}
