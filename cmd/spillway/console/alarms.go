package console

import (
	"cmp"
	"context"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/chart"
)

// firingsSince is how far back the page knows when alarms fired: as far as the charts reach.
const firingsSince = 24 * time.Hour

// An alarmView is an alarm with what the topology says of it.
type alarmView struct {
	Alarm
	Meaning, First, Section string
	Watches                 string   // when it fires, in words
	Parts                   []string // of a composite
	PartOf                  string   // the composite that notifies for it
	Notifies                string   // the topic; empty: nobody
	Needs                   string   // how far it is on its way, in words; empty: it is not
	left                    int      // breaching values that it still needs then
}

// viewOf adds what the topology says of an alarm. One that it does not have says nothing.
func viewOf(t *topology.Topology, a Alarm) alarmView {
	a.Reason, a.SuppressedBy = shortTo(a.Reason, maxError), shortTo(a.SuppressedBy, maxError)
	v := alarmView{Alarm: a, Notifies: t.Notifies(a.Name)}
	if c, ok := t.Composite(a.Name); ok {
		v.Meaning, v.First, v.Section, v.Parts = capital(c.Meaning), capital(c.First), c.Section, c.Any
		v.Watches = "It fires while any of its parts fires."
		if c.Suppressor != "" {
			v.Watches += fmt.Sprintf(" It notifies nobody while %s fires.", c.Suppressor)
		}
		return v
	}
	if d, ok := t.Alarm(a.Name); ok {
		v.Meaning, v.First, v.Section, v.Watches = capital(d.Meaning), capital(d.First), d.Section, watches(d)
		v.Needs, v.left = needs(d, a), d.Breaching-a.Coming
	}
	if c, ok := t.CompositeOf(a.Name); ok {
		v.PartOf = c.Name
	}
	return v
}

// watches says when an alarm fires.
func watches(a topology.Alarm) string {
	side := "above"
	if a.Below {
		side = "below"
	}
	what := a.Expression
	if what == "" && len(a.Metrics) == 1 {
		what = a.Metrics[0].Name
	}
	unit := " " + a.Unit
	if a.Unit == "" {
		unit = ""
	}
	return fmt.Sprintf("It fires when %s is %s %s%s in %d of the last %d periods of %s.", what, side,
		chart.Amount(a.Threshold), unit, a.Breaching, a.Periods, chart.Duration(a.Period.Seconds()))
}

// needs says how far an alarm is on its way to fire: "1 of the 3 minutes that it needs".
func needs(d topology.Alarm, a Alarm) string {
	if a.Coming < 1 || a.State == StateAlarm {
		return ""
	}
	unit := "minutes"
	if d.Period != time.Minute {
		unit = "periods of " + chart.Duration(d.Period.Seconds())
	}
	if a.Coming >= d.Breaching {
		return "it fires within a minute"
	}
	return fmt.Sprintf("%d of the %d %s that it needs", a.Coming, d.Breaching, unit)
}

// rank orders alarms for people: those that fire and page come first, those that are on their way or
// have no data next, and those that are well last.
func rank(a Alarm) int {
	r := 0
	if a.State != StateAlarm {
		r += 8
	}
	if a.State == StateOK && a.Coming == 0 {
		r += 8
	}
	if a.Severity != topology.Critical {
		r += 2
	}
	if !a.Composite {
		r++
	}
	return r
}

// Fires reports whether the alarm fires.
func (a Alarm) Fires() bool { return a.State == StateAlarm }

// Says is the alarm's state, for people.
func (a Alarm) Says() string {
	switch a.State {
	case StateOK:
		return "OK"
	case StateAlarm:
		return "fires"
	case StateUnknown:
		return "no data yet"
	}
	return short(a.State)
}

// Class is the colour of the state.
func (a Alarm) Class() string {
	switch {
	case a.State == StateOK:
		return "good"
	case a.State != StateAlarm:
		return ""
	case a.Severity == topology.Critical:
		return "bad"
	}
	return "warn"
}

// An alarmsView is the list of alarms.
type alarmsView struct {
	Firing []alarmView
	Others []alarmView
	Coming []alarmView // those of Others that are on their way, the next one first
	Total  int
	Stale  string
	Known  bool
}

// maxComing is how many alarms on their way the overview names.
const maxComing = 5

