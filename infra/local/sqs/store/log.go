package store

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spillwayhq/spillway/shared/diskdir"
)

// Options configure a Log. All fields but OnFull are required.
type Options struct {
	Dir    string
	FS     FS
	Logger *slog.Logger
	// OnFull is called when a write has failed on a full disk, to free reserved space. The write is
	// then tried once more.
	OnFull func()
	// Group returns the Group of a message with this content, when Open finds it. Nil: it is 0.
	Group func(content []byte) uint32
}

var (
	// ErrGone says that a message was deleted.
	ErrGone = errors.New("the message was deleted")
	// ErrDamaged says that a message on disk is not what was written. It is lost.
	ErrDamaged = errors.New("a stored message is damaged and lost: check the disk")
)

// Log is the store: messages, and a state of named values, in files. It is safe for concurrent use.
type Log struct {
	dir    string
	fs     FS
	logger *slog.Logger
	onFull func()
	lock   io.Closer

	failed atomic.Pointer[error] // of a sync, or of files that are gone: nothing is written any more

	syncing sync.Mutex   // held by who syncs
	synced  atomic.Int64 // how much of written is on disk

	work chan struct{} // see Work

	reads sync.Pool // buffers of Read

	compactBytes int64 // the constant, but in tests

	mu        sync.Mutex // guards what follows, all segments, and where messages are
	segments  []*segment // oldest first
	active    *segment   // is written to; nil: the next write makes one
	last      uint64     // number of the newest segment
	next      uint64     // number of the next message
	state     map[string][]byte
	written   int64      // bytes, of all segments
	buf       []byte     // of the write under way
	late      [][]byte   // operations that could not be written yet
	compacted int        // pieces of late after it was compacted last
	lateAt    time.Time  // the last try
	lateErr   error      // why it failed
	open      []*segment // with an open file, the longest open first
	damage    Damage
}

// maxOpen is how many segments are open at a time.
const maxOpen = 16

// Open opens the log in a directory, reads all of it, and locks it. Each says which messages it has,
// State its state, and Damage what could not be read.
func Open(o Options) (*Log, error) {
	l := &Log{dir: o.Dir, fs: o.FS, logger: o.Logger, onFull: o.OnFull, work: make(chan struct{}, 1),
		compactBytes: compactBytes}
	lock, err := o.FS.Lock(o.Dir + "/" + lockName)
	if err != nil {
		return nil, fmt.Errorf("lock the data directory %s: %w", o.Dir, err)
	}
	l.lock = lock
	r := &replay{fs: o.FS, dir: o.Dir, group: o.Group, state: map[string][]byte{}}
	if err := r.run(); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	l.Wake() // the last process may have ended before it reclaimed the space of deleted messages
	l.segments, l.state, l.next, l.last, l.damage = r.segments, r.state, r.next, r.last, r.damage
	for _, name := range r.leftover {
		if err := o.FS.Remove(name); err != nil {
			o.Logger.Warn("a file of the queues' store is not needed any more and could not be removed", "file", name, "error",
				err)
		}
	}
	return l, nil
}

// Each calls f for every message, in the order in which they were written. It is for the time
// before the first write.
func (l *Log) Each(f func(*Message)) {
	for _, s := range l.segments {
		for _, m := range s.messages {
			if m != nil {
				f(m)
			}
		}
	}
}

// State returns a copy of the state: the values by key.
func (l *Log) State() map[string][]byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.state)
}

// Work receives when there may be something to do for Flush and Reclaim.
func (l *Log) Work() <-chan struct{} { return l.work }

// Wake makes Work receive.
func (l *Log) Wake() {
	select {
	case l.work <- struct{}{}:
	default:
	}
}

