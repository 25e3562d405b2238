package spill

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/spillwayhq/spillway/shared/frame"
)

// A Record is what one Append wrote. Its Data belong to the caller; they share memory with up to
// readBytes of the records around it.
type Record struct {
	Data     []byte
	Appended time.Time
	Tag      any // what AppendTagged of this process was given for it; nil: nothing
	segment  *segment
	offset   int64
	index    int
}

// readBytes is how much is read at once.
const readBytes = 128 << 10

// A reader hands out the records of the segments, oldest first. Fields that the store's mu does not
// guard are guarded by its own mu.
type reader struct {
	*store
	mu   sync.Mutex // held by the goroutine that reads
	next position
}

// position is how far a segment has been read.
type position struct {
	segment *segment
	offset  int64  // of the first byte of rest in the file
	rest    []byte // read and not yet parsed
	skipped int64  // bytes of the damaged stretch that ends at offset
}

func (p *position) advance(n int) { p.offset, p.rest = p.offset+int64(n), p.rest[n:] }

// damage skips n bytes that can't be used.
func (p *position) damage(n int) {
	p.skipped += int64(n)
	p.advance(n)
}

// endOfDamage returns what to count where a damaged stretch ends.
func (p *position) endOfDamage() faults {
	if p.skipped == 0 {
		return faults{}
	}
	f := faults{corrupt: 1, corruptBytes: p.skipped}
	p.skipped = 0
	return f
}

func (r *reader) read(ctx context.Context, into []Record) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		select {
		case <-r.closed:
			return 0, ErrClosed
		default:
		}
		if n := r.take(into); n > 0 {
			return n, nil
		}
		select {
		case <-r.more:
		case <-r.closed:
		case <-ctx.Done():
		}
	}
}

// take hands out the available records without waiting. It is called with mu held.
func (r *reader) take(into []Record) int {
	n := 0
	for n < len(into) {
		s, limit, grows := r.seek()
		if s == nil {
			break
		}
		got := r.parse(into[n:], s, limit)
		n += got
		if got == 0 && grows {
			break // these are all so far
		}
		if got == 0 && r.next.offset == limit {
			r.exhaust(s)
		}
	}
	return n
}

// seek returns the segment to read next, up to which offset, and whether more may be written to it.
func (r *reader) seek() (s *segment, limit int64, grows bool) {
	r.store.mu.Lock()
	defer r.store.mu.Unlock()
	if r.current == nil || r.current.exhausted {
		r.current = nil
		for _, s := range r.segments {
			if !s.exhausted {
				r.current = s
				break
			}
		}
	}
	s = r.current
	if s == nil {
		return nil, 0, false
	}
	if r.next.segment != s {
		r.next = position{segment: s, offset: frame.HeadersBytes}
	}
	return s, s.size, !s.sealed
}

// parse hands out records of a segment until into is full or limit is reached, where a record ends
// or a killed process stopped writing.
func (r *reader) parse(into []Record, s *segment, limit int64) int {
	at, n := &r.next, 0
	found := faults{}
	for n < len(into) && at.offset < limit {
		f, state := frame.Parse(at.rest, s.salt, MaxRecordBytes)
		switch state {
		case frame.Whole:
			found.add(at.endOfDamage())
			into[n] = Record{Data: f.Data, Appended: time.Unix(0, f.Stamp), segment: s, offset: at.offset}
			n++
			at.advance(f.Bytes)
		case frame.Damaged:
			found.add(at.endOfDamage())
			at.damage(f.Bytes)
			found.add(at.endOfDamage())
		case frame.None:
			at.damage(frame.NextMarker(at.rest))
		case frame.Short:
			if at.offset+int64(len(at.rest)) < limit {
				if err := r.fill(f.Bytes, limit); err != nil {
					r.abandon(s, err)
					limit = at.offset
				}
				continue
			}
			if s.own {
				at.damage(len(at.rest))
			} else {
				found.torn++
				at.advance(len(at.rest))
			}
		}
	}
	if at.offset == limit {
		found.add(at.endOfDamage())
	}
	r.store.mu.Lock()
	defer r.store.mu.Unlock()
	for i := range into[:n] {
		into[i].index = s.handOut(into[i].Appended.UnixNano())
		if len(s.tags) > 0 {
			into[i].Tag = s.tags[into[i].offset]
			delete(s.tags, into[i].offset)
		}
	}
	s.readTo = at.offset
	s.faults.add(found)
	r.faults.add(found)
	return n
}

// fill reads more of the segment, so that rest has need bytes or all up to limit.
func (r *reader) fill(need int, limit int64) error {
	at := &r.next
	f, err := r.open(at.segment)
	if err != nil {
		return err
	}
	have := len(at.rest)
	from := at.offset + int64(have)
	b := make([]byte, have+int(min(limit-from, int64(max(readBytes, need-have)))))
	copy(b, at.rest)
	n, err := f.ReadAt(b[have:], from)
	at.rest = b[:have+n]
	if n > 0 {
		return nil // the next read returns the error again
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

// open returns the file of the segment that is read.
func (r *reader) open(s *segment) (File, error) {
	r.store.mu.Lock()
	defer r.store.mu.Unlock()
	if s.file == nil {
		f, err := r.opts.FS.Open(s.path)
		if err != nil {
			return nil, err
		}
		s.file = f
	}
	return s.file, nil
}

// exhaust moves on from a segment that has been read to its end.
func (r *reader) exhaust(s *segment) {
	r.store.mu.Lock()
	s.exhausted = true
	r.closeFile(s)
	over := r.over(s, 0) // the age of an exhausted segment does not matter
	if over {
		r.detach(s)
	}
	found := s.faults
	r.store.mu.Unlock()
	if found.corrupt > 0 {
		r.log.Error("a segment of the spill log had damaged records, which are lost; those around them were handed out; "+
			"check the disk", "file", s.path, "stretches", found.corrupt, "bytes", found.corruptBytes)
	}
	if found.torn > 0 {
		r.log.Info("a segment of the spill log ends within a record: the process was killed while it wrote it", "file",
			s.path)
	}
	if over {
		r.remove([]*segment{s})
	}
}

// abandon moves on from a segment that can't be read further. Its file is left for the next
// process.
func (r *reader) abandon(s *segment, err error) {
	r.store.mu.Lock()
	defer r.store.mu.Unlock()
	waiting := s.unread()
	s.sealed, s.exhausted, s.unreadable = true, true, true
	if r.active == s {
		r.active = nil
	}
	r.faults.setAside++
	if errors.Is(err, io.EOF) {
		err = fmt.Errorf("the file is shorter than it was: %w", err)
	}
	r.log.Error("a segment of the spill log can't be read further; it is left in place for the next start", "file", s.path,
		"offset", r.next.offset, "records_known_to_wait", waiting, "error", err)
}