// alarmList orders alarms for people.
func alarmList(t *topology.Topology, alarms seen[[]Alarm]) alarmsView {
	v := alarmsView{Stale: stale(alarms.Err, alarms.At), Known: alarms.Known(), Total: len(alarms.Value)}
	sorted := slices.SortedStableFunc(slices.Values(alarms.Value), func(a, b Alarm) int {
		return cmp.Or(rank(a)-rank(b), cmp.Compare(a.Name, b.Name))
	})
	for _, a := range sorted {
		if a.Fires() {
			v.Firing = append(v.Firing, viewOf(t, a))
		} else {
			one := viewOf(t, a)
			v.Others = append(v.Others, one)
			if one.Needs != "" {
				v.Coming = append(v.Coming, one)
			}
		}
	}
	slices.SortStableFunc(v.Coming, func(a, b alarmView) int { return a.left - b.left })
	v.Coming = v.Coming[:min(len(v.Coming), maxComing)]
	return v
}

// readAlarms reads the alarms of the topology; others are none of the page's.
func (c *Console) readAlarms(ctx context.Context) ([]Alarm, error) {
	all, err := c.source.Alarms(ctx, time.Now().Add(-firingsSince))
	return slices.DeleteFunc(all, func(a Alarm) bool {
		_, alarm := c.about.Topology.Alarm(a.Name)
		_, composite := c.about.Topology.Composite(a.Name)
		return !alarm && !composite
	}), err
}

// An alarmPage is the page of one alarm.
type alarmPage struct {
	alarmView
	Known   bool
	Stale   string
	Times   []firingRow // the latest first
	More    int
	Runbook template.HTML
	Parts   []alarmView
}

// A firingRow is one time in which an alarm fired.
type firingRow struct {
	From, To time.Time
	Took     string
}

// maxFirings is how many times the page of an alarm shows: one that fires more often flaps.
const maxFirings = 20

func (c *Console) alarmRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /alarms", func(w http.ResponseWriter, r *http.Request) {
		c.render(w, r, http.StatusOK, "alarms", "Alarms", alarmList(&c.about.Topology, c.alarms.get(r.Context())))
	})
	mux.HandleFunc("GET /alarms/{name}", func(w http.ResponseWriter, r *http.Request) {
		name := r.PathValue("name")
		page, ok := c.alarmPage(r.Context(), name)
		if !ok {
			c.fail(w, r, http.StatusNotFound, fmt.Errorf("the pipeline %s has no alarm %q", c.about.Pipeline, short(name)))
			return
		}
		c.render(w, r, http.StatusOK, "alarm", name, page)
	})
	mux.HandleFunc("GET /runbook", func(w http.ResponseWriter, r *http.Request) {
		c.render(w, r, http.StatusOK, "runbook", "Runbook", c.runbook)
	})
}

func (c *Console) alarmPage(ctx context.Context, name string) (alarmPage, bool) {
	t := &c.about.Topology
	read := c.alarms.get(ctx)
	all := map[string]Alarm{}
	for _, a := range read.Value {
		all[a.Name] = a
	}
	a, known := all[name]
	if !known {
		a = Alarm{Name: name}
	}
	p := alarmPage{alarmView: viewOf(t, a), Known: known, Stale: stale(read.Err, read.At)}
	if p.Section == "" && !known {
		return p, false
	}
	if !known {
		p.severityOf(t)
	}
	for _, part := range p.alarmView.Parts {
		one, ok := all[part]
		if !ok {
			one = Alarm{Name: part}
		}
		p.Parts = append(p.Parts, viewOf(t, one))
	}
	for i, f := range slices.Backward(a.Firings) {
		if len(p.Times) == maxFirings {
			p.More = i + 1
			break
		}
		row := firingRow{From: f.From, To: f.To}
		if !f.To.IsZero() {
			row.Took = chart.Duration(f.To.Sub(f.From).Seconds())
		}
		p.Times = append(p.Times, row)
	}
	p.Runbook = c.runbook.section(p.Section)
	return p, true
}

// severityOf is for an alarm whose state is not known.
func (p *alarmPage) severityOf(t *topology.Topology) {
	if c, ok := t.Composite(p.Name); ok {
		p.Severity, p.Composite = c.Severity, true
	} else if a, ok := t.Alarm(p.Name); ok {
		p.Severity = a.Severity
	}
}

// Short is the alarm's name without the pipeline's.
func (v alarmView) Short(pipeline string) string { return strings.TrimPrefix(v.Name, pipeline+"-") }
