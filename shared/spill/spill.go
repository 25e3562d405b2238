// Package spill is a bounded log of records on disk: a program appends what it can't send now and
// reads it again in order, and the log deletes the records that are done.
//
// It exists because an API must neither wait for a queue that is down nor lose what it wanted to
// send. What write(2) has written survives kill -9, what was synced survives a power cut, and
// concurrent callers share both calls. It does not use a database, which would index and compact
// records that are read only once, in order. The log consists of files, the segments: records are
// appended to the last one and read from the first, and a segment is removed as a whole when all of
// its records are done.
//
// The next process takes over what a process left: after Close the records that were not done and
// the rest of their segments; after kill -9 also records that were done in the last second or so,
// or that share a segment with others that were not, usually 4 MiB. So a record should have an
// identity by which its receiver recognises a repetition. A record cut short by a crash, or changed
// by a faulty disk, is counted, logged and skipped; the records around it are not lost.
package spill

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"time"

	"github.com/spillwayhq/spillway/shared/diskdir"
)

const (
	// DefaultMaxBytes is the MaxBytes of Options that do not set it.
	DefaultMaxBytes = 1 << 30
	// MaxRecordBytes is the size of the largest record. A full SQS message has 1 MiB.
	MaxRecordBytes = 4 << 20
	// settleAge is the age from which on a segment is ended or removed before it is full, because
	// all or most of its records are done.
	settleAge = time.Second
	// maxSegmentBytes is small, because a crash brings back whole segments, and large enough that
	// making and removing files (about 50 µs) costs nothing compared with writing them (about 2
	// ms).
	maxSegmentBytes = 4 << 20
)

var (
	// ErrFull says that the log has reached MaxBytes. It takes records again when older ones are
	// done.
	ErrFull = errors.New("the log has reached its MaxBytes")
	// ErrTooLarge says that a record is larger than MaxRecordBytes, or a call larger than MaxBytes.
	ErrTooLarge = errors.New("too large for the log")
	// ErrLocked says that another process, or another Log of this one, has the directory open.
	ErrLocked = diskdir.ErrLocked
	// ErrClosed says that the log was closed.
	ErrClosed = errors.New("the log is closed")
)

// Options say where the log is and how much it may hold.
type Options struct {
	Dir          string // made if it does not exist; for one process at a time
	MaxBytes     int64  // of all segments on disk; DefaultMaxBytes if 0
	SegmentBytes int64  // the size at which a segment is ended; if 0, MaxBytes/64, at most 4 MiB
	Sync         bool   // Append returns when the records survive a power cut, and not only kill -9
	Logger       *slog.Logger

	FS FS // for tests; nil: the operating system's
}

// A Log is safe for concurrent use. Concurrent calls of Read and Next wait for each other. It has
// no goroutine, except for a moment at times when it is idle.
type Log struct {
	dir    string
	store  *store
	writer writer
	reader reader
	lock   io.Closer
}

// Stats describes what the log holds now, and what it could not read since Open.
type Stats struct {
	Bytes    int64     // on disk, including done records in segments that have others
	Records  int       // appended and not done; of those of an earlier process, only the ones read
	Unread   int64     // bytes not yet handed out
	Segments int       // files
	Oldest   time.Time // when the oldest record that is not done was appended, or earlier; zero: none

	Corrupt      int   // damaged stretches that were skipped, each of one or more records
	CorruptBytes int64 // in them
	// Torn are the segments of a killed process that end within a record. Append had not returned
	// for it, except before a power cut without Sync.
	Torn     int
	SetAside int // files that can't be read and were left in place; the log names them
}

