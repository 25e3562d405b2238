package contents

import (
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
	sentUntil          int64
	groups             map[*group]bool // whether their reason and write key are wanted
}

func (x *index) wish(f deadletter.Filter) *wish {
	return &wish{Filter: f, ids: marksOf(markID, f.IDs), events: marksOf(markEvent, f.Events),
		users: marksOf(markUser, f.Users), groups: map[*group]bool{}}
}

// want reports whether a record is selected. unsure: it has too many events to tell.
func (w *wish) want(r *record, now time.Time) (wanted, unsure bool) {
	inGroup, ok := w.groups[r.group]
	if !ok {
		inGroup = w.wantGroup(r.group)
		w.groups[r.group] = inGroup
	}
	if !inGroup || !w.wantAge(r, now) || !has(r, w.ids) {
		return false, false
	}
	if len(w.events)+len(w.users) > 0 && r.partial {
		return false, true
	}
	return has(r, w.events) && has(r, w.users), false
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

func (w *wish) wantAge(r *record, now time.Time) bool {
	age := max(0, now.Sub(time.Unix(0, r.first)))
	return (w.OlderThan == 0 || age > w.OlderThan) && (w.NewerThan == 0 || age < w.NewerThan) &&
		(w.SentUntil.IsZero() || !time.UnixMilli(r.sent).After(w.SentUntil))
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
	s := search{index: x, before: before, limit: limit, groups: map[*group]*deadletter.Group{},
		seen: map[deadletter.Identity]bool{}}
	inQueue := deadletter.ReasonCounts{}
	for _, g := range x.groups {
		inQueue[g.reason] += g.records
	}
	for _, r := range slices.Backward(x.order) {
		if r.gone {
			continue
		}
		wanted, unsure := w.want(r, now)
		if unsure {
			s.list.NotSearched++
		}
		if wanted {
			s.add(r)
		}
	}
	s.list.InQueue, s.list.Unreadable, s.list.Beyond = inQueue, len(x.broken), x.beyond
	s.list.Groups = s.sortedGroups(name)
	return s.found
}

// search collects what is wanted.
type search struct {
	found
	index  *index
	before uint64
	limit  int
	groups map[*group]*deadletter.Group
	seen   map[deadletter.Identity]bool // of those that are there several times
}

func (s *search) add(r *record) {
	if s.index.repeated > 0 && s.index.copies[r.identity] > 1 {
		if s.seen[r.identity] {
			s.list.Duplicates++
			return
		}
		s.seen[r.identity] = true
	}
	s.list.Total++
	first := time.Unix(0, r.first).UTC()
	g := s.groups[r.group]
	if g == nil {
		g = &deadletter.Group{Reason: r.group.reason, Oldest: first, Newest: first}
		s.groups[r.group] = g
	}
	g.Add(int(r.events), first)
	switch {
	case s.before != 0 && r.place >= s.before:
	case len(s.rows) < s.limit:
		s.rows = append(s.rows, r)
	default:
		s.list.More = true
	}
}

// sortedGroups joins those that have the same name.
func (s *search) sortedGroups(name func(string) string) []deadletter.Group {
	type shown struct{ reason, writeKey string }
	joined := map[shown]*deadletter.Group{}
	for key, g := range s.groups {
		g.WriteKey = deadletter.UnreadableKey
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

// byMark returns the newest records that have a mark, at most limit.
func (x *index) byMark(mark uint64, limit int) []*record {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.merge()
	var rows []*record
	for _, r := range slices.Backward(x.order) {
		if !r.gone && has(r, []uint64{mark}) {
			if rows = append(rows, r); len(rows) == limit {
				break
			}
		}
	}
	return rows
}
