package forget

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/spillwayhq/spillway/shared/archive"
	"github.com/spillwayhq/spillway/shared/deadletter"
	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/rawjson"
)

const (
	// readers objects are read at the same time: many are small, and each takes a call to S3.
	readers = 4
	// maxOthers bounds the other IDs that a Result names.
	maxOthers = 100
)

// Options say who is forgotten, and how.
type Options struct {
	Person Person
	// Unreadable removes bodies that can't be read and name the person somewhere, too. They may
	// hold events of others.
	Unreadable bool
	DryRun     bool // only find
	// Write stores lines of the list of what is removed, before it is removed. It must not return
	// before they are safe. Calls are sequential. nil, in a dry run: there is no list.
	Write func(lines []byte) error
	// Progress is called after each object, never concurrently. It may be nil.
	Progress func(Progress)
}

// Progress is how far a run has come in the archive.
type Progress struct {
	Objects, Of int
	Read, Sum   int64 // their bytes, as stored
	Events      int   // found
}

// A Result counts what was found, and removed unless it was a dry run.
type Result struct {
	Archive     ArchiveResult
	DeadLetters deadletter.RemoveResult
	// SharedDevice are events that have one of the person's anonymousIds and the userId of another
	// person. They are kept.
	SharedDevice int
	// Mentions are events of others that hold one of the IDs elsewhere, such as in their
	// properties. They are kept.
	Mentions int
	// Others are further IDs of the person's events, with the number of those events: the
	// anonymousIds, and the other userIds of aliases.
	Others map[Other]int
}

// Other is an ID that a person may have, too.
type Other struct{ By, ID string }

// ArchiveResult is what was found in the archive.
type ArchiveResult struct {
	Objects, Skipped   int   // of the archive; of them, those that an earlier run has done
	Bytes              int64 // of lines that were read
	Events             int
	Rewritten, Deleted int // objects; in a dry run Rewritten are those that would be either
	Unreadable         int // bodies that can't be read and name the person; kept, unless Options.Unreadable
	Incomplete         int // records of which parts are missing, so that whose they are is not known
	Damage             []Damage
}

// Damage is a part of an object that can't be read, and was kept as it is.
type Damage struct {
	Object string
	Err    *archive.DamageError
}

// DeadLetters removes the person's events from the dead letters. The result's other fields remain
// as they are.
func DeadLetters(ctx context.Context, q *deadletter.Queue, o Options, r *Result) error {
	removed, err := q.RemoveEvents(ctx, deadletter.RemoveOptions{
		DryRun: o.DryRun, Unreadable: o.Unreadable, Mentions: o.Person.MentionsRaw,
		Selects: func(raw []byte) bool {
			s := event.Summarize(raw)
			return o.Person.Match(&s) != ""
		},
		Found: func(d deadletter.Removed) error {
			s := event.Summarize(d.Event)
			by := o.Person.Match(&s)
			if by == "" {
				by = ByText
			}
			r.note(&o.Person, &s)
			return o.write([]Found{foundInDeadLetter(&d, &s, by)})
		},
	})
	r.DeadLetters = removed
	return err
}

func (o *Options) write(found []Found) error {
	if o.Write == nil || len(found) == 0 {
		return nil
	}
	text, err := lines(found)
	if err != nil {
		return err
	}
	if err := o.Write(text); err != nil {
		return fmt.Errorf("write the list of what is removed: %w", err)
	}
	return nil
}

// note counts the IDs of one of the person's events that the person was not given with.
func (r *Result) note(p *Person, s *event.Summary) {
	ids := p.ids()
	for _, other := range []Other{{ByUserID, s.UserID}, {ByAnonymousID, s.AnonymousID}, {ByPreviousID, s.PreviousID}} {
		if other.ID == "" || slices.Contains(ids, other.ID) {
			continue
		}
		if r.Others == nil {
			r.Others = map[Other]int{}
		}
		if r.Others[other] > 0 || len(r.Others) < maxOthers {
			r.Others[other]++
		}
	}
}

