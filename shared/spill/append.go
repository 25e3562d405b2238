package spill

import (
	"fmt"
	"runtime"
	"time"
)

// A batch is what several calls of Append write together. The first of them leads: it waits for its
// turn and writes for all.
type batch struct {
	frames  []byte
	records int
	first   int64         // when the first record was appended
	written chan struct{} // is closed after the write; nil while nobody but the leader waits
	err     error
}

// maxSpare is the most memory that is kept for the next batch.
const maxSpare = 1 << 20

// Append writes records. When it returns nil they are in the page cache, and so survive the
// process, or with Options.Sync on the disk. With an error none of them is in the log: ErrFull,
// ErrTooLarge, ErrClosed, or that of a write, of which a full disk is one; the log can be used as
// before. (Killed within a call, the process may leave the first of its records; and a failed write
// whose bytes can't be taken back may come to light at the next Open.) It copies the records. Calls
// at the same time share writes and syncs; Append waits for the disk and for nothing else.
func (l *Log) Append(records ...[]byte) error {
	if len(records) == 0 {
		return nil
	}
	var few [16]uint32
	sums, size := few[:0], int64(0)
	for _, r := range records {
		if len(r) > MaxRecordBytes {
			return fmt.Errorf("append a record of %d bytes to the spill log in %s: %w: a record may have %d", len(r), l.opts.Dir,
				ErrTooLarge, MaxRecordBytes)
		}
		sums = append(sums, checksum(l.salt, r))
		size += frameBytes + int64(len(r))
	}
	if size+headersBytes > l.opts.MaxBytes {
		return fmt.Errorf("append %d bytes to the spill log in %s: %w of %d bytes", size, l.opts.Dir, ErrTooLarge,
			l.opts.MaxBytes)
	}
	b, leads, err := l.join(records, sums, size)
	switch {
	case err != nil:
		return fmt.Errorf("append to the spill log in %s: %w", l.opts.Dir, err)
	case leads:
		l.lead(b)
	default:
		<-b.written
	}
	if b.err != nil {
		return fmt.Errorf("append to the spill log in %s: %w", l.opts.Dir, b.err)
	}
	return nil
}

// join puts records into the batch that is written next.
func (l *Log) join(records [][]byte, sums []uint32, size int64) (b *batch, leads bool, err error) {
	now := time.Now().UnixNano()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.isClosed() {
		return nil, false, ErrClosed
	}
	if l.bytes+size+headersBytes > l.opts.MaxBytes {
		return nil, false, ErrFull
	}
	l.bytes += size
	b = l.pending
	if leads = b == nil; leads {
		b = &batch{frames: l.spare, first: now}
		l.pending, l.spare = b, nil
	} else if b.written == nil {
		b.written = make(chan struct{})
	}
	for i, r := range records {
		b.frames = appendFrame(b.frames, l.salt, now, sums[i], r)
	}
	b.records += len(records)
	return b, leads, nil
}

// lead writes a batch when it is its turn.
func (l *Log) lead(b *batch) {
	l.writing.Lock()
	defer l.writing.Unlock()
	if l.opts.Sync {
		// Those whom the last sync has woken come along, instead of waiting for this one in vain.
		runtime.Gosched()
	}
	l.mu.Lock()
	l.pending = nil // from here on others make a batch of their own
	s := l.active
	l.inWrite = true
	// while this batch waited for its turn: its segment is closed, and the directory may be another
	// process's
	closed := l.isClosed()
	l.mu.Unlock()

	if closed {
		s, b.err = nil, ErrClosed
	} else {
		s, b.err = l.write(s, b)
	}

	var over []*segment
	l.mu.Lock()
	l.inWrite = false
	if b.err == nil {
		if s.unread() == 0 {
			s.unreadSince = b.first
		}
		s.size += int64(len(b.frames))
		s.appended += b.records
	} else {
		l.bytes -= int64(len(b.frames))
		if s != nil && l.over(s, b.first) { // its last Done came while this write was tried
			l.detach(s)
			over = append(over, s)
		}
	}
	if cap(b.frames) <= maxSpare {
		l.spare = b.frames[:0]
	}
	b.frames = nil
	written := b.written
	l.mu.Unlock()
	l.remove(over)
	if written != nil {
		close(written)
	}
	select {
	case l.more <- struct{}{}:
	default:
	}
}

// write puts a batch at the end of a segment, which it makes if the given one has its size, and
// returns the segment.
func (l *Log) write(s *segment, b *batch) (*segment, error) {
	if s != nil && (s.size >= l.opts.SegmentBytes || l.settled(s, b.first)) {
		l.seal(s)
		s = nil
	}
	if s == nil {
		made, err := l.newSegment(b.first)
		if err != nil {
			return nil, err
		}
		s = made
		l.mu.Lock()
		l.segments = append(l.segments, s)
		l.active = s
		l.bytes += s.size
		l.mu.Unlock()
	}
	_, err := s.file.WriteAt(b.frames, s.size)
	if err == nil && l.opts.Sync {
		// After a failed sync nobody knows which pages of the file are clean only by mistake. What
		// was synced before is safe; nothing is added to it.
		if err = s.file.Sync(); err != nil {
			defer l.seal(s)
		}
	}
	if err == nil {
		return s, nil
	}
	if torn := s.file.Truncate(s.size); torn != nil {
		l.log.Error("a failed write to the spill log can't be taken back; the log goes on in another segment", "file", s.path,
			"error", torn)
		l.seal(s)
	}
	return s, err
}

// seal ends the writing to a segment.
func (l *Log) seal(s *segment) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s.sealed = true
	if l.active == s {
		l.active = nil
	}
	if l.current == s {
		return // whoever reads it closes it
	}
	if err := s.close(); err != nil {
		l.log.Warn("close a segment of the spill log", "file", s.path, "error", err)
	}
}
