package report

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/spillwayhq/spillway/infra/local/drill"
	"github.com/spillwayhq/spillway/integration/testutil/browser"
)

var (
	everyScreen = flag.Bool("every-screen", false, "look at the page as every reader, and not only as one of them")
	resultFile  = flag.String("result", "", "look at the page of the result in this JSON `file` too")
)

// look opens pages in Chromium as readers do.
func look(t *testing.T, pages map[string]*drill.Result, readers ...string) []browser.Seen {
	t.Helper()
	dir := t.TempDir()
	var files []string
	for name, r := range pages {
		file := filepath.Join(dir, name+".html")
		if err := os.WriteFile(file, []byte(write(t, r)), 0o600); err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	return browser.Run[browser.Seen](t, "look.mjs", []string{"READERS=" + strings.Join(readers, ",")}, files...)
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
		s.Check(t)
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
