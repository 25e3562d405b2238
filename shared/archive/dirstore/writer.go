package dirstore

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/spillwayhq/spillway/shared/archive"
	"github.com/spillwayhq/spillway/shared/diskdir"
)

const (
	// maxObject is the size at which a new object is begun: one of the archive's events of 1 KB has
	// some 40,000. What is being written has no index, and is read as a whole by who looks for one.
	maxObject = 8 << 20
	// minObject is the least, where the whole archive is bounded to little.
	minObject = 256 << 10
	// nameFormat begins an object's name, so that names sort by time.
	nameFormat = "2006-01-02T15-04-05.000Z"
)

// Options are a Writer's. The zero value bounds nothing.
type Options struct {
	MaxAge   time.Duration // objects whose records are all older are removed; 0: never
	MaxBytes int64         // of all objects and indexes: the oldest are removed; at least 1 MiB; 0: no bound
	Log      *slog.Logger  // says what is removed; nil: nobody
}

// A Writer appends to the archive in a directory. It implements archive.Appender, and is safe for
// concurrent use. One process at a time has one.
type Writer struct {
	store   *Store
	options Options
	lock    io.Closer
	turn    chan struct{} // held by whoever writes; what follows down to mu belongs to them

	file *os.File // nil: none is begun
	info fs.FileInfo
	name string // of the object
	hour string // its folder
	size int64  // up to the end of the last frame that is synced
	buf  []byte

	mu      sync.Mutex
	pending []*put
	closed  bool
	toIndex []archive.Object
	stats   Stats

	wake    chan struct{}
	closing chan struct{}
	done    sync.WaitGroup
	disk    disk
}

// disk is what tests make fail.
type disk struct {
	writeAt func(f *os.File, b []byte, offset int64) (int, error)
	sync    func(*os.File) error
}

// put is a Put that waits for the disk.
type put struct {
	frames []archive.Frame
	done   chan error
}

// OpenWriter returns the Writer of a directory, which it makes if it does not exist. The error
// wraps diskdir.ErrLocked if another process has one. [Writer.Close] must release it.
func OpenWriter(dir string, options Options) (*Writer, error) {
	if options.MaxBytes != 0 && options.MaxBytes < 1<<20 {
		return nil, fmt.Errorf("the archive's size must be at least 1 MiB, is %d bytes", options.MaxBytes)
	}
	if options.Log == nil {
		options.Log = slog.New(slog.DiscardHandler)
	}
	w := &Writer{
		store: Open(dir), options: options, turn: make(chan struct{}, 1), wake: make(chan struct{}, 1),
		closing: make(chan struct{}), disk: disk{(*os.File).WriteAt, (*os.File).Sync},
	}
	err := diskdir.Make(dir)
	if err == nil {
		w.lock, err = diskdir.Lock(filepath.Join(dir, writerName))
	}
	if err != nil {
		return nil, fmt.Errorf("open the archive in %s: %w", dir, err)
	}
	if err := w.recover(); err != nil {
		w.lock.Close()
		return nil, fmt.Errorf("open the archive in %s: %w", dir, err)
	}
	w.prune()
	w.done.Go(w.maintain)
	return w, nil
}

// Store returns the store that the Writer writes to.
func (w *Writer) Store() *Store { return w.store }

// Put appends frames, and returns once they are on the disk: see archive.Appender. Concurrent ones
// share an fsync.
func (w *Writer) Put(ctx context.Context, frames []archive.Frame) error {
	p := &put{done: make(chan error, 1)}
	failed := map[int]error{}
	for i, f := range frames {
		if n := len(f.Data); n == 0 || n > archive.MaxFrameBytes {
			failed[i] = fmt.Errorf("a frame must have 1 to %d bytes, has %d", archive.MaxFrameBytes, n)
			continue
		}
		p.frames = append(p.frames, f)
	}
	if len(p.frames) > 0 {
		if err := w.put(ctx, p); err != nil {
			return fmt.Errorf("archive to %s: %w", w.store.dir, err)
		}
	}
	if len(failed) > 0 {
		return &archive.PutError{Failed: failed, Frames: len(frames)}
	}
	return nil
}

func (w *Writer) put(ctx context.Context, p *put) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return fs.ErrClosed
	}
	w.pending = append(w.pending, p)
	w.mu.Unlock()
	select {
	case err := <-p.done: // another has written it
		return err
	case w.turn <- struct{}{}:
		w.commit()
		<-w.turn
		return <-p.done
	case <-ctx.Done():
		return ctx.Err()
	}
}

