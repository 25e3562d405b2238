package status

import (
	"cmp"
	"fmt"
	"html/template"
	"slices"
	"strings"
	"time"
)

// A view is what the page's template shows.
type view struct {
	Title, Site, Logo, Root string
	Policy                  string
	CSS                     template.CSS
	JS                      template.JS
	At                      time.Time
	Changes                 int
	Seen                    bool
	Hero                    hero
	Open, Planned, Past     []eventView
	Components              []componentView
	More                    string
	Newest                  string // month
	Links                   []Link

	Month, Data  string // of a month's page
	Older, Newer *linkView
}

type hero struct{ Class, Title, Text string }

type linkView struct{ Name, File string }

type eventView struct {
	ID, Title, Class, Phase, About, Live string
	From, Until                          time.Time // Until is zero while it goes on
	Lasted                               string
	Now                                  bool
	Updates                              []updateView
	More                                 *linkView
}

type updateView struct {
	Phase string
	At    time.Time
	Text  template.HTML
}

// phaseWords are phases as customers read them.
var phaseWords = map[Phase]string{
	Investigating: "Investigating", Identified: "Identified", Monitoring: "Monitoring", Resolved: "Resolved",
	Scheduled: "Scheduled", InProgress: "In progress", Completed: "Completed",
}

// classes are the colors of states and impacts.
var (
	classes = map[State]string{
		Operational: "ok", Degraded: "warn", Outage: "bad", UnderMaintenance: "work", NotKnown: "gap",
	}
	impactClasses = map[Impact]string{NoImpact: "ok", Minor: "warn", Major: "bad", Critical: "bad"}
)

// A drawer makes the parts of one page.
type drawer struct {
	*Site
	*Document
	root string // the way to the site's top, "" or "../"
	detail
}

func newView(w *drawer) view {
	s, d := w.Site, w.Document
	v := view{
		Site: s.title(), Root: w.root, Policy: policy, CSS: template.CSS(pageCSS), JS: template.JS(pageJS), // our own files
		At: d.ObservedAt, Changes: d.Changes, Seen: !d.ObservedAt.IsZero(), Links: s.Links,
	}
	if file, _, err := s.picture(); err == nil {
		v.Logo = w.root + file
	}
	return v
}

// nowView is the page of the present.
func nowView(s *Site, d *Document, l detail) view {
	w := &drawer{s, d, "", l}
	v := newView(w)
	v.Hero = d.hero(s)
	v.Title = v.Hero.Title + ": " + v.Site
	v.Components = w.rows()
	if len(d.Months) > 0 {
		v.Newest = d.Months[0]
	}
	left := 0
	for i := range d.Incidents {
		x := &d.Incidents[i]
		switch {
		case x.Open() && len(v.Open) < l.now:
			v.Open = append(v.Open, w.incident(x))
		case !x.Open() && len(v.Past) < l.past:
			v.Past = append(v.Past, w.incident(x))
		default:
			left++
		}
	}
	for i := range d.Maintenances {
		m := &d.Maintenances[i]
		switch {
		case m.Active() && len(v.Open) < l.now+l.now:
			v.Open = append(v.Open, w.maintenance(m))
		case m.Phase == Scheduled && len(v.Planned) < l.now:
			v.Planned = slices.Insert(v.Planned, 0, w.maintenance(m)) // the next one first
		case m.Phase == Completed && len(v.Past) < l.past:
			v.Past = append(v.Past, w.maintenance(m))
		default:
			left++
		}
	}
	newestFirst(v.Past)
	if left > 0 {
		v.More = "And " + moreEvents(left) + ": see the history and the feed."
	}
	return v
}

// newestFirst orders incidents and maintenance among each other.
func newestFirst(all []eventView) {
	slices.SortStableFunc(all, func(a, b eventView) int { return b.From.Compare(a.From) })
}

