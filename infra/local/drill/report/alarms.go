package report

import (
	"fmt"
	"slices"
	"time"

	"github.com/spillwayhq/spillway/infra/local/drill"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/chart"
)

// An alarmRow is a row of the table of alarms.
type alarmRow struct {
	Name, Class, Severity   string
	Firings                 []firingRow
	More                    int // firings that are not shown
	Promise, PromiseClass   string
	Meaning, First, Runbook string
}

// A firingRow is a line of an alarm: a firing, that there was none, or how many more there were.
type firingRow struct{ Fired, After, Cleared, Told, Reason string }

// shownFirings is how many firings of one alarm the table has: an alarm that fires more often
// flaps, which the timeline shows.
const shownFirings = 5

// alarmTable are the alarms that fired or should have, and the names of those that were silent.
func alarmTable(r *drill.Result, c chart.Clock) (rows []alarmRow, silent []string) {
	for _, a := range firedFirst(r.Alarms) {
		if len(a.Firings) == 0 && a.MustFireBy == nil {
			silent = append(silent, a.Name)
			continue
		}
		ar := alarmRow{Name: a.Name, Class: alarmClass(a), Severity: a.Severity, Meaning: capital(a.Meaning),
			First:   capital(a.First),
			Runbook: topology.DefaultRunbook + "#" + a.Section, Firings: firingRows(a.Severity, a.Firings, r.Marks, c)}
		if a.Composite {
			ar.Severity += ", composite"
		}
		ar.Promise, ar.PromiseClass = promise(a, c)
		rows = append(rows, ar)
	}
	return rows, silent
}

// firingRows are the lines of an alarm that fired at these times.
func firingRows(severity string, firings []drill.Firing, marks []drill.Mark, c chart.Clock) []firingRow {
	if len(firings) == 0 {
		return []firingRow{{Fired: "never", Cleared: "–", Told: "no"}}
	}
	var rows []firingRow
	for _, f := range firings[:min(len(firings), shownFirings)] {
		fr := firingRow{Fired: c.At(f.From), Cleared: "still fires", Told: "no", Reason: f.Reason}
		if m, any := lastFault(marks, f.From); any {
			fr.After = chart.Duration(f.From.Sub(m.From).Seconds()) + " after: " + m.Text
		}
		if f.To != nil {
			fr.Cleared = c.At(*f.To)
		}
		if f.Notified {
			fr.Told = how(severity)
		}
		rows = append(rows, fr)
	}
	if more := len(firings) - len(rows); more > 0 {
		rows = append(rows, firingRow{Fired: "and " + plural(int64(more), "more time", "more times")})
	}
	return rows
}

// how is how people are told: critical alarms notify the topic that pages, the others that of the
// tickets.
func how(severity string) string {
	if severity == string(topology.Critical) {
		return "page"
	}
	return "ticket"
}

// lastFault is the fault that had begun last of those that there were at that moment.
func lastFault(marks []drill.Mark, at time.Time) (last drill.Mark, any bool) {
	for _, m := range marks {
		if m.Kind == drill.Fault && !m.From.After(at) && (m.To == nil || m.To.After(at)) &&
			(!any || m.From.After(last.From)) {
			last, any = m, true
		}
	}
	return last, any
}

// promise is what was promised of the alarm, and whether it was held.
func promise(a drill.Alarm, c chart.Clock) (text, class string) {
	switch {
	case a.MustFireBy != nil && slices.ContainsFunc(a.Firings, func(f drill.Firing) bool { return inTime(a, f.From) }):
		return fmt.Sprintf("fires by %s: held", c.At(*a.MustFireBy)), "good"
	case a.MustFireBy != nil:
		return fmt.Sprintf("fires by %s: broken", c.At(*a.MustFireBy)), "bad"
	case a.MustBeSilent && len(a.Firings) > 0:
		return "stays silent: broken", "bad"
	}
	return "–", "muted"
}

// inTime reports whether a firing that begins at this moment keeps the alarm's promise.
func inTime(a drill.Alarm, at time.Time) bool {
	return !at.After(*a.MustFireBy) && (a.MustFireFrom == nil || !at.Before(*a.MustFireFrom))
}
