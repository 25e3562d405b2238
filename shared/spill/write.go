package spill

import (
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/spillwayhq/spillway/shared/frame"
)

// A writer appends records to the active segment.
type writer struct {
	*store
	mu      sync.Mutex // held by the goroutine that writes
	pending *batch     // takes records until its leader writes it; guarded by the store's mu
	spare   []byte     // memory for the next batch; guarded by the store's mu
}

// A batch is what several calls of Append write together. The first of them leads: it waits for its
// turn and writes for all.
type batch struct {
	frames  []byte
	records int
	first   int64         // when the first record was appended
	tags    map[int]any   // of records that have one, by the place of the record in frames
	written chan struct{} // closed after the write; nil while only the leader waits
	err     error
}

// maxSpare is the most memory that is reused for the next batch.
const maxSpare = 1 << 20

func (w *writer) append(records [][]byte, tags []any) error {
	var few [16]uint32
	sums, size := few[:0], int64(0)
	for _, r := range records {
		if len(r) > MaxRecordBytes {
			return fmt.Errorf("a record of %d bytes: %w: a record may have %d", len(r), ErrTooLarge, MaxRecordBytes)
		}
		sums = append(sums, frame.Checksum(w.salt, r))
		size += frame.Overhead + int64(len(r))
	}
	if size+frame.HeadersBytes > w.opts.MaxBytes {
		return fmt.Errorf("%d bytes: %w of %d bytes", size, ErrTooLarge, w.opts.MaxBytes)
	}
	b, leads, err := w.join(records, tags, sums, size)
	switch {
	case err != nil:
		return err
	case leads:
		w.lead(b)
	default:
		<-b.written
	}
	return b.err
}

// join puts records into the batch that is written next.
func (w *writer) join(records [][]byte, tags []any, sums []uint32, size int64) (b *batch, leads bool, err error) {
	now := time.Now().UnixNano()
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	if w.isClosed() {
		return nil, false, ErrClosed
	}
	if w.bytes+size+frame.HeadersBytes > w.opts.MaxBytes {
		return nil, false, ErrFull
	}
	w.bytes += size
	b = w.pending
	if leads = b == nil; leads {
		b = &batch{frames: w.spare, first: now}
		w.pending, w.spare = b, nil
	} else if b.written == nil {
		b.written = make(chan struct{})
	}
	for i, r := range records {
		if tags != nil {
			if b.tags == nil {
				b.tags = map[int]any{}
			}
			b.tags[len(b.frames)] = tags[i]
		}
		b.frames = frame.Append(b.frames, w.salt, now, sums[i], r)
	}
	b.records += len(records)
	return b, leads, nil
}

// lead writes a batch when it is its turn.
func (w *writer) lead(b *batch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.opts.Sync {
		// The callers that the last sync has woken join this batch, instead of waiting for the
		// next.
		runtime.Gosched()
	}
	w.store.mu.Lock()
	w.pending = nil // from here on others make a batch of their own
	s := w.active
	w.inWrite = true
	// If the log was closed while this batch waited for its turn, the segment's file is closed, and
	// the directory may be another process's.
	closed := w.isClosed()
	w.store.mu.Unlock()

	if closed {
		s, b.err = nil, ErrClosed
	} else {
		s, b.err = w.write(s, b)
	}

	var over []*segment
	w.store.mu.Lock()
	w.inWrite = false
	if b.err == nil {
		if s.unread() == 0 {
			s.unreadSince = b.first
		}
		s.tag(b.tags)
		s.size += int64(len(b.frames))
		s.appended += b.records
	} else {
		w.bytes -= int64(len(b.frames))
		if s != nil && w.over(s, b.first) { // its last Done came during the failed write
			w.detach(s)
			over = append(over, s)
		}
	}
	if cap(b.frames) <= maxSpare {
		w.spare = b.frames[:0]
	}
	b.frames = nil
	written := b.written
	w.store.mu.Unlock()
	w.remove(over)
	if written != nil {
		close(written)
	}
	select {
	case w.more <- struct{}{}:
	default:
	}
}

// write puts a batch at the end of a segment and returns the segment. It makes a new one if the
// given one is full or nil.
func (w *writer) write(s *segment, b *batch) (*segment, error) {
	if s != nil && (s.size >= w.opts.SegmentBytes || w.mostlyDone(s, b.first)) {
		w.seal(s)
		s = nil
	}
	if s == nil {
		made, err := w.newSegment(b.first)
		if err != nil {
			return nil, err
		}
		s = made
		w.store.mu.Lock()
		w.segments = append(w.segments, s)
		w.active = s
		w.bytes += s.size
		w.store.mu.Unlock()
	}
	_, err := s.file.WriteAt(b.frames, s.size)
	if err == nil && w.opts.Sync {
		// After a failed sync it is unknown which pages of the file are on disk. What was synced
		// before is safe; nothing is added to the file.
		if err = s.file.Sync(); err != nil {
			defer w.seal(s)
		}
	}
	if err == nil {
		return s, nil
	}
	if torn := s.file.Truncate(s.size); torn != nil {
		w.log.Error("a failed write to the spill log can't be undone; the log continues in another segment", "file", s.path,
			"error", torn)
		w.seal(s)
	}
	return s, err
}

// mostlyDone reports whether to end a segment rather than to write to it: it has some age, and at
// least half of its records are done, which a crash would bring back as long as others in it are
// not.
func (w *writer) mostlyDone(s *segment, now int64) bool {
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	return now-s.created >= int64(settleAge) && 2*s.waiting() <= s.appended
}

// seal ends the writing to a segment.
func (w *writer) seal(s *segment) {
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	s.sealed = true
	if w.active == s {
		w.active = nil
	}
	if w.current != s { // otherwise the reader closes it
		w.closeFile(s)
	}
}

// newSegment makes the file of the next segment.
func (w *writer) newSegment(now int64) (*segment, error) {
	w.store.mu.Lock()
	w.number++
	number := w.number
	w.store.mu.Unlock()
	s := &segment{number: number, path: segmentPath(w.opts.Dir, number), salt: w.salt, created: now, own: true,
		size: frame.HeadersBytes}
	f, err := w.opts.FS.Create(s.path)
	if err != nil {
		return nil, fmt.Errorf("make a segment: %w", err)
	}
	s.file = f
	if _, err = f.WriteAt(frame.AppendHeaders(nil, w.salt, now), 0); err == nil && w.opts.Sync {
		err = w.opts.FS.SyncDir(w.opts.Dir)
	}
	if err != nil {
		f.Close()
		if left := w.removeFile(s.path); left != nil {
			w.log.Warn("a segment that could not be made could not be removed", "file", s.path, "error", left)
		}
		return nil, fmt.Errorf("make a segment: %w", err)
	}
	return s, nil
}
