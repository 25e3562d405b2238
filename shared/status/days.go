package status

import (
	"cmp"
	"slices"
	"time"
)

// History is how many days the page shows as bars, today among them.
const History = 90

// StaleAfter is how long what was seen is taken to last when nobody looks again: three polls. The
// page then says that it is out of date.
const StaleAfter = 3 * time.Minute

const dateForm = "2006-01-02"

// A Day is how many seconds of a day in UTC a component was in each state. What is missing to
// 86,400 was before the first observation, or is still to come. The time between two observations
// counts with the state that the first one saw, for at most three minutes; the rest of it is
// unknown.
type Day struct {
	Date        string `json:"date"` // 2026-11-27
	Operational int    `json:"operational,omitempty"`
	Degraded    int    `json:"degraded,omitempty"`
	Outage      int    `json:"outage,omitempty"`
	Maintenance int    `json:"maintenance,omitempty"`
	Unknown     int    `json:"unknown,omitempty"`
}

const daySeconds = 24 * 60 * 60

func (d *Day) valid() bool {
	_, err := time.Parse(dateForm, d.Date)
	return err == nil && min(d.Operational, d.Degraded, d.Outage, d.Maintenance, d.Unknown) >= 0 &&
		d.seconds() <= daySeconds
}

func (d *Day) seconds() int {
	return d.Operational + d.Degraded + d.Outage + d.Maintenance + d.Unknown
}

// known is how many seconds somebody looked.
func (d *Day) known() int { return d.seconds() - d.Unknown }

// Worst is the worst state of the day. Maintenance is better than what customers were not told of,
// and a day is unknown only if nobody looked at all.
func (d *Day) Worst() State {
	switch {
	case d.Outage > 0:
		return Outage
	case d.Degraded > 0:
		return Degraded
	case d.Maintenance > 0:
		return UnderMaintenance
	case d.Operational > 0:
		return Operational
	}
	return NotKnown
}

func (d *Day) add(s State, seconds int) {
	switch s {
	case Operational:
		d.Operational += seconds
	case Degraded:
		d.Degraded += seconds
	case Outage:
		d.Outage += seconds
	case UnderMaintenance:
		d.Maintenance += seconds
	default:
		d.Unknown += seconds
	}
}

// account adds the time from one observation to the next to the days of a component. Of a gap of
// more than 90 days only the last 90 have a bar.
func (c *Component) account(from, to time.Time) {
	if first := midnight(to).AddDate(0, 0, 1-History); from.Before(first) {
		from = first
	}
	seen := c.State
	for known := from.Add(StaleAfter); from.Before(to); {
		end := midnight(from).AddDate(0, 0, 1)
		state := seen
		if from.Before(known) {
			end = earlier(end, known)
		} else {
			state = NotKnown
		}
		end = earlier(end, to)
		c.day(from).add(state, int(end.Sub(from)/time.Second))
		from = end
	}
	oldest := midnight(to).AddDate(0, 0, 1-History).Format(dateForm)
	c.Days = slices.DeleteFunc(c.Days, func(d Day) bool { return d.Date < oldest })
}

// day returns the day of a time, which is no earlier than the last one.
func (c *Component) day(at time.Time) *Day {
	date := at.Format(dateForm)
	i, found := slices.BinarySearchFunc(c.Days, date, func(d Day, date string) int { return cmp.Compare(d.Date, date) })
	if !found {
		c.Days = slices.Insert(c.Days, i, Day{Date: date})
	}
	return &c.Days[i]
}

func midnight(t time.Time) time.Time { return t.UTC().Truncate(24 * time.Hour) }

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
