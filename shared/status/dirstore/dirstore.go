// Package dirstore keeps a status site in a directory: what `up` and `spillway status` write on one
// machine, and what `spillway status render` writes to be hosted anywhere.
//
// Several processes may write at the same time: `up` each minute, and `spillway status post` when a
// person runs it. A lock file is held during each write, and never between two of them. A file
// appears as a whole or not at all, because it is written beside its place and renamed.
package dirstore

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/spillwayhq/spillway/shared/diskdir"
	"github.com/spillwayhq/spillway/shared/status"
)

const (
	// lockName and newName are the store's own files. Names of the site do not begin with a dot.
	lockName = ".lock"
	newName  = ".new" // one for all: it is written under the lock, and what a killed process left is overwritten
	// maxSize bounds a file that is read, in bytes: a document has some 100 KB.
	maxSize = 8 << 20
	// maxName is longer than the name of any file of a site, and shorter than what systems take.
	maxName = 200
	// patience is how long a write waits for other processes, each of which takes some
	// milliseconds.
	patience = 5 * time.Second
)

// A Store is a directory. It implements status.Store, and is safe for concurrent use. A version is
// the hash of the content.
type Store struct {
	dir      string
	patience time.Duration
	mu       sync.Mutex // held during a write, beside the lock file
}

// Open returns the store in a directory, which it makes if it does not exist.
func Open(dir string) (*Store, error) {
	if err := diskdir.Make(dir); err != nil {
		return nil, fmt.Errorf("make the directory of the status site: %w", err)
	}
	return &Store{dir: dir, patience: patience}, nil
}

// Dir is the directory.
func (s *Store) Dir() string { return s.dir }

// Read returns a file with its version, or status.ErrNotFound. The error is fs.ErrInvalid for a
// name that no file of a site can have.
func (s *Store) Read(ctx context.Context, name string) (data []byte, version string, err error) {
	if err := cmp.Or(ctx.Err(), check(name)); err != nil {
		return nil, "", err
	}
	data, err = s.read(name)
	if err != nil {
		return nil, "", err
	}
	return data, versionOf(data), nil
}

// Write writes a file if it still has the version ifVersion, or, if that is empty, if it does not
// exist. Otherwise it returns status.ErrChanged. Once it has returned nil the file survives a power
// cut.
func (s *Store) Write(ctx context.Context, name string, data []byte, ifVersion string) error {
	return s.locked(ctx, name, func() error {
		present, err := s.read(name)
		switch {
		case errors.Is(err, status.ErrNotFound) && ifVersion == "":
		case errors.Is(err, status.ErrNotFound):
			return fmt.Errorf("write %s: it is gone: %w", s.path(name), status.ErrChanged)
		case err != nil:
			return err
		case versionOf(present) != ifVersion:
			return fmt.Errorf("write %s: %w", s.path(name), status.ErrChanged)
		}
		return s.replace(name, data, true)
	})
}

// Put writes a file, whatever is there. It does nothing if the same is there, so that a page that
// does not change costs no disk writes each minute. The content type is for stores that serve
// themselves.
func (s *Store) Put(ctx context.Context, name, _ string, data []byte) error {
	return s.locked(ctx, name, func() error {
		if present, err := s.read(name); err == nil && bytes.Equal(present, data) {
			return nil
		}
		return s.replace(name, data, false) // what a power cut takes is put again by the next writer
	})
}

func (s *Store) path(name string) string { return filepath.Join(s.dir, filepath.FromSlash(name)) }

// check refuses names that lead out of the directory, or to the store's own files.
func check(name string) error {
	if !fs.ValidPath(name) || name == "." || strings.ContainsAny(name, "\\\x00") || len(name) > maxName {
		return fmt.Errorf("the name of a file of the status site must be a path like history/2026-11.html, is %q: %w", name,
			fs.ErrInvalid)
	}
	for part := range strings.SplitSeq(name, "/") {
		if strings.HasPrefix(part, ".") {
			return fmt.Errorf("the name of a file of the status site must have no part that begins with a dot, is %q: %w", name,
				fs.ErrInvalid)
		}
	}
	return nil
}

func (s *Store) read(name string) ([]byte, error) {
	f, err := os.Open(s.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read %s: %w", s.path(name), status.ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("read the status site: %w", err)
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.IsDir() {
		return nil, fmt.Errorf("read %s, which is a directory: %w", s.path(name), status.ErrNotFound)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read the status site: %w", err)
	case len(data) > maxSize:
		return nil, fmt.Errorf("read %s: it has over %d MB, which no file of a status site has: remove it", s.path(name),
			maxSize>>20)
	}
	return data, nil
}

func versionOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// locked calls write while no other process writes.
func (s *Store) locked(ctx context.Context, name string, write func() error) error {
	if err := check(name); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	unlock, err := diskdir.Acquire(ctx, filepath.Join(s.dir, lockName), s.patience)
	switch {
	case errors.Is(err, diskdir.ErrLocked):
		return fmt.Errorf("write %s: another process has been writing for %v: %w", s.path(name), s.patience, err)
	case err != nil:
		return fmt.Errorf("write %s: %w", s.path(name), err)
	}
	defer unlock.Close()
	return write()
}

// replace puts data in the place of a file, or makes it. A durable one survives a power cut.
func (s *Store) replace(name string, data []byte, durable bool) error {
	if dir := path.Dir(name); dir != "." {
		if err := diskdir.Make(s.path(dir)); err != nil {
			return fmt.Errorf("write the status site: %w", err)
		}
	}
	written := filepath.Join(s.dir, newName)
	err := diskdir.WriteFile(written, bytes.NewReader(data), durable)
	if err == nil {
		err = diskdir.Rename(written, s.path(name), durable)
	}
	if err != nil {
		return fmt.Errorf("write the status site: %w", err)
	}
	return nil
}
