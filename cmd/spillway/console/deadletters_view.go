package console

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/spillwayhq/spillway/cmd/spillway/dlq"
	"github.com/spillwayhq/spillway/shared/deadletter"
	"github.com/spillwayhq/spillway/shared/message"
)

// deadView is what the pages of dead letters have in common.
type deadView struct {
	Query   DeadLetterQuery
	Words   string // what is selected
	Error   string // why not what was asked for is shown
	Reading Reading
	NotRead bool // and never was
	Stale   bool // an action has changed the queue since it was read
	Action  *deadAction
	List    DeadLetterList
	Events  int    // of all that are selected
	Flags   string // that select the same on the command line
	Now     time.Time
}

// deadView reads what a page shows. A query that can't be understood selects nothing.
func (c deadPages) deadView(r *http.Request, values url.Values) deadView {
	v := deadView{Action: c.dead.state(), Now: time.Now()}
	var err error
	if v.Query, err = parseDeadQuery(values); err == nil {
		ctx, cancel := context.WithTimeout(r.Context(), c.patience())
		defer cancel()
		v.List, err = c.source.DeadLetters().List(ctx, v.Query)
	}
	if err == nil && len(v.List.InQueue) > 0 {
		err = v.Query.CheckReasons(v.List.InQueue)
	}
	if v.NotRead = errors.Is(err, ErrNotRead); err != nil && !v.NotRead {
		v.Error = sentence(err.Error())
	}
	for _, g := range v.List.Groups {
		v.Events += g.Events
	}
	v.Reading = c.source.DeadLetters().Reading()
	v.Stale = v.Reading.OnRequest && v.Action != nil && v.Action.Ended.After(v.Reading.At) && !v.Reading.At.IsZero() &&
		v.Action.Verb != verbExport
	v.Words, v.Flags = inWords(v.Query.Selection), v.Query.Flags()
	return v
}

// countedView is a deadView that waits until all dead letters have been read, as long as a page may
// take.
func (c deadPages) countedView(r *http.Request, values url.Values) deadView {
	const again = 100 * time.Millisecond
	for until := time.Now().Add(c.patience()); ; {
		v := c.deadView(r, values)
		if !v.Reading.Running || v.Reading.OnRequest || time.Now().After(until) {
			return v
		}
		select {
		case <-time.After(again):
		case <-r.Context().Done():
			return v
		}
	}
}

// Here is the address of this selection on another page of dead letters.
func (v *deadView) Here(path string) string { return withQuery(path, deadValues(v.Query.Selection)) }

// Forced is the page that sends what the last redrive did not, although Segment fails.
func (v *deadView) Forced() string {
	values := deadValues(v.Action.Selection)
	values.Set("force", "1")
	return withQuery(deadRedrive, values)
}

// Older is the next page.
func (v *deadView) Older() string {
	values := deadValues(v.Query.Selection)
	values.Set("before", strconv.FormatUint(v.List.Rows[len(v.List.Rows)-1].Place, 36))
	return withQuery(deadPath, values)
}

// With is the list of those of this selection that have a reason and write key.
func (v *deadView) With(g deadletter.Group) string {
	s := v.Query.Selection
	s.Reasons = []string{g.Reason}
	if g.WriteKey != deadletter.UnreadableKey {
		s.WriteKeys = []string{g.WriteKey}
	}
	return withQuery(deadPath, deadValues(s))
}

// maxGroups is how many reasons and write keys a page shows.
const maxGroups = 12

// Groups are the largest groups.
func (v *deadView) Groups() []deadletter.Group {
	return v.List.Groups[:min(maxGroups, len(v.List.Groups))]
}

// MoreGroups is how many are not shown.
func (v *deadView) MoreGroups() int { return len(v.List.Groups) - len(v.Groups()) }

// A sum is how many dead letters have a reason, or a write key, and the list of these.
type sum struct {
	Name        string
	DeadLetters int
	Path        string
}

// ReasonSums and KeySums are for a page that can't show all groups: the largest sums by reason and
// by write key; none if it can.
func (v *deadView) ReasonSums() []sum {
	return v.sums(func(g *deadletter.Group, s *dlq.Selection) string {
		s.Reasons = []string{g.Reason}
		return g.Reason
	})
}

// KeySums is described at ReasonSums.
func (v *deadView) KeySums() []sum {
	return v.sums(func(g *deadletter.Group, s *dlq.Selection) string {
		if g.WriteKey != deadletter.UnreadableKey {
			s.WriteKeys = []string{g.WriteKey}
		}
		return g.WriteKey
	})
}

// sums adds the groups up by what name returns, which narrows the selection to that.
func (v *deadView) sums(name func(*deadletter.Group, *dlq.Selection) string) []sum {
	if v.MoreGroups() == 0 {
		return nil
	}
	byName := map[string]*sum{}
	for i := range v.List.Groups {
		g, selection := &v.List.Groups[i], v.Query.Selection
		n := name(g, &selection)
		if byName[n] == nil {
			byName[n] = &sum{Name: n, Path: withQuery(deadPath, deadValues(selection))}
		}
		byName[n].DeadLetters += g.DeadLetters
	}
	var all []sum
	for _, s := range byName {
		all = append(all, *s)
	}
	slices.SortFunc(all, func(a, b sum) int {
		return cmp.Or(b.DeadLetters-a.DeadLetters, cmp.Compare(a.Name, b.Name))
	})
	return all[:min(len(all), maxGroups)]
}

// A choice is a value of a form's field.
type choice struct {
	Value  string
	Chosen bool
}

// Reasons are those that can be chosen: all that are in the queue, and those that are chosen.
func (v *deadView) Reasons() []choice {
	reasons := slices.Collect(maps.Keys(v.List.InQueue))
	for _, r := range v.Query.Reasons {
		if !slices.Contains(reasons, r) {
			reasons = append(reasons, r)
		}
	}
	if len(reasons) == 0 {
		reasons = message.Reasons()
	}
	slices.Sort(reasons)
	choices := make([]choice, 0, len(reasons))
	for _, r := range reasons[:min(len(reasons), maxValues)] {
		choices = append(choices, choice{r, slices.Contains(v.Query.Reasons, r)})
	}
	return choices
}

// KeyNames are those of the groups, to choose from.
func (v *deadView) KeyNames() []string {
	var names []string
	for _, g := range v.Groups() {
		if g.WriteKey != deadletter.UnreadableKey && !slices.Contains(names, g.WriteKey) {
			names = append(names, g.WriteKey)
		}
	}
	slices.Sort(names)
	return names
}

// Filtered reports whether the query selects less than all.
func (v *deadView) Filtered() bool { return len(deadValues(v.Query.Selection)) > 0 }

// Field is the value of a text field; further values of it are kept as Others has them.
func (v *deadView) Field(name string) string { return deadValues(v.Query.Selection).Get(name) }

// A hidden is a field that a form carries on.
type hidden struct{ Name, Value string }

// Others are the values of the text fields that a form has no place for.
func (v *deadView) Others() []hidden {
	var others []hidden
	for name, values := range deadValues(v.Query.Selection) {
		switch name {
		case "reason":
			continue
		case "id":
			others = append(others, hidden{name, values[0]})
		}
		for _, value := range values[1:] {
			others = append(others, hidden{name, value})
		}
	}
	return others
}

// Hidden are the fields of a form that acts on the selection.
func (v *deadView) Hidden() []hidden {
	var all []hidden
	values := deadValues(v.Query.Selection)
	for _, name := range slices.Sorted(maps.Keys(values)) {
		for _, value := range values[name] {
			all = append(all, hidden{name, value})
		}
	}
	return all
}
