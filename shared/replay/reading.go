package replay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"

	"github.com/spillwayhq/spillway/shared/archive"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

const (
	// lookahead is how many objects are read at the same time: S3 needs 50 ms for a small one.
	lookahead = 8
	// maxWorkers is how many frames of an object are read at the same time: of lookahead objects
	// they take 160 MB at most, and a tenth of that as a rule.
	maxWorkers = 4
	// readTries is how often an object is read on after its connection broke.
	readTries = 5
)

// A position is where a replay is in its plan: everything before it is done.
type position struct {
	Object  int    `json:"object"`            // the index in the plan
	Offset  int64  `json:"offset,omitempty"`  // in the object: where a frame begins
	Line    int    `json:"line,omitempty"`    // in that frame, from 0
	Version string `json:"version,omitempty"` // of that object, if Offset or Line is not 0
}

// isInside reports whether a part of its object is done.
func (p *position) isInside() bool { return p.Offset > 0 || p.Line > 0 }

// isBefore reports whether a position stands before a line of its object.
func (p *position) isBefore(l *archive.Line) bool {
	return p.Offset < l.Offset || p.Offset == l.Offset && p.Line <= l.Index
}

// A visitor is given what readObjects reads, by one goroutine and in the objects' order.
type visitor interface {
	// line takes a line of the i-th object.
	line(i int, l archive.Line) error
	// end says that the i-th object has no more lines. gone: it does not exist any more.
	end(i int, stats archive.Stats, gone bool) error
}

// reading is one object that is read.
type reading struct {
	lines  chan archive.Line
	object archive.Object // as it is read, once lines has one or is closed
	// Once lines is closed:
	stats archive.Stats
	err   error
}

// reader reads the objects of a plan.
type reader struct {
	store   archive.Store
	objects []archive.Object       // updated as they are read
	keep    func(line []byte) bool // whether a line is given to the visitor; called concurrently
	// finish has objects finished before they are read, so that a position in one stays right.
	finish bool
}

// read reads the objects between two positions, several at the same time.
func (rd *reader) read(ctx context.Context, from, to position, v visitor) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	last := to.Object // the last object that is read
	if !to.isInside() {
		last--
	}
	readings := map[int]*reading{}
	next := from.Object
	for i := from.Object; i <= last; i++ {
		for ; next <= min(last, i+lookahead-1); next++ {
			begin := position{}
			if next == from.Object {
				begin = from
			}
			r := &reading{lines: make(chan archive.Line, 256), object: rd.objects[next]}
			readings[next] = r
			go r.run(ctx, rd, begin)
		}
		r := readings[i]
		delete(readings, i)
		for l := range r.lines {
			rd.objects[i] = r.object
			if i == to.Object && to.isBefore(&l) {
				return nil // the rest of this object is not asked for
			}
			if err := v.line(i, l); err != nil {
				return err
			}
		}
		gone := errors.Is(r.err, archive.ErrNotFound)
		if r.err != nil && !gone {
			if cause := context.Cause(ctx); cause != nil {
				return cause
			}
			return fmt.Errorf("read %s: %w", r.object.Name, r.err)
		}
		if i < to.Object {
			if err := v.end(i, r.stats, gone); err != nil {
				return err
			}
		}
	}
	return context.Cause(ctx)
}

// run reads the object from a position in it on, and reads on where a broken connection ended it.
func (r *reading) run(ctx context.Context, rd *reader, begin position) {
	defer close(r.lines)
	if rd.finish {
		o, err := rd.store.Finish(ctx, r.object)
		if err != nil {
			r.err = err
			return
		}
		r.object = o
	}
	given := archive.Line{Offset: begin.Offset, Index: begin.Line - 1} // the last line that was given
	for try := 1; ; try++ {
		before := given
		r.err = r.read(ctx, rd, &given)
		if r.err == nil || errors.Is(r.err, archive.ErrNotFound) || ctx.Err() != nil || try == readTries {
			return
		}
		if given.Offset != before.Offset {
			try = 1 // it came further
		}
		if !sqsclient.Backoff(ctx, try) {
			return
		}
	}
}

func (r *reading) read(ctx context.Context, rd *reader, given *archive.Line) error {
	start := *given
	object, err := rd.store.Open(ctx, r.object, start.Offset)
	if err != nil {
		return err
	}
	defer object.Close()
	workers := min(runtime.GOMAXPROCS(0), maxWorkers)
	stats, err := archive.Select(ctx, object, start.Offset, workers, rd.keep, func(l archive.Line) error {
		if l.Offset == start.Offset && l.Index <= start.Index {
			return nil // given before the connection broke
		}
		l.Data = bytes.Clone(l.Data)
		select {
		case r.lines <- l:
			given.Offset, given.Index = l.Offset, l.Index
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	r.stats.Lines += stats.Lines
	r.stats.Bytes += stats.Bytes
	r.stats.Damage = append(r.stats.Damage, stats.Damage...)
	return err
}
