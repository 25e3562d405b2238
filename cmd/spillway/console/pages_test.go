package console

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/cmd/spillway/top"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/heavy"
)

// screens are the pages that this package's files have, as a browser asks for them.
var screens = []string{"/", "/?span=3h", "/?span=24h", "/samples", "/samples?outcome=retried",
	"/samples?outcome=refused",
	"/alarms", "/alarms/spillway-delivery-down", "/alarms/spillway-segment-failing", "/runbook", "/nothing"}

// checkPage checks what holds of every page, whatever the source has said, and returns its text.
func checkPage(t *testing.T, name, page string) string {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(strings.TrimPrefix(page, "<!DOCTYPE html>")))
	d.Entity = xml.HTMLEntity
	var text strings.Builder
	ids, refs := map[string]bool{}, []string{}
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%s is not well-formed: %v", name, err)
		}
		switch e := token.(type) {
		case xml.CharData:
			text.Write(e)
		case xml.StartElement:
			if slices.Contains([]string{"iframe", "object", "embed", "base", "style"}, e.Name.Local) {
				t.Errorf("%s has an element %s", name, e.Name.Local)
			}
			for _, a := range e.Attr {
				switch key := a.Name.Local; {
				case key == "id":
					if ids[a.Value] {
						t.Errorf("%s: two elements have the id %q", name, a.Value)
					}
					ids[a.Value] = true
				case key == "aria-labelledby":
					refs = append(refs, strings.Fields(a.Value)...)
				case key == "style", strings.HasPrefix(key, "on"):
					t.Errorf("%s: an element %s has the attribute %s=%q", name, e.Name.Local, key, a.Value)
				case key == "src", key == "action", key == "href" && e.Name.Local == "link":
					if !strings.HasPrefix(a.Value, "/") || strings.HasPrefix(a.Value, "//") {
						t.Errorf("%s: an element %s loads or sends to %q", name, e.Name.Local, a.Value)
					}
				}
			}
		}
	}
	for _, ref := range refs {
		if !ids[ref] {
			t.Errorf("%s: nothing has the id %q that names something", name, ref)
		}
	}
	for _, bad := range []string{"NaN", "Inf ", "%!", "<nil>", "ZgotmplZ"} {
		if strings.Contains(text.String(), bad) {
			t.Errorf("%s has %q", name, bad)
		}
	}
	return strings.Join(strings.Fields(text.String()), " ")
}

func TestEveryPageIsWholeAndLoadsNothingFromElsewhere(t *testing.T) {
	now := time.Now()
	for state, f := range map[string]*fake{
		"nothing": newFake(),
		"outage":  demo(outage{perMinute: 900, began: now.Add(-11 * time.Minute)}),
		"over":    demo(outage{perMinute: 900, began: now.Add(-50 * time.Minute), ended: now.Add(-30 * time.Minute)}),
	} {
		c := New(Config{Source: f})
		for _, screen := range screens {
			w := ask(c, "GET", screen, "")
			want := http.StatusOK
			if screen == "/nothing" {
				want = http.StatusNotFound
			}
			if w.Code != want {
				t.Errorf("%s, %s: the answer is %d", state, screen, w.Code)
			}
			checkPage(t, state+", "+screen, w.Body.String())
		}
	}
	if strings.Contains(string(css), "url(") || strings.Contains(string(css), "@import") {
		t.Error("the style loads something")
	}
}

// hostile is what an event, or Segment, may say.
const hostile = `</title></script><script>alert(1)</script>'"><img src=x onerror=alert(1)> {{.Token}} javascript:alert(1)`

