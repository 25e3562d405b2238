package spill

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"
)

// A segment is one file of the log. Its fields are guarded by the log's mu.
type segment struct {
	number  uint64
	path    string
	salt    uint32
	created int64
	file    file // nil while nobody reads or writes it
	own     bool // written by this process, so that appended is known
	sealed  bool // nothing is written to it any more
	size    int64

	appended    int   // records that were written
	unreadSince int64 // when the oldest unread record was appended, or earlier
	readTo      int64 // offset up to which records were handed out
	exhausted   bool  // the reader has gone past it
	kept        bool  // it could not be read to its end: the file stays for the next process
	faults      faults

	times []int64  // of each record handed out, when it was appended
	done  []uint64 // a bit for each of these
	left  int      // of these are not done
	low   int      // all before this one are done
}

// handOut notes a record and returns its index.
func (s *segment) handOut(appended int64) int {
	i := len(s.times)
	s.times = append(s.times, appended)
	if i%64 == 0 {
		s.done = append(s.done, 0)
	}
	s.left++
	return i
}

// finish notes that a record is done. A second time changes nothing.
func (s *segment) finish(i int) {
	word, bit := i/64, uint64(1)<<(i%64)
	if s.done[word]&bit != 0 {
		return
	}
	s.done[word] |= bit
	s.left--
	for s.low < len(s.times) && s.done[s.low/64]&(1<<(s.low%64)) != 0 {
		s.low++
	}
}

// unread is how many records are known to be unread.
func (s *segment) unread() int {
	if s.own && !s.exhausted {
		return s.appended - len(s.times)
	}
	return 0
}

func (s *segment) waiting() int { return s.left + s.unread() }

// oldest is when the oldest record that is not done was appended, or 0.
func (s *segment) oldest() int64 {
	switch {
	case s.left > 0:
		return s.times[s.low]
	case s.exhausted || s.own && s.unread() == 0:
		return 0
	case len(s.times) == 0:
		return max(s.created, s.unreadSince)
	default:
		return max(s.times[len(s.times)-1], s.unreadSince)
	}
}

func (s *segment) close() error {
	if s.file == nil {
		return nil
	}
	err := s.file.Close()
	s.file = nil
	return err
}

// over says whether a segment can be removed: all of its records are handed out and done, and
// nobody writes or reads it. One that is still written to must have some size or age, so that a log
// whose records are done at once does not make and remove a file for each.
func (l *Log) over(s *segment, now int64) bool {
	switch {
	case s.left > 0 || s.kept:
		return false
	case s.exhausted:
		return true
	}
	return l.idle(s) && (s.size >= l.dropAt || now-s.created >= int64(settle))
}

// idle says whether all that was written to the active segment is done.
func (l *Log) idle(s *segment) bool { return s == l.active && !l.inWrite && s.waiting() == 0 }

// settled says whether a segment is better ended than written to: it has some age, and at least
// half of its records are done, which a crash would bring back for as long as others in it are not.
func (l *Log) settled(s *segment, now int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return now-s.created >= int64(settle) && 2*s.waiting() <= s.appended
}

// detach takes a segment that is over out of the log. Its file must be removed then.
func (l *Log) detach(s *segment) {
	s.sealed, s.exhausted = true, true
	if err := s.close(); err != nil {
		l.log.Warn("close a segment of the spill log", "file", s.path, "error", err)
	}
	if l.active == s {
		l.active = nil
	}
	if i := slices.Index(l.segments, s); i >= 0 {
		l.segments = slices.Delete(l.segments, i, i+1)
	}
}

// remove deletes the files of detached segments. It is called without mu.
func (l *Log) remove(segments []*segment) {
	for _, s := range segments {
		if err := removeFile(s.path); err != nil {
			l.log.Error("a segment of the spill log is done with and can't be deleted: its room is lost, and its records "+
				"come again at the next start",
				"file", s.path, "error", err)
			continue
		}
		l.mu.Lock()
		l.bytes -= s.size
		l.mu.Unlock()
	}
}

// Done says that records need not be handed out again. They may come in any order, and from any
// goroutine; one more time changes nothing. When all records of a segment are done, its file is
// deleted. After Close it does nothing.
func (l *Log) Done(records ...Record) {
	now := time.Now().UnixNano()
	var over []*segment
	l.mu.Lock()
	for _, r := range records {
		s := r.segment
		if s == nil {
			continue
		}
		s.finish(r.index)
		if s.left == 0 && !l.isClosed() && l.over(s, now) && slices.Contains(l.segments, s) {
			l.detach(s)
			over = append(over, s)
		}
	}
	l.settleLater()
	l.mu.Unlock()
	l.remove(over)
}

// settleLater makes sure that the active segment does not stay when all of it is done and nothing
// comes any more: after a crash days later its records would be sent again, when nobody remembers
// them. It is called with mu held.
func (l *Log) settleLater() {
	if l.timer == nil && !l.isClosed() && l.active != nil && l.idle(l.active) {
		l.timer = time.AfterFunc(settle, l.settle)
	}
}

func (l *Log) settle() {
	var over []*segment
	l.mu.Lock()
	l.timer = nil
	if s := l.active; s != nil && !l.isClosed() && l.over(s, time.Now().UnixNano()) {
		l.detach(s)
		over = append(over, s)
	}
	l.settleLater()
	l.mu.Unlock()
	l.remove(over)
}

// newSegment makes the file of the next segment.
func (l *Log) newSegment(now int64) (*segment, error) {
	l.mu.Lock()
	l.number++
	number := l.number
	l.mu.Unlock()
	s := &segment{number: number, path: segmentPath(l.opts.Dir, number), salt: l.salt, created: now, own: true,
		size: headersBytes}
	f, err := l.opts.create(s.path)
	if err != nil {
		return nil, fmt.Errorf("make a segment: %w", err)
	}
	s.file = f
	if _, err = f.WriteAt(appendHeaders(nil, l.salt, now), 0); err == nil && l.opts.Sync {
		err = syncDir(l.opts.Dir)
	}
	if err != nil {
		f.Close()
		if gone := removeFile(s.path); gone != nil {
			l.log.Warn("remove a segment that could not be made", "file", s.path, "error", gone)
		}
		return nil, fmt.Errorf("make a segment: %w", err)
	}
	return s, nil
}

func removeFile(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
