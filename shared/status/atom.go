package status

import (
	"bytes"
	"crypto/sha256"
	"encoding/xml"
	"slices"
	"time"

	"github.com/google/uuid"
)

type (
	atomFeed struct {
		XMLName xml.Name    `xml:"http://www.w3.org/2005/Atom feed"`
		ID      string      `xml:"id"`
		Title   string      `xml:"title"`
		Updated string      `xml:"updated"`
		Links   []atomLink  `xml:"link"`
		Author  string      `xml:"author>name"`
		Entries []atomEntry `xml:"entry"`
	}
	atomLink struct {
		Rel  string `xml:"rel,attr"`
		Type string `xml:"type,attr"`
		Href string `xml:"href,attr"`
	}
	atomEntry struct {
		ID        string     `xml:"id"`
		Title     string     `xml:"title"`
		Published string     `xml:"published"`
		Updated   string     `xml:"updated"`
		Links     []atomLink `xml:"link"`
		Content   struct {
			Type string `xml:"type,attr"`
			Text string `xml:",chardata"`
		} `xml:"content"`
		at time.Time
	}
)

// feed writes the Atom feed: an entry for each incident and maintenance, whose ID stays the same
// while it changes, and whose content has all its updates, newest first. A reader shows it again
// after each.
func feed(s *Site, d *Document) []byte {
	f := atomFeed{
		ID: urn(s, "feed"), Title: s.title() + ": incidents and maintenance", Updated: atomTime(later(d.ChangedAt, epoch)),
		Author: s.title(),
	}
	if s.URL != "" {
		f.Links = []atomLink{
			{"self", "application/atom+xml", s.base() + "feed.atom"}, {"alternate", "text/html", s.base()},
		}
	}
	for i := range d.Incidents {
		x := &d.Incidents[i]
		f.add(s.link(x.ID, x.StartedAt), urn(s, x.ID), x.Title, x.created(), x.UpdatedAt, x.Updates)
	}
	for i := range d.Maintenances {
		m := &d.Maintenances[i]
		title := m.Title + " (maintenance, " + span(m.From, m.Until) + ")"
		f.add(s.maintenanceLink(m), urn(s, m.ID), title, m.CreatedAt, m.UpdatedAt, m.Updates)
	}
	slices.SortFunc(f.Entries, func(a, b atomEntry) int { return b.at.Compare(a.at) })
	f.Entries = f.Entries[:min(len(f.Entries), maxListed)]
	var b bytes.Buffer
	b.WriteString(xml.Header)
	if err := xml.NewEncoder(&b).Encode(&f); err != nil {
		panic("status: write the feed: " + err.Error()) // it has only texts
	}
	b.WriteByte('\n')
	return b.Bytes()
}

// epoch is the time of a feed in which nothing has happened yet; Atom wants one.
var epoch = time.Unix(0, 0)

func (f *atomFeed) add(link, id, title string, published, updated time.Time, updates []Update) {
	e := atomEntry{ID: id, Title: title, Published: atomTime(published), Updated: atomTime(updated), at: updated}
	e.Links = []atomLink{{"alternate", "text/html", link}}
	e.Content.Type = "html"
	var b bytes.Buffer
	for _, u := range slices.Backward(updates) {
		b.WriteString("<p><strong>" + phaseWords[u.Phase] + "</strong> (" + stamp(u.At) + ")<br>" + string(linked(u.Text)) +
			"</p>\n")
	}
	e.Content.Text = b.String()
	f.Entries = append(f.Entries, e)
}

func atomTime(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// urn is an ID that stays when texts and the title change.
func urn(s *Site, id string) string {
	sum := sha256.Sum256([]byte("spillway status\x00" + s.URL + "\x00" + id))
	u, err := uuid.FromBytes(sum[:16])
	if err != nil {
		panic(err) // it has 16 bytes
	}
	u[6], u[8] = u[6]&0x0f|0x80, u[8]&0x3f|0x80 // version 8: made by a rule of ours
	return "urn:uuid:" + u.String()
}
