package replay

import (
	"context"
	"fmt"
	"time"

	"github.com/spillwayhq/spillway/shared/archive"
)

// tellEvery is how often Progress is told.
const tellEvery = 100 * time.Millisecond

// walk reads a part of a replay's objects and chooses events.
type walk struct {
	*Replay
	chooser *chooser
	take    func(context.Context, *chosen) error // nil: the events are only counted
	// boundary is called where everything before a position was taken; nil: it is of no interest.
	boundary func(context.Context, position) error
	finish   bool // see reader

	ctx      context.Context // of read
	at       position
	tell     func(Progress)
	told     time.Time
	progress Progress
	read0    int64 // bytes of the objects that were read to their end
}

func (r *Replay) newWalk(d *doubles, tell func(Progress)) (*walk, error) {
	c, err := newChooser(r.plan.ID, r.plan.Options, d)
	if err != nil {
		return nil, err
	}
	c.joiner = r.parts.Clone()
	return &walk{Replay: r, chooser: c, tell: tell}, nil
}

// read reads from one position to another.
func (w *walk) read(ctx context.Context, from, to position) error {
	w.ctx, w.at = ctx, from
	w.progress.OfObjects = to.Object - from.Object
	for _, o := range w.objects[from.Object:to.Object] {
		w.progress.OfBytes += o.Size
	}
	if to.isInside() {
		w.progress.OfObjects++
		w.progress.OfBytes += to.Offset
	}
	w.progress.OfBytes -= from.Offset
	w.read0 = -from.Offset
	w.say(0, true)
	rd := reader{store: w.store, objects: w.objects, keep: w.chooser.keep, finish: w.finish}
	err := rd.read(ctx, from, to, w)
	w.say(0, true)
	return err
}

// line implements visitor.
func (w *walk) line(i int, l archive.Line) error {
	// A frame may have 10,000 events, which take minutes at a low rate: so a boundary is at each
	// line.
	w.at = position{Object: i, Offset: l.Offset, Line: l.Index, Version: w.objects[i].Version}
	if w.boundary != nil && w.at.isInside() {
		if err := w.boundary(w.ctx, w.at); err != nil {
			return err
		}
	}
	w.say(l.Offset, false)
	e, ok := w.chooser.choose(fmt.Sprintf("%s: line %d of the frame at byte %d", w.objects[i].Name, l.Index+1, l.Offset),
		l.Data)
	if !ok || w.take == nil {
		return nil
	}
	return w.take(w.ctx, &e)
}

// end implements visitor.
func (w *walk) end(i int, stats archive.Stats, gone bool) error {
	c := &w.chooser.counts
	c.addStats(w.objects[i], stats)
	c.Objects++
	if gone {
		c.Gone++
	}
	w.progress.Objects++
	w.read0 += w.objects[i].Size
	w.at = position{Object: i + 1}
	w.say(0, false)
	if w.boundary != nil {
		return w.boundary(w.ctx, w.at)
	}
	return nil
}

// say tells the progress: offset is how far the object is read that is not at its end.
func (w *walk) say(offset int64, always bool) {
	now := time.Now()
	if w.tell == nil || !always && now.Sub(w.told) < tellEvery {
		return
	}
	w.told = now
	p := w.progress
	p.Bytes = min(max(0, w.read0+offset), p.OfBytes)
	p.Lines, p.Events = w.chooser.seen.Load(), w.chooser.counts.Events
	w.tell(p)
}

const (
	// saveEvery is how often a checkpoint is written. Its load is what is found, or sent,
	// meanwhile.
	saveEvery = time.Second
	// saveEvents is how many events may wait for it.
	saveEvents = 10_000
)

// sendingWalk sends what a walk takes.
type sendingWalk struct {
	*walk
	out     *outgoing
	at      position // of the checkpoint
	saved   time.Time
	done    int64 // events that were sent up to the checkpoint
	pending int64 // events that were taken since
}

func (s *sendingWalk) take(ctx context.Context, e *chosen) error {
	s.pending++
	return s.out.add(ctx, e)
}

// boundary sends what waits, and writes a checkpoint, if it is time.
func (s *sendingWalk) boundary(ctx context.Context, at position) error {
	load := min(saveEvents, s.out.rate*saveEvery.Seconds())
	if float64(s.pending) < load && time.Since(s.saved) < saveEvery {
		return nil
	}
	return s.save(ctx, at, false)
}

// save sends what waits and writes a checkpoint. It is written even if ctx has ended: what was sent
// must not be sent again.
func (s *sendingWalk) save(ctx context.Context, at position, finished bool) error {
	if err := s.out.flush(ctx); err != nil {
		return err
	}
	s.done += s.pending
	s.pending, s.at = 0, at
	c := checkpoint{Position: at, Sent: s.sent + s.done, Finished: finished}
	if err := s.Replay.save(context.WithoutCancel(ctx), c); err != nil {
		return err
	}
	s.saved = time.Now()
	return nil
}
