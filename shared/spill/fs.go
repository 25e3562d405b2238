package spill

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spillwayhq/spillway/shared/diskdir"
)

// FS is the file system that a log is in. It exists so that tests can run a log on a disk that
// fails or loses its power (package spilltest). It must be safe for concurrent use.
type FS interface {
	Mkdir(dir string) error               // its parent must exist
	Lock(path string) (io.Closer, error)  // until the Closer is closed; ErrLocked if it is locked
	ReadDir(dir string) ([]string, error) // the names of its files
	Create(path string) (File, error)     // the file must not exist
	Open(path string) (File, error)       // to read and write
	Remove(path string) error             //
	SyncDir(dir string) error             // its files and directories survive a power cut
}

// A File is one of an [FS]; *os.File is one.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Stat() (fs.FileInfo, error)
	Truncate(size int64) error
	Sync() error // what was written survives a power cut
}

type fsKey struct{}

// WithFS returns a context for constructors, like that of package publisher, that open a log
// themselves: it will be in that file system. It is for tests.
func WithFS(ctx context.Context, fsys FS) context.Context {
	return context.WithValue(ctx, fsKey{}, fsys)
}

// FSFrom returns the file system of [WithFS]; without one nil, for which Open takes that of the
// operating system.
func FSFrom(ctx context.Context) FS {
	fsys, _ := ctx.Value(fsKey{}).(FS)
	return fsys
}

// osFS is the operating system's file system.
type osFS struct{}

func (osFS) Mkdir(dir string) error              { return os.Mkdir(dir, 0o700) }
func (osFS) Lock(path string) (io.Closer, error) { return diskdir.Lock(path) }
func (osFS) Remove(path string) error            { return os.Remove(path) }
func (osFS) SyncDir(dir string) error            { return diskdir.Sync(dir) }
func (osFS) Open(path string) (File, error)      { return openFile(path, os.O_RDWR) }
func (osFS) Create(path string) (File, error)    { return openFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL) }

// openFile returns no File that holds a nil *os.File.
func openFile(path string, flag int) (File, error) {
	f, err := os.OpenFile(path, flag, 0o600)
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (osFS) ReadDir(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, err
}

// makeDir makes a directory and the missing ones above it. With sync they survive a power cut, and
// not only what will be in them.
func makeDir(fsys FS, dir string, sync bool) error {
	parent := filepath.Dir(dir)
	err := fsys.Mkdir(dir)
	if errors.Is(err, fs.ErrNotExist) && parent != dir {
		if err := makeDir(fsys, parent, sync); err != nil {
			return err
		}
		err = fsys.Mkdir(dir)
	}
	switch {
	case errors.Is(err, fs.ErrExist):
		return nil
	case err == nil && sync:
		return fsys.SyncDir(parent)
	}
	return err
}
