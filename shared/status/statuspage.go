package status

import (
	"bytes"
	"cmp"
	"encoding/json"
	"slices"
	"time"
)

// The types of this file are Atlassian Statuspage's API v2, which every Statuspage serves at
// /api/v2/ and status clients know: https://metastatuspage.com/api has its fields. Its times have
// milliseconds; what there is none of is null.
type (
	spPage struct {
		ID        string `json:"id"`
		Name      string `json:"name"`
		URL       string `json:"url"`
		TimeZone  string `json:"time_zone"`
		UpdatedAt spTime `json:"updated_at"`
	}
	spStatus struct {
		Indicator   string `json:"indicator"` // none, minor, major, critical, maintenance
		Description string `json:"description"`
	}
	spComponent struct {
		ID                 string   `json:"id"`
		Name               string   `json:"name"`
		Status             string   `json:"status"`
		CreatedAt          spTime   `json:"created_at"`
		UpdatedAt          spTime   `json:"updated_at"`
		Position           int      `json:"position"`
		Description        *string  `json:"description"`
		Showcase           bool     `json:"showcase"`
		StartDate          *string  `json:"start_date"`
		GroupID            *string  `json:"group_id"`
		PageID             string   `json:"page_id"`
		Group              bool     `json:"group"`
		OnlyShowIfDegraded bool     `json:"only_show_if_degraded"`
		Components         []string `json:"components,omitempty"` // of a group
	}
	spIncident struct {
		ID             string        `json:"id"`
		Name           string        `json:"name"`
		Status         string        `json:"status"`
		CreatedAt      spTime        `json:"created_at"`
		UpdatedAt      spTime        `json:"updated_at"`
		MonitoringAt   spTime        `json:"monitoring_at"`
		ResolvedAt     spTime        `json:"resolved_at"`
		Impact         string        `json:"impact"`
		Shortlink      string        `json:"shortlink"`
		StartedAt      spTime        `json:"started_at"`
		ScheduledFor   spTime        `json:"scheduled_for,omitzero"`
		ScheduledUntil spTime        `json:"scheduled_until,omitzero"`
		PageID         string        `json:"page_id"`
		Updates        []spUpdate    `json:"incident_updates"` // newest first
		Components     []spComponent `json:"components"`
	}
	spUpdate struct {
		ID                   string `json:"id"`
		Status               string `json:"status"`
		Body                 string `json:"body"`
		IncidentID           string `json:"incident_id"`
		CreatedAt            spTime `json:"created_at"`
		UpdatedAt            spTime `json:"updated_at"`
		DisplayAt            spTime `json:"display_at"`
		AffectedComponents   []any  `json:"affected_components"` // null: not told
		DeliverNotifications bool   `json:"deliver_notifications"`
	}
)

// An spTime is null if it is zero.
type spTime time.Time

func (t spTime) IsZero() bool { return time.Time(t).IsZero() }

func (t spTime) MarshalJSON() ([]byte, error) {
	if t.IsZero() {
		return []byte("null"), nil
	}
	return time.Time(t).UTC().AppendFormat(nil, `"2006-01-02T15:04:05.000Z"`), nil
}

// maxListed is how many incidents Statuspage's lists have.
const maxListed = 50

// statuspage writes the files of the API.
func statuspage(s *Site, d *Document) map[string][]byte {
	p := spWriter{s, d, spPage{
		ID: short12("page", s.URL), Name: s.title(), URL: s.URL, TimeZone: "Etc/UTC", UpdatedAt: spTime(d.ChangedAt),
	}}
	components := p.components()
	incidents := p.incidents(func(*Incident) bool { return true })
	unresolved := p.incidents((*Incident).Open)
	upcoming := p.maintenances(Scheduled)
	active := p.maintenances(InProgress)
	state := spStatus{d.indicator(), ""}
	state.Description = descriptions[state.Indicator]
	files := map[string]map[string]any{
		"summary": {
			"components": components, "incidents": unresolved, "scheduled_maintenances": append(slices.Clip(active),
				upcoming...), "status": state,
		},
		"status":                          {"status": state},
		"components":                      {"components": components},
		"incidents":                       {"incidents": incidents},
		"incidents/unresolved":            {"incidents": unresolved},
		"scheduled-maintenances":          {"scheduled_maintenances": p.maintenances(Scheduled, InProgress, Completed)},
		"scheduled-maintenances/upcoming": {"scheduled_maintenances": upcoming},
		"scheduled-maintenances/active":   {"scheduled_maintenances": active},
	}
	written := map[string][]byte{}
	for name, fields := range files {
		fields["page"] = p.page
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		if err := e.Encode(fields); err != nil {
			panic("status: write " + name + ": " + err.Error()) // it has no value that JSON does not know
		}
		written["api/v2/"+name+".json"] = b.Bytes()
	}
	return written
}

