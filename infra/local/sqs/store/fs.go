package store

import (
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/spillwayhq/spillway/shared/diskdir"
)

// FS is the file system that a store is on. Paths have slashes. It is safe for concurrent use.
type FS interface {
	// MkdirAll makes a directory and those above it, so that they survive a power cut.
	MkdirAll(dir string) error
	// Lock locks a file until it is closed; the error is diskdir.ErrLocked if it is locked already.
	Lock(path string) (io.Closer, error)
	// List returns the names in a directory.
	List(dir string) ([]string, error)
	// Create makes a file that must not exist.
	Create(path string) (File, error)
	// Open opens a file for reading.
	Open(path string) (File, error)
	Remove(path string) error
	// Empty renames a file and gives its space back but for its first bytes. It works on a full disk,
	// and cuts no file under its old name, even if the power is cut.
	Empty(path, renamed string, size int64) error
	// Truncate cuts a file that is not open for writing, so that it survives a power cut.
	Truncate(path string, size int64) error
	// Size returns the size of a file in bytes; the error is fs.ErrNotExist if there is none.
	Size(path string) (int64, error)
	// SyncDir makes new and removed names in a directory survive a power cut.
	SyncDir(dir string) error
	// Reserve makes a file that takes up so many bytes.
	Reserve(path string, bytes int64) error
	// Free returns the free bytes, or errors.ErrUnsupported.
	Free(dir string) (uint64, error)
}

// File is a file of an FS.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// Sync makes what was written survive a power cut.
	Sync() error
	Truncate(size int64) error
}

// Disk is the file system of the machine.
type Disk struct{}

// MkdirAll implements FS.
func (Disk) MkdirAll(dir string) error { return diskdir.Make(dir) }

// Lock implements FS.
func (Disk) Lock(path string) (io.Closer, error) { return diskdir.Lock(path) }

// List implements FS.
func (Disk) List(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, err
}

// Create implements FS.
func (Disk) Create(path string) (File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err // not a File that holds a nil
	}
	return f, nil
}

// Open implements FS.
func (Disk) Open(path string) (File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// Remove implements FS.
func (Disk) Remove(path string) error { return os.Remove(path) }

// Empty implements FS.
func (Disk) Empty(path, renamed string, size int64) error {
	if err := os.Rename(path, renamed); err != nil {
		return err
	}
	if err := diskdir.Sync(filepath.Dir(renamed)); err != nil {
		return err
	}
	return os.Truncate(renamed, size)
}

// Truncate implements FS.
func (Disk) Truncate(path string, size int64) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	// With what was cut off, a power cut would bring back numbers that later messages have.
	err = f.Truncate(size)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// Size implements FS.
func (Disk) Size(path string) (int64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// SyncDir implements FS.
func (Disk) SyncDir(dir string) error { return diskdir.Sync(dir) }

// Reserve implements FS.
func (Disk) Reserve(path string, bytes int64) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil {
			_ = os.Remove(path) // an incomplete file reserves too little
		}
	}()
	if err := diskdir.Allocate(f, bytes); err == nil {
		return f.Sync()
	} else if !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	zeros := make([]byte, 1<<20)
	for at := int64(0); at < bytes; at += int64(len(zeros)) {
		if _, err := f.WriteAt(zeros[:min(int64(len(zeros)), bytes-at)], at); err != nil {
			return err
		}
	}
	return f.Sync()
}

// Free implements FS.
func (Disk) Free(dir string) (uint64, error) { return diskdir.Free(dir) }

// readAt reads bytes of a file from an offset on, or as many as there are, into buf if it is large
// enough.
func readAt(buf []byte, f File, offset, bytes int64) ([]byte, error) {
	if int64(cap(buf)) < bytes {
		buf = make([]byte, bytes, bytes+bytes/8) // the next one may be a little larger
	}
	n, err := f.ReadAt(buf[:bytes], offset)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return buf[:n], err
}
