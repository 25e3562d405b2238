package status

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// A Message is what an operator writes about an incident. What is empty stays as it is.
type Message struct {
	Title      string // one line of at most 120 characters
	Text       string // at most 2,000 characters; http and https addresses become links
	Phase      Phase
	Impact     Impact
	Components []string // IDs, or "ingest" or "delivery" for that part in each region
	// KeepOpen says if only an operator resolves the incident; nil leaves it.
	KeepOpen *bool
}

// Work is what an operator announces as maintenance.
type Work struct {
	Title, Text string
	Components  []string // as of a Message; none: all
	From, Until time.Time
}

// Bounds of what operators write.
const (
	maxTitle   = 120
	maxText    = 2000
	maxOpen    = 20 // incidents that are open, and maintenances that are not completed
	maxPlanned = 366 * 24 * time.Hour
	maxWork    = 14 * 24 * time.Hour
)

// Post opens an incident that only an operator resolves. Title and text are needed.
func (d *Document) Post(m Message, now time.Time) (Incident, error) {
	now = second(now)
	if m.Title == "" || m.Text == "" {
		return Incident{}, fmt.Errorf("an incident needs a title and a text")
	}
	if m.Phase == Resolved {
		return Incident{}, fmt.Errorf("an incident begins as %s, %s or %s", Investigating, Identified, Monitoring)
	}
	if err := m.validate(); err != nil {
		return Incident{}, err
	}
	if n := count(d.Incidents, func(i Incident) bool { return i.Open() }); n >= maxOpen {
		return Incident{}, fmt.Errorf("%d incidents are open, which is the limit: resolve one first", n)
	}
	i := Incident{
		ID:    d.freeID(now.Format("20060102-1504-") + short12(m.Title)[:4]),
		Phase: Investigating, Impact: Minor, KeepOpen: true, StartedAt: now,
	}
	if err := d.apply(&i, m, now); err != nil {
		return Incident{}, err
	}
	d.Incidents = append(d.Incidents, i)
	d.sortIncidents()
	d.change(i.StartedAt, now)
	return i, nil
}

// Update adds a text to an incident, and changes what else the message gives.
func (d *Document) Update(id string, m Message, now time.Time) (Incident, error) {
	now = second(now)
	if m.Phase == Resolved {
		return d.Resolve(id, m, now)
	}
	if err := m.validate(); err != nil {
		return Incident{}, err
	}
	i, err := d.openIncident(id)
	if err != nil {
		return Incident{}, err
	}
	if m.Text == "" && m.Title == "" && m.Phase == "" && m.Impact == "" && m.KeepOpen == nil && len(m.Components) == 0 {
		return Incident{}, fmt.Errorf("an update needs a text, or something to change")
	}
	if err := d.apply(i, m, now); err != nil {
		return Incident{}, err
	}
	d.change(i.StartedAt, now)
	return *i, nil
}

// Resolve closes an incident; its text may be empty. While its components are bad they open no
// other one.
func (d *Document) Resolve(id string, m Message, now time.Time) (Incident, error) {
	now = second(now)
	if err := m.validate(); err != nil {
		return Incident{}, err
	}
	i, err := d.openIncident(id)
	if err != nil {
		return Incident{}, err
	}
	m.Phase, m.Text = Resolved, cmp.Or(m.Text, "This incident is resolved.")
	if err := d.apply(i, m, now); err != nil {
		return Incident{}, err
	}
	for k := range d.Components {
		if c := &d.Components[k]; i.covers(c.ID) && (c.Seen == Slow || c.Seen == Down) {
			c.Muted = true
		}
	}
	d.change(i.StartedAt, now)
	return *i, nil
}

// Schedule announces maintenance. It begins and ends by itself.
func (d *Document) Schedule(w Work, now time.Time) (Maintenance, error) {
	now = second(now)
	w.From, w.Until = second(w.From), second(w.Until)
	if err := (&Message{Title: w.Title, Text: w.Text}).validate(); err != nil {
		return Maintenance{}, err
	}
	switch lasts := w.Until.Sub(w.From); {
	case w.Title == "":
		return Maintenance{}, fmt.Errorf("maintenance needs a title")
	case lasts <= 0:
		return Maintenance{}, fmt.Errorf("maintenance must end after it begins: %s is not after %s", stamp(w.Until),
			stamp(w.From))
	case lasts > maxWork:
		return Maintenance{}, fmt.Errorf("maintenance must last at most %s, lasts %s", ageInWords(maxWork), ageInWords(lasts))
	case !w.Until.After(now):
		return Maintenance{}, fmt.Errorf("maintenance must end in the future: %s is past", stamp(w.Until))
	case w.From.After(now.Add(maxPlanned)):
		return Maintenance{}, fmt.Errorf("maintenance must begin within a year, begins at %s", stamp(w.From))
	}
	if n := count(d.Maintenances, func(m Maintenance) bool { return m.Phase != Completed }); n >= maxOpen {
		return Maintenance{}, fmt.Errorf("%d maintenances are announced, which is the limit: resolve one first", n)
	}
	ids, err := d.componentIDs(w.Components)
	if err != nil {
		return Maintenance{}, err
	}
	m := Maintenance{
		ID: d.freeID(w.From.Format("20060102-1504-") + short12(w.Title)[:4]), Title: w.Title, Phase: Scheduled,
		Components: ids,
		From:       w.From, Until: w.Until, CreatedAt: now,
	}
	m.add(now, Operator, cmp.Or(w.Text, "Maintenance is scheduled."))
	d.Maintenances = append(d.Maintenances, m)
	d.sortMaintenances()
	d.change(now, now)
	d.maintain(now) // it may begin at once
	return d.Maintenances[slices.IndexFunc(d.Maintenances, func(x Maintenance) bool { return x.ID == m.ID })], nil
}

