package store

import (
	"bytes"
	"fmt"
	"path"
	"slices"
	"sort"
	"strings"

	"github.com/spillwayhq/spillway/shared/frame"
)

// replay reads a log from its beginning.
//
// Messages are numbered without gaps, and each frame says the number of the next message. So what
// is lost is counted by the numbers that are missing, less those whose deletion was read: they were
// delivered before.
type replay struct {
	fs    FS
	dir   string
	group func(content []byte) uint32 // see Options

	segments []*segment
	state    map[string][]byte
	next     uint64
	last     uint64
	damage   Damage
	leftover []string // files to remove

	oldest      uint64 // number of the segment that is the oldest one
	oldestFirst uint64 // number of its first message
	blamed      int    // index in damage.Files of what the next gap in the numbers is due to; -1: nothing yet
	previous    string // path of the segment read before
	lost        []span // of numbers
	unknown     []uint64
	buf         []byte // the content of the segment that is read
}

// span is the numbers from first up to before end, with the damage that they are lost by.
type span struct {
	first, end uint64
	file       int // index in damage.Files; -1: not listed
}

func (r *replay) run() error {
	names, err := r.fs.List(r.dir)
	if err != nil {
		return fmt.Errorf("read the data directory %s: %w", r.dir, err)
	}
	if slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(n, "MANIFEST-") }) {
		return fmt.Errorf("the data directory %s is of a version before this one, which can't read it: deliver what "+
			"waits in it "+
			"with that version, or remove it", r.dir)
	}
	for _, name := range names {
		if s := parseSegmentName(r.dir, name); s != nil {
			r.segments = append(r.segments, s)
		}
	}
	slices.SortFunc(r.segments, compareNumbers)
	r.dropUnfinished()
	r.next, r.blamed = 1, -1
	for i, s := range r.segments {
		if i > 0 && s.number > r.segments[i-1].number+1 {
			r.missing(r.segments[i-1].number+1, s.number-1)
		}
		if err := r.read(s, i == len(r.segments)-1); err != nil {
			return err
		}
		r.last, r.previous = s.number, s.path
	}
	r.dropOld()
	r.checkOldest()
	r.readEnd()
	r.countLost()
	return nil
}

func (r *replay) segmentFile(number uint64) string {
	return path.Join(r.dir, fmt.Sprintf("%08d-*.log", number))
}

// missing records files that are gone. What they had is known by the next one's first frame.
func (r *replay) missing(from, to uint64) {
	for n := from; n <= to && n < from+maxListed; n++ {
		r.damage.add(FileDamage{File: r.segmentFile(n), What: "the file is missing"})
		r.blamed = len(r.damage.Files) - 1
	}
}

// read reads a segment and applies its operations.
func (r *replay) read(s *segment, newest bool) error {
	b, err := r.content(s)
	if err != nil {
		return fmt.Errorf("read %s: %w", s.path, err)
	}
	r.buf = b // for the next segment: nothing that is read refers to it
	s.size = int64(len(b))
	s.first = r.next
	if s.emptied {
		r.passEmptied(s, b)
		return nil
	}
	if h, ok := frame.ParseHeaders(b[:min(len(b), frame.HeadersBytes)]); ok && h.Version != frame.Version {
		return fmt.Errorf("%s has format version %d, this program knows version %d", s.path, h.Version, frame.Version)
	}
	t := &segmentReplay{replay: r, s: s, b: b, bad: -1, begun: false}
	t.at = min(len(b), frame.HeadersBytes)
	if _, ok := frame.ParseHeaders(b[:t.at]); !ok {
		t.bad, t.at = 0, frame.HeadersBytes
		if len(b) < frame.HeadersBytes {
			t.at = len(b)
		}
	}
	if err := t.run(); err != nil {
		return err
	}
	t.finish(newest)
	return nil
}

// passEmptied takes from an emptied segment which message would have been its first, so that it is
// known whether the one before is complete.
func (r *replay) passEmptied(s *segment, b []byte) {
	for b = b[min(len(b), frame.HeadersBytes):]; len(b) > 0; b = b[frame.NextMarker(b):] {
		f, state := frame.Parse(b, s.salt, maxFrameBytes)
		if state != frame.Whole {
			continue
		}
		r.skipTo(s, uint64(f.Stamp))
		s.first = max(r.next, uint64(f.Stamp))
		r.lose(s.first, -1)
		r.blamed, r.previous = -1, s.path
		return
	}
}

// skipTo goes on with the first message of a segment if nobody knows how many were before: it is the
// first one, or the one before is emptied.
func (r *replay) skipTo(s *segment, first uint64) {
	if i := slices.Index(r.segments, s); i == 0 || r.segments[i-1].emptied {
		r.next = max(r.next, first)
	}
}

