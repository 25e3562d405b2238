package status_test

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"html"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/shared/status"
)

// posted is the page's HTML of an incident with this text.
func posted(t *testing.T, text string) (page string, update string, feed string) {
	t.Helper()
	d, now := play(status.New(), noon, step{2, status.Up, status.Up})
	must(d.Post(status.Message{Title: "Title", Text: text}, now))
	files := status.Render(status.Site{}, d, nil)
	page = string(files["index.html"])
	_, rest, _ := strings.Cut(page, "</time><p>")
	update, _, _ = strings.Cut(rest, "</p></li>")
	return page, update, string(files["feed.atom"])
}

func TestATextIsEscapedAndItsAddressesAreLinks(t *testing.T) {
	link := func(address, shown string) string {
		return `<a href="` + address + `" rel="nofollow noreferrer">` + shown + `</a>`
	}
	for _, c := range []struct{ text, want string }{
		{"plain", "plain"},
		{"<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"},
		{`<img src=x onerror="alert('1')">`, "&lt;img src=x onerror=&#34;alert(&#39;1&#39;)&#34;&gt;"},
		{"two\nlines", "two<br>lines"},
		{"two\n\nparagraphs", "two</p><p>paragraphs"},
		{"see https://status.segment.com.", "see " + link("https://status.segment.com", "https://status.segment.com") + "."},
		{"(http://a.example/b?c=d&e=f)",
			"(" + link("http://a.example/b?c=d&amp;e=f", "http://a.example/b?c=d&amp;e=f") + ")"},
		{`https://a.example/"onmouseover="x`, link("https://a.example/", "https://a.example/") + "&#34;onmouseover=&#34;x"},
		{"https://a.example/<b>", link("https://a.example/", "https://a.example/") + "&lt;b&gt;"},
		{"javascript:alert(1) data:text/html,x ftp://a.example", "javascript:alert(1) data:text/html,x ftp://a.example"},
		{"https:// and https", "https:// and https"},
		{"{{.}} ${x} &amp;", "{{.}} ${x} &amp;amp;"},
	} {
		page, got, feed := posted(t, c.text)
		if got != c.want {
			t.Errorf("%q is shown as\n%s, want\n%s", c.text, got, c.want)
		}
		if n := strings.Count(page, "<script"); n != 1 {
			t.Errorf("%q: the page has %d scripts", c.text, n)
		}
		if err := xml.Unmarshal([]byte(feed), new(any)); err != nil {
			t.Errorf("%q: the feed is no XML: %v", c.text, err)
		}
	}
}

func TestATitleIsEscapedEverywhere(t *testing.T) {
	const title = `</title><script>x</script>"'&`
	d, now := play(status.New(), noon, step{2, status.Up, status.Up})
	must(d.Post(status.Message{Title: title, Text: "x", Impact: status.Major}, now))
	must(d.Schedule(status.Work{Title: title, From: now, Until: now.Add(time.Hour)}, now))
	for name, data := range status.Render(status.Site{Title: title,
		Links: []status.Link{{Text: title, URL: "https://a.example/"}}}, d, nil) {
		if strings.HasSuffix(name, ".html") && strings.Contains(string(data), "<script>x") ||
			strings.HasSuffix(name, ".atom") &&
				strings.Contains(string(data), "<script>") {
			t.Errorf("%s has the title as markup", name)
		}
	}
}

// attribute matches one of a page's elements.
var attribute = regexp.MustCompile(` ([a-z-]+)="([^"]*)"`)

func TestPagesAskNobodyElseForAnythingAndTheirLinksLeadSomewhere(t *testing.T) {
	for _, s := range scenes() {
		s.months = nil
		for _, month := range []string{"2026-11", "2026-10", "2026-09"} {
			s.months = append(s.months, status.Archive(status.Month{Month: month}, s.doc))
		}
		files := status.Render(s.site, s.doc, s.months)
		for name, data := range files {
			if !strings.HasSuffix(name, ".html") {
				continue
			}
			base, err := url.Parse("https://status.test/" + name)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(data), "ZgotmplZ") {
				t.Errorf("%s: %s: the template has refused a value", s.name, name)
			}
			ids := map[string]bool{}
			_, body, _ := strings.Cut(string(data), "</style>")
			for _, a := range attribute.FindAllStringSubmatch(body, -1) {
				key, value := a[1], html.UnescapeString(a[2])
				to, err := base.Parse(value)
				switch {
				case key == "id" && ids[value]:
					t.Errorf("%s: %s: two elements have the id %s", s.name, name, value)
				case key == "id":
					ids[value] = true
				case key == "style", strings.HasPrefix(key, "on"):
					t.Errorf("%s: %s: there is an attribute %s, which the policy forbids", s.name, name, key)
				case key == "src" && (err != nil || to.Host != base.Host):
					t.Errorf("%s: %s: it asks for %s", s.name, name, value)
				case key == "href" && (err != nil || to.Host == base.Host && files[strings.TrimPrefix(to.Path, "/")] == nil):
					t.Errorf("%s: %s: the link %s leads nowhere", s.name, name, value)
				}
			}
			if len(ids) == 0 && !strings.Contains(name, "history/") {
				t.Errorf("%s: %s: no id was found", s.name, name)
			}
		}
	}
}

