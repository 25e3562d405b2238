package archive

import (
	"context"
	"fmt"
	"io"
	"iter"
	"time"

	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/rawjson"
)

// A Term is what an index finds an event by: see [MessageIDTerm] and [UserTerm]. Two values seldom
// have the same, so who finds a place looks whether the event is there.
type Term uint64

// MessageIDTerm is the term of a messageId.
func MessageIDTerm(id string) Term { return term('m', id) }

// UserTerm is the term of a userId, or of the anonymousId of an event without a userId.
func UserTerm(id string) Term { return term('u', id) }

// term is FNV-1a, over a kind and a value. It is part of the format of the index.
func term[T string | []byte](kind byte, value T) Term {
	const offset, prime = 14695981039346656037, 1099511628211
	h := (uint64(offset) ^ uint64(kind)) * prime
	for i := range len(value) {
		h = (h ^ uint64(value[i])) * prime
	}
	return Term(h)
}

// AppendTerms appends the terms by which a record is found: none if its event can't be read.
func AppendTerms(dst []Term, r *Record) []Term {
	var s rawjson.Scanner
	s.Reset(r.Event)
	var e event.Event
	if event.Scan(&s, r.Event, &e) != nil {
		return dst
	}
	if id := e.MessageID(); id != nil {
		dst = append(dst, term('m', rawjson.Unquote(nil, id)))
	}
	user := e.User()
	if len(user) == 0 {
		user = e.Anonymous()
	}
	if len(user) > 0 {
		dst = append(dst, term('u', user))
	}
	return dst
}

// A Place is a frame of an object.
type Place struct {
	Object Object
	Offset int64 // of the frame
}

// A Finder is a Store with an index.
type Finder interface {
	// Find returns the frames of the objects of the hours from and to and between in which an event
	// with the term may be, in the objects' order. All that have it are among them. After an error
	// it goes on with the next object, if it can.
	Find(ctx context.Context, from, to time.Time, t Term) iter.Seq2[Place, error]
}

// ReadPlace calls each with the records of a frame, which it may retain. One whose parts are in the
// frames behind it is read from those. A frame that can't be read is a *DamageError; a line that is
// no record is left out, as Select's callers do: the other lines may be what is looked for.
func ReadPlace(ctx context.Context, s Store, p Place, each func(Record) error) error {
	object, err := s.Open(ctx, p.Object, p.Offset)
	if err != nil {
		return err
	}
	defer object.Close()
	r, err := NewReader(object, p.Offset)
	if err != nil {
		return err
	}
	defer r.Close()
	var joiner Joiner
	for {
		block, err := r.Next()
		if err == io.EOF {
			err = &DamageError{Offset: p.Offset, Err: errIncomplete}
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", p.Object.Name, err)
		}
		r.data = nil // its records may be retained
		for line := range block.Lines() {
			record, err := ParseRecord(line)
			if err != nil {
				continue
			}
			record, whole, err := joiner.Add(record)
			if err != nil || !whole {
				continue
			}
			if err := each(record); err != nil {
				return fmt.Errorf("read %s, the frame at byte %d: %w", p.Object.Name, block.Offset, err)
			}
		}
		if more := block.Partial && block.Bytes == 0; !more && joiner.Incomplete() == 0 {
			return nil
		}
	}
}
