package store

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spillwayhq/spillway/shared/diskdir"
	"github.com/spillwayhq/spillway/shared/frame"
)

// Options configure a Log. All fields but OnFull are required.
type Options struct {
	Dir    string
	FS     FS
	Logger *slog.Logger
	// OnFull is called when a write has failed on a full disk, to free reserved space. The write is
	// then tried once more.
	OnFull func()
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

	mu       sync.Mutex // guards what follows, all segments, and where messages are
	segments []*segment // oldest first
	active   *segment   // is written to; nil: the next write makes one
	last     uint64     // number of the newest segment
	next     uint64     // number of the next message
	state    map[string][]byte
	written  int64      // bytes, of all segments
	buf      []byte     // of the write under way
	late     [][]byte   // operations that could not be written yet
	lateAt   time.Time  // the last try
	lateErr  error      // why it failed
	open     []*segment // with an open file, the longest open first
	damage   Damage
}

// maxOpen is how many segments are open at a time.
const maxOpen = 16

// Open opens the log in a directory, reads all of it, and locks it. Each says which messages it has,
// State its state, and Damage what could not be read.
func Open(o Options) (*Log, error) {
	l := &Log{dir: o.Dir, fs: o.FS, logger: o.Logger, onFull: o.OnFull, work: make(chan struct{}, 1)}
	lock, err := o.FS.Lock(o.Dir + "/" + lockName)
	if err != nil {
		return nil, fmt.Errorf("lock the data directory %s: %w", o.Dir, err)
	}
	l.lock = lock
	r := &replay{fs: o.FS, dir: o.Dir, state: map[string][]byte{}}
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

// writeLate writes what is late, and returns how much still is.
func (l *Log) writeLate() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.flushLate(true)
	return len(l.late)
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
		w.state = true
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

// Delete deletes messages, on disk within a second. It does not fail: what can't be written, on a
// full disk for example, is written later. Until then the end of the process brings the messages
// back.
func (l *Log) Delete(ms []*Message) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := make([]byte, 0, 6*len(ms))
	for _, m := range ms {
		if m.segment != nil {
			b = appendOp(b, opDelete, m.number())
			l.drop(m)
		}
	}
	l.lazy(b)
}

// drop takes a message out of its segment.
func (l *Log) drop(m *Message) {
	if m.segment != nil {
		m.segment.remove(m)
	}
}

// An Update is what changes when a message becomes visible again.
type Update struct {
	Message *Message
	At      int64
	First   int64
	Count   uint32
}

// Update changes messages, on disk within a second. It does not fail, as Delete.
func (l *Log) Update(us []Update) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var b []byte
	for _, u := range us {
		m := u.Message
		m.At, m.First, m.Count = u.At, u.First, u.Count
		if m.segment != nil {
			b = appendOp(b, opUpdate, m.number(), uint64(m.At), uint64(m.First), uint64(m.Count))
		}
	}
	l.lazy(b)
}

const (
	// maxLate is the size of the pieces in which operations are written that were late.
	maxLate = 1 << 20
	// lateEvery is how often it is tried.
	lateEvery = time.Second
)

// lazy writes operations now, or later if that fails. It is called with mu held.
func (l *Log) lazy(ops []byte) {
	if len(ops) == 0 {
		return
	}
	if n := len(l.late); n > 0 && len(l.late[n-1])+len(ops) <= maxLate {
		l.late[n-1] = append(l.late[n-1], ops...)
	} else {
		l.late = append(l.late, ops)
	}
	l.flushLate(false)
	l.Wake()
}

// flushLate writes what is late, unless it failed in the last second and now is false. It is called
// with mu held.
func (l *Log) flushLate(now bool) {
	if len(l.late) == 0 || !now && time.Since(l.lateAt) < lateEvery {
		return
	}
	w, err := l.begin()
	if err == nil {
		err = w.end()
	}
	if l.lateErr = err; err != nil {
		l.lateAt = time.Now()
	}
}

// Late returns why operations of Delete and Update could not be written yet, or nil.
func (l *Log) Late() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.late) == 0 {
		return nil
	}
	return l.lateErr
}

// write is a write under way. Between begin and end the log's mu is held.
type write struct {
	l     *Log
	next  uint64 // l.next before
	late  int    // how much of l.late is in it
	puts  []put
	taken []*Message // replaced
	state bool       // it has more than messages and what changes them
}

// put is a message whose frame is at an offset in l.buf.
type put struct {
	m            *Message
	number       uint64
	offset, size int
}

func (l *Log) begin() (*write, error) {
	if err := l.Failure(); err != nil {
		return nil, err
	}
	if l.active == nil || l.active.size >= segmentBytes {
		if err := l.roll(); err != nil {
			return nil, err
		}
	}
	w := &write{l: l, next: l.next, late: len(l.late)}
	l.buf = l.buf[:0]
	for _, ops := range l.late {
		w.frame(func(b []byte) []byte { return append(b, ops...) })
	}
	return w, nil
}

