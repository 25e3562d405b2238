package drill

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/spillwayhq/spillway/infra/local/drill/old"
)

func TestAListInTheJSONIsNeverNull(t *testing.T) {
	r := &Result{Alarms: []Alarm{{Name: "silent"}}, Old: old.Play(day, nil, old.Sized(1))}
	data, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var null []string
	for field := range strings.SplitSeq(string(data), ",") {
		if name, is := strings.CutSuffix(strings.TrimRight(field, "}]"), ":null"); is {
			null = append(null, name[strings.LastIndexByte(name[:len(name)-1], '"'):])
		}
	}
	slices.Sort(null)
	// Moments, durations, and counts of which there is no kind.
	want := []string{`"deadLettered"`, `"drainSeconds"`, `"drainedAt"`, `"fullAt"`, `"mustFireBy"`, `"mustFireFrom"`,
		`"name"`, `"refused"`}
	if !slices.Equal(null, want) {
		t.Errorf("null are %v, want %v", null, want)
	}
	if r.Alarms[0].Firings != nil || r.Broken != nil {
		t.Error("writing the JSON has changed the result")
	}
}
