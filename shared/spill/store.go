package spill

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/spillwayhq/spillway/shared/frame"
)

// A store has the segments of a log, which the writer adds to and the reader goes through.
type store struct {
	opts   Options
	log    *slog.Logger
	salt   uint32
	dropAt int64         // the size from which on the active segment is removed when all of it is done
	closed chan struct{} // closed by Close
	more   chan struct{} // holds an item after an append

	mu       sync.Mutex  // guards what follows, each segment, and the writer's batches
	segments []*segment  // oldest first
	active   *segment    // is written to; nil before the first append
	current  *segment    // is read
	inWrite  bool        // the active segment is being written to
	number   uint64      // of the newest segment
	bytes    int64       // of all segments, and of what is about to be written
	timer    *time.Timer // for settle; nil: none runs
	faults   faults
}

// faults count what could not be read.
type faults struct {
	corrupt, torn, setAside int
	corruptBytes            int64
}

func (f *faults) add(g faults) {
	f.corrupt += g.corrupt
	f.torn += g.torn
	f.setAside += g.setAside
	f.corruptBytes += g.corruptBytes
}

var segmentName = regexp.MustCompile(`^([0-9a-f]{16})\.spill$`)

func segmentPath(dir string, number uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%016x.spill", number))
}

// load finds the segments of an earlier process.
func (st *store) load() error {
	names, err := st.opts.FS.ReadDir(st.opts.Dir)
	if err != nil {
		return err
	}
	var numbers []uint64
	for _, file := range names {
		name := segmentName.FindStringSubmatch(file)
		if name == nil {
			continue
		}
		number, err := strconv.ParseUint(name[1], 16, 64)
		if err != nil {
			return err // can't be: the pattern has 16 digits
		}
		numbers = append(numbers, number)
		st.number = max(st.number, number)
	}
	for _, number := range numbers {
		if err := st.loadSegment(number); err != nil {
			st.faults.setAside++
			st.log.Error("a segment of the spill log can't be read; it is left in place and counts as used space until it is "+
				"moved away", "file", segmentPath(st.opts.Dir, number), "error", err)
		}
	}
	slices.SortFunc(st.segments, func(a, b *segment) int { return cmp.Compare(a.number, b.number) })
	return nil
}

func (st *store) loadSegment(number uint64) error {
	path := segmentPath(st.opts.Dir, number)
	f, err := st.opts.FS.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Size() < frame.HeadersBytes {
		f.Close()
		return st.dropHeadless(number, info.Size())
	}
	st.bytes += info.Size()
	var b [frame.HeadersBytes]byte
	if _, err := f.ReadAt(b[:], 0); err != nil {
		return err
	}
	h, ok := frame.ParseHeaders(b[:])
	switch {
	case !ok:
		return errors.New("both copies of its header are damaged")
	case h.Version != frame.Version:
		return fmt.Errorf("its format is version %d, this program knows version %d", h.Version, frame.Version)
	}
	st.segments = append(st.segments, &segment{
		number: number, path: path, salt: h.Salt, created: h.Created.UnixNano(), size: info.Size(), sealed: true,
	})
	return nil
}

// dropHeadless removes a file that ends within its headers. The newest one may be what a killed
// process was about to make, which had no record yet. Any other file was complete once.
func (st *store) dropHeadless(number uint64, size int64) error {
	path := segmentPath(st.opts.Dir, number)
	if number == st.number {
		st.faults.torn++
		st.log.Warn("the newest segment of the spill log ends within its header and was removed: the process was killed "+
			"when it made it, or the file was cut short and its records are lost", "file", path, "bytes", size)
	} else {
		st.faults.corrupt++
		st.faults.corruptBytes += size
		st.log.Error("a segment of the spill log was cut short within its header: its records are lost, and the file was "+
			"removed; check the disk", "file", path, "bytes", size)
	}
	return st.opts.FS.Remove(path)
}

func (st *store) stats() Stats {
	st.mu.Lock()
	defer st.mu.Unlock()
	stats := Stats{
		Bytes: st.bytes, Segments: len(st.segments),
		Corrupt: st.faults.corrupt, CorruptBytes: st.faults.corruptBytes, Torn: st.faults.torn, SetAside: st.faults.setAside,
	}
	for _, s := range st.segments {
		stats.Records += s.waiting()
		if !s.exhausted {
			stats.Unread += s.size - max(s.readTo, frame.HeadersBytes)
		}
		if oldest := s.oldest(); oldest != 0 && stats.Oldest.IsZero() {
			stats.Oldest = time.Unix(0, oldest)
		}
	}
	return stats
}

