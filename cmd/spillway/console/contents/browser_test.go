package contents

import (
	"flag"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/integration/testutil/browser"
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
			pages := browser.Run[walked](t, "walk.mjs", []string{"BASE=" + server.URL, "READER=" + reader})
			wants := map[string]string{"list": "120 dead letters, 120 events", "older": "Go to the newest",
				"filtered": "id/1 rejected",
				"one":      "What to do Segment rejected the event", "payload": `"messageId": "m-`, "find": "dead letter",
				"not found": "No trace of nobody",
				"redrive":   "96 will be sent again", "begun": "The redrive has begun",
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
			if st, dead := p.bulk.Stats(), p.dead.Stats(); st.Visible != 96 || dead.Visible+dead.InFlight != 0 {
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
