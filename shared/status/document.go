package status

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Version is that of documents and months which this package writes. It reads this one and older
// ones.
const Version = 1

// A Document is all that the site knows. Its times are in UTC, of whole seconds. Make one with New
// or Parse.
type Document struct {
	Version int `json:"version"`
	// ObservedAt is when somebody last looked at a pipeline: the page is stale when this is.
	ObservedAt time.Time `json:"observedAt,omitzero"`
	// WrittenAt is when the document was last written, by a writer or an operator.
	WrittenAt time.Time `json:"writtenAt,omitzero"`
	// Changes counts what a reader would call a change: a component's state, an incident,
	// maintenance. ChangedAt is when the last one was.
	Changes   int       `json:"changes"`
	ChangedAt time.Time `json:"changedAt,omitzero"`

	Components   []Component   `json:"components"`   // by region, ingest before delivery
	Incidents    []Incident    `json:"incidents"`    // newest first
	Maintenances []Maintenance `json:"maintenances"` // the last to begin first
	Writers      []Writer      `json:"writers"`      // who looks at the pipelines, by name
	Months       []string      `json:"months"`       // that have a file, like 2026-11, newest first

	// Pending are the months whose files lack what the document has. Nothing is trimmed while there
	// are any.
	Pending []string `json:"pending,omitempty"`
	// Lost counts what was cut from the document although the month's file could not be written.
	Lost int `json:"lost,omitempty"`
}

// A State is what a customer meets when he uses a component.
type State string

// States of components.
const (
	Operational      State = "operational"
	Degraded         State = "degraded"    // it works, late or in part
	Outage           State = "outage"      // it does not work
	UnderMaintenance State = "maintenance" // announced
	NotKnown         State = "unknown"     // nobody can see it: neither good nor bad
)

// A Component is one part of the pipeline in one region.
type Component struct {
	ID     string `json:"id"` // PART-REGION
	Part   Part   `json:"part"`
	Region string `json:"region"`

	Seen  Sight     `json:"seen"`  // by the writers
	State State     `json:"state"` // that the page shows: Seen, but for maintenance
	Since time.Time `json:"since"` // that it is in this state

	// OldestSeconds is the age of the oldest undelivered event; 0: none waits; absent: not known,
	// or not delivery.
	OldestSeconds *int64 `json:"oldestSeconds,omitempty"`
	// CanarySeconds is the time since the last test event was delivered; absent: not known.
	CanarySeconds *int64 `json:"canarySeconds,omitempty"`

	CreatedAt time.Time `json:"createdAt"`
	// BadSince is the beginning of an unbroken time of Slow or Down outside of maintenance, UpSince
	// that of an unbroken time of Up: the hysteresis of automatic incidents counts from them.
	BadSince time.Time `json:"badSince,omitzero"`
	UpSince  time.Time `json:"upSince,omitzero"`
	// Muted is set when an operator resolves an incident while the component is bad: until it has
	// recovered there is no automatic incident.
	Muted   bool      `json:"muted,omitempty"`
	NamedAt time.Time `json:"namedAt"` // when a writer last named its region

	Days []Day `json:"days"` // of the last 90 days those with any observation, oldest first
}

// A Writer is what one writer saw when it last looked.
type Writer struct {
	Name    string    `json:"name"`
	At      time.Time `json:"at"`
	Regions []Seen    `json:"regions"`
}

// Seen is what a writer saw of a region.
type Seen struct {
	Region        string `json:"region"`
	Ingest        Sight  `json:"ingest,omitempty"`
	Delivery      Sight  `json:"delivery,omitempty"`
	OldestSeconds *int64 `json:"oldestSeconds,omitempty"`
	CanarySeconds *int64 `json:"canarySeconds,omitempty"`
}

// New returns the document of a site that has seen nothing yet.
func New() Document { return Document{Version: Version} }

// Errors of Parse.
var (
	// ErrBroken says that a file is empty or is no document. What it held can't be told from it.
	ErrBroken = errors.New("the status document is broken")
	// ErrNewer says that a newer version of Spillway wrote the file. This one must not write it.
	ErrNewer = errors.New("a newer version of Spillway wrote the status document: update this one")
)

// maxDocument is the size in bytes up to which a document or month is read: much more than Trim
// leaves, little enough for a function.
const maxDocument = 16 << 20