// Close writes what is late, syncs, and unlocks the directory.
func (l *Log) Close() error {
	late := l.writeLate()
	if late > 0 {
		// On a full disk, files without messages make room: first the older ones, then the last one.
		for range 2 {
			_ = l.Reclaim(true) // it says what writeLate finds too
			late = l.writeLate()
		}
	}
	err := l.Failure()
	if err == nil {
		err = l.Sync()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil && late == 0 {
		err = l.writeEnd(true)
	}
	for _, s := range l.open {
		err = errors.Join(err, s.file.Close())
		s.file = nil
	}
	l.open, l.active = nil, nil
	if err := errors.Join(err, l.lock.Close()); err != nil {
		return fmt.Errorf("close the queues' store: %w", err)
	}
	return nil
}

// Failure returns why nothing can be written any more, or nil.
func (l *Log) Failure() error {
	if p := l.failed.Load(); p != nil {
		return *p
	}
	return nil
}

func (l *Log) fail(err error) error {
	err = fmt.Errorf("the queues' store has failed, restart the process: %w", err)
	if l.failed.CompareAndSwap(nil, &err) {
		l.logger.Error("the queues' store has failed and takes no more messages", "error", err)
	}
	return l.Failure()
}

// An Addition is a message to be put into the log.
type Addition struct {
	Message *Message
	Content []byte
	// Replaces is deleted by the same frame, so that a crash leaves one of both; nil: none.
	Replaces *Message
}

// Put adds messages. With durable it returns when they are on disk, otherwise they are within a
// second. After an error none of them is in the log, except that those of a failed sync may be there
// after a restart.
func (l *Log) Put(as []Addition, durable bool) error {
	l.mu.Lock()
	w, err := l.begin()
	if err == nil {
		for i := range as {
			w.put(as[i].Message, as[i].Content, as[i].Replaces)
		}
		err = w.end()
	}
	end := l.written
	l.mu.Unlock()
	if err == nil && durable {
		return l.syncTo(end)
	}
	l.Wake()
	return err
}

// Set sets values of the state; nil deletes one. It returns when they are on disk if durable.
func (l *Log) Set(key string, value []byte, durable bool) error {
	return l.change(func(b []byte) []byte { return appendState(b, key, value) }, durable, func() {
		l.setState(key, value)
	})
}

func (l *Log) setState(key string, value []byte) {
	if value == nil {
		delete(l.state, key)
	} else {
		l.state[key] = value
	}
}

// Clear deletes all messages of a queue, which are ms, and durably. With a key it deletes that
// value of the state too.
func (l *Log) Clear(queue uint32, ms []*Message, key string) error {
	return l.change(func(b []byte) []byte {
		b = appendOp(b, opClear, uint64(queue))
		if key != "" {
			b = appendState(b, key, nil)
		}
		return b
	}, true, func() {
		for _, m := range ms {
			l.drop(m)
		}
		delete(l.state, key)
	})
}

// change writes one frame and then applies it.
func (l *Log) change(data func([]byte) []byte, durable bool, apply func()) error {
	l.mu.Lock()
	w, err := l.begin()
	if err == nil {
		w.frame(data)
		w.state, w.changes = true, true
		if err = w.end(); err == nil {
			apply()
		}
	}
	end := l.written
	l.mu.Unlock()
	l.Wake()
	if err == nil && durable {
		err = l.syncTo(end)
	}
	return err
}

// drop takes a message out of its segment.
func (l *Log) drop(m *Message) {
	if m.segment != nil {
		m.segment.remove(m)
	}
}

// Sync returns when everything that was written is on disk.
func (l *Log) Sync() error {
	l.mu.Lock()
	end := l.written
	l.mu.Unlock()
	return l.syncTo(end)
}

// syncTo returns when what was written up to end is on disk. Callers at the same time share a sync.
func (l *Log) syncTo(end int64) error {
	l.syncing.Lock()
	defer l.syncing.Unlock()
	if l.synced.Load() >= end {
		return l.Failure()
	}
	runtime.Gosched() // those that the last sync has woken may write first
	l.mu.Lock()
	s, upTo := l.active, l.written
	if s == nil { // it was synced when it was ended
		l.mu.Unlock()
		return l.Failure()
	}
	s.users++
	l.mu.Unlock()
	err := s.file.Sync()
	if err == nil {
		if _, missing := l.fs.Size(s.path); errors.Is(missing, fs.ErrNotExist) {
			err = fmt.Errorf("%s was removed while it is in use", s.path)
		}
	}
	l.mu.Lock()
	s.users--
	l.mu.Unlock()
	if err != nil {
		return l.fail(fmt.Errorf("sync: %w", err))
	}
	for {
		now := l.synced.Load()
		if now >= upTo || l.synced.CompareAndSwap(now, upTo) {
			return l.Failure()
		}
	}
}

// unsynced reports whether there are writes that are not on disk, or late.
func (l *Log) unsynced() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.synced.Load() < l.written || len(l.late) > 0
}

// Flush writes what was late and syncs what was not synced.
func (l *Log) Flush() error {
	l.mu.Lock()
	l.flushLate(false)
	l.mu.Unlock()
	if l.Failure() != nil || !l.unsynced() {
		return nil
	}
	return l.Sync()
}

// Damage returns what could not be read, since Open and at Open.
func (l *Log) Damage() Damage {
	l.mu.Lock()
	defer l.mu.Unlock()
	d := l.damage
	d.Files = slices.Clone(d.Files)
	return d
}

// Locked reports whether an error of Open is that of a directory in use.
func Locked(err error) bool { return errors.Is(err, diskdir.ErrLocked) }

func compareNumbers(a, b *segment) int { return cmp.Compare(a.number, b.number) }
