package store

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/spillwayhq/spillway/shared/frame"
)

// write is a write under way. Between begin and end the log's mu is held.
type write struct {
	l     *Log
	next  uint64 // l.next before
	late  int    // how much of l.late is in it
	puts  []put
	taken []*Message // replaced
	state bool       // it has more than messages and what changes them
	// changes says that this is of the state, or of more messages than are named.
	changes bool
}

// put is a message whose frame is at an offset in l.buf.
type put struct {
	m            *Message
	number       uint64
	offset, size int
}

func (l *Log) begin() (*write, error) {
	if err := l.Failure(); err != nil {
		return nil, err
	}
	if l.active == nil || l.active.size >= segmentBytes {
		if err := l.roll(); err != nil {
			return nil, err
		}
	}
	w := &write{l: l, next: l.next, late: len(l.late)}
	l.buf = l.buf[:0]
	for _, ops := range l.late {
		w.frame(func(b []byte) []byte { return append(b, ops...) })
	}
	return w, nil
}

// frame adds a frame, and returns its offset and size.
func (w *write) frame(data func([]byte) []byte) (offset, size int) {
	start := len(w.l.buf)
	w.l.buf = data(frame.Begin(w.l.buf))
	frame.Finish(w.l.buf, start, w.l.active.salt, int64(w.l.next))
	return start, len(w.l.buf) - start
}

func (w *write) put(m *Message, content []byte, replaces *Message) {
	number := w.l.next
	w.l.next++ // before the frame, whose stamp is the number of the next message
	offset, size := w.frame(func(b []byte) []byte {
		b = appendPut(b, number, m, content)
		if replaces != nil && replaces.segment != nil {
			b = appendOp(b, opDelete, replaces.number())
			w.taken = append(w.taken, replaces)
		}
		return b
	})
	w.puts = append(w.puts, put{m, number, offset, size})
}

// end writes the frames. After an error none of them is in the log.
func (w *write) end() error {
	l, s := w.l, w.l.active
	err := l.writeAt(s, l.buf)
	if err != nil {
		l.next = w.next
		return fmt.Errorf("write to the queues' store: %w", err)
	}
	for _, m := range w.taken {
		l.drop(m)
	}
	for _, p := range w.puts {
		s.add(p.m, p.number, s.size+int64(p.offset), p.size)
	}
	s.needed = s.needed || w.changes
	if len(w.puts) > 0 || len(s.messages) > 0 {
		s.mixed = s.mixed || w.state
	} else {
		s.head = s.size + int64(len(l.buf))
	}
	s.size += int64(len(l.buf))
	l.written += int64(len(l.buf))
	l.late = l.late[w.late:]
	l.lateErr = nil
	if cap(l.buf) > maxFrameBytes {
		l.buf = nil
	}
	return nil
}

// writeAt writes to the end of a segment. After an error the segment is as before, and the next
// write makes another: one that is too large for a limit of the process, for example, stays as it
// is.
func (l *Log) writeAt(s *segment, b []byte) error {
	_, err := s.file.WriteAt(b, s.size)
	if errors.Is(err, syscall.ENOSPC) {
		l.onFull()
		_, err = s.file.WriteAt(b, s.size)
	}
	if err == nil {
		return nil
	}
	if undo := s.file.Truncate(s.size); undo != nil {
		return l.fail(fmt.Errorf("%w; and what was written can't be undone: %w", err, undo))
	}
	if undo := s.file.Sync(); undo != nil {
		return l.fail(fmt.Errorf("%w; and sync: %w", err, undo))
	}
	l.synced.Store(l.written)
	l.active = nil
	return err
}
