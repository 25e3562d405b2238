package terminal

import (
	"slices"
	"testing"
)

func TestWrapBreaksLinesBetweenWords(t *testing.T) {
	for text, want := range map[string][]string{
		"":                      {""},
		"none":                  {"none"},
		"0123456789 1":          {"0123456789", "1"},
		"one two three":         {"one two", "three"},
		"http://localhost:9324": {"http://loc", "alhost:932", "4"},
	} {
		if got := Wrap(text, 10); !slices.Equal(got, want) {
			t.Errorf("%q is wrapped into %q, want %q", text, got, want)
		}
	}
}
