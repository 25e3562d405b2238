package status

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

const (
	// maxSkew is by how much clocks may differ. A document from further in the future was written
	// by a clock that was wrong, and this one's counts.
	maxSkew = 5 * time.Minute
	// forgetAfter is how long a region stays on the page that no writer names any more, and a
	// writer that does not write.
	forgetAfter = 24 * time.Hour
	// maxWriters and maxRegions bound what is read from observations.
	maxWriters, maxRegions, maxNameBytes = 8, 16, 64
)

// Observe returns the document after an observation: the time since the last one is added to the
// days of each component, and components, maintenance and incidents are what they are now. It
// changes nothing of d, and gives the same result for the same input.
//
// An observation that is older than the document's last one, as the slower of two writers may
// bring, counts as what that writer saw and moves no time.
func Observe(d Document, o Observation, now time.Time) Document {
	d = d.clone()
	now = second(now)
	at := now
	if !o.At.IsZero() {
		at = earlier(second(o.At), now)
	}
	gap := d.advance(at, now)
	d.see(o, at)
	at = d.ObservedAt
	d.maintain(at)
	d.states(at, gap)
	d.incidents(at)
	d.WrittenAt = now
	return d
}

// advance accounts for the time until an observation, and reports whether there was a gap in which
// nobody looked.
func (d *Document) advance(at, now time.Time) (gap bool) {
	last := d.ObservedAt
	switch {
	case last.IsZero():
		d.ObservedAt = at
		return true
	case last.After(now.Add(maxSkew)):
		d.ObservedAt = at
		d.correct(at)
		return true
	case !at.After(last):
		return false
	}
	for i := range d.Components {
		d.Components[i].account(last, at)
	}
	if midnight(at).After(last) {
		d.pend(last, at) // a day has ended
	}
	d.ObservedAt = at
	return at.Sub(last) > StaleAfter
}

// correct sets what happened in the future, by a clock that was wrong, to the present.
func (d *Document) correct(at time.Time) {
	today := at.Format(dateForm)
	times := []*time.Time{&d.WrittenAt, &d.ChangedAt}
	for i := range d.Components {
		c := &d.Components[i]
		times = append(times, &c.Since, &c.CreatedAt, &c.NamedAt)
		c.Days = slices.DeleteFunc(c.Days, func(d Day) bool { return d.Date > today })
	}
	for i := range d.Incidents {
		x := &d.Incidents[i]
		times = append(times, &x.StartedAt, &x.EndedAt, &x.UpdatedAt, &x.MonitoringAt, &x.ResolvedAt)
		for k := range x.Updates {
			times = append(times, &x.Updates[k].At)
		}
	}
	for i := range d.Maintenances { // which may be planned
		m := &d.Maintenances[i]
		times = append(times, &m.CreatedAt, &m.UpdatedAt)
		for k := range m.Updates {
			times = append(times, &m.Updates[k].At)
		}
	}
	for _, t := range times {
		*t = earlier(*t, at)
	}
	d.sortIncidents()
}

// see notes what a writer saw, and which regions there are.
func (d *Document) see(o Observation, at time.Time) {
	w := Writer{Name: bounded(o.Writer), At: at}
	for i := range o.Regions[:min(len(o.Regions), maxRegions)] {
		r := &o.Regions[i]
		s := Seen{Region: bounded(r.Name), Ingest: r.sight(Ingest), Delivery: r.sight(Delivery)}
		s.OldestSeconds, s.CanarySeconds = wholeSeconds(r.Oldest), wholeSeconds(r.CanaryAge)
		w.Regions = append(w.Regions, s)
		for _, p := range s.parts() {
			d.component(p, s.Region, at).NamedAt = d.ObservedAt
		}
	}
	d.Writers = slices.DeleteFunc(d.Writers, func(old Writer) bool {
		return old.Name == w.Name || old.At.Before(d.ObservedAt.Add(-forgetAfter)) || old.At.After(d.ObservedAt.Add(maxSkew))
	})
	d.Writers = append(d.Writers, w)
	slices.SortFunc(d.Writers, func(a, b Writer) int { return b.At.Compare(a.At) })
	d.Writers = d.Writers[:min(len(d.Writers), maxWriters)]
	slices.SortFunc(d.Writers, func(a, b Writer) int { return cmp.Compare(a.Name, b.Name) })
	d.Components = slices.DeleteFunc(d.Components, func(c Component) bool {
		return c.NamedAt.Before(d.ObservedAt.Add(-forgetAfter))
	})
}

