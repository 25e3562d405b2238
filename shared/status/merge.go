package status

import (
	"bytes"
	"cmp"
	"slices"
	"time"
)

// Merge returns what two documents of the same site say together, as two writers with a bucket each
// have them, or an operator who changed a copy. The order of the two does not matter, and merging
// twice changes nothing more. Of each component the one that was observed last tells the state, and
// of each day the one that saw more of it; incidents, maintenance and updates are those of both.
func Merge(a, b Document) Document {
	a, b = a.clone(), b.clone()
	if older(&a, &b) {
		a, b = b, a // a is the newer one
	}
	d := a
	d.WrittenAt, d.ObservedAt = later(a.WrittenAt, b.WrittenAt), later(a.ObservedAt, b.ObservedAt)
	d.Changes, d.ChangedAt = max(a.Changes, b.Changes), later(a.ChangedAt, b.ChangedAt)
	d.Lost = max(a.Lost, b.Lost)
	for _, c := range b.Components {
		mine := d.Component(c.ID)
		if mine == nil {
			d.Components = append(d.Components, c)
			continue
		}
		mine.Days = mergeDays(mine.Days, c.Days)
		mine.Muted = mine.Muted || c.Muted
		mine.NamedAt = later(mine.NamedAt, c.NamedAt)
	}
	slices.SortFunc(d.Components, func(a, b Component) int { return compareIDs(a.ID, b.ID) })
	for _, w := range b.Writers {
		i := slices.IndexFunc(d.Writers, func(x Writer) bool { return x.Name == w.Name })
		if i < 0 {
			d.Writers = append(d.Writers, w)
		} else if w.At.After(d.Writers[i].At) {
			d.Writers[i] = w
		}
	}
	slices.SortFunc(d.Writers, func(a, b Writer) int { return cmp.Compare(a.Name, b.Name) })
	d.Incidents = mergeIncidents(a.Incidents, b.Incidents)
	d.Maintenances = mergeMaintenances(a.Maintenances, b.Maintenances)
	d.Months, d.Pending = union(a.Months, b.Months), union(a.Pending, b.Pending)
	return d
}

// adopt is Merge for a keeper: which months are pending is a matter of its own files, which lack
// what only the other document had.
func (d *Document) adopt(theirs Document) Document {
	m := Merge(*d, theirs)
	m.Pending = slices.Clone(d.Pending)
	for i := range m.Incidents {
		if x := &m.Incidents[i]; !holds(d, string(encode(x))) {
			m.pend(x.StartedAt, later(x.UpdatedAt, x.StartedAt))
		}
	}
	for i := range m.Maintenances {
		if x := &m.Maintenances[i]; !holds(d, string(encode(x))) {
			m.pend(earlier(x.From, x.UpdatedAt), x.UpdatedAt)
		}
	}
	return m
}

// holds reports whether a document has exactly this incident or maintenance.
func holds(d *Document, encoded string) bool {
	return slices.ContainsFunc(d.Incidents, func(i Incident) bool { return string(encode(&i)) == encoded }) ||
		slices.ContainsFunc(d.Maintenances, func(m Maintenance) bool { return string(encode(&m)) == encoded })
}

// older orders documents: by what they have observed, and else by their text, so that no order of
// two is left open.
func older(a, b *Document) bool {
	return orText(cmp.Or(a.ObservedAt.Compare(b.ObservedAt), a.WrittenAt.Compare(b.WrittenAt),
		cmp.Compare(a.Changes, b.Changes)), a, b) < 0
}

