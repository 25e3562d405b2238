package store

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
)

const (
	// slackBytes is how much more than its messages the log may take up, besides as much again:
	// copying messages that are not deleted costs less than they cost to write.
	slackBytes = segmentBytes / 2
	// fullSlackBytes is the same on a full disk.
	fullSlackBytes = 1 << 20
	// dropBytes is the size from which on a segment is ended because all of its messages are deleted.
	dropBytes = 1 << 20
	// maxSmall is how many small segments there may be: each start of the process makes one.
	maxSmall = 64
)

// shouldCopy reports whether to copy the messages of the oldest segment to the end of the log, so
// that its file can be removed. total is the size of the log, live that of its messages.
func shouldCopy(total, live int64, segments int, full bool) bool {
	if full {
		return total > live+live/8+fullSlackBytes
	}
	return total > 2*live+slackBytes || int64(segments) > maxSmall+2*total/segmentBytes
}

// Reclaim makes the space of deleted messages free. full says that sends wait for it. The oldest
// segments without messages are removed; if the log is still too large, the messages of the oldest
// one are copied to the end, unless it takes less to empty others, see superseded. Only the oldest
// segment is ever removed: then no deletion is forgotten whose message is still there.
func (l *Log) Reclaim(full bool) error {
	for l.Failure() == nil {
		again, err := l.reclaimOldest(full)
		if err != nil || !again {
			return err
		}
	}
	return nil
}

func (l *Log) reclaimOldest(full bool) (again bool, err error) {
	l.mu.Lock()
	var total, live int64
	for _, s := range l.segments {
		total += s.size
		live += s.liveSize
	}
	if len(l.segments) == 0 {
		l.mu.Unlock()
		return false, nil
	}
	oldest := l.segments[0]
	needsCopy := oldest.live > 0
	if needsCopy {
		if over, others := l.superseded(); len(over) > 0 {
			l.mu.Unlock()
			return true, l.compact(over, others)
		}
	}
	if needsCopy && !shouldCopy(total, live, len(l.segments), full) {
		l.mu.Unlock()
		return false, nil
	}
	if oldest == l.segments[len(l.segments)-1] {
		// The last file has the state: another one has to be there first.
		if !needsCopy && oldest.size < dropBytes {
			l.mu.Unlock()
			return false, nil
		}
		if err := l.roll(); err != nil {
			if !needsCopy {
				err = errors.Join(err, l.cutLast(oldest))
			}
			l.mu.Unlock()
			return false, err
		}
	}
	l.mu.Unlock()
	if needsCopy {
		if err := l.copyMessages(oldest); err != nil {
			return false, fmt.Errorf("make space in the queues' store: %w", err)
		}
	}
	removed, err := l.removeOldest()
	return removed > 0, err
}

// copyChunk limits the messages that are copied while others wait.
const copyChunk = 100

// copyMessages copies the messages of a segment to the end of the log.
func (l *Log) copyMessages(s *segment) error {
	var buf []byte
	for from := 0; ; {
		l.mu.Lock()
		ms, start, end := s.chunk(from)
		if len(ms) == 0 {
			l.mu.Unlock()
			return nil
		}
		f, err := l.use(s)
		l.mu.Unlock()
		if err != nil {
			return err
		}
		b, err := readAt(buf, f, start, end-start)
		l.unuse(s)
		if err != nil {
			return err
		}
		l.mu.Lock()
		err = l.copyChunk(ms, b, start)
		l.mu.Unlock()
		if err != nil {
			return err
		}
		buf = b
		from += len(ms)
	}
}

// chunk returns some of a segment's messages from one on, nil for those that are not there, and
// which part of the file has them. It returns none at the end. It is called with the log's mu held.
func (s *segment) chunk(from int) (ms []*Message, start, end int64) {
	for _, m := range s.messages[from:min(len(s.messages), from+copyChunk)] {
		if m != nil {
			if end == 0 {
				start = int64(m.offset)
			} else if int64(m.offset)+int64(m.size)-start > maxFrameBytes {
				break
			}
			end = int64(m.offset) + int64(m.size)
		}
		ms = append(ms, m)
	}
	return ms, start, end
}

