// Package policytest reads a policy that stands on a page of docs, for tests that hold it against the
// calls that are made.
package policytest

import (
	"encoding/json"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

// oneOrMore is a string, or several.
type oneOrMore []string

func (o *oneOrMore) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*o = oneOrMore{one}
		return nil
	}
	return json.Unmarshal(data, (*[]string)(o))
}

// Actions returns the actions that the first policy below a heading of a page allows, sorted.
func Actions(t testing.TB, path, heading string) []string {
	t.Helper()
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, below, found := strings.Cut(string(page), "\n"+heading+"\n")
	_, block, is := strings.Cut(below, "\n    {\n")
	text, _, _ := strings.Cut(block, "\n    }\n")
	var policy struct {
		Statement []struct {
			Sid, Effect      string
			Action, Resource oneOrMore
		}
	}
	if err := json.Unmarshal([]byte("{"+text+"}"), &policy); err != nil || !found || !is {
		t.Fatalf("%s has no policy below %q: %v", path, heading, err)
	}
	actions := map[string]bool{}
	for _, s := range policy.Statement {
		if s.Effect != "Allow" || len(s.Resource) == 0 {
			t.Errorf("the statement %s allows nothing", s.Sid)
		}
		for _, a := range s.Action {
			actions[a] = true
		}
	}
	return slices.Sorted(maps.Keys(actions))
}
