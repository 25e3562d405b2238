package main

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestAReleaseNeedsAVersionAndASource(t *testing.T) {
	out := filepath.Join(t.TempDir(), "a.zip")
	for version, want := range map[string]string{
		"":         "give the version: go run ./infra/release -version v1.2.3 -o FILE",
		"../v1":    `the version must be like v1.2.3, is "../v1"`,
		"v1.2.3 x": `the version must be like v1.2.3, is "v1.2.3 x"`,
		"v1.2.3":   "read which Go builds the functions",
	} {
		if err := run(version, out, t.TempDir()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("version %q: %v, want an error with %q", version, err, want)
		}
	}
}
