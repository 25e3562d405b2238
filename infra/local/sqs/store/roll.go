package store

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"syscall"
	"time"

	"github.com/spillwayhq/spillway/shared/frame"
)

// roll makes the next segment, which begins with the state, and ends the one before. It is called
// with mu held.
func (l *Log) roll() error {
	s := &segment{number: l.last + 1, salt: rand.Uint32(), first: l.next}
	s.path = segmentPath(l.dir, s.number, s.salt)
	// What is in the files before is on disk first: the numbers of the new one build on it.
	if err := l.syncLast(); err != nil {
		return err
	}
	f, err := l.create(s)
	if err != nil {
		return fmt.Errorf("make a file of the queues' store: %w", err)
	}
	s.file = f
	l.last = s.number
	l.segments = append(l.segments, s)
	l.active = s
	l.opened(s)
	if err := l.writeEnd(false); err != nil {
		l.logger.Warn("can't write which file of the queues' store is the newest", "error", err)
	}
	return nil
}

// syncLast syncs the newest segment, which an earlier process may have left in the system's memory. It
// is called with mu held.
func (l *Log) syncLast() error {
	if l.active != nil {
		if err := l.active.file.Sync(); err != nil {
			return l.fail(fmt.Errorf("sync: %w", err))
		}
		l.synced.Store(l.written)
		return nil
	}
	if len(l.segments) == 0 {
		return nil
	}
	last := l.segments[len(l.segments)-1]
	f, err := l.use(last)
	if err == nil {
		err = f.Sync()
		last.users--
	}
	if err != nil { // some systems can't sync a file that is open for reading
		l.logger.Warn("can't sync a file of the queues' store of an earlier process", "file", last.path, "error", err)
	}
	return nil
}

// create makes the file of a segment, which is on disk when it returns.
func (l *Log) create(s *segment) (File, error) {
	f, err := l.fs.Create(s.path)
	if errors.Is(err, syscall.ENOSPC) {
		l.onFull()
		f, err = l.fs.Create(s.path)
	}
	if err != nil {
		return nil, err
	}
	b := l.firstFrames(s)
	_, err = f.WriteAt(b, 0)
	if errors.Is(err, syscall.ENOSPC) {
		l.onFull()
		_, err = f.WriteAt(b, 0)
	}
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = l.fs.SyncDir(l.dir)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close(), l.fs.Remove(s.path))
	}
	s.size, s.head, s.begin = int64(len(b)), int64(len(b)), int64(len(b))
	return f, nil
}

// firstFrames are the headers and the frames with which a segment begins.
func (l *Log) firstFrames(s *segment) []byte {
	b := frame.AppendHeaders(nil, s.salt, time.Now().UnixNano())
	add := func(data []byte) {
		b = frame.Append(b, s.salt, int64(s.first), frame.Checksum(s.salt, data), data)
	}
	oldest := s
	if len(l.segments) > 0 {
		oldest = l.segments[0]
	}
	for range 2 { // so that no single damage costs them
		add(appendOp(nil, opBegin, s.number, oldest.number, oldest.first))
		for _, key := range slices.Sorted(maps.Keys(l.state)) {
			add(appendState(nil, key, l.state[key]))
		}
	}
	return b
}
