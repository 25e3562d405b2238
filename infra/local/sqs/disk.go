package sqs

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

const (
	ballastName = "BALLAST"
	// ballastBytes is kept back for deletes: tombstones and the compactions
	// that free space need space themselves.
	ballastBytes = 64 << 20
	// minFreeBytes is left over for flushes and compactions of what was
	// accepted already: some memtables and one compaction.
	minFreeBytes = 64 << 20
	// The file system is asked again after this time, or this much of sends,
	// whatever is first: minFreeBytes covers what may happen in between.
	probeEvery      = 100 * time.Millisecond
	probeEveryBytes = 8 << 20
)

// disk decides whether there is room for another message. While there is, it
// holds a ballast file; on a disk that is full all the same the file is
// removed, so that deletes can be written and make room. Sends are taken again
// when the ballast could be put back.
type disk struct {
	fs       vfs.FS
	dir      string
	path     string // of the ballast file
	free     func() (uint64, error)
	minFree  uint64
	ballast  uint64
	log      *slog.Logger
	deadline atomic.Int64 // of the last answer, Unix nanoseconds
	written  atomic.Int64 // since then
	full     atomic.Bool
	left     atomic.Uint64 // bytes that were free when it was last asked
	need     atomic.Uint64 // bytes that had to be
	mu       sync.Mutex
	held     bool // the ballast file is there
}

// room returns nil or the error that a send is refused with.
func (d *disk) room() error {
	if now := time.Now().UnixNano(); now >= d.deadline.Load() && d.mu.TryLock() {
		d.probe()
		d.written.Store(0)
		d.deadline.Store(now + int64(probeEvery))
		d.mu.Unlock()
	}
	if d.full.Load() {
		return errUnavailable("disk full: %d MB are free for %s and %d MB are needed; messages can be received and "+
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
		// A probe that fails is no reason to refuse: the write itself will tell.
		d.log.Warn("can't find out the free disk space", "error", err)
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
		if err := d.create(); err != nil {
			d.log.Warn("can't put the ballast file back", "error", err)
			d.setFull(true)
			return
		}
		d.setFull(false)
	default:
		d.setFull(true)
	}
}

func (d *disk) setFull(full bool) {
	if d.full.Swap(full) == full {
		return
	}
	if full {
		d.log.Error("disk full: sends are refused until messages are deleted or space is made", "directory", d.dir)
	} else {
		d.log.Info("there is room on the disk again: sends are accepted")
	}
}

// onFull is called when a write met a full disk, which is then tried once more.
func (d *disk) onFull() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.release()
	d.need.Store(d.minFree + d.ballast)
	d.setFull(true)
	d.deadline.Store(0) // ask at the next send how much there is
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

// create needs mu.
func (d *disk) create() (err error) {
	f, err := d.fs.Create(d.path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return fmt.Errorf("create the ballast file: %w", err)
	}
	defer func() {
		err = errors.Join(err, f.Close())
		if err != nil {
			_ = d.fs.Remove(d.path) // half a ballast is none
		} else {
			d.held = true
		}
	}()
	if err := f.Preallocate(0, int64(d.ballast)); err != nil {
		return fmt.Errorf("reserve %d MB for the ballast file: %w", d.ballast>>20, err)
	}
	return nil
}

// freeSpace asks fs for the space that is free to us in dir. A file system
// that can't say, like one in memory, has room.
func freeSpace(fs vfs.FS, dir string) func() (uint64, error) {
	return func() (uint64, error) {
		u, err := fs.GetDiskUsage(dir)
		if errors.Is(err, vfs.ErrUnsupported) {
			return 1 << 62, nil
		}
		return u.AvailBytes, err
	}
}
