package status

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"
)

// Hysteresis of automatic incidents. The composite alarms have one of their own; this one is for
// what is seen from outside, and for what comes and goes.
const (
	// OpenAfter is for how long a component must be bad, without a break, before an incident opens:
	// a single look that fails opens none.
	OpenAfter = time.Minute
	// CloseAfter is for how long each of its components must be up, without a break, before it
	// closes.
	CloseAfter = 10 * time.Minute
	// ReopenWithin is the time after an incident has closed by itself in which it opens again
	// rather than another one beside it, and ReopenUntil is its age beyond which it does not.
	ReopenWithin = 30 * time.Minute
	ReopenUntil  = 24 * time.Hour
	// EaseAfter is for how long a part must be slow and no longer down before an update tells so.
	EaseAfter = 5 * time.Minute
)

// A Phase is how far the people who work on an incident are, as Statuspage names it.
type Phase string

// Phases of incidents.
const (
	Investigating Phase = "investigating"
	Identified    Phase = "identified"
	Monitoring    Phase = "monitoring" // it seems mended
	Resolved      Phase = "resolved"
)

// An Impact is how bad an incident is for customers, as Statuspage names it.
type Impact string

// Impacts.
const (
	NoImpact Impact = "none"
	Minor    Impact = "minor"    // late
	Major    Impact = "major"    // nothing is delivered, but all is safe
	Critical Impact = "critical" // events are not accepted
)

var impacts = []Impact{NoImpact, Minor, Major, Critical}

// An Incident is something that customers notice, from its start to its end.
type Incident struct {
	ID         string   `json:"id"` // like 20261127-1312-delivery
	Title      string   `json:"title"`
	Phase      Phase    `json:"phase"`
	Impact     Impact   `json:"impact"`
	Components []string `json:"components"` // their IDs

	// Part is that of an incident which the alarms opened, "" of an operator's own.
	Part Part `json:"part,omitempty"`
	// KeepOpen: only an operator resolves it. Title and impact that an operator has given stay.
	KeepOpen    bool   `json:"keepOpen,omitempty"`
	Told        Impact `json:"told,omitempty"` // of which the last automatic update told
	TitleGiven  bool   `json:"titleGiven,omitempty"`
	ImpactGiven bool   `json:"impactGiven,omitempty"`

	StartedAt    time.Time `json:"startedAt"`             // when it was first bad
	EndedAt      time.Time `json:"endedAt,omitzero"`      // when it was good again; zero while open
	UpdatedAt    time.Time `json:"updatedAt"`             // its last change
	MonitoringAt time.Time `json:"monitoringAt,omitzero"` // when it last seemed mended
	ResolvedAt   time.Time `json:"resolvedAt,omitzero"`   // when it was closed; zero while open

	Updates []Update `json:"updates"` // oldest first
	// Cut is how many updates, after the first ones, are only in the file of the month.
	Cut int `json:"cut,omitempty"`
}

// An Update is one message about an incident or maintenance.
type Update struct {
	ID    string    `json:"id"`
	At    time.Time `json:"at"`
	Phase Phase     `json:"phase"` // or, of maintenance, a Progress
	Text  string    `json:"text"`
	By    Author    `json:"by"`
}

// An Author is who wrote an update.
type Author string

// Authors.
const (
	Operator  Author = "operator"
	Automatic Author = "automatic"
)

// Open reports whether the incident goes on.
func (i *Incident) Open() bool { return i.Phase != Resolved }

func (i *Incident) add(at time.Time, by Author, text string) {
	i.Updates, i.UpdatedAt = added(i.Updates, i.ID, Update{At: at, Phase: i.Phase, Text: text, By: by})
}

// added appends an update, at least a second after the last one: their times are their order,
// wherever they are merged.
func added(all []Update, id string, u Update) ([]Update, time.Time) {
	if n := len(all); n > 0 {
		u.At = later(u.At, all[n-1].At.Add(time.Second))
	}
	u.ID = short12(id, u.At.Format(time.RFC3339), string(u.By), u.Text)
	return append(all, u), u.At
}

// last returns who wrote last.
func (i *Incident) last() Author {
	if len(i.Updates) == 0 {
		return Automatic
	}
	return i.Updates[len(i.Updates)-1].By
}

func (i *Incident) resolve(at, ended time.Time) {
	i.Phase, i.ResolvedAt, i.EndedAt = Resolved, at, ended
	if ended.Before(i.StartedAt) {
		i.EndedAt = i.StartedAt
	}
}

// covers reports whether the incident is about a component; one that names none is about all.
func (i *Incident) covers(id string) bool {
	return len(i.Components) == 0 || slices.Contains(i.Components, id)
}

// incidents opens, changes and closes the automatic incidents of each part.
func (d *Document) incidents(at time.Time) {
	for _, p := range []Part{Ingest, Delivery} {
		var bad []*Component
		for i := range d.Components {
			c := &d.Components[i]
			switch {
			case c.Part != p:
			case !c.BadSince.IsZero() && at.Sub(c.BadSince) >= OpenAfter && !c.Muted:
				bad = append(bad, c)
			}
		}
		if open := d.automatic(p); open != nil {
			d.follow(open, bad, at)
		} else if bad = d.unexplained(bad); len(bad) > 0 {
			d.open(p, bad, at)
		}
	}
}

// automatic returns the open incident of a part that the alarms opened.
func (d *Document) automatic(p Part) *Incident {
	for i := range d.Incidents {
		if x := &d.Incidents[i]; x.Part == p && x.Open() {
			return x
		}
	}
	return nil
}

