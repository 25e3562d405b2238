package status

import (
	"cmp"
	"slices"
	"time"
)

// A Progress is how far maintenance is, as Statuspage names it.
type Progress = Phase

// Progress of maintenance.
const (
	Scheduled  Progress = "scheduled"
	InProgress Progress = "in_progress"
	Completed  Progress = "completed"
)

// A Maintenance is a time for which operators have announced work. What its components do meanwhile
// opens no incident and counts as maintenance.
type Maintenance struct {
	ID         string    `json:"id"`
	Title      string    `json:"title"`
	Phase      Progress  `json:"phase"`
	Components []string  `json:"components"` // their IDs; none: all
	From       time.Time `json:"from"`
	Until      time.Time `json:"until"`
	CreatedAt  time.Time `json:"createdAt"`
	UpdatedAt  time.Time `json:"updatedAt"`
	Canceled   bool      `json:"canceled,omitempty"`
	Updates    []Update  `json:"updates"` // oldest first
	Cut        int       `json:"cut,omitempty"`
}

// Active reports whether the work goes on.
func (m *Maintenance) Active() bool { return m.Phase == InProgress }

func (m *Maintenance) covers(id string) bool {
	return len(m.Components) == 0 || slices.Contains(m.Components, id)
}

func (m *Maintenance) add(at time.Time, by Author, text string) {
	m.Updates, m.UpdatedAt = added(m.Updates, m.ID, Update{At: at, Phase: m.Phase, Text: text, By: by})
}

// maintain begins and ends maintenance when it is time.
func (d *Document) maintain(at time.Time) {
	for i := range d.Maintenances {
		m := &d.Maintenances[i]
		if m.Phase == Scheduled && !at.Before(m.From) {
			m.Phase = InProgress
			m.add(at, Automatic, "The maintenance has begun.")
			d.change(m.From, at)
		}
		if m.Phase == InProgress && !at.Before(m.Until) {
			m.Phase = Completed
			m.add(at, Automatic, "The maintenance is completed.")
			d.change(m.From, at)
		}
	}
}

// maintained returns the maintenance of a component that goes on, nil if there is none.
func (d *Document) maintained(id string) *Maintenance {
	for i := range d.Maintenances {
		if m := &d.Maintenances[i]; m.Active() && m.covers(id) {
			return m
		}
	}
	return nil
}

func (d *Document) sortMaintenances() {
	slices.SortFunc(d.Maintenances, func(a, b Maintenance) int {
		return cmp.Or(b.From.Compare(a.From), cmp.Compare(b.ID, a.ID))
	})
}