// spFields are the fields of Statuspage's documentation of its API v2
// (https://www.githubstatus.com/api).
var spFields = map[string][]string{
	"page":   {"id", "name", "updated_at", "url"},
	"status": {"description", "indicator"},
	"component": {"created_at", "description", "group", "group_id", "id", "name", "only_show_if_degraded", "page_id",
		"position", "showcase", "start_date", "status", "updated_at"},
	"incident": {"components", "created_at", "id", "impact", "incident_updates", "monitoring_at", "name", "page_id",
		"resolved_at", "shortlink",
		"started_at", "status", "updated_at"},
	"update": {"affected_components", "body", "created_at", "display_at", "id", "incident_id", "status",
		"updated_at"},
	"maintenance": {"scheduled_for", "scheduled_until"},
}

func wantFields(t *testing.T, where string, object any, kind string) map[string]any {
	t.Helper()
	fields, _ := object.(map[string]any)
	for _, f := range spFields[kind] {
		if _, ok := fields[f]; !ok {
			t.Errorf("%s: a %s has no %s", where, kind, f)
		}
	}
	for name, value := range fields {
		text, _ := value.(string)
		if !strings.HasSuffix(name, "_at") && !strings.HasPrefix(name, "scheduled_") || value == nil ||
			strings.HasSuffix(name, "maintenances") {
			continue
		}
		if _, err := time.Parse("2006-01-02T15:04:05.000Z", text); err != nil {
			t.Errorf("%s: %s of a %s is no time: %v", where, name, kind, value)
		}
	}
	return fields
}

func TestTheAPIHasTheFieldsThatStatuspageDocuments(t *testing.T) {
	words := map[string][]string{
		"indicator": {"none", "minor", "major", "critical", "maintenance"},
		"component": {"operational", "degraded_performance", "partial_outage", "major_outage", "under_maintenance"},
		"incident":  {"investigating", "identified", "monitoring", "resolved", "scheduled", "in_progress", "completed"},
		"impact":    {"none", "minor", "major", "critical", "maintenance"},
	}
	is := func(where, kind string, value any) {
		if text, _ := value.(string); !slices.Contains(words[kind], text) {
			t.Errorf("%s: %q is no word of Statuspage's for %s", where, value, kind)
		}
	}
	lists := map[string][]string{
		"summary": {"components", "incidents", "scheduled_maintenances"}, "status": nil, "components": {"components"},
		"incidents": {"incidents"}, "incidents/unresolved": {"incidents"},
		"scheduled-maintenances":          {"scheduled_maintenances"},
		"scheduled-maintenances/upcoming": {"scheduled_maintenances"},
		"scheduled-maintenances/active":   {"scheduled_maintenances"},
	}
	for _, s := range scenes() {
		files := status.Render(s.site, s.doc, nil)
		for name, keys := range lists {
			where := s.name + ": " + name
			var answer map[string]any
			if err := json.Unmarshal(files["api/v2/"+name+".json"], &answer); err != nil {
				t.Fatalf("%s: %v", where, err)
			}
			wantFields(t, where, answer["page"], "page")
			if name == "summary" || name == "status" {
				is(where, "indicator", wantFields(t, where, answer["status"], "status")["indicator"])
			}
			for _, key := range keys {
				list, ok := answer[key].([]any)
				if !ok {
					t.Errorf("%s: %s must be a list, empty or not", where, key)
				}
				for _, object := range list {
					if key == "components" {
						is(where, "component", wantFields(t, where, object, "component")["status"])
						continue
					}
					fields := wantFields(t, where, object, "incident")
					is(where, "incident", fields["status"])
					is(where, "impact", fields["impact"])
					if key == "scheduled_maintenances" {
						wantFields(t, where, object, "maintenance")
					}
					for _, u := range fields["incident_updates"].([]any) {
						is(where, "incident", wantFields(t, where, u, "update")["status"])
					}
				}
			}
		}
	}
}

