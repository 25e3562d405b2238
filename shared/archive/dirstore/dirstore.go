// Package dirstore keeps the archive in a directory: what `up` writes on one machine, and what
// replay, why and forget read there while it writes.
//
// One process writes, with a [Writer]. It appends frames to one file of the present hour, and an
// object is such a file:
//
//	yyyy/MM/dd/HH/NAME.ndjson.zst      frames; read-only once it is finished
//	yyyy/MM/dd/HH/NAME.ndjson.zst.idx  its index, from when it is finished: see index.go
//	.lock                              held by whoever changes an object, for that moment
//	.writer                            held by the Writer
//
// Any process may read, finish, replace and delete objects, with a [Store]. A file that is being
// written may end in the middle of a frame; a Store reads it up to there. What a Writer that was
// killed has left there is cut off when the file is finished, at the latest by the next Writer.
package dirstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spillwayhq/spillway/shared/archive"
	"github.com/spillwayhq/spillway/shared/diskdir"
)

const (
	// The store's own files. The names of other files do not begin with a dot.
	lockName   = ".lock"
	writerName = ".writer"
	newPrefix  = ".new-"
	// indexExtension ends the name of an object's index.
	indexExtension = ".idx"
	// patience is how long a change waits for other processes, each of which takes some
	// milliseconds.
	patience = 10 * time.Second
	// readOnly is the mode of a finished object.
	readOnly = 0o400
	writable = 0o222
)

// A Store is the archive in a directory. It implements archive.Store and archive.Finder, and is
// safe for concurrent use.
type Store struct{ dir string }

// Open returns the store in a directory, which need not exist yet.
func Open(dir string) *Store { return &Store{dir: dir} }

// Dir is the directory.
func (s *Store) Dir() string { return s.dir }

// path is where an object is.
func (s *Store) path(name string) string {
	return filepath.Join(s.dir, filepath.FromSlash(strings.TrimPrefix(name, archive.Prefix)))
}

func object(name string, info fs.FileInfo) archive.Object {
	hour, _ := archive.ParseName(name)
	return archive.Object{
		Name: name, Hour: hour, Size: info.Size(),
		Version: strconv.FormatInt(info.Size(), 10) + "-" + strconv.FormatInt(info.ModTime().UnixNano(), 10),
	}
}

func isFinished(info fs.FileInfo) bool { return info.Mode()&writable == 0 }

func translate(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return archive.ErrNotFound
	}
	return err
}

// Objects returns the objects of a range of hours: see archive.Store.
func (s *Store) Objects(ctx context.Context, from, to time.Time) iter.Seq2[archive.Object, error] {
	return func(yield func(archive.Object, error) bool) {
		w := walk{ctx: ctx, dir: s.dir, from: hourKey(from), to: hourKey(to), yield: yield}
		w.folder("")
	}
}

// hourKey is the folder of an hour. Years that a folder can't have become the nearest that it can.
func hourKey(t time.Time) string {
	switch t = t.UTC(); {
	case t.Year() < 1:
		return "0000"
	case t.Year() > 9999:
		return "9999/12/31/23"
	}
	return t.Format(archive.HourFormat)
}

// A walk yields the objects of a range of hours.
type walk struct {
	ctx      context.Context
	dir      string
	from, to string // folders
	yield    func(archive.Object, error) bool
}

// folder yields the objects in a folder, which has up to four levels below it, and reports whether
// to go on.
func (w *walk) folder(name string) bool {
	if err := w.ctx.Err(); err != nil {
		w.yield(archive.Object{}, err)
		return false
	}
	entries, err := os.ReadDir(filepath.Join(w.dir, filepath.FromSlash(name)))
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // pruned meanwhile, or nothing was archived yet
		w.yield(archive.Object{}, fmt.Errorf("list the archive: %w", err))
		return false
	}
	for _, e := range entries {
		below := path.Join(name, e.Name())
		if len(below) > len(archive.HourFormat) {
			if !w.object(below, e) {
				return false
			}
			continue
		}
		if e.IsDir() && isFolder(below) && below >= w.from[:min(len(w.from), len(below))] &&
			below <= w.to[:min(len(w.to), len(below))] && !w.folder(below) {
			return false
		}
	}
	return true
}

// isFolder reports whether a path may have objects below it: 2026, 2026/11, and so on.
func isFolder(name string) bool {
	for i := range len(name) {
		if (i >= len(archive.HourFormat)) || (archive.HourFormat[i] == '/') != (name[i] == '/') ||
			name[i] != '/' && (name[i] < '0' || name[i] > '9') {
			return false
		}
	}
	return len(name) == 4 || len(name) == 7 || len(name) == 10 || len(name) == len(archive.HourFormat)
}

func (w *walk) object(name string, e fs.DirEntry) bool {
	name = archive.Prefix + name
	if archive.CheckName(name) != nil || !e.Type().IsRegular() {
		return true
	}
	info, err := e.Info()
	switch {
	case errors.Is(err, fs.ErrNotExist): // pruned meanwhile
		return true
	case err != nil:
		return w.yield(archive.Object{}, fmt.Errorf("list the archive: %w", err)) && false
	}
	return w.yield(object(name, info), nil)
}

// Open reads an object from a byte on: see archive.Store.
func (s *Store) Open(ctx context.Context, o archive.Object, offset int64) (io.ReadCloser, error) {
	if err := errors.Join(ctx.Err(), archive.CheckName(o.Name)); err != nil {
		return nil, err
	}
	f, err := os.Open(s.path(o.Name))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", o.Name, translate(err))
	}
	r, err := section(f, offset)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("read %s: %w", o.Name, err)
	}
	return &reader{r, f}, nil
}