// content reads a file. One that can't be opened or read to its end is damaged from there on.
func (r *replay) content(s *segment) ([]byte, error) {
	f, size, err := r.open(s.path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := readAt(r.buf, f, 0, size)
	if err != nil {
		r.damage.add(FileDamage{File: s.path, Offset: int64(len(b)), Bytes: size - int64(len(b)), What: err.Error()})
	}
	return b, nil
}

// open opens a file, and returns its size.
func (r *replay) open(name string) (File, int64, error) {
	size, err := r.fs.Size(name)
	if err != nil {
		return nil, 0, err
	}
	f, err := r.fs.Open(name)
	return f, size, err
}

// readFile reads a file.
func (r *replay) readFile(name string) ([]byte, error) {
	f, size, err := r.open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readAt(nil, f, 0, size)
}

// segmentReplay goes through the frames of one segment.
type segmentReplay struct {
	*replay
	s     *segment
	b     []byte
	at    int
	bad   int // where the damage begins that ends at at; -1: none
	begun bool
	after bool // it is after the frames with which the segment was made
	short bool // the damage is a frame that is cut short
}

func (t *segmentReplay) run() error {
	for t.at < len(t.b) {
		f, state := frame.Parse(t.b[t.at:], t.s.salt, maxFrameBytes)
		switch state {
		case frame.Whole:
			if err := t.apply(f); err != nil {
				return fmt.Errorf("%s, offset %d: %w", t.s.path, t.at, err)
			}
			t.at += f.Bytes
		case frame.Damaged:
			t.begin(uint64(f.Stamp))
			t.endDamage(t.next)
			t.bad = t.at
			t.at += f.Bytes
			t.endDamage(uint64(f.Stamp))
		default:
			if t.bad < 0 {
				t.bad = t.at
				t.short = state == frame.Short
			}
			t.at += frame.NextMarker(t.b[t.at:])
		}
	}
	return nil
}

// apply applies a whole frame.
func (t *segmentReplay) apply(f frame.Frame) error {
	puts := uint64(0)
	if len(f.Data) > 0 && f.Data[0] == opPut { // a put is the first of its frame
		puts = 1
	}
	next := uint64(f.Stamp)
	first := next - puts // number of the first message from this frame on
	t.begin(first)
	t.endDamage(first)
	if first < t.next {
		t.damage.add(FileDamage{File: t.s.path, Offset: int64(t.at), Bytes: int64(f.Bytes), What: "of an earlier time"})
		return nil
	}
	t.lose(first, -1)
	if t.after = t.after || len(f.Data) == 0 || f.Data[0] != opBegin && f.Data[0] != opState; !t.after {
		t.s.begin = int64(t.at + f.Bytes)
	}
	if puts == 0 && len(t.s.messages) == 0 {
		t.s.head = int64(t.at + f.Bytes)
	}
	t.blamed = -1
	t.previous = t.s.path
	wrong := false
	err := parseOps(f.Data, func(o *op) {
		if o.kind == opPut && (puts == 0 || o.number+1 != next) {
			wrong = true
			return
		}
		t.applyOp(o, f.Bytes)
	})
	t.next = next
	if err == nil && wrong {
		err = errFormat
	}
	return err
}

// begin takes the number of the segment's first message from its first frame. If a file before it is
// there and complete, it is known; what was before the first file is judged by checkOldest.
func (t *segmentReplay) begin(first uint64) {
	if t.begun {
		return
	}
	t.begun = true
	t.skipTo(t.s, first)
	t.s.first = max(t.next, first)
}

func (t *segmentReplay) applyOp(o *op, frameBytes int) {
	switch o.kind {
	case opPut:
		m := o.m
		if t.group != nil {
			m.Group = t.group(o.value)
		}
		t.s.add(&m, o.number, int64(t.at), frameBytes)
	case opDelete:
		if m := t.find(o.number); m != nil {
			m.segment.remove(m)
		} else {
			t.unknown = append(t.unknown, o.number)
		}
	case opUpdate:
		if m := t.find(o.number); m != nil {
			m.update(o.m.At, o.m.First, o.m.Count)
		}
	case opClear:
		t.s.needed = true
		t.clear(uint32(o.values[0]))
	case opState:
		t.s.mixed = t.s.mixed || len(t.s.messages) > 0
		if before, ok := t.state[o.key]; !ok || !bytes.Equal(before, o.value) {
			t.s.needed = true // or it is the first segment, which is not emptied for that
		}
		t.state[o.key] = slices.Clone(o.value)
	case opForget:
		t.s.mixed, t.s.needed = t.s.mixed || len(t.s.messages) > 0, true
		delete(t.state, o.key)
	case opBegin:
		t.oldest, t.oldestFirst = o.values[1], o.values[2]
	case opOldest:
		t.s.mixed = t.s.mixed || len(t.s.messages) > 0
		t.oldest, t.oldestFirst = o.values[0], o.values[1]
	}
}

// endDamage ends a damaged stretch before a frame whose first message, or next one, has a number.
func (t *segmentReplay) endDamage(next uint64) {
	if t.bad < 0 {
		return
	}
	start, end := t.bad, t.at
	t.bad = -1
	if start == 0 && end <= frame.HeadersBytes && next == t.next && !t.begun {
		t.damage.add(FileDamage{File: t.s.path, Bytes: int64(end), What: "both copies of its header are damaged"})
		return
	}
	if t.short && next == t.next {
		t.short = false
		return // a process was killed while it wrote it
	}
	t.short = false
	t.damage.add(FileDamage{File: t.s.path, Offset: int64(start), Bytes: int64(end - start), What: "not what was written"})
	t.lose(next, len(t.damage.Files)-1)
}

// lose records that the messages from the expected number up to next were not read.
func (r *replay) lose(next uint64, file int) {
	if next <= r.next {
		return
	}
	if file < 0 && r.blamed < 0 {
		r.damage.add(FileDamage{File: r.previous, What: "the file is shorter than it was"})
		r.blamed = len(r.damage.Files) - 1
	}
	if file < 0 {
		file = r.blamed
	}
	r.lost = append(r.lost, span{r.next, next, file})
	r.next = next
}

// finish judges the end of a segment.
func (t *segmentReplay) finish(newest bool) {
	if t.bad < 0 {
		return
	}
	start, end, short := t.bad, t.at, t.short
	t.bad, t.short = -1, false
	tail := t.b[start:end]
	// A killed process leaves the beginning of a frame, a power cut zeros.
	if short && start > 0 || len(bytes.Trim(tail, "\x00")) == 0 && start > 0 {
		return
	}
	t.damage.add(FileDamage{File: t.s.path, Offset: int64(start), Bytes: int64(end - start), What: "not what was written",
		Uncounted: newest})
	t.blamed = len(t.damage.Files) - 1
}

// find returns the message with a number, or nil.
func (r *replay) find(number uint64) *Message {
	i := sort.Search(len(r.segments), func(i int) bool {
		s := r.segments[i]
		return s.first == 0 || s.first > number // 0: not read yet
	})
	// Segments without messages have the same first number as the next one.
	for i--; i >= 0; i-- {
		s := r.segments[i]
		if number-s.first < uint64(len(s.messages)) {
			return s.messages[number-s.first]
		}
		if len(s.messages) > 0 {
			return nil
		}
	}
	return nil
}

func (r *replay) clear(queue uint32) {
	for _, s := range r.segments {
		for _, m := range s.messages {
			if m != nil && m.Queue == queue {
				s.remove(m)
			}
		}
	}
}

// dropUnfinished forgets the newest file if its process, or the power, ended while it was made: END
// does not know it, and nothing in it is whole. So it never had a message, and is no damage.
func (r *replay) dropUnfinished() {
	if len(r.segments) == 0 {
		return
	}
	s := r.segments[len(r.segments)-1]
	if e, ok := r.end(); s.emptied || ok && e.Segment >= s.number || !ok && len(r.segments) > 1 {
		return
	}
	b, err := r.readFile(s.path)
	if err != nil {
		return // read says it
	}
	if h, ok := frame.ParseHeaders(b[:min(len(b), frame.HeadersBytes)]); ok && h.Version != frame.Version {
		return
	}
	for len(b) > 0 {
		if _, state := frame.Parse(b, s.salt, maxFrameBytes); state == frame.Whole {
			return
		}
		b = b[frame.NextMarker(b):]
	}
	r.leftover = append(r.leftover, s.path)
	r.segments = r.segments[:len(r.segments)-1]
}

// dropOld forgets files that a process was about to remove when it ended.
func (r *replay) dropOld() {
	for len(r.segments) > 1 && r.segments[0].number < r.oldest {
		r.leftover = append(r.leftover, r.segments[0].path)
		r.segments = r.segments[1:]
	}
}

// checkOldest finds out whether the oldest files are gone, or the beginning of the oldest one.
func (r *replay) checkOldest() {
	if len(r.segments) == 0 || r.oldest == 0 {
		return
	}
	first := r.segments[0]
	if first.number > r.oldest {
		r.missing(r.oldest, first.number-1)
	}
	if first.first > r.oldestFirst {
		r.lost = append(r.lost, span{r.oldestFirst, first.first, len(r.damage.Files) - 1})
	}
}

// countLost counts the messages that are lost: those that were not read and not deleted.
func (r *replay) countLost() {
	slices.Sort(r.unknown)
	deleted := slices.Compact(r.unknown)
	for _, s := range r.lost {
		from, _ := slices.BinarySearch(deleted, s.first)
		to, _ := slices.BinarySearch(deleted, s.end)
		lost := s.end - s.first - uint64(to-from)
		if lost == 0 {
			continue
		}
		r.damage.Messages += int64(lost)
		if s.file >= 0 {
			r.damage.Files[s.file].Messages += int64(lost)
		}
	}
}