type atom struct {
	XMLName xml.Name `xml:"http://www.w3.org/2005/Atom feed"`
	ID      string   `xml:"id"`
	Title   string   `xml:"title"`
	Updated string   `xml:"updated"`
	Author  string   `xml:"author>name"`
	Entries []struct {
		ID        string `xml:"id"`
		Title     string `xml:"title"`
		Updated   string `xml:"updated"`
		Published string `xml:"published"`
		Content   string `xml:"content"`
	} `xml:"entry"`
}

func feedOf(t *testing.T, d status.Document) (f atom) {
	t.Helper()
	data := status.Render(status.Site{Title: "Example", URL: "https://status.example.com"}, d, nil)["feed.atom"]
	if err := xml.Unmarshal(data, &f); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestAnEntryOfTheFeedHasTheSameIDAsLongAsItsIncidentLasts(t *testing.T) {
	d, now := play(status.New(), noon, step{5, status.Up, status.Slow})
	before := feedOf(t, d)
	must(d.Update(d.Incidents[0].ID, status.Message{Title: "Another title", Text: "More & <more>."}, now))
	d, _ = play(d, now, step{20, status.Up, status.Up})
	after := feedOf(t, d)
	if len(before.Entries) != 1 || len(after.Entries) != 1 {
		t.Fatalf("there are %d entries, and then %d", len(before.Entries), len(after.Entries))
	}
	if b, a := before.Entries[0], after.Entries[0]; b.ID != a.ID || !strings.HasPrefix(a.ID, "urn:uuid:") ||
		b.Updated >= a.Updated ||
		b.Published != a.Published || a.Title != "Another title" || !strings.Contains(a.Content, "More &amp; &lt;more&gt;.") {
		t.Errorf("the entry was %+v and is %+v", b, a)
	}
	if before.ID != after.ID || after.Author != "Example" || after.Updated != after.Entries[0].Updated {
		t.Errorf("the feed is %+v", after)
	}
	for _, e := range append(after.Entries, before.Entries...) {
		for _, at := range []string{e.Updated, e.Published, after.Updated} {
			if _, err := time.Parse(time.RFC3339, at); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestAnIncidentOverAMonthsEndIsInBothMonths(t *testing.T) {
	for _, c := range []struct{ from, first, second string }{
		{"2026-11-30 23:50:00", "2026-11", "2026-12"}, {"2026-12-31 23:50:00", "2026-12", "2027-01"},
		{"2028-02-29 23:50:00", "2028-02", "2028-03"},
	} {
		d, _ := play(status.New(), at(c.from), step{30, status.Up, status.Down}, step{11, status.Up, status.Up})
		if !slices.Contains(d.Pending, c.first) || !slices.Contains(d.Pending, c.second) {
			t.Errorf("%s: %v are pending", c.from, d.Pending)
		}
		for _, month := range []string{c.first, c.second} {
			m := status.Archive(status.Month{Month: month}, d)
			down := 0
			for _, x := range m.Components {
				for _, day := range x.Days {
					down += day.Outage
				}
			}
			if want := map[string]int{c.first: 600, c.second: 1200}[month]; len(m.Incidents) != 1 || down != want {
				t.Errorf("%s: %s has %d incidents and %d seconds of outage, want 1 and %d", c.from, month, len(m.Incidents), down,
					want)
			}
			data := m.Encode()
			if again, err := status.ParseMonth(data); err != nil || string(again.Encode()) != string(data) {
				t.Errorf("%s: it is not read as it was written: %v", month, err)
			}
		}
		third := status.Archive(status.Month{Month: "2029-01"}, d)
		if len(third.Incidents) != 0 {
			t.Errorf("%s: another month has it too", c.from)
		}
	}
}

func TestAgesAreSaidAsPeopleSayThem(t *testing.T) {
	for _, c := range []struct {
		age  time.Duration
		want string
	}{
		{0, "Events are accepted and safe; delivery is delayed."}, {59 * time.Second, "delivery is delayed."},
		{time.Minute, "delayed by 1 minute."}, {12*time.Minute + 59*time.Second, "delayed by 12 minutes."},
		{time.Hour, "delayed by 1 hour."}, {65 * time.Minute, "delayed by 1 hour 5 minutes."},
		{49*time.Hour + 10*time.Minute, "delayed by 2 days 1 hour."},
	} {
		d := status.Observe(status.New(), look(noon, status.Up, status.Slow, c.age), noon)
		if _, _, says := d.Describe(status.Site{}, *d.Component("delivery-us-east-1")); !strings.Contains(says, c.want) {
			t.Errorf("%v: it says %q", c.age, says)
		}
	}
}

func TestASiteNamesWhatThePageShows(t *testing.T) {
	d, _ := playTwo(status.New())
	site := status.Site{
		Title: "Shop", Regions: map[string]string{"eu-west-1": "Europe"},
		Components: map[string]status.Named{"ingest": {Name: "Tracking"},
			"delivery-eu-west-1": {Name: "Delivery in the EU", Description: "To Segment's EU."}},
	}
	page := string(status.Render(site, d, nil)["index.html"])
	for _, want := range []string{"<h1>Shop</h1>", "Tracking", "Delivery in the EU", ">Europe<", ">us-east-1<"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page has no %s", want)
		}
	}
}

func TestAWrongSiteIsRefusedWithTheField(t *testing.T) {
	long := strings.Repeat("x", 61)
	for _, c := range []struct{ site, want string }{
		{"", "the site's file is empty"}, {"[]", "must be a JSON object with title"}, {"{} {}", "something comes after it"},
		{`{"titel":"x"}`, `unknown field "titel"`},
		{`{"title":"` + long + `"}`, "title must have at most 60 characters, has 61"},
		{`{"title":"a\nb"}`, "title must be one line"},
		{`{"url":"status.example.com"}`, "url must be where the site is served"},
		{`{"url":"https://a.example/?x"}`, "url must be"}, {`{"logo":"https://a.example/x.png"}`, "logo must be a data: URL"},
		{`{"logo":"data:text/html;base64,PGI+"}`, "logo must be"}, {`{"logo":"data:image/png;base64,%%"}`, "logo must be"},
		{`{"links":[{"text":"x","url":"javascript:alert(1)"}]}`, "links[0].url must begin with https://"},
		{`{"links":[{"text":" ","url":"https://a.example"}]}`, "links[0].text must not be empty"},
		{`{"links":[{},{},{},{},{},{},{}]}`, "links must be at most 6, are 7"},
		{`{"components":{"mail":{}}}`, `there is "mail"`},
		{`{"components":{"ingest":{"name":"` + long + `"}}}`, "components.ingest.name"},
		{`{"regions":{"x":"` + long + `"}}`, "regions.x"},
		{`{"title":"` + strings.Repeat("x", 129<<10) + `"}`, "must be at most 128 KB"},
	} {
		if _, err := status.ParseSite([]byte(c.site)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.60s: the error is %v, want %q in it", c.site, err, c.want)
		}
	}
	if s, err := status.ParseSite([]byte(`{"title":"x","links":[{"text":"m","url":"mailto:a@b.example"}]}`)); err != nil ||
		s.Title != "x" {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestASiteWithAnUnknownFieldHasTheRest(t *testing.T) {
	s, err := status.ParseSite([]byte(`{"title":"x","newer":{"a":[1]},"url":"https://a.example"}`))
	if !errors.Is(err, status.ErrUnknownField) || s.Title != "x" || s.URL != "https://a.example" {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := status.ParseSite([]byte(`{"newer":1,"title":"a\nb"}`)); err == nil || errors.Is(err, status.ErrUnknownField) {
		t.Errorf("a wrong title beside an unknown field: %v", err)
	}
}

func TestEveryFileHasATypeAndHowLongItMayBeKept(t *testing.T) {
	site := status.Site{Logo: "data:image/svg+xml;base64,PHN2Zy8+"}
	d, _ := play(status.New(), noon, step{2, status.Up, status.Up})
	for name := range status.Render(site, d, []status.Month{status.Archive(status.Month{Month: "2026-11"}, d)}) {
		if got := status.ContentType(name); got == "application/octet-stream" {
			t.Errorf("%s has no type", name)
		}
		if got := status.CacheControl(name); !strings.HasPrefix(got, "public, max-age=") {
			t.Errorf("%s: %s", name, got)
		}
	}
	for name, want := range map[string]string{"status.json": "30", "index.html": "30", "history/2026-11.html": "300",
		"logo.svg": "86400"} {
		if got := status.CacheControl(name); got != fmt.Sprintf("public, max-age=%s", want) {
			t.Errorf("%s: %s, want %s s", name, got, want)
		}
	}
}
