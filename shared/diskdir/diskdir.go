// Package diskdir is what a data directory needs of the operating system: a lock, a sync, the free
// space, and a file that reserves some.
package diskdir

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// ErrLocked says that another process, or another part of this one, has locked the file.
var ErrLocked = errors.New("in use by another process; give each process a directory of its own")

// Make makes a directory and the missing ones above it, and makes them survive a power cut: without
// that, what is synced in them would be gone with them.
func Make(dir string) error {
	info, err := os.Stat(dir)
	switch {
	case err == nil && info.IsDir():
		return nil
	case err == nil:
		return &fs.PathError{Op: "mkdir", Path: dir, Err: errors.New("is not a directory")}
	}
	parent := filepath.Dir(dir)
	if parent != dir {
		if err := Make(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := Sync(parent); err != nil && !errors.Is(err, fs.ErrPermission) { // one may write where one can't read
		return err
	}
	return nil
}