// hostileFake is a pipeline in which every text is not ours.
func hostileFake(text string) *fake {
	f := demo(outage{perMinute: 10})
	many := strings.Repeat(text, 3)
	f.samples = func(SampleQuery) ([]Sample, error) {
		return []Sample{{At: time.Now(), Outcome: many, Reason: many, Answer: many, Type: many, Event: many, User: many,
			MessageID: many,
			WriteKey:  many, Receives: 3}}, nil
	}
	f.writeKeys = func() ([]WriteKey, error) {
		return []WriteKey{{Name: many, ID: many, Paused: many, Rate: 1, Quota: 2}}, nil
	}
	f.senders = func() (top.Report, error) {
		return top.Report{Events: 1, Tables: []top.Table{{By: heavy.By(many), Heaviest: []top.Row{{Name: many,
			Refused: map[string]uint64{many: 1}}}, Grown: []top.Grown{{Name: many, Rate: math.MaxFloat32}}}}}, nil
	}
	f.refusals = func(time.Time) (Refusals, error) {
		return Refusals{Requests: map[string]float64{many: 1}, Events: map[string]float64{many: 1}}, nil
	}
	inner := f.now
	f.now = func() (Now, error) {
		n, err := inner()
		n.Degraded, n.Canary = many, many
		return n, err
	}
	f.alarms = func() ([]Alarm, error) {
		return []Alarm{{Name: "spillway-dead-letters", State: many, Reason: many, SuppressedBy: many, Since: time.Now()},
			{Name: many, State: StateAlarm}}, nil
	}
	return f
}

func TestTextOfOthersIsNeverMarkup(t *testing.T) {
	c := New(Config{Source: hostileFake(hostile)})
	for _, screen := range append(slices.Clone(screens), "/alarms/spillway-dead-letters") {
		page := ask(c, "GET", screen, "").Body.String()
		checkPage(t, screen, page)
		if strings.Contains(page, "<img src=x") || strings.Contains(page, "<script>") {
			t.Errorf("%s has markup of others", screen)
		}
	}
	if text := checkPage(t, "samples", ask(c, "GET", "/samples", "").Body.String()); strings.Count(text, "alert(1)") < 5 {
		t.Error("the text is not shown")
	}
	broken := demo(outage{})
	broken.broken = map[string]bool{"Now": true, "Metrics": true, "Alarms": true, "Senders": true, "WriteKeys": true,
		"Samples": true}
	for _, screen := range screens {
		page := ask(New(Config{Source: broken}), "GET", screen, "").Body.String()
		checkPage(t, screen, page)
	}
}

func TestALongTextIsCutAndControlCharactersAreShownAsSuch(t *testing.T) {
	c := New(Config{Source: hostileFake(strings.Repeat("wide\u202etext\x1b\xff ", 3000))})
	for _, screen := range screens {
		page := ask(c, "GET", screen, "").Body.String()
		if strings.ContainsAny(page, "\u202e\x1b") {
			t.Errorf("%s has a character that changes how it is read", screen)
		}
		if len(page) > 400_000 {
			t.Errorf("%s has %d bytes", screen, len(page))
		}
	}
	if got := short("a\u202eb\x00\xffc"); got != "a\uFFFDb\uFFFD\uFFFDc" {
		t.Errorf("short makes %q", got)
	}
	if got := short(strings.Repeat("é", 300)); got != strings.Repeat("é", 200)+"…" {
		t.Errorf("a long text becomes %q", got)
	}
}

func TestWhatFailsCostsOnlyItsOwnPart(t *testing.T) {
	parts := map[string]string{"Now": "How the pipeline is can't be read", "Metrics": "not known: the source is broken",
		"Alarms": "the alarms are not known", "Senders": "not known: the source", "WriteKeys": "not known: the source",
		"Refusals": "by code: the source is broken"}
	for method, says := range parts {
		f := demo(outage{perMinute: 100})
		f.broken = map[string]bool{method: true}
		w := ask(New(Config{Source: f}), "GET", "/", "")
		text := checkPage(t, method, w.Body.String())
		if w.Code != http.StatusOK || !strings.Contains(text, says) {
			t.Errorf("without %s the page is %d and does not say %q", method, w.Code, says)
		}
		for other, shows := range map[string]string{"Now": "canary 34 s ago", "Metrics": "Events in and out",
			"Senders":   "Product Viewed",
			"WriteKeys": "old-android", "Alarms": "spillway-dead-letters", "Refusals": "invalid_write_key"} {
			if shown := strings.Contains(text, shows); shown == (other == method) &&
				!(method == "Metrics" && other == "Refusals") {
				t.Errorf("without %s the page shows %q: %v", method, shows, shown)
			}
		}
	}
}

