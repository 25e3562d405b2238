package store

import (
	"fmt"
	"path"
	"regexp"
	"strconv"
)

const (
	// segmentBytes is the size at which a segment is ended: small, because the space of deleted
	// messages is free again when all of a segment's are deleted, and because copying the others
	// needs as much space.
	segmentBytes = 16 << 20
	// maxFrameBytes is more than the largest message, of 1 MiB, with its attributes takes.
	maxFrameBytes = 4 << 20
	endName       = "END"
	emptiedExt    = ".emptied"
	lockName      = "LOCK"
)

// segment is a file of the log. Its fields are guarded by the log's mu.
type segment struct {
	number   uint64
	salt     uint32
	path     string
	first    uint64     // number of its first message
	messages []*Message // those put into it, by number from first on; nil: deleted or elsewhere
	live     int        // of them
	changed  int        // of these, see Message
	size     int64      // bytes of the file
	liveSize int64      // bytes of the frames of live messages
	file     File       // nil while it is not open
	emptied  bool       // see emptyFiles; then it has only its beginning
	begin    int64      // bytes with which it was made: headers and the state
	needed   bool       // it changes the state after its beginning
	head     int64      // bytes before its first message: they have the state
	mixed    bool       // there is something besides messages after head that is needed
	users    int        // who read or sync the file now: it must not be closed
}

var segmentName = regexp.MustCompile(`^(\d{8})-([0-9a-f]{8})\.(log|emptied)$`)

// segmentPath has the salt, so that a file can be read without its header.
func segmentPath(dir string, number uint64, salt uint32) string {
	return path.Join(dir, fmt.Sprintf("%08d-%08x.log", number, salt))
}

// parseSegmentName returns nil for a name that is not a segment's.
func parseSegmentName(dir, name string) *segment {
	m := segmentName.FindStringSubmatch(name)
	if m == nil {
		return nil
	}
	number, _ := strconv.ParseUint(m[1], 10, 64) // digits
	salt, _ := strconv.ParseUint(m[2], 16, 32)
	return &segment{number: number, salt: uint32(salt), path: path.Join(dir, name), emptied: "."+m[3] == emptiedExt}
}

// add puts a message that is in a frame of the segment under its number.
func (s *segment) add(m *Message, number uint64, offset int64, size int) {
	index := number - s.first
	for uint64(len(s.messages)) <= index {
		s.messages = append(s.messages, nil)
	}
	s.messages[index] = m
	s.live++
	s.liveSize += int64(size)
	m.segment, m.index, m.offset, m.size = s, uint32(index), uint32(offset), uint32(size)
	m.changed = false
}

// update changes a message.
func (m *Message) update(at, first int64, count uint32) {
	m.At, m.First, m.Count = at, first, count
	if m.segment != nil && !m.changed {
		m.changed = true
		m.segment.changed++
	}
}

// remove takes a message out. It returns the bytes of its frame.
func (s *segment) remove(m *Message) int64 {
	s.messages[m.index] = nil
	s.live--
	if m.changed {
		s.changed--
	}
	s.liveSize -= int64(m.size)
	m.segment = nil
	return int64(m.size)
}

func (m *Message) number() uint64 { return m.segment.first + uint64(m.index) }
