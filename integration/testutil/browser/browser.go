// Package browser opens pages in Chromium for tests: with a script that uses browser.mjs, which
// knows the readers of our pages, and what is asked of every page.
package browser

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// install says how to get what the tests need.
const install = "the page is looked at in a browser: apt-get install nodejs npm chromium (Node.js 20 or later), then " +
	"npm ci in integration/sdks"

// timeout is how long a script may take: pages on a busy machine.
const timeout = 4 * time.Minute

// Run runs a script of the package's testdata with Node.js and returns the lines that it writes,
// each a JSON object. Where Chromium or the modules are missing it skips the test; with
// SPILLWAY_REQUIRE_SDKS=1 it fails it.
func Run[T any](t testing.TB, script string, env []string, args ...string) []T {
	t.Helper()
	_, file, _, _ := runtime.Caller(0)
	here := filepath.Dir(file)
	modules := filepath.Join(here, "..", "..", "sdks")
	chromium := cmp.Or(os.Getenv("CHROMIUM"), "/usr/bin/chromium")
	for _, needed := range []string{chromium, filepath.Join(modules, "node_modules", "playwright-core"),
		filepath.Join(modules, "node_modules", "axe-core")} {
		if _, err := os.Stat(needed); err != nil {
			if os.Getenv("SPILLWAY_REQUIRE_SDKS") == "1" {
				t.Fatalf("%s (%v)", install, err)
			}
			t.Skipf("%s (%v)", install, err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", append([]string{filepath.Join("testdata", script)}, args...)...)
	cmd.Env = append(append(os.Environ(), "CHROMIUM="+chromium, "MODULES="+modules), env...)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		t.Fatalf("node %s: %v\n%s\nafter %s", script, err, errs.String(), lines[len(lines)-1])
	}
	var all []T
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var one T
		if err := d.Decode(&one); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatalf("node %s: what it writes can't be read: %v\n%s", script, err, out)
		}
		all = append(all, one)
	}
}

// Seen is what is asked of every page.
type Seen struct {
	Page, Reader  string
	Console       []string // what the page says there
	Requests      []string // what it asks elsewhere for
	Violations    []string // what axe-core finds
	Width, Screen int      // of the page and of the window, in pixels
	Background    string
	Smallest      float64 // size of a text in a drawing, in pixels; 0: there is none
}

// Check reports what no page of ours may have.
func (s Seen) Check(t testing.TB) {
	t.Helper()
	who := s.Page + " on " + s.Reader
	if len(s.Console) > 0 {
		t.Errorf("%s: the console says %q", who, s.Console)
	}
	if len(s.Requests) > 0 {
		t.Errorf("%s: it asks for %q", who, s.Requests)
	}
	for _, v := range s.Violations {
		t.Errorf("%s: %s", who, v)
	}
	if s.Width > s.Screen {
		t.Errorf("%s: it is %d pixels wide, and the screen %d", who, s.Width, s.Screen)
	}
	// --page of our theme.
	if dark := strings.Contains(s.Reader, "dark"); dark != (s.Background == "rgb(13, 18, 25)") {
		t.Errorf("%s: its background is %s", who, s.Background)
	}
	if s.Smallest > 0 && s.Smallest < 8 {
		t.Errorf("%s: a text of a drawing has %v pixels", who, s.Smallest)
	}
}