func TestOneAlarmHasItsStateAndItsSectionOfTheRunbook(t *testing.T) {
	now := time.Now()
	c := New(Config{Source: demo(outage{perMinute: 900, began: now.Add(-20 * time.Minute)})})
	page := ask(c, "GET", "/alarms/spillway-segment-failing", "").Body.String()
	text := checkPage(t, "alarm", page)
	for _, want := range []string{"spillway-segment-failing", "fires for 17 min", "3 of the last 10 values",
		"part of spillway-delivery-down",
		"It fires when IF(FILL(b, 0) > 0, 100, 100 * FILL(f, 0) / FILL(n, 1)) is above 50 % in 3 of the last 10 periods " +
			"of 1 min.",
		"still fires", "First look", "Over"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if !strings.Contains(page, `href="/alarms/spillway-delivery-down"`) {
		t.Error("the page does not lead to the composite")
	}
	if w := ask(c, "GET", "/alarms/"+url.PathEscape("<b>"), ""); w.Code != http.StatusNotFound ||
		strings.Contains(w.Body.String(), "<b>\"") {
		t.Errorf("an unknown alarm is answered %d", w.Code)
	}
}

func TestEveryAlarmHasASectionAndEveryLinkOfTheRunbookLeadsSomewhere(t *testing.T) {
	top := topology.Default()
	r := newRunbook(top.Names)
	for _, a := range top.Alarms {
		if len(r.section(a.Section)) < 100 {
			t.Errorf("%s has no section %s", a.Name, a.Section)
		}
	}
	ids := map[string]bool{}
	for _, m := range regexp.MustCompile(`id="([^"]+)"`).FindAllStringSubmatch(string(r.whole), -1) {
		ids[m[1]] = true
	}
	links := regexp.MustCompile(`href="([^"]+)"`).FindAllStringSubmatch(string(r.whole), -1)
	if len(links) < 20 || len(ids) < 30 {
		t.Fatalf("the runbook has %d links and %d headings", len(links), len(ids))
	}
	for _, m := range links {
		to, inside := strings.CutPrefix(m[1], "/runbook#")
		if inside && !ids[to] || !inside && !strings.HasPrefix(m[1], "https://") {
			t.Errorf("a link leads to %s", m[1])
		}
	}
	names, err := topology.NewNames("staging")
	if err != nil {
		t.Fatal(err)
	}
	if s := string(newRunbook(names).section("segment-failing")); strings.Contains(s, "spillway-") ||
		!strings.Contains(s, "staging-segment-failing") {
		t.Error("the runbook of staging has the names of another pipeline")
	}
}

func TestSamplesAreChosenByOutcomeAndReason(t *testing.T) {
	c := New(Config{Source: demo(outage{perMinute: 900})})
	text := checkPage(t, "samples", ask(c, "GET", "/samples?outcome=dead_lettered&reason=rejected", "").Body.String())
	if !strings.Contains(text, "malformed JSON") || strings.Contains(text, "200 OK") ||
		!strings.Contains(text, "reason rejected") {
		t.Errorf("the dead letters are %s", text)
	}
	for _, query := range []string{"?outcome=lost", "?reason=" + strings.Repeat("x", 101)} {
		if w := ask(c, "GET", "/samples"+query, ""); w.Code != http.StatusBadRequest {
			t.Errorf("%s is answered %d", query, w.Code)
		}
	}
	if w := ask(c, "GET", "/samples?x="+strings.Repeat("x", maxURL), ""); w.Code != http.StatusRequestURITooLong {
		t.Errorf("a long address is answered %d", w.Code)
	}
	for i := range 3 * maxSampleReadings {
		ask(c, "GET", fmt.Sprintf("/samples?reason=r%d", i), "")
	}
	if n := len(c.samples.all); n != maxSampleReadings || len(c.samples.order) != n {
		t.Errorf("%d queries are remembered", n)
	}
}

func TestTheSwitchesChangeTheEmulatorAndSendEvents(t *testing.T) {
	f := demo(outage{perMinute: 900})
	s := f.switches.(*fakeSwitches)
	c := New(Config{Source: f})
	press := func(path string, form url.Values) string {
		form.Set("token", c.token)
		w := ask(c, "POST", path, form.Encode())
		if w.Code != http.StatusSeeOther {
			t.Fatalf("%s is answered %d", path, w.Code)
		}
		return checkPage(t, path, ask(c, "GET", w.Header().Get("Location"), "").Body.String())
	}
	if text := press("/segment", url.Values{"mode": {"503"}}); s.id != "503" ||
		!strings.Contains(text, "Segment emulator: 503") {
		t.Errorf("the mode is %s", s.id)
	}
	if text := press("/segment", url.Values{"mode": {"<no>"}}); s.id != "503" ||
		!strings.Contains(text, `no mode "<no>"`) {
		t.Errorf("an unknown mode made it %s", s.id)
	}
	if text := press("/send", url.Values{"events": {"1000"}}); s.sent != 1000 ||
		!strings.Contains(text, "1,000 events were accepted") {
		t.Errorf("%d events were sent", s.sent)
	}
	for _, n := range []string{"", "0", "-1", "10001", "1e3"} {
		if press("/send", url.Values{"events": {n}}); s.sent != 1000 {
			t.Errorf("%q events were sent", n)
		}
	}
	f.switches = nil
	c = New(Config{Source: f})
	if w := ask(c, "POST", "/send", "token="+c.token); w.Code != http.StatusNotFound &&
		w.Code != http.StatusMethodNotAllowed {
		t.Errorf("without switches the answer is %d", w.Code)
	}
	if page := ask(c, "GET", "/", "").Body.String(); strings.Contains(page, "Send 1,000 events") {
		t.Error("without switches there is a button")
	}
}

func TestThePageOfAnotherSiteCanReadAndChangeNothing(t *testing.T) {
	f := demo(outage{perMinute: 900})
	c := New(Config{Source: f})
	send := func(method, host string, header http.Header) int {
		body := ""
		if method == "POST" {
			body = "mode=503&token=" + c.token
		}
		r := httptest.NewRequest(method, "/", strings.NewReader(body))
		if method == "POST" {
			r = httptest.NewRequest(method, "/segment", strings.NewReader(body))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		r.Host = host
		maps.Copy(r.Header, header)
		w := httptest.NewRecorder()
		c.ServeHTTP(w, r)
		return w.Code
	}
	for name, answer := range map[string]int{
		"rebound name": send("GET", "evil.test:9326", nil),
		"foreign page": send("POST", "localhost:9326", http.Header{"Origin": {"https://evil.test"}}),
		"null origin":  send("POST", "localhost:9326", http.Header{"Origin": {"null"}}),
		"foreign link": send("GET", "localhost:9326", http.Header{"Sec-Fetch-Site": {"cross-site"}}),
		"rebound post": send("POST", "evil.test:9326", http.Header{"Origin": {"http://evil.test:9326"}}),
	} {
		if answer != http.StatusForbidden {
			t.Errorf("%s: the answer is %d", name, answer)
		}
	}
	if s := f.switches.(*fakeSwitches); s.id != "well" {
		t.Error("a foreign page has changed something")
	}
	if got := send("POST", "localhost:9326",
		http.Header{"Origin": {"http://localhost:9326"}}); got != http.StatusSeeOther {
		t.Errorf("the page's own form is answered %d", got)
	}
}

func TestOnlyTheMethodsOfAPageAreAnswered(t *testing.T) {
	c := New(Config{Source: demo(outage{})})
	for target, allowed := range map[string]string{"POST /": "GET", "PUT /samples": "GET", "DELETE /alarms": "GET",
		"GET /segment": "POST", "GET /send": "POST", "PATCH /events": "GET", "GET /dead-letters/payload": "POST",
		"PUT /dead-letters/drop": "GET, POST", "PUT /nowhere": ""} {
		method, path, _ := strings.Cut(target, " ")
		want := http.StatusMethodNotAllowed
		if allowed == "" {
			want = http.StatusNotFound
		}
		if w := ask(c, method, path, ""); w.Code != want || w.Header().Get("Allow") != allowed {
			t.Errorf("%s is answered %d, and %q is allowed", target, w.Code, w.Header().Get("Allow"))
		}
	}
}

func TestASourceWithAPriceIsReadOnlyWhenSomebodyAsks(t *testing.T) {
	f := demo(outage{perMinute: 100})
	p := &pricedFake{fake: f}
	c := New(Config{Source: p})
	text := checkPage(t, "overview", ask(c, "GET", "/", "").Body.String())
	if !strings.Contains(text, "Read the logs for $0.02 for 4.1 GB of logs") || strings.Contains(text, "Product Viewed") ||
		f.calls["Senders"] != 0 {
		t.Errorf("it was read %d times", f.calls["Senders"])
	}
	w := ask(c, "POST", "/senders", "token="+c.token)
	text = checkPage(t, "overview", ask(c, "GET", w.Header().Get("Location"), "").Body.String())
	if !strings.Contains(text, "Product Viewed") || f.calls["Senders"] != 1 {
		t.Errorf("after the button it was read %d times", f.calls["Senders"])
	}
}

func TestWhatIsMountedGetsItsOwnPath(t *testing.T) {
	c := New(Config{Source: newFake(), Mounts: map[string]http.Handler{"/status/": http.HandlerFunc(
		func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "mounted ", r.URL.Path) })}})
	if w := ask(c, "GET", "/status/api/v2/summary.json", ""); w.Body.String() != "mounted /api/v2/summary.json" ||
		w.Header().Get("Content-Security-Policy") != "" {
		t.Errorf("it gets %s", w.Body)
	}
	if page := ask(c, "GET", "/", "").Body.String(); !strings.Contains(page, `<a href="/status/">Status site</a>`) {
		t.Error("the navigation does not lead to it")
	}
}