// Archive removes the person's events from the archive. An error of one object ends it, and leaves
// what was done; a later run continues there.
func Archive(ctx context.Context, store archive.Store, o Options, r *Result) error {
	run := &run{Options: o, store: store, result: r, needle: archive.NewNeedle(o.Person.ids()...),
		wholes: map[string]bool{}, parts: map[string][]archive.Object{}, changed: map[string]bool{}}
	var err error
	if run.done, err = readCheckpoint(ctx, store, &o); err != nil {
		return err
	}
	for _, whole := range run.done.Wholes {
		run.wholes[whole] = true
	}
	objects, err := run.list(ctx)
	if err != nil {
		return err
	}
	group, working := errgroup.WithContext(ctx)
	group.SetLimit(readers)
	for _, object := range objects {
		if working.Err() != nil {
			break
		}
		group.Go(func() error { return run.object(working, object) })
	}
	err = group.Wait()
	if err == nil {
		err = run.removeParts(ctx)
	}
	r.Archive.Rewritten = len(run.changed)
	r.Archive.Incomplete += run.joiner.Incomplete()
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if o.DryRun {
		return err
	}
	return run.done.finish(ctx, store, err, r.Archive.Events+r.DeadLetters.Events == 0)
}

// run is one pass over an archive. mu guards all but Options, store and needle.
type run struct {
	Options
	store  archive.Store
	needle archive.Needle

	mu     sync.Mutex
	done   *checkpoint
	result *Result
	at     Progress
	joiner archive.Joiner
	wholes map[string]bool             // records in parts that are the person's
	parts  map[string][]archive.Object // objects with parts of a record
	// changed are the objects that were rewritten, or would be.
	changed map[string]bool

	rewriting sync.Mutex // one object is in memory at a time
}

// list returns the objects to read.
func (r *run) list(ctx context.Context) (objects []archive.Object, err error) {
	there := map[string]bool{}
	// Clocks differ, and an object of the next hour is of this run, too.
	for o, err := range r.store.Objects(ctx, time.Unix(0, 0).UTC(), time.Now().Add(24*time.Hour)) {
		if err != nil {
			return nil, fmt.Errorf("list the archive: %w", err)
		}
		there[o.Name] = true
		r.result.Archive.Objects++
		if r.done.has(o) {
			r.result.Archive.Skipped++
			continue
		}
		objects = append(objects, o)
		r.at.Sum += o.Size
	}
	r.done.retain(there)
	r.at.Of = len(objects)
	return objects, nil
}

// findings are those in one object.
type findings struct {
	found      []Found
	summaries  []event.Summary // of found
	parts      []archive.Record
	unreadable int
	shared     int
	mentions   int
	stats      archive.Stats
}