// descriptions are the sentences that Statuspage has for its indicators.
var descriptions = map[string]string{
	"none": "All Systems Operational", "minor": "Partially Degraded Service", "major": "Partial System Outage",
	"critical": "Major System Outage", "maintenance": "Service Under Maintenance",
}

// indicator is the page's state as Statuspage names it: the worse of its components and of the
// incidents of operators that are open and not yet mended. Of an automatic one the components tell
// more.
func (d *Document) indicator() string {
	outages := count(d.Components, func(c Component) bool { return c.State == Outage })
	lesser := count(d.Components, func(c Component) bool { return c.State == Degraded || c.State == NotKnown })
	level := 0
	switch {
	case outages > 0 && outages == len(d.Components):
		level = 3
	case outages > 0:
		level = 2
	case lesser > 0 || len(d.Components) == 0:
		level = 1
	}
	for i := range d.Incidents {
		if x := &d.Incidents[i]; x.Open() && x.Phase != Monitoring && (x.Part == "" || x.ImpactGiven) {
			level = max(level, slices.Index(impacts, x.Impact))
		}
	}
	if level == 0 && slices.ContainsFunc(d.Maintenances, func(m Maintenance) bool { return m.Active() }) {
		return "maintenance"
	}
	return string(impacts[level])
}

// An spWriter makes the parts of the API's answers.
type spWriter struct {
	site *Site
	doc  *Document
	page spPage
}

// spStates are the states as Statuspage names them. It has none for what nobody knows; that is not
// green.
var spStates = map[State]string{
	Operational: "operational", Degraded: "degraded_performance", NotKnown: "degraded_performance", Outage: "major_outage",
	UnderMaintenance: "under_maintenance",
}

// components are those of one region, or a group of each region with its components.
func (p *spWriter) components() []spComponent {
	all := []spComponent{}
	regions := p.doc.regions()
	for _, region := range regions {
		group := len(all)
		if len(regions) > 1 {
			all = append(all, spComponent{
				ID: "region-" + region, Name: p.site.region(region), Status: "operational", PageID: p.page.ID, Group: true,
				Position: len(all) + 1,
			})
		}
		for i := range p.doc.Components {
			c := &p.doc.Components[i]
			if c.Region != region {
				continue
			}
			one := p.component(c)
			one.Position = len(all) + 1
			if len(regions) > 1 {
				all[group].join(&one)
			}
			all = append(all, one)
		}
	}
	return all
}

// join adds a component to a group, whose state is the worst of its components'; an outage of some
// is a partial one.
func (g *spComponent) join(c *spComponent) {
	g.Components = append(g.Components, c.ID)
	c.GroupID = &g.ID
	order := []string{"operational", "under_maintenance", "degraded_performance", "partial_outage", "major_outage"}
	state := c.Status
	if first := len(g.Components) == 1; !first && (state == "major_outage") != (g.Status == "major_outage") {
		state = "partial_outage"
		if g.Status == "major_outage" {
			g.Status = state
		}
	}
	if slices.Index(order, state) > slices.Index(order, g.Status) {
		g.Status = state
	}
	if g.CreatedAt.IsZero() || time.Time(c.CreatedAt).Before(time.Time(g.CreatedAt)) {
		g.CreatedAt = c.CreatedAt
	}
	if time.Time(c.UpdatedAt).After(time.Time(g.UpdatedAt)) {
		g.UpdatedAt = c.UpdatedAt
	}
}

