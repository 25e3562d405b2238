// Package spill is a bounded log of records on disk: what a publisher can't send now is appended,
// read again in order, and deleted once it has been sent.
//
// It exists because an API must neither wait for a queue that is away nor lose what it wanted to
// send. A write(2) that has returned survives kill -9, a sync survives a power cut, and either
// costs little when those who write at the same time share it; a database would index, compact and
// keep what is only ever read once, in order. So it is files: segments that are written at the end,
// read from the front, and removed as a whole when each of their records is done.
//
// What a process left behind is taken up by the next one. After Close that is what was not done,
// and the rest of its segments; after kill -9 it may also be what was done in the last second or
// so, and beside records that wait: 4 MiB in the usual case. Records should therefore carry an
// identity that tells a repetition. A frame cut short by a crash, or bytes that a disk has changed,
// are counted, logged and skipped; the records around them stay.
package spill

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"time"
)

const (
	// DefaultMaxBytes bounds the disk that is used if Options does not say.
	DefaultMaxBytes = 1 << 30
	// MaxRecordBytes is the largest record. A full SQS message has 1 MiB.
	MaxRecordBytes = 4 << 20
	// settle is the age from which a segment is ended or removed when it could be larger but is
	// done with, in part or as a whole.
	settle = time.Second
	// maxSegmentBytes is small, because a segment that is not done with is handed out again as a
	// whole after a crash, and large enough that making and removing files (about 50 µs) costs
	// nothing beside writing them (about 2 ms).
	maxSegmentBytes = 4 << 20
)

var (
	// ErrFull says that the log has reached MaxBytes. It takes records again when older ones are
	// done.
	ErrFull = errors.New("the log has reached its MaxBytes")
	// ErrTooLarge says that a record is larger than MaxRecordBytes, or a call larger than the whole
	// log may be.
	ErrTooLarge = errors.New("too large for the log")
	// ErrLocked says that another process, or another Log of this one, has the directory open.
	ErrLocked = errors.New("in use by another process; give each process a directory of its own")
	// ErrClosed says that the log was closed.
	ErrClosed = errors.New("the log is closed")
)

// Options say where the log is and how much it may hold.
type Options struct {
	Dir          string // made if it is not there; of one process at a time
	MaxBytes     int64  // of all segments on disk; DefaultMaxBytes if 0
	SegmentBytes int64  // a segment is closed when it has reached this: 4 MiB if 0, or a 64th of MaxBytes if that is less
	Sync         bool   // Append returns when the records survive a power cut, and not only a kill -9
	Logger       *slog.Logger

	create func(path string) (file, error) // for tests
}

// file is what a segment needs of an *os.File.
type file interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Truncate(size int64) error
	Sync() error
}

// A Log is open from Open to Close. Append, Done and Stats may be called by many goroutines at the
// same time; Read and Next by one at a time, others wait. It has no goroutine of its own, but for a
// moment at times when it is idle.
type Log struct {
	opts   Options
	log    *slog.Logger
	lock   io.Closer
	salt   uint32
	dropAt int64 // a segment that is still written to is removed if all of it is done and it has this size
	closed chan struct{}
	more   chan struct{} // holds an item after an append

	writing sync.Mutex // held by the goroutine that writes
	reading sync.Mutex // held by the goroutine that reads
	next    reader     // guarded by reading

	mu       sync.Mutex  // guards what follows, and each segment
	pending  *batch      // takes records until its leader writes it
	spare    []byte      // memory for the next batch
	segments []*segment  // oldest first
	active   *segment    // is written to; nil before the first append
	current  *segment    // is read
	inWrite  bool        // the active segment is being written to
	number   uint64      // of the newest segment
	bytes    int64       // of all segments, and of what is about to be written
	timer    *time.Timer // for settle; nil: none runs
	faults   faults
}

// faults are counts of what could not be used.
type faults struct {
	corrupt, torn, setAside int
	corruptBytes            int64
}

// Stats is what the log holds now, and what it could not use since Open.
type Stats struct {
	Bytes    int64     // on disk, those of done records in segments that are not done with included
	Records  int       // appended and not done; of what an earlier process left, only those that have been read
	Unread   int64     // bytes not yet handed out
	Segments int       // files
	Oldest   time.Time // when the oldest record that is not done was appended, never too late; zero if there is none

	Corrupt      int   // damaged stretches that were skipped, each a record or more
	CorruptBytes int64 // in them
	// segments of a killed process that end in the middle of a record: no Append had accepted it,
	// but for a power cut without Sync
	Torn     int
	SetAside int // files that can't be read at all and were left in place; the log says which
}

var segmentName = regexp.MustCompile(`^([0-9a-f]{16})\.spill$`)

func segmentPath(dir string, number uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%016x.spill", number))
}