// unexplained are the components of which no open incident of an operator tells.
func (d *Document) unexplained(bad []*Component) []*Component {
	return slices.DeleteFunc(bad, func(c *Component) bool {
		return slices.ContainsFunc(d.Incidents, func(i Incident) bool { return i.Open() && i.covers(c.ID) })
	})
}

// open opens an incident, or the last one again.
func (d *Document) open(p Part, bad []*Component, at time.Time) {
	start := bad[0].BadSince
	for _, c := range bad {
		start = earlier(start, c.BadSince)
	}
	w := d.words(p, bad)
	if last := d.reopens(p, start, at); last != nil {
		last.Phase, last.ResolvedAt, last.EndedAt = Investigating, time.Time{}, time.Time{}
		d.name(last, bad)
		d.escalate(last, w)
		last.add(at, Automatic, "It has come back. "+w.text)
		last.Told = w.impact
		d.change(last.StartedAt, at)
		return
	}
	i := Incident{
		ID: d.freeID(start.Format("20060102-1504-") + string(p)), Title: w.title, Phase: Investigating, Impact: w.impact,
		Part: p, StartedAt: start, Told: w.impact,
	}
	d.name(&i, bad)
	i.add(at, Automatic, w.text)
	d.Incidents = slices.Insert(d.Incidents, 0, i)
	d.sortIncidents()
	d.change(start, at)
}

// reopens returns the incident of a part that a new failure belongs to, nil if it is another one.
// One that an operator has resolved stays so.
func (d *Document) reopens(p Part, start, at time.Time) *Incident {
	for i := range d.Incidents {
		x := &d.Incidents[i]
		if x.Part == p && x.last() == Automatic && start.Sub(x.EndedAt) <= ReopenWithin+CloseAfter &&
			start.Sub(x.ResolvedAt) <= ReopenWithin && at.Sub(x.StartedAt) <= ReopenUntil {
			return x
		}
	}
	return nil
}

// follow changes an open incident as its components change.
func (d *Document) follow(i *Incident, bad []*Component, at time.Time) {
	if len(bad) > 0 {
		w := d.words(i.Part, bad)
		more, worse := d.name(i, bad), d.escalate(i, w)
		back := i.Phase == Monitoring && i.last() == Automatic
		if back {
			i.Phase = Investigating
		}
		switch {
		case back:
			i.add(at, Automatic, "It has come back. "+w.text)
		case more, worse, w.impact == Minor && i.Told != Minor && i.last() == Automatic && lasted(bad, at) >= EaseAfter:
			i.add(at, Automatic, w.text)
		default:
			return
		}
		i.Told = w.impact
		d.change(i.StartedAt, at)
		return
	}
	up, since := d.recovered(i)
	if !up {
		return
	}
	if i.last() == Automatic && i.Phase != Monitoring {
		i.Phase, i.MonitoringAt, i.UpdatedAt = Monitoring, at, at
		d.change(i.StartedAt, at)
	}
	if i.KeepOpen || at.Sub(since) < CloseAfter {
		return
	}
	i.resolve(at, since)
	i.add(at, Automatic, resolvedText(i.Part, i.EndedAt.Sub(i.StartedAt)))
	d.change(i.StartedAt, at)
}

// lasted is for how long all of the components have been in their states.
func lasted(all []*Component, at time.Time) time.Duration {
	d := time.Duration(math.MaxInt64)
	for _, c := range all {
		d = min(d, at.Sub(c.Since))
	}
	return d
}

// recovered reports whether all components of an incident are up, and since when.
func (d *Document) recovered(i *Incident) (up bool, since time.Time) {
	for k := range d.Components {
		c := &d.Components[k]
		if !i.covers(c.ID) || i.Part != "" && c.Part != i.Part {
			continue
		}
		if c.UpSince.IsZero() {
			return false, since
		}
		if c.UpSince.After(since) {
			since = c.UpSince
		}
	}
	return true, since
}

// name adds the components to an incident and reports whether there were new ones.
func (d *Document) name(i *Incident, bad []*Component) (more bool) {
	for _, c := range bad {
		if !slices.Contains(i.Components, c.ID) {
			i.Components, more = append(i.Components, c.ID), true
		}
	}
	slices.SortFunc(i.Components, compareIDs)
	return more
}

// escalate raises an incident's impact, with its title, and reports whether it did. It never lowers
// it: an impact is the worst that an incident had.
func (d *Document) escalate(i *Incident, w words) bool {
	if i.ImpactGiven || slices.Index(impacts, w.impact) <= slices.Index(impacts, i.Impact) {
		return false
	}
	i.Impact = w.impact
	if !i.TitleGiven {
		i.Title = w.title
	}
	return true
}

// freeID returns an ID that no incident or maintenance has.
func (d *Document) freeID(id string) string {
	taken := func(id string) bool {
		return slices.ContainsFunc(d.Incidents, func(i Incident) bool { return i.ID == id }) ||
			slices.ContainsFunc(d.Maintenances, func(m Maintenance) bool { return m.ID == id })
	}
	free := id
	for n := 2; taken(free); n++ {
		free = fmt.Sprintf("%s-%d", id, n)
	}
	return free
}

// sortIncidents puts the newest first.
func (d *Document) sortIncidents() {
	slices.SortFunc(d.Incidents, func(a, b Incident) int {
		return cmp.Or(b.StartedAt.Compare(a.StartedAt), cmp.Compare(b.ID, a.ID))
	})
}
