package replay

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/spillwayhq/spillway/shared/archive"
)

// A Replay is one replay of an archive. It is not safe for concurrent use.
type Replay struct {
	store   archive.Store
	files   Files
	plan    plan
	objects []archive.Object
	from    position       // everything before it is done
	done    *doubles       // the events that were there before from
	parts   archive.Joiner // of records that begin before from, and may end behind it
	sent    int64          // events, by earlier runs
	begun   bool           // its plan is written
	run     string         // this one: see checkpoint
	last    checkpoint     // as Resume has read it
}

// NewID returns the ID of a replay that begins now: its time, and something that no other replay of
// the same second has.
func NewID(now time.Time) string {
	var random [3]byte
	_, _ = rand.Read(random[:]) // never fails
	return now.UTC().Format("20060102T150405Z-") + hex.EncodeToString(random[:])
}

// New lists the objects that a replay of the pipeline reads. Nothing is written before Send.
func New(ctx context.Context, s archive.Store, f Files, pipeline, id string, o Options) (*Replay, error) {
	now := time.Now()
	if err := o.Validate(now); err != nil {
		return nil, err
	}
	r := &Replay{store: s, files: f, done: newDoubles(nil), run: rand.Text(),
		plan: plan{Format: formatVersion, ID: id, Pipeline: pipeline, Began: now.UTC(), Options: o}}
	if err := r.plan.addObjects(ctx, s); err != nil {
		return nil, err
	}
	r.objects = r.plan.objects()
	return r, nil
}

// Errors of Resume.
var (
	// ErrFinished says that a replay has come to its end.
	ErrFinished = errors.New("the replay has finished")
	// ErrOtherPipeline says that a replay is one of another pipeline.
	ErrOtherPipeline = errors.New("the replay is of another pipeline")
)

// Resume goes on with a replay that was interrupted. It reads again what is done, because an event
// that was sent may be there a second time; tell is told how far that is.
func Resume(ctx context.Context, s archive.Store, f Files, pipeline, id string, tell func(Progress)) (*Replay, error) {
	p, c, err := loadPlan(ctx, f, id)
	switch {
	case err != nil:
		return nil, err
	case p.Pipeline != pipeline:
		return nil, fmt.Errorf("%w: %s", ErrOtherPipeline, p.Pipeline)
	case c.Finished && len(p.Objects) > 0: // it was killed before this was done
		return nil, cmp.Or(p.strip(ctx, f), ErrFinished)
	case c.Finished:
		return nil, ErrFinished
	}
	if err := p.Options.Validate(time.Now()); err != nil {
		return nil, err
	}
	if err := p.addObjects(ctx, s); err != nil {
		return nil, err
	}
	r := &Replay{store: s, files: f, plan: p, objects: p.objects(), from: c.Position, done: newDoubles(nil), sent: c.Sent,
		begun: true, run: rand.Text(), last: c}
	if at := r.from.Object; r.from.isInside() && r.objects[at].Version != r.from.Version {
		r.from = position{Object: at} // it was rewritten: its offsets are others
	}
	if err := writeJSON(ctx, f, planFile(id), &r.plan); err != nil { // the objects may be more
		return nil, err
	}
	w, err := r.newWalk(r.done, tell)
	if err != nil {
		return nil, err
	}
	err = w.read(ctx, position{}, r.from)
	r.parts = w.chooser.joiner
	return r, err
}

// ID is the replay's.
func (r *Replay) ID() string { return r.plan.ID }

// Options are those that it was begun with.
func (r *Replay) Options() Options { return r.plan.Options }

// Sent is how many events earlier runs have sent.
func (r *Replay) Sent() int64 { return r.sent }

// Begun reports whether a Send, now or by an earlier run, has written a checkpoint to resume from.
func (r *Replay) Begun() bool { return r.begun }

// Objects is how many objects it reads.
func (r *Replay) Objects() int { return len(r.objects) }

// Progress is how far a replay is.
type Progress struct {
	Objects, OfObjects int
	Bytes, OfBytes     int64 // of the objects, as they are stored
	Lines              int64 // that were read, some of them ahead
	Events             int64 // that match so far
}

// Count reads what is left and counts what Send would send, or, for an export, what Export would
// write. tell may be nil; it is called by one goroutine, at most ten times a second.
func (r *Replay) Count(ctx context.Context, forExport bool, tell func(Progress)) (Counts, error) {
	w, err := r.newWalk(newDoubles(r.done), tell)
	if err != nil {
		return Counts{}, err
	}
	w.chooser.forExport = forExport
	err = w.read(ctx, r.from, r.end())
	return w.chooser.counts, err
}

func (r *Replay) end() position { return position{Object: len(r.objects)} }

// SendOptions say how to send. To and Rate must be set.
type SendOptions struct {
	To   Sender
	Rate float64 // events a second
	// Check is called before the first message and then once a minute; its error ends the replay.
	// nil: no check.
	Check func(context.Context) error
	Tell  func(Progress) // may be nil; see Count
}

// A Result is what a replay has sent.
type Result struct {
	Counts
	Sent int64 // events, by this run; those before the last checkpoint if it was interrupted
}

// Send sends the events that are left to the bulk queue, and writes a checkpoint after each load.
// After an error, or when ctx ends, the result says what was sent, and Resume goes on from there.
func (r *Replay) Send(ctx context.Context, o SendOptions) (Result, error) {
	if !(o.Rate > 0) {
		return Result{}, fmt.Errorf("the rate must be more than 0 events a second, is %v", o.Rate)
	}
	out, err := newOutgoing(o, r.plan.ID)
	if err != nil {
		return Result{}, err
	}
	if err := out.checkSegment(ctx); err != nil { // before anything is written
		return Result{}, err
	}
	w, err := r.newWalk(newDoubles(r.done), o.Tell)
	if err != nil {
		return Result{}, err
	}
	if err := writeJSON(ctx, r.files, planFile(r.plan.ID), &r.plan); err != nil {
		return Result{}, err
	}
	r.begun = true
	if err := r.save(ctx, checkpoint{Position: r.from, Sent: r.sent}); err != nil {
		return Result{}, err
	}
	s := &sendingWalk{walk: w, out: out, saved: time.Now(), at: r.from}
	w.take, w.boundary, w.finish = s.take, s.boundary, true
	err = w.read(ctx, r.from, r.end())
	if err == nil {
		err = s.save(ctx, r.end(), true)
	}
	if err == nil {
		err = r.plan.strip(ctx, r.files)
	}
	return Result{w.chooser.counts, s.done}, err
}
