package status_test

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/integration/testutil/browser"
	"github.com/spillwayhq/spillway/shared/status"
)

var everyScreen = flag.Bool("every-screen", false,
	"look at the status site in each state as every reader, and not only as one")

// node runs a script of testdata over folders with the sites of these scenes, and decodes its
// lines.
func node[T any](t *testing.T, script string, which []scene, env ...string) []T {
	t.Helper()
	var args []string
	top := t.TempDir()
	for _, s := range which {
		dir := filepath.Join(top, s.name)
		write(t, dir, status.Render(s.site, s.doc, s.months))
		args = append(args, dir)
	}
	return browser.Run[T](t, script, env, args...)
}

func write(t *testing.T, dir string, files map[string][]byte) {
	t.Helper()
	for name, data := range files {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// seen is what look.mjs found on a page.
type seen struct {
	Site, Reader, Background, Text, Title string
	Console, Requests, Violations         []string
	Width, Screen                         int
	Late                                  bool
}

// headlines are what customers read first.
var headlines = map[string]string{
	"calm": "All systems operational", "outage": "Events are not delivered",
	"recovery":    "Events are delivered as usual again",
	"maintenance": "Maintenance is in progress", "regions": "Events are not accepted in Europe", "new": "Not known yet",
}

func TestCustomersReadTheSiteOnEveryScreen(t *testing.T) {
	t.Parallel()
	if !*everyScreen {
		t.Skip("a browser takes half a minute for all states and screens: run with -every-screen")
	}
	readers := []string{
		"desktop", "dark", "phone", "dark phone", "stale", "stale dark phone", "renewed", "plain", "abroad", "twice", "month",
		"month phone",
	}
	all := node[seen](t, "look.mjs", scenes(), "READERS="+strings.Join(readers, ","),
		"NOW="+scenesNow.Add(12*time.Second).Format(time.RFC3339))
	looks := 0
	for _, s := range all {
		who := s.Site + " on " + s.Reader
		if strings.HasPrefix(s.Reader, "month") && s.Text == "" {
			continue // a scene without that month
		}
		looks++
		for _, what := range slices.Concat(s.Console, s.Violations) {
			t.Errorf("%s: %s", who, what)
		}
		if len(s.Requests) > 0 {
			t.Errorf("%s: it asks for %q", who, s.Requests)
		}
		if s.Width > s.Screen {
			t.Errorf("%s: it is %d pixels wide, and the screen %d", who, s.Width, s.Screen)
		}
		if dark := strings.Contains(s.Reader, "dark"); dark != (s.Background == "rgb(13, 18, 25)") {
			t.Errorf("%s: its background is %s", who, s.Background)
		}
		if want := strings.HasPrefix(s.Reader, "stale") && s.Site != "new"; s.Late != want {
			t.Errorf("%s: it says that it is out of date: %v", who, s.Late)
		}
		if !strings.HasPrefix(s.Reader, "month") && !strings.Contains(s.Text, headlines[s.Site]) {
			t.Errorf("%s: it does not say %q but\n%s", who, headlines[s.Site], s.Text)
		}
		for reader, want := range map[string]string{
			"plain":  "Written at 27 November 2026, 14:12 UTC, from what was measured then. If that is more than 3 minutes ago",
			"abroad": "14:12 UTC (9:12 AM your time)", "renewed": "Written at", "month": "November 2026",
		} {
			if s.Reader == reader && s.Site != "new" && !strings.Contains(s.Text, want) {
				t.Errorf("%s: it does not say %q but\n%s", who, want, s.Text)
			}
		}
	}
	if looks < 6*10+2 {
		t.Errorf("only %d pages were looked at", looks)
	}
}

// read is what check.mjs found.
type read struct {
	Site   string
	HTML   []string
	Dates  bool // the client has decoded the times
	Status struct {
		Status struct{ Indicator, Description string }
	}
	Summary struct {
		Page                  struct{ ID, Name, URL string }
		Status                struct{ Indicator string }
		Components            []readComponent
		Incidents             []readIncident
		ScheduledMaintenances []readIncident `json:"scheduled_maintenances"`
	}
	Components                     struct{ Components []readComponent }
	Incidents, Unresolved          struct{ Incidents []readIncident }
	Maintenances, Upcoming, Active struct {
		ScheduledMaintenances []readIncident `json:"scheduled_maintenances"`
	}
	Feed struct {
		Title string
		Items []struct{ Title, ID, Link, IsoDate, Content string }
	}
}

type (
	readComponent struct{ ID, Name, Status string }
	readIncident  struct {
		ID, Name, Status, Impact string
		Updates                  []struct{ Body, Status string } `json:"incident_updates"`
	}
)

func TestOtherProgramsReadTheSite(t *testing.T) {
	t.Parallel()
	for _, r := range node[read](t, "check.mjs", scenes()) {
		for _, problem := range r.HTML {
			t.Errorf("%s: html-validate: %s", r.Site, problem)
		}
		if !r.Dates {
			t.Errorf("%s: the client does not take the times for times", r.Site)
		}
		if r.Summary.Status.Indicator != r.Status.Status.Indicator ||
			len(r.Summary.Components) != len(r.Components.Components) {
			t.Errorf("%s: the summary is %+v, the status %+v", r.Site, r.Summary, r.Status)
		}
		switch r.Site {
		case "calm":
			if r.Status.Status.Description != "All Systems Operational" || len(r.Incidents.Incidents) != 1 ||
				len(r.Feed.Items) != 1 {
				t.Errorf("calm: %+v", r)
			}
		case "outage":
			i := r.Unresolved.Incidents
			if len(i) != 1 || i[0].Status != "identified" || i[0].Impact != "major" || len(i[0].Updates) != 3 ||
				!strings.HasPrefix(i[0].Updates[0].Body, "Segment answers with errors") || r.Status.Status.Indicator != "major" {
				t.Errorf("outage: %+v", r)
			}
			if len(r.Feed.Items) != 2 || !strings.Contains(r.Feed.Items[0].Content, `<a href="https://status.segment.com/"`) ||
				r.Feed.Items[0].Link != "https://status.example.com/history/2026-11.html#i20261127-1331-delivery" {
				t.Errorf("outage: the feed is %+v", r.Feed)
			}
		case "maintenance":
			if r.Status.Status.Indicator != "maintenance" || len(r.Upcoming.ScheduledMaintenances) != 1 ||
				len(r.Active.ScheduledMaintenances) != 1 || len(r.Summary.ScheduledMaintenances) != 2 ||
				r.Active.ScheduledMaintenances[0].Status != "in_progress" || len(r.Feed.Items) != 3 {
				t.Errorf("maintenance: %+v", r)
			}
		case "regions":
			if len(r.Components.Components) != 6 ||
				r.Components.Components[0] != (readComponent{"region-eu-west-1", "Europe", "partial_outage"}) {
				t.Errorf("regions: %+v", r.Components)
			}
		}
	}
}
