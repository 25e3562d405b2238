package contents

import (
	"math"
	"slices"
	"time"

	"github.com/spillwayhq/spillway/cmd/spillway/console"
	"github.com/spillwayhq/spillway/shared/deadletter"
)

// wish is a deadletter.Filter as the records of an index are compared with it. It selects what
// deadletter.Filter.Match does.
type wish struct {
	deadletter.Filter
	ids, events, users []uint64
	groups             map[*group]*tally
}

// tally counts the dead letters of a group that are selected.
type tally struct {
	wanted              bool // its reason and write key are
	deadLetters, events int
	oldest, newest      int64 // Unix nanoseconds
}

func (t *tally) add(r *record) {
	t.deadLetters++
	t.events += int(r.events)
	t.oldest, t.newest = min(t.oldest, r.first), max(t.newest, r.first)
}

func (x *index) wish(f deadletter.Filter) *wish {
	return &wish{Filter: f, ids: marksOf(markID, f.IDs), events: marksOf(markEvent, f.Events),
		users: marksOf(markUser, f.Users), groups: map[*group]*tally{}}
}

// want reports whether a record is selected, and what its group is counted in. unsure: it has too
// many events to tell.
func (w *wish) want(r *record, now int64) (t *tally, wanted, unsure bool) {
	t = w.groups[r.group]
	if t == nil {
		t = &tally{wanted: w.wantGroup(r.group), oldest: math.MaxInt64, newest: math.MinInt64}
		w.groups[r.group] = t
	}
	if !t.wanted || !w.wantAge(r, now) || !r.is(w.ids) {
		return t, false, false
	}
	if len(w.events)+len(w.users) > 0 && r.partial {
		return t, false, true
	}
	return t, has(r, w.events) && has(r, w.users), false
}

func (w *wish) wantGroup(g *group) bool {
	if len(w.Reasons) > 0 && !slices.Contains(w.Reasons, g.reason) {
		return false
	}
	if w.WriteKey != nil {
		return g.readable && w.WriteKey(g.writeKey)
	}
	return g.readable || len(w.events)+len(w.users) == 0
}

func (w *wish) wantAge(r *record, now int64) bool {
	age := time.Duration(max(0, now-r.first))
	return (w.OlderThan == 0 || age > w.OlderThan) && (w.NewerThan == 0 || age < w.NewerThan) &&
		(w.SentUntil.IsZero() || r.sent <= w.SentUntil.UnixMilli())
}

// is reports whether a record has one of the IDs; true if there are none.
func (r *record) is(ids []uint64) bool {
	return len(ids) == 0 || slices.ContainsFunc(ids, func(id uint64) bool { return id == r.ids[0] || id == r.ids[1] })
}

// has reports whether a record has one of the marks; true if there are none.
func has(r *record, marks []uint64) bool {
	return len(marks) == 0 || slices.ContainsFunc(marks, func(m uint64) bool {
		_, ok := slices.BinarySearch(r.marks, m)
		return ok
	})
}

// found is a page of an index.
type found struct {
	list console.DeadLetterList // without rows
	rows []*record
}

// search returns the last limit records before a place that a filter selects, and what all of them
// are. name returns what may be shown of a write key.
func (x *index) search(f deadletter.Filter, now time.Time, before uint64, limit int,
	name func(writeKey string) string) found {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.merge()
	w := x.wish(f)
	s := search{index: x, before: before, limit: limit, seen: map[deadletter.Identity]bool{}}
	inQueue := deadletter.ReasonCounts{}
	for _, g := range x.groups {
		inQueue[g.reason] += g.records
	}
	for _, r := range slices.Backward(x.order) {
		if r.gone {
			continue
		}
		switch t, wanted, unsure := w.want(r, now.UnixNano()); {
		case unsure:
			s.list.NotSearched++
		case wanted:
			s.add(r, t)
		}
	}
	s.list.InQueue, s.list.Unreadable, s.list.Beyond = inQueue, len(x.broken), x.beyond
	s.list.Groups = sortedGroups(w.groups, name)
	return s.found
}

// search collects what is wanted.
type search struct {
	found
	index  *index
	before uint64
	limit  int
	seen   map[deadletter.Identity]bool // of those that are there several times
}

func (s *search) add(r *record, t *tally) {
	if s.index.repeated > 0 && s.index.copies[r.identity] > 1 {
		if s.seen[r.identity] {
			s.list.Duplicates++
			return
		}
		s.seen[r.identity] = true
	}
	s.list.Total++
	t.add(r)
	switch {
	case s.before != 0 && r.place >= s.before:
	case len(s.rows) < s.limit:
		s.rows = append(s.rows, r)
	default:
		s.list.More = true
	}
}

// sortedGroups joins those that have the same name.
func sortedGroups(tallies map[*group]*tally, name func(string) string) []deadletter.Group {
	type shown struct{ reason, writeKey string }
	joined := map[shown]*deadletter.Group{}
	for key, t := range tallies {
		if t.deadLetters == 0 {
			continue
		}
		g := &deadletter.Group{Reason: key.reason, WriteKey: deadletter.UnreadableKey, DeadLetters: t.deadLetters,
			Events: t.events, Oldest: time.Unix(0, t.oldest).UTC(), Newest: time.Unix(0, t.newest).UTC()}
		if key.readable {
			g.WriteKey = name(key.writeKey)
		}
		at := shown{g.Reason, g.WriteKey}
		if other := joined[at]; other != nil {
			other.Join(g)
			continue
		}
		joined[at] = g
	}
	groups := make([]deadletter.Group, 0, len(joined))
	for _, g := range joined {
		groups = append(groups, *g)
	}
	deadletter.SortGroups(groups)
	return groups
}

// byID returns the newest records with an ID, at most limit.
func (x *index) byID(id string, limit int) []*record {
	ids := []uint64{mark(markID, []byte(id))}
	return x.newest(limit, func(r *record) bool { return r.is(ids) })
}

// byMark returns the newest records that have a mark, at most limit.
func (x *index) byMark(kind byte, text string, limit int) []*record {
	marks := []uint64{mark(kind, []byte(text))}
	return x.newest(limit, func(r *record) bool { return has(r, marks) })
}

func (x *index) newest(limit int, want func(*record) bool) []*record {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.merge()
	var rows []*record
	for _, r := range slices.Backward(x.order) {
		if !r.gone && want(r) {
			if rows = append(rows, r); len(rows) == limit {
				break
			}
		}
	}
	return rows
}
