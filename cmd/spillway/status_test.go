package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/shared/status"
	"github.com/spillwayhq/spillway/shared/status/dirstore"
)

// statusData makes a data directory whose site has seen a region for two minutes, with delivery in
// this state.
func statusData(t *testing.T, delivery status.Sight) (dir string) {
	t.Helper()
	dir = t.TempDir()
	store, err := dirstore.Open(filepath.Join(dir, local.StatusFolder))
	if err != nil {
		t.Fatal(err)
	}
	k := &status.Keeper{Store: store}
	age := 7 * time.Minute
	for ago := 2 * time.Minute; ago >= 0; ago -= time.Minute {
		if _, err := k.Observe(t.Context(),
			status.Observation{At: time.Now().Add(-ago), Writer: "test", Regions: []status.Region{
				{Name: "local", Ingest: status.Up, Delivery: delivery, Oldest: &age},
			}}); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func statusRun(t *testing.T, dir string, args ...string) string {
	t.Helper()
	out, _, err := spillway(t.Context(), "", append([]string{"status", "--data-dir", dir}, args...)...)
	if err != nil {
		t.Fatalf("spillway status %s: %v", strings.Join(args, " "), err)
	}
	return out
}

func statusDocument(t *testing.T, dir string) (d status.Document) {
	t.Helper()
	if err := json.Unmarshal([]byte(statusRun(t, dir, "show", "--json")), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestAnOperatorPostsUpdatesAndResolvesAnIncident(t *testing.T) {
	t.Parallel()
	dir := statusData(t, status.Up)
	posted := statusRun(t, dir, "post", "--title", "Some events come twice", "--text",
		"See <https://example.com/twice>.\n",
		"--component", "delivery", "--impact", "minor")
	d := statusDocument(t, dir)
	if len(d.Incidents) != 1 {
		t.Fatalf("there are %d incidents, want 1", len(d.Incidents))
	}
	id := d.Incidents[0].ID
	if want := "posted " + id + ": Some events come twice (investigating, impact minor)\n"; posted != want {
		t.Errorf("it says %q, want %q", posted, want)
	}
	page, err := os.ReadFile(filepath.Join(dir, "status", "index.html"))
	if err != nil || !strings.Contains(string(page), "Some events come twice") {
		t.Errorf("the page does not show it: %v", err)
	}
	statusRun(t, dir, "update", "--phase", "identified", "--text", "It ends at noon.")
	if got := statusRun(t, dir, "show"); !strings.Contains(got, id) || !strings.Contains(got, "identified") {
		t.Errorf("show says\n%s", got)
	}
	if got := statusRun(t, dir, "resolve"); got != "resolved "+id+": Some events come twice (resolved, impact minor)\n" {
		t.Errorf("it says %q", got)
	}
	texts := []string{"See <https://example.com/twice>.", "It ends at noon.", "This incident is resolved."}
	for n, u := range statusDocument(t, dir).Incidents[0].Updates {
		if u.Text != texts[n] || u.By != status.Operator {
			t.Errorf("update %d is %+v, want %q", n, u, texts[n])
		}
	}
}

func TestAnUpdateWithoutAnIDGoesToTheAutomaticIncident(t *testing.T) {
	t.Parallel()
	dir := statusData(t, status.Down)
	var i status.Incident
	out := statusRun(t, dir, "update", "--text", "Segment is down.", "--keep-open", "--title", "Segment is away", "--json")
	if err := json.Unmarshal([]byte(out), &i); err != nil {
		t.Fatal(err)
	}
	if !i.KeepOpen || i.Part != status.Delivery || i.Title != "Segment is away" || len(i.Updates) != 2 {
		t.Errorf("the incident is %+v", i)
	}
	if got := statusRun(t, dir, "show"); !strings.Contains(got,
		"Events are not delivered. Events are accepted and safe. The oldest has waited for 7 minutes.") {
		t.Errorf("show says\n%s", got)
	}
}

func TestAnOperatorSchedulesMaintenanceAndCancelsIt(t *testing.T) {
	t.Parallel()
	dir := statusData(t, status.Up)
	from := time.Now().UTC().AddDate(0, 0, 3).Format("2006-01-02") + " 09:00"
	out := statusRun(t, dir, "schedule", "--title", "New database", "--from", from, "--for", "2h", "--component",
		"delivery")
	d := statusDocument(t, dir)
	if len(d.Maintenances) != 1 || !strings.Contains(out, from+" to "+from[:11]+"11:00 UTC") {
		t.Fatalf("it says %q, and there are %d maintenances", out, len(d.Maintenances))
	}
	id := d.Maintenances[0].ID
	statusRun(t, dir, "update", id, "--text", "It may take an hour longer.")
	if _, _, err := spillway(t.Context(), "", "status", "--data-dir", dir, "update", id, "--title", "x"); err == nil ||
		!strings.Contains(err.Error(), id+" is maintenance, which takes --text only") {
		t.Errorf("a title for maintenance: %v", err)
	}
	statusRun(t, dir, "resolve", id)
	if m := statusDocument(t, dir).Maintenances[0]; !m.Canceled || m.Phase != status.Completed || len(m.Updates) != 3 {
		t.Errorf("it is %+v", m)
	}
}

func TestAnOperatorPostsAlthoughTheDocumentIsBroken(t *testing.T) {
	t.Parallel()
	dir := statusData(t, status.Up)
	if err := os.WriteFile(filepath.Join(dir, local.StatusFolder, status.DocumentFile), []byte(`{"vers`), 0o600); err != nil {
		t.Fatal(err)
	}
	out, _, err := spillway(t.Context(), "", "status", "--data-dir", dir, "post", "--title", "A", "--text", "B")
	if err == nil || !strings.Contains(err.Error(), "it is written: ") || !strings.Contains(err.Error(), "it is kept as broken/") ||
		!strings.HasPrefix(out, "posted ") {
		t.Errorf("%q, %v", out, err)
	}
	if d := statusDocument(t, dir); len(d.Incidents) != 1 || d.Incidents[0].Title != "A" {
		t.Errorf("the new document has %+v", d.Incidents)
	}
	if out := statusRun(t, dir, "update", "--text", "C"); !strings.HasPrefix(out, "updated ") {
		t.Errorf("then it says %q", out)
	}
}

func TestTheSiteIsRenderedFromADocument(t *testing.T) {
	t.Parallel()
	dir, out := statusData(t, status.Slow), filepath.Join(t.TempDir(), "site")
	site := filepath.Join(t.TempDir(), "site.json")
	if err := os.WriteFile(site, []byte(`{"title": "Shop events", "logo": "logo.svg"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	logo := []byte(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"/>`)
	if err := os.WriteFile(filepath.Join(filepath.Dir(site), "logo.svg"), logo, 0o600); err != nil {
		t.Fatal(err)
	}
	document := filepath.Join(dir, local.StatusFolder, status.DocumentFile)
	if _, _, err := spillway(t.Context(), "", "status", "render", "--document", document, "--site", site, "--out",
		out); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(out, "index.html"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Shop events", "Delivery is delayed", `src="logo.svg"`} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the page has no %s", want)
		}
	}
	if got, err := os.ReadFile(filepath.Join(out, "logo.svg")); err != nil || string(got) != string(logo) {
		t.Errorf("the logo is %q, %v", got, err)
	}
	for _, name := range []string{"status.json", "feed.atom", "api/v2/summary.json"} {
		if _, err := os.Stat(filepath.Join(out, name)); err != nil {
			t.Error(err)
		}
	}
}

func TestErrorsOfTheStatusSiteSayWhatToDo(t *testing.T) {
	t.Parallel()
	dir, empty := statusData(t, status.Up), t.TempDir()
	for _, c := range []struct {
		name, want string
		args       []string
	}{
		{"no data directory", "is not a data directory of `spillway up`", []string{"show", "--data-dir", "/does/not/exist"}},
		{"nothing was measured", "it begins when the pipeline has run for a minute", []string{"show", "--data-dir", empty}},
		{"two sites", "leave one of them out", []string{"show", "--name", "spillway", "--data-dir", dir}},
		{"a region of this machine", "give --name too", []string{"show", "--region", "eu-west-1"}},
		{"no text", "an incident needs --title and --text", []string{"post", "--title", "x"}},
		{"an unknown component", `unknown component "mail" (known: ingest, delivery, ingest-local, delivery-local)`,
			[]string{"post", "--title", "x", "--text", "y", "--component", "mail"}},
		{"an unknown impact", `unknown impact "huge" (known: none, minor, major, critical)`,
			[]string{"post", "--title", "x", "--text", "y", "--impact", "huge"}},
		{"a title of two lines", "the title must be one line", []string{"post", "--title", "x\ny", "--text", "y"}},
		{"nothing to update", "no incident is open: open one with spillway status post", []string{"update", "--text", "x"}},
		{"an unknown incident", `unknown incident or maintenance "x"`, []string{"resolve", "x"}},
		{"a text without quotes", "quote a text of several words", []string{"update", "back", "soon"}},
		{"no time", "maintenance needs --title, --from, and --until or --for", []string{"schedule", "--title", "x"}},
		{"a wrong time", "--from must be a time like",
			[]string{"schedule", "--title", "x", "--from", "tomorrow", "--for", "1h"}},
		{"a time that is past", "must end in the future",
			[]string{"schedule", "--title", "x", "--from", "2020-01-01 09:00", "--for", "1h"}},
		{"an end before the beginning", "must end after it begins",
			[]string{"schedule", "--title", "x", "--from", "2099-01-02 09:00", "--until", "2099-01-01 09:00"}},
		{"nowhere to render to", "--out is needed", []string{"render"}},
		{"no document", "read the status document", []string{"render", "--out", empty, "--document", "/does/not/exist"}},
		{"no confirmation", "give --yes to publish without confirmation",
			[]string{"post", "--name", "spillway", "--title", "x", "--text", "y"}},
	} {
		args := append([]string{"status"}, c.args...)
		if !strings.Contains(strings.Join(args, " "), "--data-dir") && !strings.Contains(strings.Join(args, " "), "--name") &&
			c.name != "a region of this machine" {
			args = append(args, "--data-dir", dir)
		}
		_, _, err := spillway(t.Context(), "", args...)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: the error is %v, want %q in it", c.name, err, c.want)
		}
	}
}
