package contents

import (
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/shared/message"
)

var everyReader = flag.Bool("every-reader", false,
	"walk through the pages as every reader, and not only as one of them")

// walked is what walk.mjs found on a page.
type walked struct {
	Page, Reader, Text             string
	Console, Elsewhere, Violations []string
	Width, Screen                  int
	File, Exported                 string
}

// walk opens the pages in Chromium, or skips the test where it or the modules are missing; with
// SPILLWAY_REQUIRE_SDKS=1 it fails the test.
func walk(t *testing.T, base, reader string) []walked {
	t.Helper()
	modules, err := filepath.Abs(filepath.FromSlash("../../../../integration/sdks"))
	if err != nil {
		t.Fatal(err)
	}
	chromium := cmp.Or(os.Getenv("CHROMIUM"), "/usr/bin/chromium")
	for _, needed := range []string{chromium, filepath.Join(modules, "node_modules", "playwright-core"),
		filepath.Join(modules, "node_modules", "axe-core")} {
		if _, err := os.Stat(needed); err != nil {
			const install = "the pages are walked through in a browser: apt-get install nodejs npm chromium (Node.js 20 or " +
				"later), then npm ci in integration/sdks"
			if os.Getenv("SPILLWAY_REQUIRE_SDKS") == "1" {
				t.Fatalf("%s (%v)", install, err)
			}
			t.Skipf("%s (%v)", install, err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", filepath.Join("testdata", "walk.mjs"))
	cmd.Env = append(os.Environ(), "CHROMIUM="+chromium, "MODULES="+modules, "BASE="+base, "READER="+reader)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	var all []walked
	for line := range strings.Lines(string(out)) {
		var w walked
		if err := json.Unmarshal([]byte(line), &w); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		all = append(all, w)
	}
	if err != nil {
		last := walked{}
		if len(all) > 0 {
			last = all[len(all)-1]
		}
		t.Fatalf("after the page %q: %v\n%s\n%s", last.Page, err, errs.String(), last.Text)
	}
	return all
}

// TestAnOperatorWalksThroughTheDeadLettersInABrowser goes from the list to a dead letter, its
// payload, an export, a redrive and a deletion.
func TestAnOperatorWalksThroughTheDeadLettersInABrowser(t *testing.T) {
	t.Parallel()
	readers := []string{"without script"}
	if *everyReader {
		readers = append(readers, "desktop", "dark phone", "zoomed")
	}
	for _, reader := range readers {
		t.Run(reader, func(t *testing.T) {
			t.Parallel()
			p := newPage(t, newBench(t))
			for i := range 120 {
				d := deadLetter(fmt.Sprint("id/", i), []string{message.ReasonRejected, message.ReasonInvalid}[i%5/4],
					fmt.Sprint("Order ", i%7),
					fmt.Sprint("u-", i%8))
				d.Events[0] = fmt.Appendf(nil, `{"type":"track","event":"Order %d","userId":"u-%d","messageId":"m-%d",`+
					`"properties":{"total":%d,"text":%q}}`, i%7, i%8, i, i, hostile)
				d.Detail = "missing_user: an event needs a userId or an anonymousId"
				if i == 116 {
					d.ID = strings.Repeat("long", 100)
				}
				if i == 117 {
					d.Detail = strings.Repeat("unbroken", 30) + hostile
				}
				p.sendDead(t, d)
			}
			p.local.current(t.Context(), time.Minute)
			server := httptest.NewServer(p.handler)
			t.Cleanup(server.Close)
			pages := walk(t, server.URL, reader)
			wants := map[string]string{"list": "120 dead letters, 120 events", "older": "Go to the newest",
				"filtered": "id/1 rejected",
				"one":      "What to do Segment rejected the event", "payload": `"messageId": "m-`, "find": "dead letter",
				"not found": "No trace of nobody",
				"redrive":   "96 will be sent to the events queue", "begun": "The redrive has begun",
				"redriven": "96 dead letters with 96 events sent again", "drop": "Drop 24 dead letters?",
				"wrong number": "Type the number 24 to confirm",
				"deleted":      "24 dead letters with 24 events deleted"}
			for _, w := range pages {
				if want := wants[w.Page]; !strings.Contains(w.Text, want) || want == "" {
					t.Errorf("%s does not say %q: %s", w.Page, want, w.Text)
				}
				delete(wants, w.Page)
				if len(w.Console)+len(w.Elsewhere)+len(w.Violations) > 0 {
					t.Errorf("%s: console %q, requests to elsewhere %q, axe %q", w.Page, w.Console, w.Elsewhere, w.Violations)
				}
				if w.Width > w.Screen {
					t.Errorf("%s is %d wide on a screen of %d", w.Page, w.Width, w.Screen)
				}
				if w.Page == "payload" && (!strings.HasSuffix(w.File, ".ndjson") || strings.Count(w.Exported, "\n") != 1 ||
					!strings.Contains(w.Exported, `"deadLetter":{"id":"id/`)) {
					t.Errorf("saved %s: %q", w.File, w.Exported)
				}
			}
			if len(wants) > 0 {
				t.Errorf("these pages were not seen: %v", wants)
			}
			if st, dead := p.events.Stats(), p.dead.Stats(); st.Visible != 96 || dead.Visible+dead.InFlight != 0 {
				t.Errorf("sent %+v, left %+v", st, dead)
			}
			if files, err := filepath.Glob(filepath.Join(p.actions.Dir, "*.ndjson")); err != nil || len(files) != 1 {
				t.Errorf("files of what was deleted: %v, %v", files, err)
			} else if lines, err := os.ReadFile(files[0]); err != nil || slices.Index(lines, '\n') < 0 ||
				strings.Count(string(lines), "\n") != 24 {
				t.Errorf("the file has %d lines: %v", strings.Count(string(lines), "\n"), err)
			}
		})
	}
}