// Headline is the page's answer in one line, and what it means for events; the text may be empty.
func (d *Document) Headline(s Site) (title, text string) {
	h := d.hero(&s)
	return h.Title, h.Text
}

// Describe is how the page calls a component, in its region if there are several, and what it says
// of it.
func (d *Document) Describe(s Site, c Component) (name, state, says string) {
	n := s.named(&c)
	name = n.Name
	if len(d.regions()) > 1 {
		name += " in " + s.region(c.Region)
	}
	return name, stateWords(&c), d.says(&c, n.Description)
}

// hero is the page's answer in one line.
func (d *Document) hero(s *Site) hero {
	if d.ObservedAt.IsZero() {
		return hero{"gap", "Not known yet", ""}
	}
	worst := map[Part]State{}
	for i := range d.Components {
		c := &d.Components[i]
		if badness(c.State) > badness(worst[c.Part]) {
			worst[c.Part] = c.State
		}
	}
	open := slices.DeleteFunc(slices.Clone(d.Incidents), func(i Incident) bool { return !i.Open() })
	slices.SortStableFunc(open, func(a, b Incident) int {
		return cmp.Compare(slices.Index(impacts, b.Impact), slices.Index(impacts, a.Impact))
	})
	switch ingest, delivery := worst[Ingest], worst[Delivery]; {
	case ingest == Outage:
		return hero{"bad", "Events are not accepted" + d.where(s, Ingest, Outage), retryText}
	case delivery == Outage:
		return hero{"bad", "Events are not delivered" + d.where(s, Delivery, Outage), d.safe() + waited(d.oldest(Outage))}
	case ingest == Degraded:
		return hero{"warn", "Some events are refused" + d.where(s, Ingest, Degraded), retryText}
	case delivery == Degraded:
		return hero{"warn", "Delivery is delayed" + d.where(s, Delivery, Degraded),
			deliveryDelayed(d.accepted(), d.oldest(Degraded))}
	case len(open) > 0 && open[0].Impact != NoImpact:
		return d.incidentHero(&open[0])
	case ingest == NotKnown && delivery == NotKnown, ingest == NotKnown && delivery == "",
		ingest == "" && delivery == NotKnown:
		return hero{"gap", "The state is not known", "Nobody could measure the service. It may work, or not."}
	case delivery == NotKnown:
		return hero{"gap", "The state of delivery is not known",
			"Events are accepted. Nobody could measure if they are delivered."}
	case ingest == NotKnown:
		return hero{"gap", "The state of ingest is not known",
			"Events are delivered. Nobody could measure if new ones are accepted."}
	case ingest == UnderMaintenance || delivery == UnderMaintenance:
		return hero{"work", "Maintenance is in progress", ""}
	case len(d.Components) == 0:
		return hero{"gap", "Not known yet", ""}
	}
	return hero{"ok", "All systems operational", "Events are accepted and delivered."}
}

// incidentHero tells of an open incident while no component is bad.
func (d *Document) incidentHero(i *Incident) hero {
	usual := !slices.ContainsFunc(d.Components, func(c Component) bool { return c.State != Operational })
	switch {
	case usual && i.Part == Ingest && !i.KeepOpen:
		return hero{"ok", "Events are accepted again", closesText}
	case usual && i.Part == Delivery && !i.KeepOpen:
		return hero{"ok", "Events are delivered as usual again", closesText}
	case usual:
		return hero{impactClasses[i.Impact], i.Title, "Our measurements show nothing unusual at present."}
	}
	return hero{impactClasses[i.Impact], i.Title, ""}
}

var closesText = "The incident below closes when this has lasted for " + ageInWords(CloseAfter) + "."

// oldest is the age of the oldest undelivered event of all regions in this state, nil if none is known.
func (d *Document) oldest(state State) (oldest *int64) {
	for i := range d.Components {
		c := &d.Components[i]
		if c.State == state && c.OldestSeconds != nil && (oldest == nil || *c.OldestSeconds > *oldest) {
			oldest = c.OldestSeconds
		}
	}
	return oldest
}

