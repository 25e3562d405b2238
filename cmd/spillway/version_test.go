package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/spillwayhq/spillway/shared/version"
)

func TestTheVersionIsAVerbAndAFlag(t *testing.T) {
	t.Parallel()
	for _, arg := range []string{"version", "--version"} {
		var out bytes.Buffer
		root := newRoot()
		root.SetOut(&out)
		root.SetArgs([]string{arg})
		if err := root.Execute(); err != nil {
			t.Fatal(err)
		}
		if got := out.String(); !strings.HasPrefix(got, "spillway ") || !strings.Contains(got, version.String()+" (go") {
			t.Errorf("%s prints %q", arg, got)
		}
	}
}