func (p *spWriter) component(c *Component) spComponent {
	n := p.site.named(c)
	return spComponent{
		ID: c.ID, Name: n.Name, Status: spStates[c.State], CreatedAt: spTime(c.CreatedAt), UpdatedAt: spTime(c.Since),
		Description: &n.Description, Showcase: true, PageID: p.page.ID,
	}
}

func (p *spWriter) incidents(which func(*Incident) bool) []spIncident {
	all := []spIncident{}
	for k := range p.doc.Incidents {
		i := &p.doc.Incidents[k]
		if !which(i) || len(all) == maxListed {
			continue
		}
		all = append(all, spIncident{
			ID: i.ID, Name: i.Title, Status: string(i.Phase), CreatedAt: spTime(i.created()), UpdatedAt: spTime(i.UpdatedAt),
			MonitoringAt: spTime(i.MonitoringAt), ResolvedAt: spTime(i.ResolvedAt), Impact: string(i.Impact),
			Shortlink: p.site.link(i.ID, i.StartedAt), StartedAt: spTime(i.StartedAt), PageID: p.page.ID,
			Updates: spUpdates(i.ID, i.Updates), Components: p.named(i.Components),
		})
	}
	return all
}

func (p *spWriter) maintenances(phases ...Progress) []spIncident {
	all := []spIncident{}
	for k := range p.doc.Maintenances {
		m := &p.doc.Maintenances[k]
		if !slices.Contains(phases, m.Phase) || len(all) == maxListed {
			continue
		}
		x := spIncident{
			ID: m.ID, Name: m.Title, Status: string(m.Phase), CreatedAt: spTime(m.CreatedAt), UpdatedAt: spTime(m.UpdatedAt),
			Impact: "maintenance", Shortlink: p.site.maintenanceLink(m), StartedAt: spTime(m.From), ScheduledFor: spTime(m.From),
			ScheduledUntil: spTime(m.Until), PageID: p.page.ID, Updates: spUpdates(m.ID, m.Updates),
			Components: p.named(m.Components),
		}
		if m.Phase == Completed {
			x.ResolvedAt = x.UpdatedAt
		}
		all = append(all, x)
	}
	return all
}

// named are the components with these IDs; none: all.
func (p *spWriter) named(ids []string) []spComponent {
	all := []spComponent{}
	for _, c := range p.components() {
		if !c.Group && (len(ids) == 0 || slices.Contains(ids, c.ID)) {
			all = append(all, c)
		}
	}
	return all
}

func spUpdates(incident string, updates []Update) []spUpdate {
	all := []spUpdate{}
	for _, u := range slices.Backward(updates) {
		all = append(all, spUpdate{
			ID: u.ID, Status: string(u.Phase), Body: u.Text, IncidentID: incident, CreatedAt: spTime(u.At),
			UpdatedAt: spTime(u.At), DisplayAt: spTime(u.At),
		})
	}
	return all
}

// created is when the incident was opened, which is after it has started.
func (i *Incident) created() time.Time {
	if len(i.Updates) == 0 {
		return i.StartedAt
	}
	return i.Updates[0].At
}

// regions are the names of the regions, in their order.
func (d *Document) regions() (all []string) {
	for _, c := range d.Components {
		if !slices.Contains(all, c.Region) {
			all = append(all, c.Region)
		}
	}
	return all
}

// link is where an incident or maintenance is read, for ever: the page of the month in which it
// began.
func (s *Site) link(id string, began time.Time) string {
	return s.base() + "history/" + began.UTC().Format(monthForm) + ".html#" + anchor(id)
}

// maintenanceLink is where maintenance is read: the page of the present until it has begun.
func (s *Site) maintenanceLink(m *Maintenance) string {
	switch {
	case m.Canceled:
		return s.link(m.ID, m.UpdatedAt)
	case m.Phase == Scheduled:
		return s.base() + "index.html#" + anchor(m.ID)
	}
	return s.link(m.ID, m.From)
}

// base is the site's address with a slash at its end; "" if it is not known, so that links are
// relative to it.
func (s *Site) base() string {
	if s.URL == "" || s.URL[len(s.URL)-1] == '/' {
		return s.URL
	}
	return s.URL + "/"
}

func anchor(id string) string { return "i" + cmp.Or(id, "0") }
