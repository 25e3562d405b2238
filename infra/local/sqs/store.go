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

// The memory of the store is small, because a backlog should cost no memory: BenchmarkBacklog reports
// what it costs.
const (
	blockCacheBytes  = 8 << 20
	memTableBytes    = 8 << 20
	maxMemTables     = 3 // then writes wait for a flush
	maxOpenFiles     = 256
	targetTableBytes = 16 << 20
)

// store is Pebble without its fatal errors: after the first failed write nothing more is written or
// acknowledged, but the process continues and reports the error. It is safe for concurrent use.
type store struct {
	db       *pebble.DB
	lock     *pebble.Lock
	disk     *disk
	log      *slog.Logger
	broken   atomic.Pointer[error]
	failed   chan struct{} // closed when broken is set
	unsynced unsynced
	deleted  deletedBytes
}

func openStore(dir string, fs vfs.FS, d *disk, log *slog.Logger) (*store, error) {
	s := &store{disk: d, log: log, failed: make(chan struct{}), unsynced: unsynced{some: make(chan struct{}, 1)}}
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
				log.Warn("the queues' store could not flush or compact and retries", "error", err)
			},
			DataCorruption: func(i pebble.DataCorruptionInfo) {
				s.fail(fmt.Errorf("the queues' store is damaged: %s: %w", i.Path, i.Details))
			},
		},
	}
	// Messages are in files of their own, so that a compaction of the keys does not rewrite them: a
	// send takes over a quarter less CPU.
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
	if err := s.open(dir, o); err != nil {
		return nil, errors.Join(errDirectory("open the queues' store in", dir, err), lock.Close())
	}
	return s, nil
}

// open opens Pebble. Where Pebble can't continue, for example on a full disk, its goroutine does not
// return (see storeLogger), and the failure is the error.
func (s *store) open(dir string, o *pebble.Options) (err error) {
	opened := make(chan error, 1)
	go func() {
		db, err := pebble.Open(dir, o)
		s.db = db
		opened <- err
	}()
	select {
	case err := <-opened:
		return err
	case <-s.failed:
		return *s.broken.Load()
	}
}

func (s *store) close() error {
	if err := s.failure(); err != nil {
		// Pebble's own Close can wait forever for what failed. What was acknowledged is on disk.
		return err
	}
	if err := errors.Join(s.db.Close(), s.lock.Close()); err != nil {
		return fmt.Errorf("close the queues' store: %w", err)
	}
	return nil
}

// commit writes b and closes it. With o.Sync it returns when b is on disk. Without, the next sync
// includes b, at the latest the syncer's after syncWithin; until then the end of the process may undo
// it. After an error b may be missing after a restart, and nothing can be written before it.
func (s *store) commit(b *pebble.Batch, o *pebble.WriteOptions) (err error) {
	if err := s.failure(); err != nil {
		return err
	}
	defer s.survive(&err)
	before := s.unsynced.writes.Load()
	if err := s.db.Apply(b, o); err != nil {
		return fmt.Errorf("write to the queues' store: %w", err)
	}
	// Pebble reports a failed sync to the logger, not as an error.
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

// survive is deferred where Pebble may panic, which it does if the write-ahead log failed before or
// can't be created.
func (s *store) survive(err *error) {
	if p := recover(); p != nil {
		s.fail(fmt.Errorf("write to the queues' store: %v", p))
		*err = s.failure()
	}
}

// get returns a copy of the value of key, nil if there is none.
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
		close(s.failed)
		s.log.Error("the queues' store has failed and accepts no more writes: restart the process", "error", err)
	}
}

func (s *store) failure() error {
	if p := s.broken.Load(); p != nil {
		return fmt.Errorf("the queues' store has failed, restart the process: %w", *p)
	}
	return nil
}

// storeLogger prevents Pebble from ending the process.
type storeLogger struct{ s *store }

func (storeLogger) Infof(string, ...any) {}

func (l storeLogger) Errorf(format string, args ...any) {
	l.s.log.Warn("queues' store: " + fmt.Sprintf(format, args...))
}

// Fatalf is called where Pebble can't continue.
func (l storeLogger) Fatalf(format string, args ...any) {
	l.s.fail(fmt.Errorf(format, args...))
	if format == "pebble: fatal commit error: %v" {
		return // in the goroutine of commit, which sees that the store has failed
	}
	// The caller is a goroutine of Pebble's that expects no return. If it continued it could damage
	// the store.
	select {}
}