// where names the regions of a state, if it is not that of all.
func (d *Document) where(s *Site, p Part, state State) string {
	var names []string
	all := 0
	for i := range d.Components {
		if c := &d.Components[i]; c.Part == p {
			all++
			if c.State == state {
				names = append(names, s.region(c.Region))
			}
		}
	}
	if len(names) == all || len(names) > 3 {
		return ""
	}
	return " in " + and(names)
}

func and(names []string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
}

// badness orders states for the worst of several.
func badness(s State) int {
	return slices.Index([]State{Operational, UnderMaintenance, NotKnown, Degraded, Outage}, s)
}

func (w *drawer) incident(i *Incident) eventView {
	d := w.Document
	e := eventView{
		ID: anchor(i.ID), Title: i.Title, Phase: phaseWords[i.Phase], Now: i.Open(), Class: impactClasses[i.Impact],
		About: w.about(i.Components), From: i.StartedAt, Until: i.EndedAt,
	}
	if i.Open() {
		if up, since := d.recovered(i); up && !since.IsZero() && !since.Before(i.StartedAt) {
			e.Live, e.Class = "As usual again since "+moment(since, d.now())+".", "ok"
		}
	} else {
		e.Class, e.Lasted = "ok", ageInWords(i.EndedAt.Sub(i.StartedAt))
	}
	w.updates(&e, i.StartedAt, i.Updates, i.Cut)
	return e
}

func (w *drawer) maintenance(m *Maintenance) eventView {
	e := eventView{
		ID: anchor(m.ID), Title: m.Title, Phase: phaseWords[m.Phase], Now: m.Active(), Class: "work",
		About: w.about(m.Components), From: m.From, Until: m.Until,
	}
	if m.Canceled {
		e.Phase = "Canceled"
	}
	w.updates(&e, m.From, m.Updates, m.Cut)
	return e
}

// updates shows the newest updates first.
func (w *drawer) updates(e *eventView, began time.Time, all []Update, cut int) {
	shown := all[max(len(all)-w.detail.updates, 0):]
	for _, u := range slices.Backward(shown) {
		e.Updates = append(e.Updates, updateView{phaseWords[u.Phase], u.At, paragraphs(u.Text, w.runes)})
	}
	if left := len(all) - len(shown) + cut; left > 0 {
		month := began.UTC().Format(monthForm)
		e.More = &linkView{"and " + plural(left, "more update") + ", in the file of the month", w.root + MonthFile(month)}
	}
}

// about names what an incident or maintenance is about.
func (w *drawer) about(ids []string) string {
	s, d := w.Site, w.Document
	if len(ids) == 0 {
		return "All components"
	}
	many := len(d.regions()) > 1
	var names []string
	for _, id := range ids {
		c := d.Component(id)
		if c == nil { // a region that is gone
			part, region, _ := strings.Cut(id, "-")
			c = &Component{ID: id, Part: Part(part), Region: region}
		}
		name := s.named(c).Name
		if many {
			name += " in " + s.region(c.Region)
		}
		names = append(names, name)
	}
	if len(names) > 4 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:3], ", "), len(names)-3)
	}
	return and(names)
}

// moment is a time beside which today need not be said.
func moment(t, now time.Time) string {
	if midnight(t).Equal(midnight(now)) {
		return t.UTC().Format("15:04 UTC")
	}
	return t.UTC().Format("2 January, 15:04 UTC")
}

// span is a time from and until, with the date only as often as it is needed.
func span(from, until time.Time) string {
	from, until = from.UTC(), until.UTC()
	last := "2 January, 15:04 UTC"
	if midnight(from).Equal(midnight(until)) {
		last = "15:04 UTC"
	}
	return from.Format("2 January, 15:04") + " – " + until.Format(last)
}

func moreEvents(n int) string {
	if n == 1 {
		return "1 more"
	}
	return fmt.Sprintf("%d more", n)
}