// object reads an object, and rewrites it if it has events of the person's.
func (r *run) object(ctx context.Context, o archive.Object) error {
	f, err := r.inspect(ctx, o)
	if err == nil && f != nil && len(f.found) > 0 && !r.DryRun {
		o, f, err = r.finish(ctx, o, f)
	}
	if err != nil || f == nil {
		return err
	}
	pending, err := r.add(ctx, o, f)
	if err != nil {
		return err
	}
	if len(f.found) > 0 && !r.DryRun {
		if o, err = r.rewrite(ctx, o, r.selects); err != nil {
			return err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.at.Objects++
	r.at.Read += o.Size
	r.at.Events = r.result.Archive.Events
	if r.Progress != nil {
		r.Progress(r.at)
	}
	if pending || r.DryRun || len(f.stats.Damage) > 0 || f.unreadable > 0 {
		return nil // the next run says again what it can't know, or keeps
	}
	return r.done.add(ctx, r.store, o)
}

// inspect looks for the person in an object. It returns nil if the object has expired.
func (r *run) inspect(ctx context.Context, o archive.Object) (*findings, error) {
	content, err := r.store.Open(ctx, o, 0)
	if isGone(err) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("open %s: %w", o.Name, err)
	}
	defer content.Close()
	f := &findings{}
	f.stats, err = archive.Select(ctx, content, 0, readers, r.needle.MayBeIn, func(l archive.Line) error {
		r.look(o.Name, l.Data, f)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", o.Name, err)
	}
	return f, nil
}

// finish makes sure that nothing is appended to an object any more. If something was since it was
// read, it is read again: the list must name all that is removed.
func (r *run) finish(ctx context.Context, o archive.Object, f *findings) (archive.Object, *findings, error) {
	now, err := r.store.Finish(ctx, o)
	switch {
	case isGone(err):
		return o, nil, nil
	case err != nil:
		return o, nil, err
	case now.Version == o.Version:
		return now, f, nil
	}
	f, err = r.inspect(ctx, now)
	return now, f, err
}

// look adds what a line is to the findings.
func (r *run) look(object string, line []byte, f *findings) {
	record, err := archive.ParseRecord(line)
	switch {
	case err != nil:
		if r.Person.MentionsRaw(line) {
			f.unreadable++
		}
	case record.Parts > 0:
		f.parts = append(f.parts, record)
	default:
		r.lookAt(object, &record, f)
	}
}

// lookAt is look for a whole record.
func (r *run) lookAt(object string, record *archive.Record, f *findings) {
	s := event.Summarize(record.Event)
	by := r.Person.Match(&s)
	switch {
	case by != "":
	case isUnreadable(record) && r.Person.MentionsRaw(record.Event):
		f.unreadable++
		if by = ByText; !r.Unreadable {
			return
		}
	default:
		if r.Person.SharedDevice(&s) {
			f.shared++
		} else if r.Person.Mentions(record.Event) {
			f.mentions++
		}
		return
	}
	f.found = append(f.found, foundInArchive(object, record, &s, by))
	f.summaries = append(f.summaries, s)
}

// isUnreadable reports whether a record holds a body that could not be read, in place of an event.
func isUnreadable(r *archive.Record) bool {
	return r.Reason == message.ReasonUndecodable || r.Reason == message.ReasonTooLarge || !rawjson.Valid(r.Event)
}

// add counts the findings of an object, and writes down what will be removed. pending: the object
// has parts of a record that is not complete yet.
func (r *run) add(ctx context.Context, o archive.Object, f *findings) (pending bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if ctx.Err() != nil { // another object has failed
		return false, context.Cause(ctx)
	}
	for i := range f.parts {
		p := &f.parts[i]
		objects := r.parts[p.Whole]
		if len(objects) == 0 || objects[len(objects)-1].Name != o.Name {
			r.parts[p.Whole] = append(objects, o)
		}
		pending = true
		if r.wholes[p.Whole] { // an earlier run has read all of it
			continue
		}
		whole, ok, err := r.joiner.Add(*p)
		if err != nil {
			r.result.Archive.Incomplete++
			continue
		}
		if before := len(f.found); ok {
			if r.lookAt(o.Name, &whole, f); len(f.found) > before {
				r.wholes[p.Whole] = true
			}
		}
	}
	a := &r.result.Archive
	a.Bytes += f.stats.Bytes
	for _, d := range f.stats.Damage {
		a.Damage = append(a.Damage, Damage{o.Name, d})
	}
	a.Unreadable += f.unreadable
	a.Events += len(f.found)
	r.result.SharedDevice += f.shared
	r.result.Mentions += f.mentions
	for i := range f.summaries {
		r.result.note(&r.Person, &f.summaries[i])
	}
	if r.DryRun && len(f.found) > 0 {
		r.changed[o.Name] = true
	}
	return pending, r.write(f.found)
}

// selects reports whether a line is a record of the person's. Those in parts are none.
func (r *run) selects(line []byte) bool {
	if !r.needle.MayBeIn(line) {
		return false
	}
	record, err := archive.ParseRecord(line)
	if err != nil || record.Parts > 0 {
		return false
	}
	s := event.Summarize(record.Event)
	return r.Person.Match(&s) != "" ||
		r.Unreadable && isUnreadable(&record) && r.Person.MentionsRaw(record.Event)
}

// selectsPart reports whether a line is a part of a record of the person's.
func (r *run) selectsPart(line []byte) bool {
	record, err := archive.ParseRecord(line)
	return err == nil && record.Parts > 0 && r.wholes[record.Whole]
}

// rewrite rewrites an object without the selected lines, and returns it as it is then.
func (r *run) rewrite(ctx context.Context, o archive.Object, selects func([]byte) bool) (archive.Object, error) {
	r.rewriting.Lock()
	defer r.rewriting.Unlock()
	now, gone, err := rewrite(ctx, r.store, o, selects)
	if err != nil {
		return o, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.changed[o.Name] = !gone; gone {
		delete(r.changed, o.Name)
		r.result.Archive.Deleted++
	}
	return now, nil
}

// removeParts removes the person's records that are in parts, which may be in several objects. An
// interruption leaves some of the parts, which are no record any more: so the checkpoint has their
// names first.
func (r *run) removeParts(ctx context.Context) error {
	objects := map[string]archive.Object{}
	for whole := range r.wholes {
		for _, o := range r.parts[whole] {
			objects[o.Name] = o
		}
	}
	if len(objects) == 0 {
		return nil
	}
	if r.DryRun {
		for name := range objects {
			r.changed[name] = true
		}
		return nil
	}
	r.done.Wholes = slices.Sorted(maps.Keys(r.wholes))
	if err := r.done.write(ctx, r.store); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(objects)) {
		if _, err := r.rewrite(ctx, objects[name], r.selectsPart); err != nil {
			return err
		}
	}
	return nil
}

// isGone reports whether an object has expired.
func isGone(err error) bool { return errors.Is(err, archive.ErrNotFound) }
