package store

import (
	"fmt"
	"slices"

	"github.com/spillwayhq/spillway/shared/frame"
)

// opened adds a segment to those that are open, and closes the one that was opened first if there
// are too many. It is called with mu held.
func (l *Log) opened(s *segment) {
	l.open = append(l.open, s)
	for i := 0; len(l.open) > maxOpen && i < len(l.open); {
		o := l.open[i]
		if o.users > 0 || o == l.active || o == s {
			i++
			continue
		}
		l.close(o)
	}
}

// close closes the file of a segment. It is called with mu held.
func (l *Log) close(s *segment) {
	if s.file == nil {
		return
	}
	if err := s.file.Close(); err != nil {
		l.logger.Warn("a file of the queues' store could not be closed", "file", s.path, "error", err)
	}
	s.file = nil
	l.open = slices.DeleteFunc(l.open, func(o *segment) bool { return o == s })
}

// maxRead is how much is read at once of messages that are next to each other.
const maxRead = 256 << 10

// Read calls f with the content of each message, which is valid until f returns, or with why there
// is none: ErrGone, ErrDamaged, or the error of reading the file.
func (l *Log) Read(ms []*Message, f func(i int, content []byte, err error)) {
	buf, ok := l.reads.Get().(*[]byte)
	if !ok {
		buf = new([]byte)
	}
	for i := 0; i < len(ms); {
		i += l.readRun(ms[i:], buf, func(n int, content []byte, err error) { f(i+n, content, err) })
	}
	if cap(*buf) <= maxRead {
		l.reads.Put(buf)
	}
}

// readRun reads the first of ms and those after it that are next to it in its file, into buf. It
// returns how many.
func (l *Log) readRun(ms []*Message, buf *[]byte, each func(i int, content []byte, err error)) int {
	l.mu.Lock()
	s := ms[0].segment
	if s == nil {
		err := ErrGone
		if ms[0].size == lostSize {
			err = ErrDamaged
		}
		l.mu.Unlock()
		each(0, nil, err)
		return 1
	}
	offset, n, size := int64(ms[0].offset), 0, 0
	var few [10]int  // no receive takes more
	sizes := few[:0] // a copy of the message may have another
	for n < len(ms) && ms[n].segment == s && int64(ms[n].offset) == offset+int64(size) &&
		(n == 0 || size+int(ms[n].size) <= maxRead) {
		size += int(ms[n].size)
		sizes = append(sizes, int(ms[n].size))
		n++
	}
	file, err := l.use(s)
	l.mu.Unlock()
	var b []byte
	if err == nil {
		b, err = readAt(*buf, file, offset, int64(size)) // the frames that are missing are damaged
		*buf = b
		l.unuse(s)
	}
	if err != nil {
		err = fmt.Errorf("read from the queues' store: %w", err)
	}
	for i := range n {
		var content []byte
		failed := err
		if failed == nil {
			content, failed = contentOf(b, s.salt)
			b = b[min(len(b), sizes[i]):]
		}
		each(i, content, failed)
	}
	return n
}

// contentOf returns the content of the message in the frame that b begins with.
func contentOf(b []byte, salt uint32) (content []byte, err error) {
	f, state := frame.Parse(b, salt, maxFrameBytes)
	if state != frame.Whole {
		return nil, ErrDamaged
	}
	err = parseOps(f.Data, func(o *op) {
		if o.kind == opPut {
			content = o.value
		}
	})
	return content, err
}

// use opens the file of a segment if it is not open, and prevents its closing until unuse. It is
// called with mu held.
func (l *Log) use(s *segment) (File, error) {
	if s.file == nil {
		f, err := l.fs.Open(s.path)
		if err != nil {
			return nil, err
		}
		s.file = f
		s.users++
		l.opened(s)
		s.users--
	}
	s.users++
	return s.file, nil
}

func (l *Log) unuse(s *segment) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s.users--
}

// lostSize is the size of a message whose content is lost.
const lostSize = 1<<32 - 1

// Lost takes a damaged message out and counts it.
func (l *Log) Lost(m *Message) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if m.segment != nil {
		l.loseDamaged(m)
	}
}

// loseDamaged is called with mu held.
func (l *Log) loseDamaged(m *Message) {
	s := m.segment
	l.damage.add(FileDamage{File: s.path, Offset: int64(m.offset), Bytes: int64(m.size), Messages: 1,
		What: "a message is not what was written"})
	l.logger.Error("a stored message is damaged and lost; check the disk", "file", s.path, "offset", m.offset)
	number := m.number()
	l.drop(m)
	m.size = lostSize
	l.lazy(appendOp(nil, opDelete, number))
}
