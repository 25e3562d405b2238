package deadletter

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spillwayhq/spillway/shared/message"
)

// An Entry is a dead letter in a listing, without its body.
type Entry struct {
	ID        string    `json:"id"`
	Reason    string    `json:"reason"`
	WriteKey  string    `json:"writeKey"` // its name, never the key
	Events    int       `json:"events"`
	FirstSeen time.Time `json:"firstSeen"`
	LastSeen  time.Time `json:"lastSeen,omitzero"`
	Receives  int       `json:"receives"`
	Detail    string    `json:"detail,omitempty"`
}

// A Group counts the dead letters with the same reason and write key.
type Group struct {
	Reason      string    `json:"reason"`
	WriteKey    string    `json:"writeKey"`
	DeadLetters int       `json:"deadLetters"`
	Events      int       `json:"events"`
	Oldest      time.Time `json:"oldest"` // when the first of its events came in
	Newest      time.Time `json:"newest"`
}

// A Listing is the result of a [Queue.List].
type Listing struct {
	Groups     []Group      // by number of events, the largest first
	Entries    []Entry      // by when their events came in, the latest first; at most the limit
	Total      int          // dead letters in Groups
	PutBack    int          // dead letters that were put back, see the package comment
	Duplicates int          // dead letters that were written twice, and are counted once in Groups and Entries
	InQueue    ReasonCounts // all dead letters that were in the queue, also those outside the filter
}

// UnreadableKey is the name of the write key of a dead letter whose body can't be read.
const UnreadableKey = "unreadable"

// Each calls f with every dead letter, some at a time and never concurrently. It returns how many
// were put back, see the package comment. An error of f ends it.
func (q *Queue) Each(ctx context.Context, f func([]*Received) error) (putBack int, err error) {
	var turn sync.Mutex
	return q.scan(ctx, readers, func(_ context.Context, _ *scan, received []*Received) error {
		turn.Lock()
		defer turn.Unlock()
		return f(received)
	})
}

// List returns the dead letters that f selects: all in Groups, the latest in Entries, at most limit
// of them (0: all). name returns what may be shown of a write key; an empty key means the deliver
// function's default. After an error the listing holds what was found before it.
func (q *Queue) List(ctx context.Context, f Filter, limit int, name func(writeKey string) string) (Listing, error) {
	list := &lister{name: name, limit: limit, groups: map[groupKey]*Group{}, seen: seenBefore{},
		result: Listing{InQueue: ReasonCounts{}}}
	putBack, err := q.scan(ctx, readers, func(_ context.Context, s *scan, received []*Received) error {
		r, err := NewReader()
		if err != nil {
			return err
		}
		defer r.Close()
		list.mu.Lock()
		defer list.mu.Unlock()
		for _, l := range received {
			list.result.InQueue[l.Reason]++
			if f.Match(l, s.began, r) {
				list.add(l, r)
			}
		}
		return nil
	})
	list.result.PutBack = putBack
	return list.sorted(), err
}

type groupKey struct{ reason, writeKey string }

// lister makes a listing. mu guards all of it.
type lister struct {
	mu     sync.Mutex
	name   func(writeKey string) string
	limit  int
	groups map[groupKey]*Group
	seen   seenBefore
	result Listing
}

func (s *lister) add(l *Received, r *Reader) {
	e, m, _ := r.Entry(l, s.name) // a body that can't be read has an entry, too
	if s.seen.add(l, m) {
		s.result.Duplicates++
		return
	}
	s.result.Total++
	s.result.Entries = append(s.result.Entries, e)
	if s.limit > 0 && len(s.result.Entries) >= 2*s.limit+minEntries {
		s.cutEntries()
	}
	key := groupKey{e.Reason, e.WriteKey}
	g := s.groups[key]
	if g == nil {
		g = &Group{Reason: e.Reason, WriteKey: e.WriteKey, Oldest: e.FirstSeen, Newest: e.FirstSeen}
		s.groups[key] = g
	}
	g.Add(e.Events, e.FirstSeen)
}

func (s *lister) sorted() Listing {
	for _, g := range s.groups {
		s.result.Groups = append(s.result.Groups, *g)
	}
	SortGroups(s.result.Groups)
	s.cutEntries()
	return s.result
}

// minEntries are sorted at once, so that a small limit does not sort for each dead letter.
const minEntries = 1000

// cutEntries leaves the latest entries, sorted.
func (s *lister) cutEntries() {
	slices.SortFunc(s.result.Entries,
		func(a, b Entry) int { return cmp.Or(b.FirstSeen.Compare(a.FirstSeen), cmp.Compare(a.ID, b.ID)) })
	if s.limit > 0 && len(s.result.Entries) > s.limit {
		clear(s.result.Entries[s.limit:])
		s.result.Entries = s.result.Entries[:s.limit]
	}
}

// SortGroups sorts by number of events, the largest first.
func SortGroups(groups []Group) {
	slices.SortFunc(groups, func(a, b Group) int {
		return cmp.Or(b.Events-a.Events, cmp.Compare(a.Reason, b.Reason), cmp.Compare(a.WriteKey, b.WriteKey))
	})
}

// Add counts a dead letter.
func (g *Group) Add(events int, firstSeen time.Time) {
	g.Join(&Group{DeadLetters: 1, Events: events, Oldest: firstSeen, Newest: firstSeen})
}

// Join counts the dead letters of another group.
func (g *Group) Join(o *Group) {
	g.DeadLetters += o.DeadLetters
	g.Events += o.Events
	if o.Oldest.Before(g.Oldest) {
		g.Oldest = o.Oldest
	}
	if o.Newest.After(g.Newest) {
		g.Newest = o.Newest
	}
}

// An Identity is that of a dead letter: those with the same ID and the same events are one that was
// written twice. Events are the same if their messageIds are, as to Segment: the times differ that
// ingest writes for a request that is retried.
type Identity [16]byte

// Identify returns the identity of a dead letter. m is what its body says, nil if that can't be
// read.
func Identify(l *Received, m *message.Content) Identity {
	sum := sha256.New()
	write := func(b []byte) {
		sum.Write(b)
		sum.Write([]byte{0})
	}
	write([]byte(l.ID))
	if m == nil {
		write(l.Body)
	} else {
		for i := range m.Events {
			if id := m.Events[i].MessageID(); id != nil {
				write(id)
			} else {
				write(m.Events[i].Raw)
			}
		}
	}
	return Identity(sum.Sum(nil))
}

// seenBefore finds dead letters that were written twice.
type seenBefore map[Identity]bool

// add reports whether an equal dead letter was added before.
func (s seenBefore) add(l *Received, m *message.Content) bool {
	key := Identify(l, m)
	if s[key] {
		return true
	}
	s[key] = true
	return false
}

// errFound ends Find's scan early.
var errFound = errors.New("found")

// Find returns the dead letter whose ID or SQS message id is id, or nil if no visible one has it.
func (q *Queue) Find(ctx context.Context, id string) (*Received, error) {
	var found atomic.Pointer[Received]
	_, err := q.scan(ctx, readers, func(_ context.Context, _ *scan, received []*Received) error {
		for _, l := range received {
			if l.ID == id || l.MessageID == id {
				found.Store(l)
				return errFound
			}
		}
		return nil
	})
	if errors.Is(err, errFound) {
		err = nil
	}
	return found.Load(), err
}
