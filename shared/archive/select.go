package archive

import (
	"bytes"
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

// selected is what a frame gives: filled by a worker, in turn given to the caller.
type selected struct {
	done  chan struct{} // closed when the rest is there
	lines []Line
	stats Stats
}

// Select reads an object from the byte offset on, and calls each with the lines for which keep is true,
// in their order. It decompresses up to workers frames at a time, and calls keep at the same time for
// lines of several frames; each is called by one goroutine, and its line is valid until it returns.
// Damage does not end it: Stats says what could not be read. It ends with the error of each, of the
// object, or of ctx.
func Select(ctx context.Context, object io.Reader, offset int64, workers int, keep func(line []byte) bool,
	each func(Line) error) (Stats, error) {
	workers = max(1, workers)
	z, err := newDecoder(workers)
	if err != nil {
		return Stats{}, err
	}
	defer z.Close()
	var total Stats
	group, ctx := errgroup.WithContext(ctx)
	queue := make(chan *selected, workers)
	group.Go(func() error {
		defer close(queue)
		cut := cutter{r: object, offset: offset}
		for {
			frame, at, err := cut.next()
			if err == io.EOF {
				return nil
			}
			s := &selected{done: make(chan struct{})}
			if damage, ok := err.(*DamageError); ok {
				s.stats.Damage = []*DamageError{damage}
				close(s.done)
			} else if err != nil {
				return err
			} else {
				frame = bytes.Clone(frame)
				go s.read(&Reader{cut: cutter{r: bytes.NewReader(frame), offset: at}, zstd: z}, keep)
			}
			select {
			case queue <- s:
			case <-ctx.Done():
				<-s.done
				return ctx.Err()
			}
		}
	})
	group.Go(func() error {
		for s := range queue {
			<-s.done
			total.add(&s.stats)
			for _, line := range s.lines {
				if err := ctx.Err(); err != nil {
					return err
				}
				if err := each(line); err != nil {
					return err
				}
			}
		}
		return nil
	})
	err = group.Wait()
	for s := range queue { // what was under way when it ended
		<-s.done
	}
	return total, err
}

func (s *Stats) add(o *Stats) {
	s.Lines += o.Lines
	s.Bytes += o.Bytes
	s.Damage = append(s.Damage, o.Damage...)
}

// read reads what r has: one frame, or what is left of it.
func (s *selected) read(r *Reader, keep func([]byte) bool) {
	defer close(s.done)
	for {
		block, err := r.Next()
		if damage, ok := err.(*DamageError); ok {
			s.stats.Damage = append(s.stats.Damage, damage)
			continue
		} else if err != nil {
			return // the end
		}
		r.data = nil // its lines are retained
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
