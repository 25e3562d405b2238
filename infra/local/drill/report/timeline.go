package report

import (
	"cmp"
	"slices"

	"github.com/spillwayhq/spillway/infra/local/drill"
	"github.com/spillwayhq/spillway/infra/local/drill/old"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/chart"
)

// A group is a part of the timeline: rows of one kind.
type group struct {
	Title string
	Rows  []timeRow
}

// A timeRow is a thing and when it was.
type timeRow struct {
	Label, When, Class string
	Bars               []chart.Band
	Moments            []string // where on the axis, for what has no length
}

func timeline(r *drill.Result, c chart.Clock) []group {
	var groups []group
	for _, g := range []group{
		{"What happened", markRows(r.Marks, c)},
		{"Alarms", alarmRows(r, c)},
		{"The design that failed", oldRows(r.Old, c)},
	} {
		if len(g.Rows) > 0 {
			groups = append(groups, g)
		}
	}
	return groups
}

func markRows(marks []drill.Mark, c chart.Clock) []timeRow {
	var rows []timeRow
	for _, m := range marks {
		tr := timeRow{Label: capital(m.Text), Class: markClass(m.Kind), When: c.At(m.From)}
		if m.To == nil {
			tr.Moments = []string{chart.Percentage(c.Percent(m.From))}
		} else {
			tr.When = c.Span(m.From, m.To) + ", " + chart.Duration(m.To.Sub(m.From).Seconds())
			tr.Bars = []chart.Band{c.Bar(tr.Class, m.Text+", "+c.Span(m.From, m.To), m.From, m.To)}
		}
		rows = append(rows, tr)
	}
	return rows
}

func markClass(k drill.Kind) string {
	switch k {
	case drill.Fault, drill.Load, drill.Action:
		return string(k)
	}
	return "outcome"
}

// alarmRows are the alarms that fired: those that told somebody first, then by time.
func alarmRows(r *drill.Result, c chart.Clock) []timeRow {
	var rows []timeRow
	for _, a := range firedFirst(r.Alarms) {
		if len(a.Firings) == 0 {
			continue
		}
		tr := timeRow{Label: a.Name, Class: alarmClass(a)}
		for _, f := range a.Firings {
			class := tr.Class
			if !f.Notified {
				class += " quiet"
			}
			tr.Bars = append(tr.Bars, c.Bar(class, a.Name+", "+c.Span(f.From, f.To), f.From, f.To))
		}
		first := a.Firings[0]
		tr.When = c.Span(first.From, first.To)
		if n := len(a.Firings); n > 1 {
			tr.When += ", and " + chart.Number(float64(n-1)) + " more"
		}
		rows = append(rows, tr)
	}
	return rows
}

// alarmClass is how an alarm is coloured. A firing that told nobody is paler.
func alarmClass(a drill.Alarm) string {
	if a.Severity == string(topology.Critical) {
		return "critical"
	}
	return "warning"
}

// firedFirst are the alarms in the order in which they fired; the silent ones come last, by name.
func firedFirst(alarms []drill.Alarm) []drill.Alarm {
	return slices.SortedStableFunc(slices.Values(alarms), func(a, b drill.Alarm) int {
		switch fa, fb := len(a.Firings) > 0, len(b.Firings) > 0; {
		case fa && fb:
			return cmp.Or(a.Firings[0].From.Compare(b.Firings[0].From), cmp.Compare(a.Name, b.Name))
		case fa != fb && fa:
			return -1
		case fa != fb:
			return 1
		}
		return cmp.Compare(a.Name, b.Name)
	})
}

func oldRows(d *old.Day, c chart.Clock) []timeRow {
	if d == nil || d.FullAt == nil {
		return nil
	}
	rows := []timeRow{{Label: "Redis is full", Class: "fault", When: c.At(*d.FullAt),
		Moments: []string{chart.Percentage(c.Percent(*d.FullAt))}}}
	down := timeRow{Label: "The API is down", Class: "critical", When: chart.Duration(d.DownSeconds) + " in all"}
	for _, s := range d.Stops {
		down.Bars = append(down.Bars, c.Bar("critical", "The API is down, "+c.Span(s.From, s.To), s.From, s.To))
	}
	if len(d.Stops) == 1 {
		down.When = c.Span(d.Stops[0].From, d.Stops[0].To) + ", " + chart.Duration(d.DownSeconds)
	}
	return append(rows, down)
}

// shades are what every chart shows beside its lines: the faults, and when somebody was told.
func shades(r *drill.Result, c chart.Clock) []chart.Band {
	var all []chart.Band
	for _, m := range r.Marks {
		if m.Kind == drill.Fault && m.To != nil {
			all = append(all, c.Shade("fault", m.Text+", "+c.Span(m.From, m.To), m.From, m.To))
		}
	}
	for _, f := range firingTimes(r.Alarms) {
		all = append(all, c.Strip("alarm", "An alarm fires, "+c.Span(f.From, f.To), f.From, f.To))
	}
	return all
}

// moments are the marks without a length, for the charts.
func moments(marks []drill.Mark, c chart.Clock) []chart.Moment {
	var all []chart.Moment
	for _, m := range marks {
		if m.To == nil {
			all = append(all, chart.Moment{X: chart.Percentage(c.Percent(m.From)), Class: markClass(m.Kind),
				Text: m.Text + ", " + c.At(m.From)})
		}
	}
	return all
}

// firingTimes are the times in which at least one alarm fired of those that told somebody.
func firingTimes(alarms []drill.Alarm) []drill.Firing {
	var all []drill.Firing
	for _, a := range alarms {
		for _, f := range a.Firings {
			if f.Notified {
				all = append(all, f)
			}
		}
	}
	slices.SortFunc(all, func(a, b drill.Firing) int { return a.From.Compare(b.From) })
	var merged []drill.Firing
	for _, f := range all {
		last := len(merged) - 1
		switch {
		case last < 0 || merged[last].To != nil && merged[last].To.Before(f.From):
			merged = append(merged, f)
		case merged[last].To != nil && (f.To == nil || f.To.After(*merged[last].To)):
			merged[last].To = f.To
		}
	}
	return merged
}
