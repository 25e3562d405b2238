package sqs

import (
	"errors"
	"log/slog"
	"path"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spillwayhq/spillway/infra/local/sqs/store"
)

const (
	ballastName = "BALLAST"
	// ballastBytes is reserved for deletes, and for the copies that make space: of one file of the
	// store at a time.
	ballastBytes = 16 << 20
	// minFreeBytes is reserved for deletes of what was accepted before, and for other programs.
	minFreeBytes = 16 << 20
	// The free space is read again after this time, or after sends of this size, whichever is first:
	// minFreeBytes is enough for the time in between.
	probeEvery      = 100 * time.Millisecond
	probeEveryBytes = 4 << 20
)

// disk decides whether there is room for another message. A ballast file reserves space; when the
// disk is full, disk removes the file, so that deletes can still be written and make room. Sends
// are accepted again when the ballast file could be created again. It is safe for concurrent use.
type disk struct {
	fs       store.FS
	dir      string
	path     string // of the ballast file
	free     func() (uint64, error)
	minFree  uint64
	ballast  uint64
	log      *slog.Logger
	deadline atomic.Int64 // when to read the free space again, Unix nanoseconds
	written  atomic.Int64 // bytes of sends since it was read
	full     atomic.Bool
	left     atomic.Uint64 // free bytes when last read
	need     atomic.Uint64 // bytes that have to be free
	mu       sync.Mutex
	held     bool // the ballast file exists
	// noBallast says that it was logged that the ballast file can't be made.
	noBallast bool
}

// newDisk needs the defaults of Options.
func newDisk(o Options) *disk {
	d := &disk{
		fs: o.FS, dir: o.Dir, path: path.Join(o.Dir, ballastName), free: o.freeSpace,
		minFree: o.minFree, ballast: o.ballast, log: o.Logger,
	}
	size, err := o.FS.Size(d.path)
	d.held = err == nil
	if d.held && size > int64(d.ballast) {
		d.release() // of a version that reserved more
	}
	return d
}

// room returns nil, or the error of a send for which there is no room.
func (d *disk) room() error {
	if now := time.Now().UnixNano(); now >= d.deadline.Load() && d.mu.TryLock() {
		d.probe()
		d.written.Store(0)
		d.deadline.Store(now + int64(probeEvery))
		d.mu.Unlock()
	}
	if d.full.Load() {
		return errRefused("disk full: %d MB are free for %s, %d MB are needed; messages can be received and "+
			"deleted, sends are refused until there is room",
			d.left.Load()>>20, d.dir, (d.need.Load()+1<<20-1)>>20)
	}
	return nil
}

// wrote counts what sends have written.
func (d *disk) wrote(bytes int) {
	if d.written.Add(int64(bytes)) > probeEveryBytes {
		d.deadline.Store(0)
	}
}

// probe needs mu.
func (d *disk) probe() {
	free, err := d.free()
	if err != nil {
		// Not a reason to refuse sends: the write itself fails if the disk is full.
		d.log.Warn("can't read the free disk space", "error", err)
		return
	}
	d.left.Store(free)
	d.need.Store(d.minFree)
	if !d.held {
		d.need.Store(d.minFree + d.ballast)
	}
	switch {
	case d.held && free < d.minFree:
		if free < d.minFree/2 {
			d.release()
			d.left.Store(free + d.ballast)
			d.need.Store(d.minFree + d.ballast)
		}
		d.setFull(true)
	case d.held:
		d.setFull(false)
	case free >= d.minFree+d.ballast:
		d.setFull(d.create())
	default:
		d.setFull(true)
	}
}

func (d *disk) setFull(full bool) {
	if d.full.Swap(full) == full {
		return
	}
	if full {
		d.log.Error("disk full: sends are refused until there is room", "directory", d.dir)
	} else {
		d.log.Info("there is room on the disk again: sends are accepted")
	}
}

// onFull is called when a write failed on a full disk. The write is then retried once.
func (d *disk) onFull() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.release()
	d.need.Store(d.minFree + d.ballast)
	d.setFull(true)
	d.deadline.Store(0) // read the free space at the next send
}

// release needs mu.
func (d *disk) release() {
	if !d.held {
		return
	}
	d.held = false
	if err := d.fs.Remove(d.path); err != nil {
		d.log.Error("can't remove the ballast file", "error", err)
	}
}

// create makes the ballast file, and reports whether the disk is full. It needs mu.
func (d *disk) create() (full bool) {
	err := d.fs.Reserve(d.path, int64(d.ballast))
	d.held = err == nil
	full = errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
	if err != nil && !d.noBallast {
		// Where a file can't have that size (ulimit -f), sends go on without it.
		d.log.Warn("can't reserve space for deletes on a full disk", "file", d.path, "error", err)
		d.noBallast = true
	}
	return full
}

// freeSpace returns a function that reads the free space in dir. A file system that does not know it,
// like one in memory, has room.
func freeSpace(fs store.FS, dir string) func() (uint64, error) {
	return func() (uint64, error) {
		free, err := fs.Free(dir)
		if errors.Is(err, errors.ErrUnsupported) {
			return 1 << 62, nil
		}
		return free, err
	}
}