type reader struct {
	io.Reader
	io.Closer
}

// section is a file from an offset up to the end of its last whole frame. Only a file that is not
// finished is looked through for that.
func section(f *os.File, offset int64) (io.Reader, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	end := info.Size()
	if !isFinished(info) {
		if end, err = archive.End(io.NewSectionReader(f, 0, end)); err != nil {
			return nil, err
		}
	}
	return io.NewSectionReader(f, offset, max(0, end-offset)), nil
}

// locked calls change while no other process changes an object.
func (s *Store) locked(ctx context.Context, change func() error) error {
	unlock, err := diskdir.Acquire(ctx, filepath.Join(s.dir, lockName), patience)
	switch {
	case errors.Is(err, diskdir.ErrLocked):
		return fmt.Errorf("another process has been changing the archive in %s for %v: %w", s.dir, patience, err)
	case err != nil:
		return err
	}
	defer unlock.Close()
	return change()
}

// Finish makes sure that nothing is appended to an object any more: see archive.Store.
func (s *Store) Finish(ctx context.Context, o archive.Object) (archive.Object, error) {
	err := archive.CheckName(o.Name)
	if err == nil {
		err = s.locked(ctx, func() (err error) {
			o, err = s.finish(o.Name)
			return err
		})
	}
	if err != nil {
		return archive.Object{}, fmt.Errorf("finish %s: %w", o.Name, err)
	}
	return o, nil
}

// finish makes an object read-only, without the incomplete frame at its end that a killed writer
// has left. The caller has the lock.
func (s *Store) finish(name string) (archive.Object, error) {
	file := s.path(name)
	info, err := os.Stat(file)
	if err != nil {
		return archive.Object{}, translate(err)
	}
	if !isFinished(info) {
		if info, err = cutAndFinish(file); err != nil {
			return archive.Object{}, err
		}
	}
	return object(name, info), nil
}

func cutAndFinish(file string) (fs.FileInfo, error) {
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	end, err := archive.End(f)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if end < info.Size() {
		if err := errors.Join(f.Truncate(end), f.Sync()); err != nil {
			return nil, err
		}
	}
	if err := os.Chmod(file, readOnly); err != nil {
		return nil, err
	}
	return f.Stat()
}

// Replace puts content in the place of a finished object: see archive.Store. Its index is made
// again.
func (s *Store) Replace(ctx context.Context, o archive.Object, content io.ReadSeeker) (archive.Object, error) {
	err := archive.CheckName(o.Name)
	if err == nil {
		o, err = s.replace(ctx, o, content)
	}
	if err != nil {
		return archive.Object{}, fmt.Errorf("replace %s: %w", o.Name, err)
	}
	return o, nil
}

func (s *Store) replace(ctx context.Context, o archive.Object, content io.Reader) (archive.Object, error) {
	file := s.path(o.Name)
	written, err := s.writeNew(file, content, true)
	if err != nil {
		return o, translate(err)
	}
	defer os.Remove(written)
	err = s.locked(ctx, func() error {
		info, err := s.unchanged(o)
		if err != nil {
			return err
		}
		if err := os.Remove(file + indexExtension); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		// The version has the time in it, and two changes may come within one tick of the clock.
		now := time.Now()
		if least := info.ModTime().Add(time.Microsecond); now.Before(least) {
			now = least
		}
		if err := errors.Join(os.Chtimes(written, now, now), os.Chmod(written, readOnly)); err != nil {
			return err
		}
		if err := diskdir.Rename(written, file, true); err != nil {
			return err
		}
		info, err = os.Stat(file)
		if err == nil {
			o = object(o.Name, info)
		}
		return err
	})
	if err == nil {
		_, err = s.index(ctx, o)
	}
	return o, err
}

// writeNew writes content beside a file. A durable one survives a power cut.
func (s *Store) writeNew(file string, content io.Reader, durable bool) (written string, err error) {
	f, err := os.CreateTemp(filepath.Dir(file), newPrefix+"*")
	if err != nil {
		return "", err
	}
	written = f.Name()
	_, err = io.Copy(f, content)
	if err == nil && durable {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		os.Remove(written)
	}
	return written, err
}

// unchanged returns an error if an object is not finished, or not as the caller has read it. The
// caller has the lock.
func (s *Store) unchanged(o archive.Object) (fs.FileInfo, error) {
	info, err := os.Stat(s.path(o.Name))
	switch {
	case err != nil:
		return nil, translate(err)
	case !isFinished(info):
		return nil, fmt.Errorf("it is still being written: finish it first: %w", archive.ErrChanged)
	case object(o.Name, info).Version != o.Version:
		return nil, archive.ErrChanged
	}
	return info, nil
}

// Delete removes an object: see archive.Store.
func (s *Store) Delete(ctx context.Context, o archive.Object) error {
	err := archive.CheckName(o.Name)
	if err == nil {
		err = s.locked(ctx, func() error {
			_, err := s.unchanged(o)
			if errors.Is(err, archive.ErrNotFound) {
				return nil
			}
			if err != nil {
				return err
			}
			return s.remove(o.Name)
		})
	}
	if err != nil {
		return fmt.Errorf("delete %s: %w", o.Name, err)
	}
	return nil
}

// remove removes an object with its index, and the folders that are empty then. The caller has the
// lock.
func (s *Store) remove(name string) error {
	file := s.path(name)
	for _, f := range []string{file + indexExtension, file} {
		if err := os.Remove(f); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	dir := filepath.Dir(file)
	if err := diskdir.Sync(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for range 4 { // HH, dd, MM, yyyy
		if os.Remove(dir) != nil { // not empty
			break
		}
		dir = filepath.Dir(dir)
	}
	return nil
}
