// Package spilltest is a disk in memory for the tests of programs that use package spill. A power
// cut takes from it what was not synced, which no test on a real disk can do.
package spilltest

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/spillwayhq/spillway/shared/spill"
)

// A Disk is an empty file system with a root directory, "/". It is safe for concurrent use.
type Disk struct {
	mu    sync.Mutex
	off   bool
	dirs  map[string]*directory
	locks map[string]bool
}

// directory has the entries that are there now, and those that a power cut leaves. An entry that is
// nil is a directory.
type directory struct{ now, synced map[string]*node }

// node is the content of a file.
type node struct{ now, synced []byte }

// ErrOff is the error of everything that a process does after the power cut that ended it.
var ErrOff = errors.New("the power is off")

var _ spill.FS = (*Disk)(nil)

// New returns an empty disk.
func New() *Disk {
	return &Disk{dirs: map[string]*directory{"/": newDirectory()}, locks: map[string]bool{}}
}

func newDirectory() *directory {
	return &directory{now: map[string]*node{}, synced: map[string]*node{}}
}

// PowerCut returns the disk that the next process finds: files and directories that were synced,
// with the content that was synced. Whoever uses the old disk gets [ErrOff] from now on.
func (d *Disk) PowerCut() *Disk {
	return d.end(func(dir *directory) map[string]*node { return dir.synced }, func(n *node) []byte { return n.synced })
}

// Kill returns the disk that the next process finds when the process is killed: with all that was
// written. The old disk is off as after a power cut.
func (d *Disk) Kill() *Disk {
	return d.end(func(dir *directory) map[string]*node { return dir.now }, func(n *node) []byte { return n.now })
}

func (d *Disk) end(entries func(*directory) map[string]*node, content func(*node) []byte) *Disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.off = true
	left := New()
	var keep func(dir string)
	keep = func(dir string) {
		for name, n := range entries(d.dirs[dir]) {
			path, to := filepath.Join(dir, name), left.dirs[dir]
			if n == nil {
				left.dirs[path] = newDirectory()
				to.now[name], to.synced[name] = nil, nil
				keep(path)
				continue
			}
			kept := &node{now: slices.Clone(content(n)), synced: slices.Clone(content(n))}
			to.now[name], to.synced[name] = kept, kept
		}
	}
	keep("/")
	return left
}

// in calls f with the directory of a path and the name in it.
func (d *Disk) in(op, path string, f func(dir *directory, name string) error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	err := ErrOff
	if !d.off {
		dir := d.dirs[filepath.Dir(path)]
		if err = fs.ErrNotExist; dir != nil {
			err = f(dir, filepath.Base(path))
		}
	}
	if err != nil {
		return &fs.PathError{Op: op, Path: path, Err: err}
	}
	return nil
}

// Mkdir implements [spill.FS].
func (d *Disk) Mkdir(path string) error {
	return d.in("mkdir", path, func(dir *directory, name string) error {
		if _, ok := dir.now[name]; ok || path == "/" {
			return fs.ErrExist
		}
		dir.now[name] = nil
		d.dirs[path] = newDirectory()
		return nil
	})
}

// Lock implements [spill.FS]. A power cut ends the lock.
func (d *Disk) Lock(path string) (io.Closer, error) {
	err := d.in("lock", path, func(*directory, string) error {
		if d.locks[path] {
			return spill.ErrLocked
		}
		d.locks[path] = true
		return nil
	})
	return lock{d, path}, err
}

type lock struct {
	disk *Disk
	path string
}

func (l lock) Close() error {
	l.disk.mu.Lock()
	defer l.disk.mu.Unlock()
	delete(l.disk.locks, l.path)
	return nil
}

// ReadDir implements [spill.FS].
func (d *Disk) ReadDir(path string) (names []string, err error) {
	err = d.in("read", filepath.Join(path, "x"), func(dir *directory, _ string) error {
		names = slices.Sorted(maps.Keys(dir.now))
		return nil
	})
	return names, err
}

// Create implements [spill.FS].
func (d *Disk) Create(path string) (spill.File, error) {
	f := &file{disk: d, name: filepath.Base(path), node: &node{}}
	return f, d.in("create", path, func(dir *directory, name string) error {
		if _, ok := dir.now[name]; ok {
			return fs.ErrExist
		}
		dir.now[name] = f.node
		return nil
	})
}

// Open implements [spill.FS].
func (d *Disk) Open(path string) (spill.File, error) {
	f := &file{disk: d, name: filepath.Base(path)}
	return f, d.in("open", path, func(dir *directory, name string) error {
		if f.node = dir.now[name]; f.node == nil {
			return fs.ErrNotExist
		}
		return nil
	})
}

// Remove implements [spill.FS].
func (d *Disk) Remove(path string) error {
	return d.in("remove", path, func(dir *directory, name string) error {
		if _, ok := dir.now[name]; !ok {
			return fs.ErrNotExist
		}
		delete(dir.now, name)
		return nil
	})
}

// SyncDir implements [spill.FS].
func (d *Disk) SyncDir(path string) error {
	return d.in("sync", filepath.Join(path, "x"), func(dir *directory, _ string) error {
		dir.synced = maps.Clone(dir.now)
		return nil
	})
}

// file is an open file.
type file struct {
	disk *Disk
	name string
	node *node
}

// do calls f while the power is on.
func (f *file) do(work func() error) error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if f.disk.off {
		return ErrOff
	}
	return work()
}

func (f *file) ReadAt(b []byte, at int64) (n int, err error) {
	err = f.do(func() error {
		if at < int64(len(f.node.now)) {
			n = copy(b, f.node.now[at:])
		}
		if n < len(b) {
			return io.EOF
		}
		return nil
	})
	return n, err
}

func (f *file) WriteAt(b []byte, at int64) (n int, err error) {
	err = f.do(func() error {
		f.grow(at + int64(len(b)))
		n = copy(f.node.now[at:], b)
		return nil
	})
	return n, err
}

func (f *file) grow(size int64) {
	if missing := size - int64(len(f.node.now)); missing > 0 {
		f.node.now = append(f.node.now, make([]byte, missing)...)
	}
}

func (f *file) Truncate(size int64) error {
	return f.do(func() error {
		f.grow(size)
		f.node.now = f.node.now[:size:size]
		return nil
	})
}

func (f *file) Sync() error {
	return f.do(func() error {
		f.node.synced = slices.Clone(f.node.now)
		return nil
	})
}

func (f *file) Close() error { return nil }

func (f *file) Stat() (info fs.FileInfo, err error) {
	err = f.do(func() error {
		info = fileInfo{name: f.name, size: int64(len(f.node.now))}
		return nil
	})
	return info, err
}

type fileInfo struct {
	name string
	size int64
}

func (i fileInfo) Name() string     { return i.name }
func (i fileInfo) Size() int64      { return i.size }
func (fileInfo) Mode() fs.FileMode  { return 0o600 }
func (fileInfo) ModTime() time.Time { return time.Time{} }
func (fileInfo) IsDir() bool        { return false }
func (fileInfo) Sys() any           { return nil }
