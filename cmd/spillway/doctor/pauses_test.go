package doctor

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/shared/operator"
)

var byAnn = operator.Mark{Since: time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC), By: "ann", Reason: "Segment migrates"}

func TestWhatIsPausedIsSaidWithWhoAndWhy(t *testing.T) {
	for name, c := range map[string]struct {
		state string
		p     pauses
		want  []string // the findings that are not ok
		do    string   // in what to do about the last
	}{
		"nothing": {"Enabled", pauses{}, nil, ""},
		"delivery": {"Disabled", pauses{delivery: read[operator.Mark]{value: byAnn}},
			[]string{"warning event source: it is disabled", "warning bulk event source: it is disabled", "warning paused: delivery has been paused since 2026-01-31 12:00 UTC by ann: Segment migrates"},
			"spillway resume --name spillway, once"},
		"the event source without a mark": {"Disabled", pauses{}, []string{"failed event source: it is disabled: Lambda says no reason",
			"failed bulk event source: it is disabled: Lambda says no reason"},
			"spillway resume --name spillway, unless"},
		"the mark without the event source": {"Enabled", pauses{delivery: read[operator.Mark]{value: byAnn}},
			[]string{"failed paused: delivery is marked as paused since 2026-01-31 12:00 UTC by ann: Segment migrates, and an event source of it is not"},
			"resume --name spillway, or pause"},
		"the mark, and an event source that may not be read": {"", pauses{delivery: read[operator.Mark]{value: byAnn}},
			[]string{"unknown event source: as AWS says it lambda:ListEventSourceMappings",
				"warning paused: delivery has been paused since 2026-01-31 12:00 UTC by ann: Segment migrates"}, "once"},
		"two keys": {"Enabled", pauses{keys: read[operator.Keys]{value: operator.Keys{"4e5f6071": byAnn, "0a1b2c3d": {Since: byAnn.Since}}}},
			[]string{"warning write key 0a1b2c3d: has been paused since 2026-01-31 12:00 UTC", "warning write key 4e5f6071: has been paused since 2026-01-31 12:00 UTC by ann"},
			"spillway resume --name spillway --write-key 4e5f6071, once"},
		"what may not be read": {"Disabled", pauses{delivery: read[operator.Mark]{err: code("AccessDeniedException"), permission: "ssm:GetParameter"},
			keys: read[operator.Keys]{err: errors.New("no answer")}},
			[]string{"failed event source: it is disabled", "failed bulk event source: it is disabled", "unknown paused: as AWS says it ssm:GetParameter", "unknown paused write keys: no answer"}, "again"},
	} {
		f, s := healthy()
		if s.pauses = c.p; c.state == "" {
			f.source = read[[]eventSource]{err: code("AccessDeniedException"), permission: "lambda:ListEventSourceMappings"}
		} else {
			f.source.value[0].State, f.source.value[1].State = c.state, c.state
		}
		r := diagnose(&f, &s)
		var found []Finding
		for _, f := range r.Checks {
			if f.Result != OK && f.Check != "versions" {
				found = append(found, f)
			}
		}
		if len(found) != len(c.want) {
			t.Errorf("%s: %+v, want %q", name, found, c.want)
			continue
		}
		for i, f := range found {
			if got := string(f.Result) + " " + f.Check + ": " + f.Says + " " + f.Permission; !strings.HasPrefix(got, c.want[i]) || f.Do == "" {
				t.Errorf("%s: %s → %s, want %s", name, got, f.Do, c.want[i])
			}
		}
		if len(found) > 0 && !strings.Contains(found[len(found)-1].Do, c.do) {
			t.Errorf("%s: do %s, want %s", name, found[len(found)-1].Do, c.do)
		}
	}
}

func TestAParameterThatHoldsNoMarkIsNamed(t *testing.T) {
	for _, r := range []error{
		parsed(read[string]{value: "yes"}, "/spillway/paused", operator.Parse).err,
		parsed(read[string]{value: "yes"}, "/spillway/paused", operator.ParseKeys).err,
	} {
		if r == nil || !strings.Contains(r.Error(), "the parameter /spillway/paused holds something else") ||
			!strings.Contains(r.Error(), "correct it, or delete it") {
			t.Error(r)
		}
	}
}

func TestAPauseOfUpIsNoFailureOfIt(t *testing.T) {
	s := local.Status{At: time.Now(), Paused: byAnn, Degraded: "delivery has been paused since …", PausedKeys: operator.Keys{"0a1b2c3d": byAnn}}
	got := notOK(newReport("spillway", "", judgeStatus(s, "--queue-url URL")))
	want := "warning paused: delivery has been paused since 2026-01-31 12:00 UTC by ann: Segment migrates \n" +
		"warning write key 0a1b2c3d: has been paused since 2026-01-31 12:00 UTC by ann: Segment migrates "
	if got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}