// frame adds a frame, and returns its offset and size.
func (w *write) frame(data func([]byte) []byte) (offset, size int) {
	start := len(w.l.buf)
	w.l.buf = data(frame.Begin(w.l.buf))
	frame.Finish(w.l.buf, start, w.l.active.salt, int64(w.l.next))
	return start, len(w.l.buf) - start
}

func (w *write) put(m *Message, content []byte, replaces *Message) {
	number := w.l.next
	w.l.next++ // before the frame, whose stamp is the number of the next message
	offset, size := w.frame(func(b []byte) []byte {
		b = appendPut(b, number, m, content)
		if replaces != nil && replaces.segment != nil {
			b = appendOp(b, opDelete, replaces.number())
			w.taken = append(w.taken, replaces)
		}
		return b
	})
	w.puts = append(w.puts, put{m, number, offset, size})
}

// end writes the frames. After an error none of them is in the log.
func (w *write) end() error {
	l, s := w.l, w.l.active
	err := l.writeAt(s, l.buf)
	if err != nil {
		l.next = w.next
		return fmt.Errorf("write to the queues' store: %w", err)
	}
	for _, m := range w.taken {
		l.drop(m)
	}
	for _, p := range w.puts {
		s.add(p.m, p.number, s.size+int64(p.offset), p.size)
	}
	if len(w.puts) > 0 || len(s.messages) > 0 {
		s.mixed = s.mixed || w.state
	} else {
		s.head = s.size + int64(len(l.buf))
	}
	s.size += int64(len(l.buf))
	l.written += int64(len(l.buf))
	l.late = l.late[w.late:]
	l.lateErr = nil
	if cap(l.buf) > maxFrameBytes {
		l.buf = nil
	}
	return nil
}

// writeAt writes to the end of a segment. After an error the segment is as before, and the next
// write makes another: one that is too large for a limit of the process, for example, stays as it
// is.
func (l *Log) writeAt(s *segment, b []byte) error {
	_, err := s.file.WriteAt(b, s.size)
	if errors.Is(err, syscall.ENOSPC) {
		l.onFull()
		_, err = s.file.WriteAt(b, s.size)
	}
	if err == nil {
		return nil
	}
	if undo := s.file.Truncate(s.size); undo != nil {
		return l.fail(fmt.Errorf("%w; and what was written can't be undone: %w", err, undo))
	}
	if undo := s.file.Sync(); undo != nil {
		return l.fail(fmt.Errorf("%w; and sync: %w", err, undo))
	}
	l.synced.Store(l.written)
	l.active = nil
	return err
}

// roll makes the next segment, which begins with the state, and ends the one before. It is called
// with mu held.
func (l *Log) roll() error {
	s := &segment{number: l.last + 1, salt: rand.Uint32(), first: l.next}
	s.path = segmentPath(l.dir, s.number, s.salt)
	// What is in the files before is on disk first: the numbers of the new one build on it.
	if err := l.syncLast(); err != nil {
		return err
	}
	f, err := l.create(s)
	if err != nil {
		return fmt.Errorf("make a file of the queues' store: %w", err)
	}
	s.file = f
	l.last = s.number
	l.segments = append(l.segments, s)
	l.active = s
	l.opened(s)
	if err := l.writeEnd(false); err != nil {
		l.logger.Warn("can't write which file of the queues' store is the newest", "error", err)
	}
	return nil
}

// syncLast syncs the newest segment, which an earlier process may have left in the system's memory. It
// is called with mu held.
func (l *Log) syncLast() error {
	if l.active != nil {
		if err := l.active.file.Sync(); err != nil {
			return l.fail(fmt.Errorf("sync: %w", err))
		}
		l.synced.Store(l.written)
		return nil
	}
	if len(l.segments) == 0 {
		return nil
	}
	last := l.segments[len(l.segments)-1]
	f, err := l.use(last)
	if err == nil {
		err = f.Sync()
		last.users--
	}
	if err != nil { // some systems can't sync a file that is open for reading
		l.logger.Warn("can't sync a file of the queues' store of an earlier process", "file", last.path, "error", err)
	}
	return nil
}

// create makes the file of a segment, which is on disk when it returns.
func (l *Log) create(s *segment) (File, error) {
	f, err := l.fs.Create(s.path)
	if errors.Is(err, syscall.ENOSPC) {
		l.onFull()
		f, err = l.fs.Create(s.path)
	}
	if err != nil {
		return nil, err
	}
	b := l.firstFrames(s)
	_, err = f.WriteAt(b, 0)
	if errors.Is(err, syscall.ENOSPC) {
		l.onFull()
		_, err = f.WriteAt(b, 0)
	}
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = l.fs.SyncDir(l.dir)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close(), l.fs.Remove(s.path))
	}
	s.size, s.head = int64(len(b)), int64(len(b))
	return f, nil
}

// firstFrames are the headers and the frames with which a segment begins.
func (l *Log) firstFrames(s *segment) []byte {
	b := frame.AppendHeaders(nil, s.salt, time.Now().UnixNano())
	add := func(data []byte) {
		b = frame.Append(b, s.salt, int64(s.first), frame.Checksum(s.salt, data), data)
	}
	oldest := s
	if len(l.segments) > 0 {
		oldest = l.segments[0]
	}
	for range 2 { // so that no single damage costs them
		add(appendOp(nil, opBegin, s.number, oldest.number, oldest.first))
		for _, key := range slices.Sorted(maps.Keys(l.state)) {
			add(appendState(nil, key, l.state[key]))
		}
	}
	return b
}