// Parse reads a document, as Encode writes it. The error is ErrBroken or ErrNewer.
func Parse(data []byte) (Document, error) {
	var d Document
	if err := decode(data, &d, &d.Version); err != nil {
		return New(), err
	}
	d.Components = slices.DeleteFunc(d.Components,
		func(c Component) bool { return c.ID == "" || c.ID != id(c.Part, c.Region) })
	for i := range d.Components {
		c := &d.Components[i]
		c.Days = slices.DeleteFunc(c.Days, func(d Day) bool { return !d.valid() })
		slices.SortFunc(c.Days, func(a, b Day) int { return compare(a.Date, b.Date) })
	}
	// They are names of files: another one could lead out of the site's folder.
	d.Months, d.Pending = slices.DeleteFunc(d.Months, isNoMonth), slices.DeleteFunc(d.Pending, isNoMonth)
	if err := checkUpdates(d.Incidents, d.Maintenances); err != nil {
		return New(), err
	}
	return d, nil
}

// lastYear is the last one that an update may be of. Each is after the one before, and JSON has no
// times after the year 9999.
const lastYear = 9000

func checkUpdates(incidents []Incident, maintenances []Maintenance) error {
	check := func(id string, last time.Time, all []Update) error {
		for i := range all {
			last = later(last, all[i].At)
		}
		if last.Year() > lastYear {
			return fmt.Errorf("%w: %s has an update of the year %d", ErrBroken, id, last.Year())
		}
		return nil
	}
	var err error
	for i := range incidents {
		err = cmp.Or(err, check(incidents[i].ID, incidents[i].UpdatedAt, incidents[i].Updates))
	}
	for i := range maintenances {
		err = cmp.Or(err, check(maintenances[i].ID, maintenances[i].UpdatedAt, maintenances[i].Updates))
	}
	return err
}

func decode(data []byte, to any, version *int) error {
	if len(data) > maxDocument {
		return fmt.Errorf("%w: it has %d MB", ErrBroken, len(data)>>20)
	}
	var head struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return fmt.Errorf("%w: %w", ErrBroken, err)
	}
	if head.Version > Version {
		return fmt.Errorf("%w (it has version %d, this one writes %d)", ErrNewer, head.Version, Version)
	}
	if err := json.Unmarshal(data, to); err != nil {
		return fmt.Errorf("%w: %w", ErrBroken, err)
	}
	if head.Version < 1 {
		return fmt.Errorf("%w: it has no version", ErrBroken)
	}
	*version = Version
	return nil
}

// Encode writes a document as JSON.
func (d *Document) Encode() []byte { return encode(d) }

func encode(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("status: encode %T: %v", v, err)) // it has no value that JSON does not know
	}
	return append(data, '\n')
}

// clone returns a copy of which no part that this package changes is shared.
func (d *Document) clone() Document {
	c := *d
	c.Components, c.Incidents = slices.Clone(d.Components), slices.Clone(d.Incidents)
	c.Maintenances, c.Writers = slices.Clone(d.Maintenances), slices.Clone(d.Writers)
	c.Months, c.Pending = slices.Clone(d.Months), slices.Clone(d.Pending)
	for i := range c.Components {
		c.Components[i].Days = slices.Clone(c.Components[i].Days)
	}
	for i := range c.Incidents {
		x := &c.Incidents[i]
		x.Components, x.Updates = slices.Clone(x.Components), slices.Clone(x.Updates)
	}
	for i := range c.Maintenances {
		c.Maintenances[i].Updates = slices.Clone(c.Maintenances[i].Updates)
	}
	return c
}

// Component returns the component with that ID, nil if there is none.
func (d *Document) Component(id string) *Component {
	i := slices.IndexFunc(d.Components, func(c Component) bool { return c.ID == id })
	if i < 0 {
		return nil
	}
	return &d.Components[i]
}

// change notes that readers see something new, which belongs into the files of all months since
// then.
func (d *Document) change(since, at time.Time) {
	d.Changes++
	if at.After(d.ChangedAt) {
		d.ChangedAt = at
	}
	d.pend(since, at)
}

func id(p Part, region string) string { return string(p) + "-" + region }

// second is a time as documents have it.
func second(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }
