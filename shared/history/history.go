// Package history finds what the archive knows of one event, or of one user's events.
//
// The question comes from support: "the customer says that it was never counted". Where the store
// has an index, only the frames are read in which the event may be, so that the answer takes
// milliseconds. Elsewhere each object of the time is read, and filtered before it is read as JSON.
package history

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/spillwayhq/spillway/shared/archive"
	"github.com/spillwayhq/spillway/shared/event"
)

// A Query says what is looked for. Exactly one of MessageID and User is set.
type Query struct {
	MessageID string
	User      string    // a userId, or the anonymousId of events without one
	From, To  time.Time // the hours of the objects, both included
	Limit     int       // how many records of a user are returned, the newest; 0: DefaultLimit
}

// DefaultLimit is how many records a search returns: more than a person reads.
const DefaultLimit = 1000

// Found is a record that a search has found.
type Found struct {
	archive.Record
	event.Summary
	Object string // its name
	Offset int64  // of the record's frame in the object
}

// Damage is what could not be read.
type Damage struct {
	Object string
	Err    *archive.DamageError
}

// Result is what a search has found, and how much it has read.
type Result struct {
	Found   []Found // oldest first
	Total   int     // with those beyond the limit
	Objects int     // of the time; with an index, those in which something may be
	Bytes   int64   // of lines that were read
	Indexed bool    // an index said where to look
	Damage  []Damage
}

// Progress is how far a search has come.
type Progress struct {
	Objects   int   // that were read
	Of        int   // of the time
	Read, Sum int64 // their bytes, as stored
	Found     int
}

// Search looks for records. progress may be nil. After an error the result has what was found
// before it.
func Search(ctx context.Context, store archive.Store, q Query, progress func(Progress)) (Result, error) {
	if (q.MessageID == "") == (q.User == "") {
		return Result{}, errors.New("search the archive: give a messageId or a user")
	}
	q.Limit = cmp.Or(q.Limit, DefaultLimit)
	s := &search{Query: q, store: store, seen: map[seen]bool{}, needle: archive.NewNeedle(cmp.Or(q.MessageID, q.User)),
		progress: progress}
	var err error
	if finder, ok := store.(archive.Finder); ok {
		s.result.Indexed = true
		err = s.byIndex(ctx, finder)
	} else {
		err = s.readAll(ctx)
	}
	s.cut()
	return s.result, err
}

type search struct {
	Query
	store    archive.Store
	needle   archive.Needle
	joiner   archive.Joiner
	seen     map[seen]bool
	progress func(Progress)
	result   Result
}

// seen is what makes two records one: the archive may have a record twice.
type seen struct {
	messageID, outcome string
	at                 int64
}

// manyPlaces is how many frames of one object are read one by one: more are read with the whole
// object.
const manyPlaces = 16

// byIndex reads the frames that the index names.
func (s *search) byIndex(ctx context.Context, finder archive.Finder) error {
	term := archive.UserTerm(s.User)
	if s.MessageID != "" {
		term = archive.MessageIDTerm(s.MessageID)
	}
	var places []archive.Place // of one object
	var failed error
	for place, err := range finder.Find(ctx, s.From, s.To, term) {
		if err != nil { // it goes on with the next object
			failed = cmp.Or(failed, fmt.Errorf("look into the index of the archive: %w", err))
			continue
		}
		if len(places) > 0 && places[0].Object.Name != place.Object.Name {
			if err := s.readPlaces(ctx, places); err != nil {
				return err
			}
			places = places[:0]
		}
		places = append(places, place)
	}
	return cmp.Or(s.readPlaces(ctx, places), failed)
}

// readPlaces reads frames of one object.
func (s *search) readPlaces(ctx context.Context, places []archive.Place) error {
	if len(places) == 0 {
		return nil
	}
	s.result.Objects++
	object := places[0].Object
	if len(places) > manyPlaces {
		return ignoreGone(s.read(ctx, object))
	}
	for _, place := range places {
		err := archive.ReadPlace(ctx, s.store, place, func(r archive.Record) error {
			s.takeRecord(object, place.Offset, &r)
			return nil
		})
		if damage := (*archive.DamageError)(nil); errors.As(err, &damage) {
			s.result.Damage = append(s.result.Damage, Damage{object.Name, damage})
		} else if err := ignoreGone(err); err != nil {
			return err
		}
	}
	return nil
}

// ignoreGone ignores that an object has expired meanwhile.
func ignoreGone(err error) error {
	if errors.Is(err, archive.ErrNotFound) {
		return nil
	}
	return err
}

// readAll reads all objects of the time.
func (s *search) readAll(ctx context.Context) error {
	var objects []archive.Object
	var p Progress
	for o, err := range s.store.Objects(ctx, s.From, s.To) {
		if err != nil {
			return fmt.Errorf("list the archive: %w", err)
		}
		objects = append(objects, o)
		p.Sum += o.Size
	}
	p.Of, s.result.Objects = len(objects), len(objects)
	for _, o := range objects {
		if err := ignoreGone(s.read(ctx, o)); err != nil {
			return err
		}
		p.Objects++
		p.Read += o.Size
		if p.Found = s.result.Total; s.progress != nil {
			s.progress(p)
		}
	}
	return nil
}

// read reads all of an object.
func (s *search) read(ctx context.Context, o archive.Object) error {
	content, err := s.store.Open(ctx, o, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", o.Name, err)
	}
	defer content.Close()
	stats, err := archive.Select(ctx, content, 0, runtime.GOMAXPROCS(0), s.needle.MayBeIn,
		func(l archive.Line) error { s.take(o, l); return nil })
	s.result.Bytes += stats.Bytes
	for _, d := range stats.Damage {
		s.result.Damage = append(s.result.Damage, Damage{o.Name, d})
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", o.Name, err)
	}
	return nil
}

// take adds a line's record if it is wanted. What is no record is another version's.
func (s *search) take(o archive.Object, l archive.Line) {
	record, err := archive.ParseRecord(l.Data)
	if err != nil {
		return
	}
	if record, whole, err := s.joiner.Add(record); err == nil && whole {
		s.takeRecord(o, l.Offset, &record)
	}
}

func (s *search) takeRecord(o archive.Object, offset int64, record *archive.Record) {
	summary := event.Summarize(record.Event)
	if !s.wants(&summary) {
		return
	}
	key := seen{summary.MessageID, record.Outcome, record.Time.UnixMilli()}
	if summary.MessageID != "" && s.seen[key] {
		return
	}
	s.seen[key] = true
	s.result.Total++
	f := Found{*record, summary, o.Name, offset}
	f.Record.Event, f.Context = bytes.Clone(record.Event), bytes.Clone(record.Context)
	f.Integrations = bytes.Clone(record.Integrations)
	s.result.Found = append(s.result.Found, f)
	if len(s.result.Found) >= 2*s.Limit {
		s.cut()
	}
}

func (s *search) wants(e *event.Summary) bool {
	if s.MessageID != "" {
		return e.MessageID == s.MessageID
	}
	return e.User() == s.User
}

// cut leaves the newest records, sorted.
func (s *search) cut() {
	f := s.result.Found
	slices.SortStableFunc(f, func(a, b Found) int { return a.Time.Compare(b.Time) })
	if over := len(f) - s.Limit; over > 0 {
		f = slices.Delete(f, 0, over)
	}
	s.result.Found = f
}