// Open takes up what the last process left in the directory, and locks it. It looks at each file's
// header only, and so takes a moment however much there is.
func Open(o Options) (*Log, error) {
	if o.MaxBytes == 0 {
		o.MaxBytes = DefaultMaxBytes
	}
	if o.SegmentBytes == 0 {
		o.SegmentBytes = min(maxSegmentBytes, max(o.MaxBytes/64, 1))
	}
	switch {
	case o.Dir == "":
		return nil, errors.New("open the spill log: no directory given")
	case o.MaxBytes < 0 || o.SegmentBytes < 0 || o.SegmentBytes > o.MaxBytes/4:
		return nil, fmt.Errorf("open the spill log in %s: segments of %d bytes do not go with %d bytes in all: at least "+
			"four must fit",
			o.Dir, o.SegmentBytes, o.MaxBytes)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.create == nil {
		o.create = func(path string) (file, error) { return os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600) }
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("open the spill log: make its directory: %w", err)
	}
	lock, err := lockFile(filepath.Join(o.Dir, "lock"))
	if err != nil {
		return nil, fmt.Errorf("open the spill log in %s: %w", o.Dir, err)
	}
	l := &Log{
		opts: o, log: o.Logger, lock: lock, salt: rand.Uint32(), dropAt: o.SegmentBytes / 64,
		closed: make(chan struct{}), more: make(chan struct{}, 1),
	}
	if err := l.takeUp(); err != nil {
		lock.Close()
		return nil, fmt.Errorf("open the spill log in %s: %w", o.Dir, err)
	}
	return l, nil
}

// takeUp finds the segments that are there.
func (l *Log) takeUp() error {
	entries, err := os.ReadDir(l.opts.Dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := segmentName.FindStringSubmatch(e.Name())
		if name == nil {
			continue
		}
		number, err := strconv.ParseUint(name[1], 16, 64)
		if err != nil {
			return err // can't be: the pattern has 16 digits
		}
		l.number = max(l.number, number)
		if err := l.takeUpSegment(number); err != nil {
			l.faults.setAside++
			l.log.Error("a segment of the spill log can't be read; it stays where it is and takes its room: move it away to "+
				"have that back",
				"file", segmentPath(l.opts.Dir, number), "error", err)
		}
	}
	slices.SortFunc(l.segments, func(a, b *segment) int { return cmp.Compare(a.number, b.number) })
	return nil
}

func (l *Log) takeUpSegment(number uint64) error {
	path := segmentPath(l.opts.Dir, number)
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Size() < headersBytes { // the process was killed when it made the file: it holds nothing
		l.faults.torn++
		f.Close()
		return os.Remove(path)
	}
	l.bytes += info.Size()
	var b [headersBytes]byte
	if _, err := f.ReadAt(b[:], 0); err != nil {
		return err
	}
	h, ok := parseHeaders(b[:])
	switch {
	case !ok:
		return errors.New("both copies of its header are damaged")
	case h.version != version:
		return fmt.Errorf("its format is version %d, this program knows version %d", h.version, version)
	}
	l.segments = append(l.segments, &segment{
		number: number, path: path, salt: h.salt, created: h.created.UnixNano(), size: info.Size(), sealed: true,
	})
	return nil
}

// Stats may be called at any time.
func (l *Log) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := Stats{
		Bytes: l.bytes, Segments: len(l.segments),
		Corrupt: l.faults.corrupt, CorruptBytes: l.faults.corruptBytes, Torn: l.faults.torn, SetAside: l.faults.setAside,
	}
	for _, seg := range l.segments {
		s.Records += seg.waiting()
		if !seg.exhausted {
			s.Unread += seg.size - max(seg.readTo, headersBytes)
		}
		if oldest := seg.oldest(); oldest != 0 && s.Oldest.IsZero() {
			s.Oldest = time.Unix(0, oldest)
		}
	}
	return s
}

// Close waits for appends under way and gives the directory free. What is not done is handed out
// after the next Open; what is not synced is left to the system to write.
func (l *Log) Close() error {
	l.mu.Lock()
	select {
	case <-l.closed:
		l.mu.Unlock()
		return nil
	default:
	}
	close(l.closed)
	l.mu.Unlock()

	l.writing.Lock()
	defer l.writing.Unlock()
	l.reading.Lock()
	defer l.reading.Unlock()
	l.mu.Lock()
	if l.timer != nil {
		l.timer.Stop()
	}
	var over []*segment
	var errs []error
	for _, s := range slices.Clone(l.segments) {
		// the reader has not looked whether there is more
		readAndDone := s.sealed && !s.kept && s.left == 0 && s.readTo == s.size
		if readAndDone || l.over(s, math.MaxInt64) {
			l.detach(s)
			over = append(over, s)
		} else if err := s.close(); err != nil {
			errs = append(errs, fmt.Errorf("close %s: %w", s.path, err))
		}
	}
	l.mu.Unlock()
	l.remove(over)
	if err := l.lock.Close(); err != nil {
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close the spill log in %s: %w", l.opts.Dir, err)
	}
	return nil
}

// isClosed is called with mu held.
func (l *Log) isClosed() bool {
	select {
	case <-l.closed:
		return true
	default:
		return false
	}
}
