package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spillwayhq/spillway/cmd/spillway/interrupt"
	"github.com/spillwayhq/spillway/infra/local/drill"
)

func TestAWrongDrillIsRefusedBeforeItIsPlayed(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"--scenario nope", `unknown scenario "nope" (known: incident, segment-down-3-days,`},
		{"--seed x", `--seed must be a whole number, 0 or more, is "x"`},
		{"--seed -1", `--seed must be a whole number, 0 or more, is "-1"`},
		{"--rate 0", "--rate must be between 0.1 and 10000 events/s, is 0"},
		{"--rate -5", "must be between 0.1 and 10000 events/s, is -5"},
		{"--rate 1e12", "must be between 0.1 and 10000 events/s, is 1e+12"},
		{"--rate NaN", "must be between 0.1 and 10000 events/s, is NaN"},
		{"--rate many", `--rate must be a number, is "many"`},
		{"--out " + filepath.Join(t.TempDir(), "none", "x.html"), "no such file or directory: name another file with --out"},
		{"--out " + t.TempDir(), "is a directory: name another file with --out"},
		{"--out=", "--out must not be empty"},
		{"incident", "takes no arguments"},
	} {
		out, _, err := spillway(t.Context(), "", append([]string{"drill"}, strings.Fields(c.args)...)...)
		if err == nil || !strings.Contains(err.Error(), c.want) || out != "" {
			t.Errorf("drill %s: printed %q, error %v, want %q", c.args, out, err, c.want)
		}
	}
}

func TestADrillListsEveryScenario(t *testing.T) {
	out, _, err := spillway(t.Context(), "", "drill", "--list")
	if err != nil {
		t.Fatal(err)
	}
	text, _, err := spillway(t.Context(), "", "drill", "--list", "--json")
	if err != nil {
		t.Fatal(err)
	}
	var listed []struct{ Name, Title string }
	if err := json.Unmarshal([]byte(text), &listed); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	for i, s := range drill.Scenarios() {
		if !strings.Contains(out, s.Name+" ") || !strings.Contains(out, s.Title) {
			t.Errorf("the list lacks %s: %s\n%s", s.Name, s.Title, out)
		}
		if i >= len(listed) || listed[i].Name != s.Name || listed[i].Title != s.Title {
			t.Errorf("the list as JSON lacks %s: %s", s.Name, text)
		}
	}
}

func TestAnInterruptedDrillEndsAndLeavesNoFile(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(interrupt.Err)
	dir := t.TempDir()
	kept, fresh := filepath.Join(dir, "kept.html"), filepath.Join(dir, "fresh.html")
	if err := os.WriteFile(kept, []byte("an earlier report"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{kept, fresh} {
		if _, _, err := spillway(ctx, "", "drill", "--out", file); err == nil || err.Error() != "interrupted" {
			t.Errorf("%s: %v", file, err)
		}
	}
	if text, err := os.ReadFile(kept); string(text) != "an earlier report" {
		t.Errorf("the earlier report is %q, %v", text, err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) != 1 {
		t.Errorf("there are %v", left)
	}
}

func TestADrillWritesItsResultAndItsPage(t *testing.T) {
	if testing.Short() {
		t.Skip("it plays a drill: run it without -short")
	}
	t.Parallel()
	page := filepath.Join(t.TempDir(), "report.html")
	out, _, err := spillway(t.Context(), "", "drill", "--scenario", "deployment", "--rate", "0.1", "--json", "--out", page)
	var r drill.Result
	if jsonErr := json.Unmarshal([]byte(out), &r); jsonErr != nil {
		t.Fatalf("%v, %v: %s", err, jsonErr, out)
	}
	if (err == nil) != (len(r.Broken) == 0) {
		t.Errorf("error %v, broken promises %q", err, r.Broken)
	}
	if r.Events.Accepted < 500 || r.Events.Lost != 0 {
		t.Errorf("%+v", r.Events)
	}
	html, err := os.ReadFile(page)
	if err != nil || !strings.Contains(string(html), r.Title) ||
		!strings.HasSuffix(strings.TrimSpace(string(html)), "</html>") {
		t.Errorf("a page of %d bytes, %v", len(html), err)
	}
}
