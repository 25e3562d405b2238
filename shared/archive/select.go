package archive

import (
	"context"
	"io"

	"golang.org/x/sync/errgroup"
)

// A Line is a line of an object that was selected.
type Line struct {
	Offset int64 // of its frame in the object
	Index  int   // in the frame, from 0
	Data   []byte
}

// Stats is what a Select has read.
type Stats struct {
	Lines  int64
	Bytes  int64 // of lines
	Damage []*DamageError
}

// Select reads an object from the byte offset on, and calls each with the lines for which keep is true,
// in their order. It decompresses up to workers frames at a time, and calls keep at the same time for
// lines of several frames; each is called by one goroutine, and its line is valid until it returns.
// Damage does not end it: Stats says what could not be read. It ends with the error of each, of the
// object, or of ctx. It needs some 10 MB a worker at most, and far less for the frames of a [Packer].
func Select(ctx context.Context, object io.Reader, offset int64, workers int, keep func(line []byte) bool,
	each func(Line) error) (Stats, error) {
	workers = max(1, workers)
	z, err := newDecoder(workers)
	if err != nil {
		return Stats{}, err
	}
	defer z.Close()
	s := selection{queue: make(chan *selected, workers), free: make(chan *selected, workers+2), keep: keep, each: each}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(s.queue)
		return s.cut(ctx, &Reader{cut: cutter{r: object, offset: offset}, zstd: z})
	})
	group.Go(func() error { return s.collect(ctx) })
	err = group.Wait()
	for frame := range s.queue { // what was under way when it ended
		<-frame.done
	}
	return s.stats, err
}

// A selection is one Select. Frames go through queue in their order, while they are being read.
type selection struct {
	queue chan *selected
	free  chan *selected // to be used again, for their buffers
	keep  func([]byte) bool
	each  func(Line) error
	stats Stats
}

// selected is what one frame gives.
type selected struct {
	done  chan struct{} // closed when all of it is there
	frame []byte
	data  []byte
	lines []Line
	stats Stats
}

// cut starts to read one frame after the other.
func (s *selection) cut(ctx context.Context, r *Reader) error {
	for {
		frame, offset, err := r.cut.next()
		if err == nil && !r.cut.sure { // it may have swallowed the beginning of another
			_, err = r.decode(frame, offset)
		}
		if err == io.EOF {
			return nil
		}
		damage, isDamage := err.(*DamageError)
		if err != nil && !isDamage {
			return err
		}
		next := s.take()
		if isDamage {
			next.stats.Damage = []*DamageError{damage}
			close(next.done)
		} else {
			next.frame = append(next.frame[:0], frame...)
			go next.read(&Reader{cut: cutter{buf: next.frame, offset: offset, ended: io.EOF}, zstd: r.zstd}, s.keep)
		}
		select {
		case s.queue <- next:
		case <-ctx.Done():
			<-next.done
			return ctx.Err()
		}
	}
}

func (s *selection) take() *selected {
	select {
	case old := <-s.free:
		*old = selected{done: make(chan struct{}), frame: old.frame, data: old.data, lines: old.lines[:0]}
		return old
	default:
		return &selected{done: make(chan struct{})}
	}
}

// collect gives the lines to the caller.
func (s *selection) collect(ctx context.Context) error {
	for frame := range s.queue {
		<-frame.done
		s.stats.Lines += frame.stats.Lines
		s.stats.Bytes += frame.stats.Bytes
		s.stats.Damage = append(s.stats.Damage, frame.stats.Damage...)
		for _, line := range frame.lines {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := s.each(line); err != nil {
				return err
			}
		}
		select {
		case s.free <- frame:
		default:
		}
	}
	return nil
}

// read reads what r has: one frame, or what damage has left of it.
func (s *selected) read(r *Reader, keep func([]byte) bool) {
	defer close(s.done)
	for r.data = s.data; ; r.data = nil { // its lines are retained
		block, err := r.Next()
		if damage, ok := err.(*DamageError); ok {
			s.stats.Damage = append(s.stats.Damage, damage)
			continue
		} else if err != nil {
			return // the end
		}
		s.data = block.Data
		s.stats.Bytes += int64(len(block.Data))
		index := 0
		for line := range block.Lines() {
			if keep(line) {
				s.lines = append(s.lines, Line{block.Offset, index, line})
			}
			index++
		}
		s.stats.Lines += int64(index)
	}
}
