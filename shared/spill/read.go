package spill

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// A Record is what one Append wrote. Its Data belong to whoever got it; they share memory with up
// to readBytes of their neighbours.
type Record struct {
	Data     []byte
	Appended time.Time
	segment  *segment
	index    int
}

// readBytes is how much is read at once.
const readBytes = 128 << 10

// reader is where the reading stands.
type reader struct {
	segment *segment
	offset  int64  // of the first byte of rest in the file
	rest    []byte // read and not yet parsed
	skipped int64  // bytes of the damaged stretch that ends at offset
}

// Next waits for the next record, oldest first, and hands it out once. It returns the context's
// error or ErrClosed if that ends first.
func (l *Log) Next(ctx context.Context) (Record, error) {
	var one [1]Record
	_, err := l.Read(ctx, one[:])
	return one[0], err
}

// Read is Next for many: it waits for one record and hands out as many more as are there, up to
// len(into).
func (l *Log) Read(ctx context.Context, into []Record) (int, error) {
	if len(into) == 0 {
		return 0, nil
	}
	l.reading.Lock()
	defer l.reading.Unlock()
	for {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		select {
		case <-l.closed:
			return 0, ErrClosed
		default:
		}
		if n := l.take(into); n > 0 {
			return n, nil
		}
		select {
		case <-l.more:
		case <-l.closed:
		case <-ctx.Done():
		}
	}
}

// take hands out what is there, without waiting. It is called with reading held.
func (l *Log) take(into []Record) int {
	n := 0
	for n < len(into) {
		s, limit, grows := l.position()
		if s == nil {
			break
		}
		got := l.parse(into[n:], s, limit)
		n += got
		if got == 0 && grows {
			break // all there is so far
		}
		if got == 0 && l.next.offset == limit {
			l.exhaust(s)
		}
	}
	return n
}

// position is the segment that is to be read, up to where, and whether more may be written to it.
func (l *Log) position() (s *segment, limit int64, grows bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.current == nil || l.current.exhausted {
		l.current = nil
		for _, s := range l.segments {
			if !s.exhausted {
				l.current = s
				break
			}
		}
	}
	s = l.current
	if s == nil {
		return nil, 0, false
	}
	if l.next.segment != s {
		l.next = reader{segment: s, offset: headersBytes}
	}
	return s, s.size, !s.sealed
}

// parse hands out records of a segment until into is full or limit, where a frame ends or a dead
// process stopped, is reached.
func (l *Log) parse(into []Record, s *segment, limit int64) int {
	r, n := &l.next, 0
	found := faults{}
	for n < len(into) && r.offset < limit {
		f, v := parseFrame(r.rest, s.salt)
		switch v {
		case whole:
			found.add(r.endOfDamage())
			into[n] = Record{Data: f.data, Appended: time.Unix(0, f.appended), segment: s}
			n++
			r.advance(f.bytes)
		case damaged:
			found.add(r.endOfDamage())
			r.damage(f.bytes)
			found.add(r.endOfDamage())
		case noFrame:
			r.damage(nextMarker(r.rest))
		case short:
			if r.offset+int64(len(r.rest)) < limit {
				if err := l.fill(f.bytes, limit); err != nil {
					l.abandon(s, err)
					limit = r.offset
				}
				continue
			}
			if s.own {
				r.damage(len(r.rest))
			} else {
				found.torn++
				r.advance(len(r.rest))
			}
		}
	}
	if r.offset == limit {
		found.add(r.endOfDamage())
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range into[:n] {
		into[i].index = s.handOut(into[i].Appended.UnixNano())
	}
	s.readTo = r.offset
	s.faults.add(found)
	l.faults.add(found)
	return n
}

func (f *faults) add(g faults) {
	f.corrupt += g.corrupt
	f.torn += g.torn
	f.setAside += g.setAside
	f.corruptBytes += g.corruptBytes
}

func (r *reader) advance(n int) { r.offset, r.rest = r.offset+int64(n), r.rest[n:] }

// damage goes on after n bytes that can't be used.
func (r *reader) damage(n int) {
	r.skipped += int64(n)
	r.advance(n)
}

// endOfDamage is what there is to count where a damaged stretch ends.
func (r *reader) endOfDamage() faults {
	if r.skipped == 0 {
		return faults{}
	}
	f := faults{corrupt: 1, corruptBytes: r.skipped}
	r.skipped = 0
	return f
}

// fill reads more of the segment, so much that rest has the given bytes or all up to limit.
func (l *Log) fill(need int, limit int64) error {
	r := &l.next
	f, err := l.open(r.segment)
	if err != nil {
		return err
	}
	have := len(r.rest)
	from := r.offset + int64(have)
	b := make([]byte, have+int(min(limit-from, int64(max(readBytes, need-have)))))
	copy(b, r.rest)
	n, err := f.ReadAt(b[have:], from)
	r.rest = b[:have+n]
	if n > 0 {
		return nil // an error comes again
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

// open is the file of the segment that is read.
func (l *Log) open(s *segment) (file, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.file == nil {
		f, err := os.OpenFile(s.path, os.O_RDWR, 0)
		if err != nil {
			return nil, err
		}
		s.file = f
	}
	return s.file, nil
}

// exhaust goes past a segment of which all is read.
func (l *Log) exhaust(s *segment) {
	l.mu.Lock()
	s.exhausted = true
	if err := s.close(); err != nil {
		l.log.Warn("close a segment of the spill log", "file", s.path, "error", err)
	}
	over := l.over(s, 0) // it is exhausted: its age is nothing
	if over {
		l.detach(s)
	}
	found := s.faults
	l.mu.Unlock()
	if found.corrupt > 0 {
		l.log.Error("a segment of the spill log had damaged records, which are lost; those around them were handed out: "+
			"look at the disk",
			"file", s.path, "stretches", found.corrupt, "bytes", found.corruptBytes)
	}
	if found.torn > 0 {
		l.log.Info("a segment of the spill log ends in the middle of a record: the process was ended while it wrote it",
			"file", s.path)
	}
	if over {
		l.remove([]*segment{s})
	}
}

// abandon goes past a segment that can't be read on. What follows it is not held up, and the file
// stays for the next process.
func (l *Log) abandon(s *segment, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	waiting := s.unread()
	s.sealed, s.exhausted, s.kept = true, true, true
	if l.active == s {
		l.active = nil
	}
	l.faults.setAside++
	l.log.Error("a segment of the spill log can't be read on, and is left in place for the next start", "file", s.path,
		"offset", l.next.offset,
		"records_known_to_wait", waiting, "error", describe(err))
}

func describe(err error) error {
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("the file is shorter than it was: %w", err)
	}
	return err
}
