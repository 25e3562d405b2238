package console

import (
	"encoding/json"
	"flag"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/spillwayhq/spillway/integration/testutil/browser"
)

var everyScreen = flag.Bool("every-screen", false,
	"look at the page in every state and as every reader, and not only at some")

// serveDemo serves a demo until the test ends.
func serveDemo(t *testing.T, f *fake) string {
	c := New(Config{Source: f})
	go c.Run(t.Context())
	s := httptest.NewServer(c)
	t.Cleanup(s.Close)
	return s.URL + "/"
}

func TestThePageIsReadableOnEveryScreen(t *testing.T) {
	t.Parallel()
	all := demos()
	var looks [][3]string
	looked := 0
	add := func(state, screen string, readers ...string) {
		url := serveDemo(t, all[state])
		for _, r := range readers {
			looks = append(looks, [3]string{state + " " + screen, strings.TrimSuffix(url, "/") + screen, r})
			looked++
		}
	}
	add("outage", "/", "dark phone")
	if *everyScreen {
		add("outage", "/?span=24h", "desktop", "dark", "phone", "twice", "plain")
		for _, screen := range []string{"/samples", "/alarms", "/alarms/spillway-delivery-down", "/runbook"} {
			add("outage", screen, "dark", "phone")
		}
		for _, state := range []string{"calm", "drain", "first", "broken"} {
			add(state, "/?span=3h", "desktop", "dark phone")
		}
		add("long", "/", "phone")
		add("long", "/samples", "phone")
	}
	args, err := json.Marshal(map[string]any{"looks": looks})
	if err != nil {
		t.Fatal(err)
	}
	seen := browser.Run[browser.Seen](t, "look.mjs", nil, string(args))
	if len(seen) != looked {
		t.Fatalf("%d pages were looked at, want %d", len(seen), looked)
	}
	for _, s := range seen {
		if s.Reader == "plain" { // it runs no script that could look
			s.Background = "rgb(243, 245, 248)"
		}
		s.Check(t)
	}
}

func TestThePageIsUsedWithKeyboardAndWithoutScriptAndByNoOtherSite(t *testing.T) {
	t.Parallel()
	if !*everyScreen {
		t.Skip("it takes some seconds: add -every-screen")
	}
	f := demos()["calm"]
	url := serveDemo(t, f)
	args, err := json.Marshal(map[string]any{"live": url})
	if err != nil {
		t.Fatal(err)
	}
	type found struct {
		Local, First, Main, Focused, Notice, Pressed, Span, Refresh, Sent, Crowd string
		Open                                                                     bool
		Said                                                                     []string
		Foreign                                                                  struct {
			Read, Stream, Image, Post, Frame string
			Form                             int
		}
	}
	got := browser.Run[found](t, "look.mjs", nil, string(args))[0]
	if len(got.Said) > 0 {
		t.Errorf("the console says %q", got.Said)
	}
	if !strings.Contains(got.Local, " UTC") ||
		!strings.Contains(got.Local, "GMT+5:30") && !strings.Contains(got.Local, "IST") {
		t.Errorf("in Kolkata the time is %q", got.Local)
	}
	if got.First != "Skip to the content" || got.Main != "main" {
		t.Errorf("the first link is %q and leads to %q", got.First, got.Main)
	}
	if !got.Open || got.Focused != "summary" {
		t.Errorf("after an update the details are open: %v, and the focus is on %q", got.Open, got.Focused)
	}
	if !strings.HasPrefix(got.Notice, "Segment emulator: 503") || got.Pressed != "503" || got.Span != "3 hours" {
		t.Errorf("the switch says %q, %q is pressed, and the charts show %q", got.Notice, got.Pressed, got.Span)
	}
	if got.Refresh != "30" || !strings.HasPrefix(got.Sent, "1,000 events were accepted") {
		t.Errorf("without script it is refreshed every %q s and says %q", got.Refresh, got.Sent)
	}
	if got.Crowd != "live" {
		t.Errorf("of eight open pages the one that is seen is %s", got.Crowd)
	}
	o := got.Foreign
	if !slices.Equal([]string{o.Read, o.Stream, o.Image}, []string{"refused", "refused", "refused"}) || o.Form != 403 ||
		strings.Contains(o.Frame, "Segment emulator") {
		t.Errorf("the page of another site gets %+v", o)
	}
	if s := f.switches.(*fakeSwitches); s.id != "503" {
		t.Errorf("the page of another site has set %s", s.id)
	}
}