func TestAnAlarmThatIsOnItsWayIsNamed(t *testing.T) {
	f := demo(outage{})
	f.alarms = func() ([]Alarm, error) { return []Alarm{{Name: "spillway-segment-failing", State: StateOK}}, nil }
	calm := checkPage(t, "calm", ask(New(Config{Source: f}), "GET", "/", "").Body.String())
	if !strings.Contains(calm, "No alarm fires, and none is on its way.") {
		t.Error("the overview does not say that none is on its way")
	}
	f.alarms = func() ([]Alarm, error) {
		return []Alarm{{Name: "spillway-delivery-down", State: StateOK, Severity: topology.Critical, Composite: true},
			{Name: "spillway-segment-failing", State: StateOK, Severity: topology.Critical, Coming: 1}}, nil
	}
	f.now = func() (Now, error) { return Now{At: time.Now(), Degraded: "Segment fails", Totals: &Totals{}}, nil }
	c := New(Config{Source: f})
	list := checkPage(t, "list", ask(c, "GET", "/alarms", "").Body.String())
	if strings.Index(list, "spillway-segment-failing") > strings.Index(list, "spillway-delivery-down critical") {
		t.Error("those that are on their way are not the first of the list")
	}
	for screen, want := range map[string]string{
		"/":                                "Nothing waits. spillway-segment-failing on its way 1 of the 3 minutes that",
		"/alarms":                          "On its way: 1 of the 3 minutes that it needs.",
		"/alarms/spillway-segment-failing": "On its way: 1 of the 3 minutes that it needs.",
	} {
		if text := checkPage(t, screen, ask(c, "GET", screen, "").Body.String()); !strings.Contains(text, want) {
			t.Errorf("%s does not say %q", screen, want)
		}
	}
}
