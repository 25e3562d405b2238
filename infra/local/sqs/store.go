package sqs

import (
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Memory of the store, kept small because the backlog is to cost none:
// BenchmarkBacklog reports what it does cost.
const (
	blockCacheBytes  = 8 << 20
	memTableBytes    = 8 << 20
	maxMemTables     = 3 // then writes wait for a flush
	maxOpenFiles     = 256
	targetTableBytes = 16 << 20
)

// store is Pebble with errors that can be survived: after the first write that
// failed nothing more is written or acknowledged, and the process lives on to
// say so. It may be used by many goroutines at once.
type store struct {
	db       *pebble.DB
	lock     *pebble.Lock
	disk     *disk
	log      *slog.Logger
	broken   atomic.Pointer[error]
	unsynced unsynced
	garbage  deletedBytes
}

func openStore(dir string, fs vfs.FS, d *disk, log *slog.Logger) (*store, error) {
	s := &store{disk: d, log: log, unsynced: unsynced{some: make(chan struct{}, 1)}}
	lock, err := pebble.LockDirectory(dir, fs)
	if err != nil {
		return nil, errLock(dir, err)
	}
	s.lock = lock
	cache := pebble.NewCache(blockCacheBytes)
	defer cache.Unref()
	o := &pebble.Options{
		FS:                          vfs.OnDiskFull(fs, d.onFull),
		Lock:                        lock,
		Cache:                       cache,
		FormatMajorVersion:          pebble.FormatNewest,
		MemTableSize:                memTableBytes,
		MemTableStopWritesThreshold: maxMemTables,
		MaxOpenFiles:                maxOpenFiles,
		Logger:                      storeLogger{s},
		EventListener: &pebble.EventListener{
			BackgroundError: func(err error) {
				log.Warn("the queues' store could not flush or compact; it tries again", "error", err)
			},
			DataCorruption: func(i pebble.DataCorruptionInfo) {
				s.fail(fmt.Errorf("the queues' store is damaged: %s: %w", i.Path, i.Details))
			},
		},
	}
	// Messages stand in files of their own, so that a compaction of the keys
	// does not rewrite them: it takes over a quarter off the CPU of a send.
	o.Experimental.ValueSeparationPolicy = func() pebble.ValueSeparationPolicy {
		return pebble.ValueSeparationPolicy{
			Enabled: true, MinimumSize: 256, MaxBlobReferenceDepth: 10,
			RewriteMinimumAge: time.Minute, TargetGarbageRatio: 0.5,
		}
	}
	o.L0CompactionThreshold = 4
	for i := range o.TargetFileSizes {
		o.TargetFileSizes[i] = targetTableBytes
	}
	o.ApplyCompressionSettings(func() pebble.DBCompressionSettings { return pebble.DBCompressionFastest })
	if s.db, err = pebble.Open(dir, o); err != nil {
		return nil, errors.Join(errDirectory("open the queues' store in", dir, err), lock.Close())
	}
	return s, nil
}

func (s *store) close() error {
	if err := s.failure(); err != nil {
		// Pebble's own Close can wait forever for what failed. What was
		// acknowledged is on disk, and the process is about to end.
		return err
	}
	if err := errors.Join(s.db.Close(), s.lock.Close()); err != nil {
		return fmt.Errorf("close the queues' store: %w", err)
	}
	return nil
}

// commit writes b and closes it: durably, or else synced by whatever is synced
// next, at the latest by the syncer after syncWithin. Until then the end of the
// process may undo it.
// An error means that b may not be there after a restart, and that nothing can
// be written until then.
func (s *store) commit(b *pebble.Batch, o *pebble.WriteOptions) (err error) {
	if err := s.failure(); err != nil {
		return err
	}
	defer s.survive(&err)
	before := s.unsynced.writes.Load()
	if err := s.db.Apply(b, o); err != nil {
		return fmt.Errorf("write to the queues' store: %w", err)
	}
	// A failed sync comes through the logger, not as an error.
	if err := s.failure(); err != nil {
		return err
	}
	if o.Sync {
		s.unsynced.cover(before)
	} else {
		s.unsynced.add()
	}
	return b.Close()
}

// survive is deferred where Pebble may panic, which it does where the
// write-ahead log has failed before or can't be made.
func (s *store) survive(err *error) {
	if p := recover(); p != nil {
		s.fail(fmt.Errorf("write to the queues' store: %v", p))
		*err = s.failure()
	}
}

// get reads the value of key; nil: there is none.
func (s *store) get(key []byte) ([]byte, error) {
	v, closer, err := s.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read from the queues' store: %w", err)
	}
	defer closer.Close()
	return append(make([]byte, 0, len(v)), v...), nil
}

func (s *store) fail(err error) {
	if s.broken.CompareAndSwap(nil, &err) {
		s.log.Error("the queues' store has failed and takes no more writes; end the process and start it again", "error", err)
	}
}

func (s *store) failure() error {
	if p := s.broken.Load(); p != nil {
		return fmt.Errorf("the queues' store has failed, start the process again: %w", *p)
	}
	return nil
}

// storeLogger keeps Pebble from ending the process.
type storeLogger struct{ s *store }

func (storeLogger) Infof(string, ...any) {}

func (l storeLogger) Errorf(format string, args ...any) {
	l.s.log.Warn("queues' store: " + fmt.Sprintf(format, args...))
}

// Fatalf is called where Pebble can't go on.
func (l storeLogger) Fatalf(format string, args ...any) {
	l.s.fail(fmt.Errorf(format, args...))
	if format == "pebble: fatal commit error: %v" {
		return // in the goroutine of commit, which sees that the store has failed
	}
	// Whoever called counts on never coming back, and to let it go on could
	// damage what is there. It is a goroutine of Pebble's own.
	select {}
}
