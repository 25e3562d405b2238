package store

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"path"
	"slices"
	"sync"

	"github.com/spillwayhq/spillway/shared/diskdir"
)

// Mem is a file system in memory, for tests. It knows what was synced, so that Crash can lose what
// was not, as a power cut does. The zero value is empty. It is safe for concurrent use.
type Mem struct {
	mu    sync.Mutex
	files map[string]*memData
	// durable are the names that a power cut leaves.
	durable map[string]*memData
	locked  map[string]bool
}

type memData struct {
	content []byte
	synced  []byte // content at the last sync; the same memory, as files are appended to
}

// Crash returns the file system as a power cut leaves it: with the names and content that were
// synced. Of content that was not, each file has a part at random, or none if rnd is nil.
func (m *Mem) Crash(rnd *rand.Rand) *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	after := &Mem{files: map[string]*memData{}, durable: map[string]*memData{}}
	for name, d := range m.durable {
		content := d.synced
		if extra := len(d.content) - len(d.synced); rnd != nil && extra > 0 {
			content = d.content[:len(d.synced)+rnd.IntN(extra+1)]
		}
		data := &memData{content: append([]byte(nil), content...)}
		data.synced = append([]byte(nil), content...)
		after.files[name], after.durable[name] = data, data
	}
	return after
}

// Change replaces the content of a file by what change makes of it, as a faulty disk does. The file
// is removed if that is nil.
func (m *Mem) Change(name string, change func([]byte) []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b := change(append([]byte(nil), m.files[name].content...))
	if b == nil {
		delete(m.files, name)
		delete(m.durable, name)
		return
	}
	m.files[name] = &memData{content: b, synced: b}
	m.durable[name] = m.files[name]
}

// Damage changes a byte in the first place of a file that has text, for open files too.
func (m *Mem) Damage(name string, text []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if i := bytes.Index(m.files[name].content, text); i >= 0 {
		m.files[name].content[i] ^= 1
	}
}

// MkdirAll implements FS.
func (*Mem) MkdirAll(string) error { return nil }

// Lock implements FS.
func (m *Mem) Lock(name string) (io.Closer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.locked[name] {
		return nil, diskdir.ErrLocked
	}
	if m.locked == nil {
		m.locked = map[string]bool{}
	}
	m.locked[name] = true
	return memLock{m, name}, nil
}

type memLock struct {
	m    *Mem
	name string
}

func (l memLock) Close() error {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	delete(l.m.locked, l.name)
	return nil
}

// List implements FS.
func (m *Mem) List(dir string) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var names []string
	for name := range m.files {
		if path.Dir(name) == dir {
			names = append(names, path.Base(name))
		}
	}
	return names, nil
}

// Create implements FS.
func (m *Mem) Create(name string) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.files[name] != nil {
		return nil, &fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}
	}
	if m.files == nil {
		m.files, m.durable = map[string]*memData{}, map[string]*memData{}
	}
	m.files[name] = &memData{}
	return &memFile{m, m.files[name]}, nil
}

// Open implements FS.
func (m *Mem) Open(name string) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.files[name] == nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return &memFile{m, m.files[name]}, nil
}

// Remove implements FS.
func (m *Mem) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.files[name] == nil {
		return &fs.PathError{Op: "remove", Path: name, Err: fs.ErrNotExist}
	}
	delete(m.files, name)
	return nil
}

// Empty implements FS.
func (m *Mem) Empty(name, renamed string, size int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.files[name] == nil {
		return &fs.PathError{Op: "rename", Path: name, Err: fs.ErrNotExist}
	}
	left := bytes.Clone(m.files[name].content[:size])
	delete(m.files, name)
	delete(m.durable, name)
	m.files[renamed] = &memData{content: left, synced: left}
	m.durable[renamed] = m.files[renamed]
	return nil
}

// Truncate implements FS. It survives a power cut.
func (m *Mem) Truncate(name string, size int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	d := m.files[name]
	if d == nil {
		return &fs.PathError{Op: "truncate", Path: name, Err: fs.ErrNotExist}
	}
	d.content = append([]byte(nil), d.content[:size]...)
	d.synced = append([]byte(nil), d.content...)
	return nil
}

// Size implements FS.
func (m *Mem) Size(name string) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.files[name] == nil {
		return 0, &fs.PathError{Op: "stat", Path: name, Err: fs.ErrNotExist}
	}
	return int64(len(m.files[name].content)), nil
}

// SyncDir implements FS.
func (m *Mem) SyncDir(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name := range m.durable {
		if path.Dir(name) == dir && m.files[name] == nil {
			delete(m.durable, name)
		}
	}
	for name, d := range m.files {
		if path.Dir(name) == dir {
			m.durable[name] = d
		}
	}
	return nil
}

// Reserve implements FS.
func (m *Mem) Reserve(name string, _ int64) error {
	_, err := m.Create(name)
	return err
}

// Free implements FS: a file system in memory has no limit.
func (*Mem) Free(string) (uint64, error) { return 0, errors.ErrUnsupported }

type memFile struct {
	m *Mem
	d *memData
}

func (f *memFile) ReadAt(b []byte, off int64) (int, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if off >= int64(len(f.d.content)) {
		return 0, io.EOF
	}
	n := copy(b, f.d.content[off:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (f *memFile) WriteAt(b []byte, off int64) (int, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if missing := off + int64(len(b)) - int64(len(f.d.content)); missing > 0 {
		f.d.content = append(f.d.content, make([]byte, missing)...)
	}
	if off < int64(len(f.d.synced)) {
		f.d.synced = bytes.Clone(f.d.synced)
	}
	return copy(f.d.content[off:], b), nil
}

func (f *memFile) Truncate(size int64) error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	f.d.content = append([]byte(nil), f.d.content[:min(size, int64(len(f.d.content)))]...)
	f.d.content = append(f.d.content, make([]byte, size-int64(len(f.d.content)))...)
	return nil
}

func (f *memFile) Sync() error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	f.d.synced = slices.Clip(f.d.content)
	return nil
}

func (*memFile) Close() error { return nil }