// commit writes what is pending, with one fsync. The caller has the turn.
func (w *Writer) commit() {
	w.mu.Lock()
	group := w.pending
	w.pending = nil
	w.mu.Unlock()
	if len(group) == 0 {
		return
	}
	w.buf = w.buf[:0]
	for _, p := range group {
		for _, f := range p.frames {
			w.buf = append(w.buf, f.Data...)
		}
	}
	err := w.store.locked(context.Background(), func() error { return w.append(w.buf, time.Now()) })
	for _, p := range group {
		p.done <- err
	}
	if cap(w.buf) > 4*maxObject {
		w.buf = nil
	}
}

// append appends data to the file of the hour, as a whole or not at all. The caller has the lock.
func (w *Writer) append(data []byte, now time.Time) error {
	if w.file != nil && !w.fits(now) {
		w.retire()
	}
	if w.file == nil {
		if err := w.begin(now); err != nil {
			return err
		}
	}
	if _, err := w.disk.writeAt(w.file, data, w.size); err != nil { // the disk is full, for instance
		if w.file.Truncate(w.size) != nil {
			w.retire() // which cuts off what is incomplete
		}
		return err
	}
	if err := w.disk.sync(w.file); err != nil {
		// What the disk did not take once is not written by a second sync: go on in another file.
		w.retire()
		return err
	}
	w.size += int64(len(data))
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stats.Bytes += int64(len(data))
	if w.options.MaxBytes > 0 && w.stats.Bytes > w.options.MaxBytes {
		w.wakeUp()
	}
	return nil
}

// fits reports whether the file is still the one to append to: somebody may have finished, replaced
// or removed it.
func (w *Writer) fits(now time.Time) bool {
	limit := int64(maxObject)
	if w.options.MaxBytes > 0 {
		limit = min(limit, max(minObject, w.options.MaxBytes/8))
	}
	info, err := os.Stat(w.store.path(w.name))
	return err == nil && os.SameFile(info, w.info) && !isFinished(info) && info.Size() == w.size && w.size < limit &&
		w.hour == now.UTC().Format(archive.HourFormat)
}

// begin makes a new file.
func (w *Writer) begin(now time.Time) error {
	now = now.UTC()
	hour := now.Format(archive.HourFormat)
	random := make([]byte, 4)
	for i := range random {
		random[i] = byte(rand.Uint32())
	}
	name := archive.Prefix + hour + "/" + now.Format(nameFormat) + "-" + hex.EncodeToString(random) + archive.Extension
	file := w.store.path(name)
	if err := diskdir.Make(filepath.Dir(file)); err != nil {
		return err
	}
	f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err = cmp.Or(err, diskdir.Sync(filepath.Dir(file))); err != nil {
		f.Close()
		os.Remove(file)
		return err
	}
	w.file, w.info, w.name, w.hour, w.size = f, info, name, hour, 0
	return nil
}

// retire closes the file and finishes the object. The caller has the turn and the lock.
func (w *Writer) retire() {
	if w.file == nil {
		return
	}
	same := false
	if info, err := os.Stat(w.store.path(w.name)); err == nil {
		same = os.SameFile(info, w.info)
	}
	w.file.Close()
	w.file = nil
	if same { // or somebody else's replacement is there
		w.finish(w.name)
	}
}

// finish finishes an object, of which the index is made afterwards. The caller has the lock.
func (w *Writer) finish(name string) {
	o, err := w.store.finish(name)
	switch {
	case errors.Is(err, archive.ErrNotFound):
		return
	case err == nil && o.Size == 0:
		err = w.store.remove(name)
	case err == nil:
		w.mu.Lock()
		w.toIndex = append(w.toIndex, o)
		w.mu.Unlock()
		w.wakeUp()
	}
	if err != nil { // the next Writer does it
		w.options.Log.Warn("finish an object of the archive", "object", name, "error", err)
	}
}

func (w *Writer) wakeUp() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// Close finishes what is being written and makes its index. Puts that are under way end first;
// later ones fail with fs.ErrClosed.
func (w *Writer) Close() error {
	w.mu.Lock()
	closed := w.closed
	w.closed = true
	w.mu.Unlock()
	if closed {
		return nil
	}
	w.turn <- struct{}{}
	w.commit()
	err := w.store.locked(context.Background(), func() error {
		w.retire()
		return nil
	})
	<-w.turn
	close(w.closing)
	w.done.Wait()
	if err = errors.Join(err, w.lock.Close()); err != nil {
		return fmt.Errorf("close the archive in %s: %w", w.store.dir, err)
	}
	return nil
}