// UpdateMaintenance adds a text to maintenance that is not completed.
func (d *Document) UpdateMaintenance(id, text string, now time.Time) (Maintenance, error) {
	return d.endOrUpdate(id, text, now, false)
}

// EndMaintenance completes maintenance now, or cancels it if it has not begun.
func (d *Document) EndMaintenance(id, text string, now time.Time) (Maintenance, error) {
	return d.endOrUpdate(id, text, now, true)
}

func (d *Document) endOrUpdate(id, text string, now time.Time, end bool) (Maintenance, error) {
	now = second(now)
	if err := (&Message{Text: text}).validate(); err != nil {
		return Maintenance{}, err
	}
	k := slices.IndexFunc(d.Maintenances, func(m Maintenance) bool { return m.ID == id })
	if k < 0 {
		return Maintenance{}, fmt.Errorf("unknown maintenance %q", id)
	}
	m := &d.Maintenances[k]
	switch {
	case m.Phase == Completed:
		return Maintenance{}, fmt.Errorf("maintenance %s is completed: schedule another one", id)
	case end && m.Phase == Scheduled && now.Before(m.From):
		m.Phase, m.Canceled = Completed, true
		text = cmp.Or(text, "This maintenance is canceled.")
	case end:
		m.Phase, m.Until = Completed, earlier(m.Until, now)
		text = cmp.Or(text, "The maintenance is completed.")
	case text == "":
		return Maintenance{}, fmt.Errorf("an update of maintenance needs a text")
	}
	m.add(now, Operator, text)
	d.change(earlier(m.From, now), now)
	return *m, nil
}

// apply writes a message into an incident, whose updates stay in order whatever the clocks say.
func (d *Document) apply(i *Incident, m Message, now time.Time) error {
	ids, err := d.componentIDs(m.Components)
	if err != nil {
		return err
	}
	now = later(now, i.UpdatedAt)
	if m.Title != "" {
		i.Title, i.TitleGiven = m.Title, true
	}
	if m.Impact != "" {
		i.Impact, i.ImpactGiven = m.Impact, true
	}
	if len(ids) > 0 {
		i.Components = ids
	}
	if m.KeepOpen != nil {
		i.KeepOpen = *m.KeepOpen
	}
	i.Phase = cmp.Or(m.Phase, i.Phase)
	switch i.Phase {
	case Monitoring:
		i.MonitoringAt = now
	case Resolved:
		i.resolve(now, now)
	}
	i.UpdatedAt = now
	if m.Text != "" {
		i.add(now, Operator, m.Text)
	}
	return nil
}

func (d *Document) openIncident(id string) (*Incident, error) {
	k := slices.IndexFunc(d.Incidents, func(i Incident) bool { return i.ID == id })
	if k < 0 {
		return nil, fmt.Errorf("unknown incident %q", id)
	}
	if !d.Incidents[k].Open() {
		return nil, fmt.Errorf("incident %s is resolved: post another one", id)
	}
	return &d.Incidents[k], nil
}

// componentIDs resolves what an operator calls components.
func (d *Document) componentIDs(names []string) (ids []string, err error) {
	for _, name := range names {
		known := false
		for _, c := range d.Components {
			if c.ID == name || string(c.Part) == name {
				ids, known = append(ids, c.ID), true
			}
		}
		if !known {
			all := []string{string(Ingest), string(Delivery)}
			for _, c := range d.Components {
				all = append(all, c.ID)
			}
			return nil, fmt.Errorf("unknown component %q (known: %s)", name, strings.Join(all, ", "))
		}
	}
	slices.SortFunc(ids, compareIDs)
	return slices.Compact(ids), nil
}

func (m *Message) validate() error {
	if strings.TrimSpace(m.Title) != m.Title || strings.TrimSpace(m.Text) != m.Text {
		return fmt.Errorf("title and text must not begin or end with white space")
	}
	if err := short("the title", m.Title, maxTitle); err != nil {
		return err
	}
	if n := utf8.RuneCountInString(m.Text); n > maxText {
		return fmt.Errorf("the text must have at most %d characters, has %d", maxText, n)
	}
	control := func(r rune) bool { return unicode.IsControl(r) && r != '\n' }
	if !utf8.ValidString(m.Text) || strings.ContainsFunc(m.Text, control) {
		return fmt.Errorf("the text must be text in UTF-8 without control characters but line breaks, is %.100q", m.Text)
	}
	phases := []Phase{Investigating, Identified, Monitoring, Resolved}
	if m.Phase != "" && !slices.Contains(phases, m.Phase) {
		return fmt.Errorf("unknown phase %q (known: %s, %s, %s, %s)", m.Phase, phases[0], phases[1], phases[2], phases[3])
	}
	if m.Impact != "" && !slices.Contains(impacts, m.Impact) {
		return fmt.Errorf("unknown impact %q (known: %s, %s, %s, %s)", m.Impact, impacts[0], impacts[1], impacts[2],
			impacts[3])
	}
	return nil
}

func count[T any](all []T, is func(T) bool) (n int) {
	for _, x := range all {
		if is(x) {
			n++
		}
	}
	return n
}

// stamp writes a moment for people.
func stamp(t time.Time) string { return t.UTC().Format("2 January 2006, 15:04 UTC") }
