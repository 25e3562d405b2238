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
)

// An Entry is a letter in a listing, without its body.
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

// A Group counts the letters with the same reason and write key.
type Group struct {
	Reason      string    `json:"reason"`
	WriteKey    string    `json:"writeKey"`
	DeadLetters int       `json:"letters"`
	Events      int       `json:"events"`
	Oldest      time.Time `json:"oldest"` // when the first of its events came in
	Newest      time.Time `json:"newest"`
}

// A Listing is what a walk found.
type Listing struct {
	Groups     []Group      // those with most events first
	Entries    []Entry      // those whose events came in last first
	Duplicates int          // letters that were written twice, counted once in the others
	InQueue    ReasonCounts // all letters that were there, also those that the filter is not about
}

// Seen counts letters by their reasons.
type ReasonCounts map[string]int

// UnreadableKey is the write key's name of a letter whose body can't be read.
const UnreadableKey = "unreadable"

// List looks at every letter that the filter is about. It keeps some hundred bytes of each. name
// turns a write key into what may be shown of it; an empty one stands for the configured default.
func (q *Queue) List(ctx context.Context, f Filter, name func(writeKey string) string) (Listing, error) {
	out := Listing{InQueue: ReasonCounts{}}
	groups := map[[2]string]*Group{}
	written := seenBefore{}
	var mu sync.Mutex
	err := q.scan(ctx, func(_ context.Context, w *scan, letters []*Received) error {
		r, err := NewReader()
		if err != nil {
			return err
		}
		defer r.Close()
		mu.Lock()
		defer mu.Unlock()
		for _, l := range letters {
			out.InQueue[l.Reason]++
			if !f.Match(l, w.began) {
				continue
			}
			if written.again(l) {
				out.Duplicates++
				continue
			}
			e := Entry{ID: l.ID, Reason: l.Reason, WriteKey: UnreadableKey, Events: l.Count, FirstSeen: l.FirstSeen,
				LastSeen: l.LastSeen, Receives: l.Receives, Detail: l.Detail}
			if m, err := r.Read(l); err == nil {
				e.WriteKey, e.Events = name(m.WriteKey), len(m.Events)
			}
			e.Events = max(1, e.Events)
			out.Entries = append(out.Entries, e)
			g := groups[[2]string{e.Reason, e.WriteKey}]
			if g == nil {
				g = &Group{Reason: e.Reason, WriteKey: e.WriteKey, Oldest: e.FirstSeen, Newest: e.FirstSeen}
				groups[[2]string{e.Reason, e.WriteKey}] = g
			}
			g.add(&e)
		}
		return nil
	})
	for _, g := range groups {
		out.Groups = append(out.Groups, *g)
	}
	slices.SortFunc(out.Groups, func(a, b Group) int {
		return cmp.Or(b.Events-a.Events, cmp.Compare(a.Reason, b.Reason), cmp.Compare(a.WriteKey, b.WriteKey))
	})
	slices.SortFunc(out.Entries,
		func(a, b Entry) int { return cmp.Or(b.FirstSeen.Compare(a.FirstSeen), cmp.Compare(a.ID, b.ID)) })
	return out, err
}

func (g *Group) add(e *Entry) {
	g.DeadLetters++
	g.Events += e.Events
	if e.FirstSeen.Before(g.Oldest) {
		g.Oldest = e.FirstSeen
	}
	if e.FirstSeen.After(g.Newest) {
		g.Newest = e.FirstSeen
	}
}

// copies knows which letters it has been shown: those with the same Letter-Id and the same body are
// one.
type seenBefore map[[16]byte]bool

func (c seenBefore) again(l *Received) bool {
	sum := sha256.New()
	sum.Write([]byte(l.ID))
	sum.Write([]byte{0})
	sum.Write(l.Body)
	key := [16]byte(sum.Sum(nil))
	if c[key] {
		return true
	}
	c[key] = true
	return false
}

// errFound ends a walk that has what it was for.
var errFound = errors.New("found")

// Find returns the letter of that id, its Letter-Id or SQS's; nil when there is none.
func (q *Queue) Find(ctx context.Context, id string) (*Received, error) {
	var found atomic.Pointer[Received]
	err := q.scan(ctx, func(_ context.Context, _ *scan, letters []*Received) error {
		for _, l := range letters {
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
