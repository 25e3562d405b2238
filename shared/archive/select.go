package archive

import (
	"context"
	"io"
	"sync"

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

// Select reads an object from the byte offset on, and calls each with the lines for which keep is
// true, in their order. It decompresses up to workers frames at a time, and calls keep at the same
// time for lines of several frames; each is called by one goroutine, and its line is valid until it
// returns. Damage does not end it: Stats says what could not be read. It ends with the error of
// each, of the object, or of ctx. It needs some 20 MB a worker at most, and far less for the frames
// of a [Packer].
func Select(ctx context.Context, object io.Reader, offset int64, workers int, keep func(line []byte) bool,
	each func(Line) error) (Stats, error) {
	workers = max(1, workers)
	z, err := newDecoder(workers)
	if err != nil {
		return Stats{}, err
	}
	defer z.Close()
	s := selection{
		queue: make(chan *selected, workers), frames: make(chan []byte, workers+2), free: make(chan *part, workers+2),
		keep: keep, each: each,
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(s.queue)
		r := Reader{cut: cutter{r: object, offset: offset}, zstd: z}
		defer r.closeBig()
		return s.cut(ctx, &r)
	})
	group.Go(func() error { return s.collect(ctx) })
	err = group.Wait()
	s.workers.Wait()
	return s.stats, err
}

// A selection is one Select. Frames go through queue in their order, while they are being read.
type selection struct {
	queue   chan *selected
	frames  chan []byte // buffers to be used again
	free    chan *part  // for their buffers
	workers sync.WaitGroup
	keep    func([]byte) bool
	each    func(Line) error
	stats   Stats
}

// selected is a frame, or what is no frame. A big frame gives several parts.
type selected struct {
	frame []byte
	parts chan *part // closed after the last
}

type part struct {
	data  []byte
	lines []Line
	stats Stats
}

// cut starts to read one frame after the other.
func (s *selection) cut(ctx context.Context, r *Reader) error {
	for {
		frame, offset, err := r.cut.next()
		if err == nil && !r.cut.sure { // it may have swallowed the beginning of another
			if _, err = r.decode(frame, offset); r.big != nil {
				r.closeBig() // a worker reads it
				err = nil
			}
		}
		next := &selected{parts: make(chan *part, 1)}
		var damage *DamageError
		switch e, isDamage := err.(*DamageError); {
		case err == io.EOF:
			return nil
		case isDamage:
			damage = e
		case err != nil && err != errTooLong:
			return err
		}
		if err == nil {
			next.frame = append(take(s.frames)[:0], frame...)
			alone := Reader{cut: cutter{buf: next.frame, offset: offset, ended: io.EOF}, zstd: r.zstd}
			s.workers.Go(func() { s.read(ctx, &alone, next.parts, false) })
		}
		select {
		case s.queue <- next:
		case <-ctx.Done():
			return ctx.Err()
		}
		switch {
		case damage != nil:
			next.parts <- &part{stats: Stats{Damage: []*DamageError{damage}}}
			close(next.parts)
		case err == errTooLong:
			s.read(ctx, r, next.parts, true)
		}
	}
}

// read reads what r has: a frame, or what damage has left of it; or only the big frame at which it
// is.
func (s *selection) read(ctx context.Context, r *Reader, parts chan<- *part, big bool) {
	defer close(parts)
	var at int64 // frame
	index := 0
	for {
		p := take(s.free)
		if p == nil {
			p = &part{}
		}
		p.lines, p.stats = p.lines[:0], Stats{}
		r.data = p.data
		block, err := r.Next()
		if damage, ok := err.(*DamageError); ok {
			p.stats.Damage = []*DamageError{damage}
		} else if err != nil {
			return // the end
		} else {
			if p.data = block.Data; block.Offset != at {
				at, index = block.Offset, 0
			}
			index = p.read(block, index, s.keep)
		}
		select {
		case parts <- p:
		case <-ctx.Done():
			return
		}
		if big && r.big == nil {
			return
		}
	}
}

// read selects the lines of a block, of which the first has an index, and returns that of the next
// one.
func (p *part) read(block Block, index int, keep func([]byte) bool) int {
	p.stats.Bytes = int64(len(block.Data))
	for line := range block.Lines() {
		if keep(line) {
			p.lines = append(p.lines, Line{block.Offset, index, line})
		}
		index++
		p.stats.Lines++
	}
	return index
}

// collect gives the lines to the caller.
func (s *selection) collect(ctx context.Context) error {
	for next := range s.queue {
		for p := range next.parts {
			s.stats.Lines += p.stats.Lines
			s.stats.Bytes += p.stats.Bytes
			s.stats.Damage = append(s.stats.Damage, p.stats.Damage...)
			for _, line := range p.lines {
				if err := ctx.Err(); err != nil {
					return err
				}
				if err := s.each(line); err != nil {
					return err
				}
			}
			give(s.free, p)
		}
		if next.frame != nil {
			give(s.frames, next.frame)
		}
	}
	return ctx.Err()
}

// take returns what is in a list of things to be used again, or the zero value.
func take[T any](list chan T) (thing T) {
	select {
	case thing = <-list:
	default:
	}
	return thing
}

func give[T any](list chan T, thing T) {
	select {
	case list <- thing:
	default:
	}
}
