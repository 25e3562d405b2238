package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

func TestTheVersionIsTheTagOrTheCommit(t *testing.T) {
	folder := t.TempDir()
	git := func(args ...string) {
		t.Helper()
		command := exec.Command("git", append([]string{"-c", "user.name=n", "-c", "user.email=e@example.com"}, args...)...)
		command.Dir = folder
		if out, err := command.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	check := func(what, pattern string) {
		t.Helper()
		if got := describe(t.Context(), folder); !regexp.MustCompile("^" + pattern + "$").MatchString(got) {
			t.Errorf("%s: the version is %q, want %s", what, got, pattern)
		}
	}
	check("no repository", "devel.*")
	git("init", "-q")
	file := filepath.Join(folder, "file")
	if err := os.WriteFile(file, []byte("1"), 0o600); err != nil {
		t.Fatal(err)
	}
	git("add", "file")
	git("commit", "-qm", "Begin")
	check("a commit", "devel-[0-9a-f]{12}")
	git("tag", "v0.3.0")
	check("a tag", `v0\.3\.0`)
	if err := os.WriteFile(file, []byte("2"), 0o600); err != nil {
		t.Fatal(err)
	}
	check("a tag with changes", `(v0\.3\.0-changed|devel-[0-9a-f]{12}-changed)`)
	git("commit", "-qam", "Go on")
	check("a commit behind a tag", "devel-[0-9a-f]{12}")
}