// orText is an order of two, or that of their texts, which take long to make, where it leaves them equal.
func orText[T any](order int, a, b *T) int {
	if order != 0 {
		return order
	}
	return bytes.Compare(encode(a), encode(b))
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// union of names, the greatest first.
func union(a, b []string) []string {
	all := slices.Concat(a, b)
	slices.SortFunc(all, func(x, y string) int { return cmp.Compare(y, x) })
	return slices.Compact(all)
}

// mergeDays takes of each day the one of which more is known.
func mergeDays(a, b []Day) []Day {
	all := slices.Concat(a, b)
	slices.SortFunc(all, func(x, y Day) int {
		return cmp.Or(cmp.Compare(x.Date, y.Date), cmp.Compare(y.known(), x.known()), cmp.Compare(y.Outage, x.Outage),
			cmp.Compare(y.Degraded, x.Degraded), cmp.Compare(y.Maintenance, x.Maintenance), cmp.Compare(y.Unknown, x.Unknown))
	})
	return slices.CompactFunc(all, func(x, y Day) bool { return x.Date == y.Date })
}

// mergeIncidents is the union by ID. Two that the alarms opened for the same part at overlapping
// times are the same one, seen by two writers: the earlier one's ID counts.
func mergeIncidents(a, b []Incident) []Incident {
	all := slices.Concat(a, b)
	slices.SortStableFunc(all, func(x, y Incident) int {
		return cmp.Or(x.StartedAt.Compare(y.StartedAt), cmp.Compare(x.ID, y.ID))
	})
	var merged []Incident
	for _, i := range all {
		k := slices.IndexFunc(merged, func(x Incident) bool { return x.ID == i.ID || same(&x, &i) })
		if k < 0 {
			merged = append(merged, i)
			continue
		}
		merged[k] = mergeIncident(&merged[k], &i)
	}
	slices.SortFunc(merged, func(a, b Incident) int {
		return cmp.Or(b.StartedAt.Compare(a.StartedAt), cmp.Compare(b.ID, a.ID))
	})
	return merged
}

// same reports whether two incidents are one that two writers have opened; a started first.
func same(a, b *Incident) bool {
	return a.Part != "" && a.Part == b.Part && (a.Open() || b.StartedAt.Before(a.EndedAt))
}

// mergeIncident keeps the ID and start of a, which started first, and the state of the one that was
// changed last.
func mergeIncident(a, b *Incident) Incident {
	newer, other := a, b
	if orText(cmp.Or(b.UpdatedAt.Compare(a.UpdatedAt), cmp.Compare(len(b.Updates), len(a.Updates))), b, a) > 0 {
		newer, other = b, a
	}
	m := *newer
	m.ID, m.StartedAt = a.ID, earlier(a.StartedAt, b.StartedAt)
	m.KeepOpen = newer.KeepOpen || other.KeepOpen && other.Open() && newer.Open()
	if other.TitleGiven && !newer.TitleGiven {
		m.Title, m.TitleGiven = other.Title, true
	}
	if other.ImpactGiven && !newer.ImpactGiven {
		m.Impact, m.ImpactGiven = other.Impact, true
	}
	m.Components = union(a.Components, b.Components)
	slices.SortFunc(m.Components, compareIDs)
	first, second := begun(a.Updates, b.Updates)
	m.Updates, m.Cut = mergeUpdates(first, second, a.Cut, b.Cut)
	return m
}

// begun leaves out the later of two first updates by which two writers have said at about the same
// time that an incident has begun.
func begun(a, b []Update) (first, second []Update) {
	if len(a) == 0 || len(b) == 0 || a[0].ID == b[0].ID || a[0].By != Automatic || b[0].By != Automatic ||
		a[0].At.Sub(b[0].At).Abs() > StaleAfter {
		return a, b
	}
	if cmp.Or(a[0].At.Compare(b[0].At), cmp.Compare(a[0].ID, b[0].ID)) < 0 {
		return a, b[1:]
	}
	return a[1:], b
}

// mergeUpdates is the union by ID, oldest first. What one of the two has cut and the other one has
// counts as there.
func mergeUpdates(a, b []Update, cutA, cutB int) ([]Update, int) {
	all := slices.Concat(a, b)
	slices.SortStableFunc(all, func(x, y Update) int { return cmp.Or(x.At.Compare(y.At), cmp.Compare(x.ID, y.ID)) })
	all = slices.CompactFunc(all, func(x, y Update) bool { return x.ID == y.ID })
	total := max(len(a)+cutA, len(b)+cutB)
	return all, max(total-len(all), 0)
}

func mergeMaintenances(a, b []Maintenance) []Maintenance {
	all := slices.Concat(a, b)
	slices.SortStableFunc(all, func(x, y Maintenance) int {
		return orText(cmp.Or(cmp.Compare(x.ID, y.ID), y.UpdatedAt.Compare(x.UpdatedAt),
			cmp.Compare(len(y.Updates), len(x.Updates))), &y, &x)
	})
	var merged []Maintenance
	for _, m := range all {
		if n := len(merged); n > 0 && merged[n-1].ID == m.ID {
			last := &merged[n-1]
			last.Updates, last.Cut = mergeUpdates(last.Updates, m.Updates, last.Cut, m.Cut)
			continue
		}
		merged = append(merged, m)
	}
	slices.SortFunc(merged, func(a, b Maintenance) int {
		return cmp.Or(b.From.Compare(a.From), cmp.Compare(b.ID, a.ID))
	})
	return merged
}