// copyChunk copies messages of a segment, of which b is the content from start on. It is called with
// mu held.
func (l *Log) copyChunk(ms []*Message, b []byte, start int64) error {
	w, err := l.begin()
	if err != nil {
		return err
	}
	var copies []*Message
	var damaged []*Message
	for _, m := range ms {
		if m == nil || m.segment == nil {
			continue
		}
		content, err := contentOf(b[min(int64(len(b)), int64(m.offset)-start):], m.segment.salt)
		if err != nil {
			damaged = append(damaged, m)
			continue
		}
		c := *m
		w.put(&c, content, m)
		copies = append(copies, &c)
	}
	originals := slices.Clone(w.taken)
	if err := w.end(); err != nil {
		return err
	}
	for i, m := range originals {
		c := copies[i]
		c.segment.messages[c.index] = m
		m.segment, m.index, m.offset, m.size, m.changed = c.segment, c.index, c.offset, c.size, false
	}
	for _, m := range damaged {
		l.loseDamaged(m)
	}
	return nil
}

// removeOldest removes the oldest segments that have no messages, except the last one.
func (l *Log) removeOldest() (removed int, err error) {
	l.mu.Lock()
	for removed < len(l.segments)-1 && l.segments[removed].live == 0 && l.segments[removed].users == 0 {
		removed++
	}
	if removed == 0 {
		l.mu.Unlock()
		return 0, nil
	}
	over, oldest := slices.Clone(l.segments[:removed]), l.segments[removed]
	// First the log says that they are gone, or a restart would miss them. It has the deletions of
	// their messages, or the moves to another queue, on disk then.
	w, err := l.begin()
	if err == nil {
		w.state = true
		w.frame(func(b []byte) []byte { return appendOp(b, opOldest, oldest.number, oldest.first) })
		err = w.end()
	}
	if err == nil {
		l.segments = l.segments[removed:] // at once: the next segment says which one is the oldest, too
	}
	l.mu.Unlock()
	if err == nil {
		err = l.Sync()
	}
	if err != nil {
		return 0, errors.Join(err, l.emptyFiles(over))
	}
	return removed, l.removeFiles(over)
}

// cutLast cuts the messages off the only segment, all of which are deleted, when the disk is too full
// for another segment. The next one takes their numbers: there is no trace of them then. It is
// called with mu held.
func (l *Log) cutLast(s *segment) error {
	if len(l.segments) > 1 || s.head == 0 || s.mixed || s.users > 0 || l.Failure() != nil {
		return nil
	}
	// END may know more messages.
	if err := l.fs.Remove(path.Join(l.dir, endName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := l.fs.SyncDir(l.dir); err != nil {
		return err
	}
	l.close(s)
	l.active = nil
	if err := l.fs.Truncate(s.path, s.head); err != nil {
		return fmt.Errorf("cut a file of the queues' store: %w", err)
	}
	s.size, s.messages = s.head, nil
	l.next = s.first
	l.late, l.lateErr = nil, nil // they are of messages that are gone
	l.synced.Store(l.written)
	return nil
}

// emptyFiles gives the space of segments without messages back while their files are still there:
// the log can't say that they are gone because the disk is full, or older ones are not. Older ones are
// emptied first, because the deletions of their messages are in newer ones.
func (l *Log) emptyFiles(over []*segment) error {
	if l.Failure() != nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range over {
		if s.emptied {
			continue
		}
		if s.users > 0 {
			return nil
		}
		l.close(s)
		renamed := s.path[:len(s.path)-len(path.Ext(s.path))] + emptiedExt
		if err := l.fs.Empty(s.path, renamed, s.begin); err != nil {
			return fmt.Errorf("empty a file of the queues' store: %w", err)
		}
		s.path, s.size, s.emptied, s.messages = renamed, s.begin, true, nil
	}
	return nil
}

func (l *Log) removeFiles(over []*segment) error {
	l.mu.Lock()
	for _, s := range over {
		l.close(s)
	}
	l.mu.Unlock()
	for _, s := range over {
		if err := l.fs.Remove(s.path); err != nil {
			return fmt.Errorf("remove a file of the queues' store: %w", err)
		}
	}
	if err := l.fs.SyncDir(l.dir); err != nil {
		return fmt.Errorf("sync the data directory: %w", err)
	}
	return nil
}