// opened adds a segment to those that are open, and closes the one that was opened first if there
// are too many. It is called with mu held.
func (l *Log) opened(s *segment) {
	l.open = append(l.open, s)
	for i := 0; len(l.open) > maxOpen && i < len(l.open); {
		o := l.open[i]
		if o.users > 0 || o == l.active || o == s {
			i++
			continue
		}
		l.close(o)
	}
}

// close closes the file of a segment. It is called with mu held.
func (l *Log) close(s *segment) {
	if s.file == nil {
		return
	}
	if err := s.file.Close(); err != nil {
		l.logger.Warn("a file of the queues' store could not be closed", "file", s.path, "error", err)
	}
	s.file = nil
	l.open = slices.DeleteFunc(l.open, func(o *segment) bool { return o == s })
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

// Unsynced reports whether there are writes that are not on disk, or late.
func (l *Log) Unsynced() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.synced.Load() < l.written || len(l.late) > 0
}

// Flush writes what was late and syncs what was not synced.
func (l *Log) Flush() error {
	l.mu.Lock()
	l.flushLate(false)
	l.mu.Unlock()
	if l.Failure() != nil || !l.Unsynced() {
		return nil
	}
	return l.Sync()
}

// Content is the content of a message, or why there is none.
type Content struct {
	Data []byte
	Err  error // ErrGone, ErrDamaged, or that of reading the file
}

// maxRead is how much is read at once of messages that are next to each other.
const maxRead = 256 << 10

// Read returns the contents of messages.
func (l *Log) Read(ms []*Message) []Content {
	out := make([]Content, len(ms))
	for i := 0; i < len(ms); {
		i += l.readRun(ms[i:], out[i:])
	}
	return out
}

// readRun reads the first of ms and those after it that are next to it in its file. It returns how
// many.
func (l *Log) readRun(ms []*Message, out []Content) int {
	l.mu.Lock()
	s := ms[0].segment
	if s == nil {
		out[0].Err = ErrGone
		if ms[0].size == lostSize {
			out[0].Err = ErrDamaged
		}
		l.mu.Unlock()
		return 1
	}
	offset, n, size := int64(ms[0].offset), 0, 0
	var sizes []int // a copy of the message may have another
	for n < len(ms) && ms[n].segment == s && int64(ms[n].offset) == offset+int64(size) &&
		(n == 0 || size+int(ms[n].size) <= maxRead) {
		size += int(ms[n].size)
		sizes = append(sizes, int(ms[n].size))
		n++
	}
	f, err := l.use(s)
	l.mu.Unlock()
	if err != nil {
		for i := range n {
			out[i].Err = fmt.Errorf("read from the queues' store: %w", err)
		}
		return n
	}
	b := make([]byte, size)
	got, err := f.ReadAt(b, offset)
	if errors.Is(err, io.EOF) {
		err = nil // the frames that are missing are damaged
	}
	l.unuse(s)
	b = b[:got]
	for i := range n {
		if err != nil {
			out[i].Err = fmt.Errorf("read from the queues' store: %w", err)
			continue
		}
		out[i].Data, out[i].Err = contentOf(b, s.salt)
		b = b[min(len(b), sizes[i]):]
	}
	return n
}

// contentOf returns the content of the message in the frame that b begins with.
func contentOf(b []byte, salt uint32) (content []byte, err error) {
	f, state := frame.Parse(b, salt, maxFrameBytes)
	if state != frame.Whole {
		return nil, ErrDamaged
	}
	err = parseOps(f.Data, func(o *op) {
		if o.kind == opPut {
			content = o.value
		}
	})
	return content, err
}

// use opens the file of a segment if it is not open, and prevents its closing until unuse. It is
// called with mu held.
func (l *Log) use(s *segment) (File, error) {
	if s.file == nil {
		f, err := l.fs.Open(s.path)
		if err != nil {
			return nil, err
		}
		s.file = f
		s.users++
		l.opened(s)
		s.users--
	}
	s.users++
	return s.file, nil
}

func (l *Log) unuse(s *segment) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s.users--
}

// lostSize is the size of a message whose content is lost.
const lostSize = 1<<32 - 1

// Lost takes a damaged message out and counts it.
func (l *Log) Lost(m *Message) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if m.segment != nil {
		l.loseDamaged(m)
	}
}

// loseDamaged is called with mu held.
func (l *Log) loseDamaged(m *Message) {
	s := m.segment
	l.damage.add(FileDamage{File: s.path, Offset: int64(m.offset), Bytes: int64(m.size), Messages: 1,
		What: "a message is not what was written"})
	l.logger.Error("a stored message is damaged and lost; check the disk", "file", s.path, "offset", m.offset)
	number := m.number()
	l.drop(m)
	m.size = lostSize
	l.lazy(appendOp(nil, opDelete, number))
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
