package status

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// A Month is the file of a month: all that happened in it, also what the document does not hold any
// more. What lasts over a month's end is in the file of each month that it touches.
type Month struct {
	Version      int           `json:"version"`
	Month        string        `json:"month"` // 2026-11
	Components   []MonthOf     `json:"components"`
	Incidents    []Incident    `json:"incidents"`    // newest first
	Maintenances []Maintenance `json:"maintenances"` // the last to begin first
}

// A MonthOf is a component's days in a month.
type MonthOf struct {
	ID     string `json:"id"`
	Part   Part   `json:"part"`
	Region string `json:"region"`
	Days   []Day  `json:"days"` // oldest first
}

const monthForm = "2006-01"

func isNoMonth(name string) bool {
	_, err := time.Parse(monthForm, name)
	return err != nil
}

// MonthFile is the name of a month's file in a store; month is like 2026-11.
func MonthFile(month string) string { return "history/" + month + ".json" }

// ParseMonth reads a month, as Encode writes it. The error is ErrBroken or ErrNewer.
func ParseMonth(data []byte) (Month, error) {
	var m Month
	if err := decode(data, &m, &m.Version); err != nil {
		return Month{}, err
	}
	if isNoMonth(m.Month) {
		return Month{}, fmt.Errorf("%w: its month must be like 2026-11, is %q", ErrBroken, m.Month)
	}
	if err := checkUpdates(m.Incidents, m.Maintenances); err != nil {
		return Month{}, err
	}
	for i := range m.Components {
		c := &m.Components[i]
		c.Days = slices.DeleteFunc(c.Days, func(d Day) bool { return !d.valid() })
	}
	return m, nil
}

// Encode writes a month as JSON.
func (m *Month) Encode() []byte { return encode(m) }

// Archive returns the month with what the document has of it.
func Archive(m Month, d Document) Month {
	d = d.clone()
	begin, err := time.Parse(monthForm, m.Month)
	if err != nil {
		return m
	}
	end := begin.AddDate(0, 1, 0)
	a := Month{Version: Version, Month: m.Month, Components: slices.Clone(m.Components)}
	for i := range d.Components {
		a.addDays(&d.Components[i])
	}
	for _, i := range d.Incidents {
		if i.StartedAt.Before(end) && !cmp.Or(i.EndedAt, d.now()).Before(begin) {
			a.Incidents = append(a.Incidents, i)
		}
	}
	for _, x := range d.Maintenances {
		// A canceled one may be for a month that is still to come: it is kept where it was
		// canceled.
		if at := x.UpdatedAt; x.Canceled && at.Before(end) && !at.Before(begin) ||
			!x.Canceled && x.Phase != Scheduled && x.From.Before(end) && x.Until.After(begin) {
			a.Maintenances = append(a.Maintenances, x)
		}
	}
	a.Incidents = mergeIncidents(m.Incidents, a.Incidents)
	a.Maintenances = mergeMaintenances(m.Maintenances, a.Maintenances)
	return a
}

func (m *Month) addDays(c *Component) {
	i := slices.IndexFunc(m.Components, func(x MonthOf) bool { return x.ID == c.ID })
	if i < 0 {
		m.Components = append(m.Components, MonthOf{ID: c.ID, Part: c.Part, Region: c.Region})
		slices.SortFunc(m.Components, func(a, b MonthOf) int { return compareIDs(a.ID, b.ID) })
		i = slices.IndexFunc(m.Components, func(x MonthOf) bool { return x.ID == c.ID })
	}
	x := &m.Components[i]
	var days []Day
	for _, d := range c.Days {
		if d.Date[:len(monthForm)] == m.Month {
			days = append(days, d)
		}
	}
	x.Days = mergeDays(x.Days, days)
}

// now is the time that a document speaks of.
func (d *Document) now() time.Time {
	if d.WrittenAt.After(d.ObservedAt) {
		return d.WrittenAt
	}
	return d.ObservedAt
}

// maxPending is how many months back a change is written: an incident of more than two years is in
// the files of its last two.
const maxPending = 24

// pend notes that the files of these months lack something.
func (d *Document) pend(since, at time.Time) {
	first := at.AddDate(0, -maxPending+1, 0)
	if since.After(first) {
		first = since
	}
	if first.After(at) {
		first = at
	}
	for m := monthOf(first); !m.After(at); m = m.AddDate(0, 1, 0) {
		if name := m.Format(monthForm); !slices.Contains(d.Pending, name) {
			d.Pending = append(d.Pending, name)
		}
	}
}

func monthOf(t time.Time) time.Time {
	t = t.UTC()
	return time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC)
}

// Bounds of what a document holds of the past. The months' files have all of it.
const (
	keepPast     = 14 * 24 * time.Hour // what ended before is cut
	keepEnded    = 20                  // incidents, and as many maintenances, that have ended
	keepUpdates  = 20                  // of each
	firstUpdates = 3                   // of which the first ones
)

// Trim returns the document without what the pages of today do not need, and how many incidents,
// maintenances and updates it has cut. Call it only when the months' files have them.
func Trim(d Document) (Document, int) {
	d = d.clone()
	before, cut := d.now().Add(-keepPast), 0
	ended := 0
	d.Incidents = slices.DeleteFunc(d.Incidents, func(i Incident) bool { // newest first
		if i.Open() {
			return false
		}
		if ended++; ended > keepEnded || i.EndedAt.Before(before) {
			cut++
			return true
		}
		return false
	})
	ended = 0
	d.Maintenances = slices.DeleteFunc(d.Maintenances, func(m Maintenance) bool {
		if m.Phase != Completed {
			return false
		}
		if ended++; ended > keepEnded || m.UpdatedAt.Before(before) {
			cut++
			return true
		}
		return false
	})
	for i := range d.Incidents {
		cut += trimUpdates(&d.Incidents[i].Updates, &d.Incidents[i].Cut)
	}
	for i := range d.Maintenances {
		cut += trimUpdates(&d.Maintenances[i].Updates, &d.Maintenances[i].Cut)
	}
	return d, cut
}

// trimUpdates cuts from the middle: the first updates say what it is about, the last ones where it
// is.
func trimUpdates(all *[]Update, total *int) int {
	n := len(*all) - keepUpdates
	if n <= 0 {
		return 0
	}
	*all = slices.Delete(*all, firstUpdates, firstUpdates+n)
	*total += n
	return n
}