// component returns a component, a new one if need be.
func (d *Document) component(p Part, region string, at time.Time) *Component {
	if c := d.Component(id(p, region)); c != nil {
		return c
	}
	c := Component{ID: id(p, region), Part: p, Region: region, Seen: Unknown, State: NotKnown, Since: at, CreatedAt: at}
	d.Components = append(d.Components, c)
	slices.SortFunc(d.Components, func(a, b Component) int {
		return cmp.Or(cmp.Compare(a.Region, b.Region), -cmp.Compare(a.Part, b.Part)) // ingest first
	})
	return d.Component(c.ID)
}

// states sets what each component is at the moment, by what all writers that still look have seen.
func (d *Document) states(at time.Time, gap bool) {
	for i := range d.Components {
		c := &d.Components[i]
		c.Seen, c.OldestSeconds, c.CanarySeconds = d.merged(c.Part, c.Region, at)
		state := stateOf(c.Seen)
		if d.maintained(c.ID) != nil {
			state = UnderMaintenance
		}
		if c.State != state {
			c.State, c.Since = state, at
			d.change(at, at)
		}
		if gap {
			c.BadSince, c.UpSince = time.Time{}, time.Time{}
		}
		since(&c.UpSince, c.Seen == Up, at)
		since(&c.BadSince, (c.Seen == Slow || c.Seen == Down) && state != UnderMaintenance, at)
		if !c.UpSince.IsZero() && at.Sub(c.UpSince) >= CloseAfter {
			c.Muted = false
		}
	}
}

// since keeps the beginning of an unbroken time.
func since(start *time.Time, holds bool, at time.Time) {
	switch {
	case !holds:
		*start = time.Time{}
	case start.IsZero():
		*start = at
	}
}

// merged is what the writers that looked within the last three minutes say: the worse of what they
// know, and the newest ages.
func (d *Document) merged(p Part, region string, at time.Time) (seen Sight, oldest, canary *int64) {
	seen = Unknown
	var newest time.Time
	for _, w := range d.Writers {
		if at.Sub(w.At) > StaleAfter {
			continue
		}
		for _, r := range w.Regions {
			if r.Region != region {
				continue
			}
			seen = worse(seen, r.sight(p))
			if p == Delivery && !w.At.Before(newest) && (r.OldestSeconds != nil || r.CanarySeconds != nil) {
				newest, oldest, canary = w.At, r.OldestSeconds, r.CanarySeconds
			}
		}
	}
	return seen, oldest, canary
}

func (s *Seen) sight(p Part) Sight {
	if p == Delivery {
		return s.Delivery
	}
	return s.Ingest
}

// parts are those that the region has.
func (s *Seen) parts() (all []Part) {
	for _, p := range []Part{Ingest, Delivery} {
		if s.sight(p) != "" && s.Region != "" {
			all = append(all, p)
		}
	}
	return all
}

func stateOf(s Sight) State {
	switch s {
	case Up:
		return Operational
	case Slow:
		return Degraded
	case Down:
		return Outage
	default:
		return NotKnown
	}
}

func wholeSeconds(d *time.Duration) *int64 {
	if d == nil || *d < 0 {
		return nil
	}
	n := int64(*d / time.Second)
	return &n
}

// bounded makes a name that a page and a path may have.
func bounded(name string) string {
	name = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_.", r) {
			return r
		}
		return '-'
	}, name)
	return name[:min(len(name), maxNameBytes)]
}

func compare(a, b string) int { return cmp.Compare(a, b) }

// compareIDs orders components by region, ingest first.
func compareIDs(a, b string) int {
	partA, regionA, _ := strings.Cut(a, "-")
	partB, regionB, _ := strings.Cut(b, "-")
	return cmp.Or(cmp.Compare(regionA, regionB), cmp.Compare(partB, partA))
}