// done marks records as done, and removes segments of which all are.
func (st *store) done(records []Record) {
	now := time.Now().UnixNano()
	var over []*segment
	st.mu.Lock()
	for _, r := range records {
		s := r.segment
		if s == nil {
			continue
		}
		s.finish(r.index)
		if s.left == 0 && !st.isClosed() && st.over(s, now) && slices.Contains(st.segments, s) {
			st.detach(s)
			over = append(over, s)
		}
	}
	st.settleLater()
	st.mu.Unlock()
	st.remove(over)
}

// over reports whether a segment can be removed: all of its records are handed out and done, and it
// is neither written to nor read. The active segment must have some size or age, so that a log
// whose records are done at once does not make and remove a file for each.
func (st *store) over(s *segment, now int64) bool {
	switch {
	case s.left > 0 || s.unreadable:
		return false
	case s.exhausted:
		return true
	}
	return st.idle(s) && (s.size >= st.dropAt || now-s.created >= int64(settleAge))
}

// idle reports whether a segment is the active one and all of its records are done.
func (st *store) idle(s *segment) bool { return s == st.active && !st.inWrite && s.waiting() == 0 }

// detach takes a segment out of the log. Its file must be removed then.
func (st *store) detach(s *segment) {
	s.sealed, s.exhausted = true, true
	st.closeFile(s)
	if st.active == s {
		st.active = nil
	}
	if i := slices.Index(st.segments, s); i >= 0 {
		st.segments = slices.Delete(st.segments, i, i+1)
	}
}

func (st *store) closeFile(s *segment) {
	if err := s.close(); err != nil {
		st.log.Warn("a segment of the spill log could not be closed", "file", s.path, "error", err)
	}
}

// remove deletes the files of detached segments. It is called without mu.
func (st *store) remove(segments []*segment) {
	for _, s := range segments {
		if err := st.removeFile(s.path); err != nil {
			st.log.Error("a segment of the spill log is done and can't be deleted: its space is lost, and the next start hands "+
				"out its records again", "file", s.path, "error", err)
			continue
		}
		st.mu.Lock()
		st.bytes -= s.size
		st.mu.Unlock()
	}
}

func (st *store) removeFile(path string) error {
	if err := st.opts.FS.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// settleLater makes sure that the active segment is removed when all of it is done and no append
// follows. Otherwise a crash days later would bring its records back, when Segment no longer
// recognises them as repetitions. It is called with mu held.
func (st *store) settleLater() {
	if st.timer == nil && !st.isClosed() && st.active != nil && st.idle(st.active) {
		st.timer = time.AfterFunc(settleAge, st.settle)
	}
}

func (st *store) settle() {
	var over []*segment
	st.mu.Lock()
	st.timer = nil
	if s := st.active; s != nil && !st.isClosed() && st.over(s, time.Now().UnixNano()) {
		st.detach(s)
		over = append(over, s)
	}
	st.settleLater()
	st.mu.Unlock()
	st.remove(over)
}

// isClosed is called with mu held.
func (st *store) isClosed() bool {
	select {
	case <-st.closed:
		return true
	default:
		return false
	}
}

// close makes all calls return ErrClosed, and reports whether it was the first close.
func (st *store) close() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.isClosed() {
		return false
	}
	close(st.closed)
	return true
}

// release closes all files after close, and removes the segments that are done.
func (st *store) release() error {
	st.mu.Lock()
	if st.timer != nil {
		st.timer.Stop()
	}
	var over []*segment
	var errs []error
	for _, s := range slices.Clone(st.segments) {
		// the reader does not know yet that nothing follows
		readAndDone := s.sealed && !s.unreadable && s.left == 0 && s.readTo == s.size
		if readAndDone || st.over(s, math.MaxInt64) {
			st.detach(s)
			over = append(over, s)
		} else if err := s.close(); err != nil {
			errs = append(errs, fmt.Errorf("close %s: %w", s.path, err))
		}
	}
	st.mu.Unlock()
	st.remove(over)
	return errors.Join(errs...)
}