// Open opens the log in a directory, with the records that an earlier process left, and locks it.
// It reads only the header of each file, so the log's size does not matter.
func Open(o Options) (*Log, error) {
	if o.MaxBytes == 0 {
		o.MaxBytes = DefaultMaxBytes
	}
	if o.SegmentBytes == 0 {
		o.SegmentBytes = min(maxSegmentBytes, max(o.MaxBytes/64, 1))
	}
	switch {
	case o.Dir == "":
		return nil, errors.New("open the spill log: Dir must be a directory, is empty")
	case o.MaxBytes < 0:
		return nil, fmt.Errorf("open the spill log in %s: MaxBytes must be at least 0, is %d", o.Dir, o.MaxBytes)
	case o.SegmentBytes < 0 || o.SegmentBytes > o.MaxBytes/4:
		return nil, fmt.Errorf("open the spill log in %s: SegmentBytes must be at most a quarter of MaxBytes, %d, is %d",
			o.Dir, o.MaxBytes/4, o.SegmentBytes)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.FS == nil {
		o.FS = osFS{}
	}
	if err := makeDir(o.FS, o.Dir, o.Sync); err != nil {
		return nil, fmt.Errorf("open the spill log: make its directory: %w", err)
	}
	lock, err := o.FS.Lock(filepath.Join(o.Dir, "lock"))
	if err != nil {
		return nil, fmt.Errorf("open the spill log in %s: %w", o.Dir, err)
	}
	s := &store{
		opts: o, log: o.Logger, salt: rand.Uint32(), dropAt: o.SegmentBytes / 64,
		closed: make(chan struct{}), more: make(chan struct{}, 1),
	}
	if err := s.load(); err != nil {
		lock.Close()
		return nil, fmt.Errorf("open the spill log in %s: %w", o.Dir, err)
	}
	return &Log{dir: o.Dir, store: s, writer: writer{store: s}, reader: reader{store: s}, lock: lock}, nil
}

// Append writes records. When it returns nil, they survive the end of the process, or with
// Options.Sync a power cut. After an error none of them is in the log, and the log can be used as
// before. The error is ErrFull, ErrTooLarge, ErrClosed, or that of a write, such as a full disk.
// (When the process is killed during a call, the first of its records may be in the log; so may
// those of a failed write that could not be undone.) Append copies the records. Calls at the same
// time share writes and syncs. Append waits only for the disk.
func (l *Log) Append(records ...[]byte) error {
	return l.AppendTagged(nil, records...)
}

// AppendTagged is Append for records with tags: a record that this process reads again has the tag
// with its index as its Tag. Tags are only in memory. nil: none of the records has one; otherwise
// there must be as many tags as records.
func (l *Log) AppendTagged(tags []any, records ...[]byte) error {
	if len(records) == 0 {
		return nil
	}
	if err := l.writer.append(records, tags); err != nil {
		return fmt.Errorf("append to the spill log in %s: %w", l.dir, err)
	}
	return nil
}

// Next waits for the oldest record that was not handed out, and returns it. It returns the
// context's error or ErrClosed if that comes first.
func (l *Log) Next(ctx context.Context) (Record, error) {
	var one [1]Record
	_, err := l.Read(ctx, one[:])
	return one[0], err
}

// Read waits for one record like Next, and then reads as many more as there are, up to len(into).
// It returns how many it put into into.
func (l *Log) Read(ctx context.Context, into []Record) (int, error) {
	if len(into) == 0 {
		return 0, nil
	}
	return l.reader.read(ctx, into)
}

// Done marks records that need not be handed out again. It may be called in any order, and more
// than once for a record. When all records of a segment are done, its file is deleted. After Close
// it does nothing.
func (l *Log) Done(records ...Record) { l.store.done(records) }

// Stats returns the current counts, also after Close.
func (l *Log) Stats() Stats { return l.store.stats() }

// Close waits for calls of Append and unlocks the directory. The next Open hands out the records
// that are not done. Close does not sync.
func (l *Log) Close() error {
	if !l.store.close() {
		return nil
	}
	l.writer.mu.Lock()
	defer l.writer.mu.Unlock()
	l.reader.mu.Lock()
	defer l.reader.mu.Unlock()
	if err := errors.Join(l.store.release(), l.lock.Close()); err != nil {
		return fmt.Errorf("close the spill log in %s: %w", l.dir, err)
	}
	return nil
}
