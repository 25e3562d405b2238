package report

import (
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/infra/local/drill"
)

var (
	everyScreen = flag.Bool("every-screen", false, "look at the page as every reader, and not only as one of them")
	resultFile  = flag.String("result", "", "look at the page of the result in this JSON `file` too")
)

// seen is what look.mjs found on a page.
type seen struct {
	Page, Reader                  string
	Console, Requests, Violations []string
	Width, Screen                 int
	Background                    string
	Smallest                      float64
}

// look opens pages in Chromium, or skips the test where it or the modules are missing; with
// SPILLWAY_REQUIRE_SDKS=1 it fails the test.
func look(t *testing.T, pages map[string]*drill.Result, readers ...string) []seen {
	t.Helper()
	modules, err := filepath.Abs(filepath.FromSlash("../../../../integration/sdks"))
	if err != nil {
		t.Fatal(err)
	}
	chromium := cmp.Or(os.Getenv("CHROMIUM"), "/usr/bin/chromium")
	for _, needed := range []string{chromium, filepath.Join(modules, "node_modules", "playwright-core"),
		filepath.Join(modules, "node_modules", "axe-core")} {
		if _, err := os.Stat(needed); err != nil {
			const install = "the page is looked at in a browser: apt-get install nodejs npm chromium (Node.js 20 or later), " +
				"then npm ci " +
				"in integration/sdks"
			if os.Getenv("SPILLWAY_REQUIRE_SDKS") == "1" {
				t.Fatalf("%s (%v)", install, err)
			}
			t.Skipf("%s (%v)", install, err)
		}
	}
	dir := t.TempDir()
	args := []string{filepath.Join("testdata", "look.mjs")}
	for name, r := range pages {
		file := filepath.Join(dir, name+".html")
		if err := os.WriteFile(file, []byte(write(t, r)), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, file)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", args...)
	cmd.Env = append(os.Environ(), "CHROMIUM="+chromium, "MODULES="+modules, "READERS="+strings.Join(readers, ","))
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("node %s: %v\n%s", args[0], err, errs.String())
	}
	var all []seen
	for line := range strings.Lines(string(out)) {
		var s seen
		if err := json.Unmarshal([]byte(line), &s); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		all = append(all, s)
	}
	return all
}

func TestThePageIsReadableOnEveryScreen(t *testing.T) {
	t.Parallel()
	long := sample()
	spoil(reflect.ValueOf(long), strings.Repeat("unbroken", 40))
	pages := map[string]*drill.Result{"sample": sample(), "long": long}
	if *resultFile != "" {
		pages["result"] = readResult(t, *resultFile)
	}
	readers := []string{"dark phone"}
	if *everyScreen {
		readers = append(readers, "desktop", "dark", "phone", "print")
	}
	all := look(t, pages, readers...)
	if want := len(readers) * len(pages); len(all) != want {
		t.Fatalf("%d pages were looked at, want %d", len(all), want)
	}
	for _, s := range all {
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
		if dark := strings.HasPrefix(s.Reader, "dark"); dark != (s.Background == "rgb(13, 18, 25)") {
			t.Errorf("%s: its background is %s", who, s.Background)
		}
		if s.Smallest < 8 {
			t.Errorf("%s: a text of a chart has %v pixels", who, s.Smallest)
		}
	}
}

func readResult(t *testing.T, name string) *drill.Result {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	r := new(drill.Result)
	if err := json.Unmarshal(data, r); err != nil {
		t.Fatalf("read the result in %s: %v", name, err)
	}
	return r
}
