package writekeys

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/spillwayhq/spillway/shared/ingest"
	"github.com/spillwayhq/spillway/shared/reload"
)

// Earlier is how many earlier versions of a document a program that starts may read when the newest
// one is wrong. Each is a call that every new environment makes, and SSM allows 40 a second.
const Earlier = 5

// A Set is an ingest.KeySet that follows documents, each with a part of the keys. It is safe for
// concurrent use.
type Set struct{ parts []part }

type part struct {
	*reload.Value[*ingest.Keys]
	source string
}

// New returns a Set that finds no key until a reload.Group with its Values has read them.
func New(logger *slog.Logger, sources ...reload.Source) *Set {
	s := new(Set)
	for _, source := range sources {
		s.parts = append(s.parts, part{reload.New(reload.Config[*ingest.Keys]{
			What: "set of write keys", Without: "requests with a key of it are answered 429 until it is",
			Source: source, Logger: logger, Earlier: Earlier,
			Parse: func(ctx context.Context, data []byte) (*ingest.Keys, slog.Attr, error) {
				d, err := Parse(data)
				if err != nil {
					return nil, slog.Attr{}, err
				}
				for _, w := range d.Warnings {
					logger.WarnContext(ctx, w, "source", source.Name)
				}
				if len(d.Unknown) > 0 {
					logger.WarnContext(ctx, "fields of the set of write keys that this version does not know are ignored",
						"count", len(d.Unknown), "at", strings.Join(d.Unknown, "; "), "known", KnownFields, "source", source.Name)
				}
				return d.Keys, slog.Int("count", len(d.Entries)), nil
			},
		}), source.Name})
	}
	return s
}

// Values are what has to be refreshed.
func (s *Set) Values() reload.Group {
	var values reload.Group
	for _, p := range s.parts {
		values = append(values, p)
	}
	return values
}

// Lookup implements ingest.KeySet. A key that is in two documents, which is a mistake, is disabled
// if one of them says so.
func (s *Set) Lookup(writeKey string) (key ingest.Key, found bool) {
	for _, p := range s.parts {
		if keys, ok := p.Load(); ok {
			if k, ok := keys.Lookup(writeKey); ok && (!found || k.Disabled) {
				key, found = k, true
			}
		}
	}
	return key, found
}

// List returns what is known of each write key, sorted by name.
func (s *Set) List() []ingest.Key {
	var all []ingest.Key
	for _, p := range s.parts {
		if keys, ok := p.Load(); ok {
			all = append(all, keys.List()...)
		}
	}
	slices.SortFunc(all, func(a, b ingest.Key) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// Len returns how many write keys are known now.
func (s *Set) Len() (n int) {
	for _, p := range s.parts {
		if keys, ok := p.Load(); ok {
			n += keys.Len()
		}
	}
	return n
}

// State implements ingest.KeySet.
func (s *Set) State() ingest.KeysState {
	state := ingest.KeysCurrent
	for _, p := range s.parts {
		if _, ok := p.Load(); !ok {
			return ingest.KeysUnread
		}
		if p.Failure() != nil {
			state = ingest.KeysOld
		}
	}
	return state
}

// Failure returns why the last reading of documents failed, and what follows from it; nil if every
// one was read.
func (s *Set) Failure() error {
	var errs []error
	for _, p := range s.parts {
		err := p.Failure()
		if err == nil {
			continue
		}
		what := "an earlier set is used"
		if _, ok := p.Load(); !ok {
			what = "requests are answered 429"
		}
		errs = append(errs, fmt.Errorf("the write keys in %s can't be read, %s: %s", p.source, what,
			strings.ReplaceAll(err.Error(), "\n", "; ")))
	}
	return errors.Join(errs...)
}
