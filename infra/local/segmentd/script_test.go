package segmentd

import (
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestAScriptSurvivesJSON(t *testing.T) {
	script := Script{Seed: 7, Rules: []Rule{
		{Match: Match{Path: "/v1/batch", WriteKey: "k", MessageID: "m"}, Status: 400, Accept: true},
		{From: Moment{After: 10 * time.Second}, Until: Moment{At: time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)},
			Fault: FaultReset, Times: 3, Percent: 12.5},
		{Latency: Duration(50 * time.Millisecond), Jitter: Duration(time.Second), Statuses: []int{500, 200}},
		{EventsPerSecond: 100, RetryAfter: Duration(time.Minute), RetryAfterDate: true},
		{Fault: FaultSlowBody, Over: Duration(2 * time.Second), Status: 503},
	}}
	text, err := json.Marshal(script)
	if err != nil {
		t.Fatal(err)
	}
	got, err := readScript(strings.NewReader(string(text)))
	if err != nil || !reflect.DeepEqual(got, script) {
		t.Errorf("%v\n got %+v\nwant %+v\nJSON %s", err, got, script, text)
	}
	if err := New(Options{}).SetScript(got); err != nil {
		t.Error(err)
	}
}

func TestEmptyFieldsOfARuleAreNotWritten(t *testing.T) {
	text, err := json.Marshal(Script{Rules: []Rule{{Latency: Duration(time.Second)}}})
	if want := `{"rules":[{"latency":"1s"}]}`; err != nil || string(text) != want {
		t.Errorf("%v, got %s, want %s", err, text, want)
	}
}

func TestAnInvalidScriptIsRefusedWithWhatIsAllowed(t *testing.T) {
	for _, tc := range []struct{ script, want string }{
		{`{"rules":[{}]}`, "rule 1: it does nothing"},
		{`{"rules":[{"status":500},{"status":99}]}`, "rule 2: status must be 200 to 599, is 99"},
		{`{"rules":[{"statuses":[500,600]}]}`, "status must be 200 to 599, is 600"},
		{`{"rules":[{"statuses":[500,0]}]}`, "statuses[1] must be 200 to 599, is 0"},
		{`{"rules":[{"status":500,"statuses":[500]}]}`, "only one of"},
		{`{"rules":[{"fault":"explode"}]}`, `unknown fault "explode" (known: reset`},
		{`{"rules":[{"fault":"reset","status":500}]}`, "can't have status"},
		{`{"rules":[{"fault":"slow_body"}]}`, "need each other"},
		{`{"rules":[{"status":500,"over":"1s"}]}`, "need each other"},
		{`{"rules":[{"status":500,"percent":101}]}`, "at most 100 (or left out for every request), is 101"},
		{`{"rules":[{"status":500,"times":-1}]}`, "times must be at least 1 (or left out for no limit), is -1"},
		{`{"rules":[{"eventsPerSecond":-1}]}`, "eventsPerSecond must be above 0, is -1"},
		{`{"rules":[{"latency":"-1s"}]}`, "latency must be a duration from 0 to a few years, is -1s"},
		{`{"rules":[{"latency":"2000000h"}]}`, "latency must be a duration from 0 to a few years, is 2000000h"},
		{`{"rules":[{"status":429,"retryAfter":"1.5s"}]}`, "whole seconds"},
		{`{"rules":[{"status":429,"retryAfterDate":true}]}`, "retryAfterDate needs retryAfter"},
		{`{"rules":[{"status":500,"from":"10s","until":"5s"}]}`, "until (5s) is not after from (10s)"},
		{`{"rules":[{"status":500,"from":"2026-11-23T10:00:00Z","until":"2026-11-23T09:00:00Z"}]}`, "is not after from"},
		{`{"rules":[{"latency":"soon"}]}`, `"soon" must be a duration`},
		{`{"rules":[{"latency":50}]}`, "latency"},
		{`{"rules":[{"status":500,"until":"tomorrow"}]}`, `"tomorrow" must be a duration from now`},
		{`{"rules":[{"statos":500}]}`, "statos"},
		{`{"rules":[]} {}`, "unexpected data"},
		{`[]`, "read script"},
		{``, "it is empty; an example:"},
	} {
		script, err := readScript(strings.NewReader(tc.script))
		if err == nil {
			err = New(Options{}).SetScript(script)
		}
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", tc.script, err, tc.want)
		}
	}
	if err := New(Options{}).SetScript(Script{Rules: []Rule{{Status: 500, Percent: math.NaN()}}}); err == nil {
		t.Error("an invalid percentage was accepted")
	}
}

func TestAScriptThatIsNoScriptIsRefusedInTheWordsOfJSON(t *testing.T) {
	for script, want := range map[string]string{
		`{"rules":[{"status":"503"}]}`:              "rules.status must be a whole number, is a string",
		`{"rules":[{"status":503.5}]}`:              "rules.status must be a whole number, is 503.5",
		`{"rules":[{"statuses":503}]}`:              "rules.statuses must be an array, is a number",
		`{"rules":{"status":503}}`:                  "rules must be an array, is an object",
		`{"rules":["x"]}`:                           "rules must be an object, is a string",
		`[1]`:                                       "the script must be an object, is an array",
		`{"seed":-1}`:                               "seed must be a whole number above or equal to 0, is -1",
		`{"rules":[{"percent":true}]}`:              "rules.percent must be a number, is true or false",
		`{"rules":[{"accept":"yes"}]}`:              "rules.accept must be true or false, is a string",
		`{"rules":[{"fault":7}]}`:                   "rules.fault must be a string, is a number",
		`{"rules":[{"match":"m1"}]}`:                "rules.match must be an object, is a string",
		`{"rules":[{"match":{"messageId":7}}]}`:     "rules.match.messageId must be a string, is a number",
		`{"rules":[{"latency":5}]}`:                 `rules.latency must be a duration like "250ms" or "1m30s", is a number`,
		`{"rules":[{"until":5,"status":503}]}`:      `rules.until must be a duration from now like "30s", or a time like`,
		`{"rules":[{"sttus":503}]}`:                 `unknown field "sttus"`,
		`{"rules":[{"until":"soon","status":503}]}`: `"soon" must be a duration from now`,
	} {
		_, err := readScript(strings.NewReader(script))
		if err == nil || !strings.HasPrefix(err.Error(), "read script: "+want) {
			t.Errorf("%s: %v, want %q", script, err, want)
		}
	}
}

func TestAllMistakesAreNamedAndTheOldScriptRemains(t *testing.T) {
	s := New(Options{})
	setScript(t, s, Rule{Status: 503})
	err := s.SetScript(Script{Rules: []Rule{{Status: 1}, {Times: -1, Status: 2}}})
	for _, want := range []string{"rule 1: status must be 200 to 599, is 1",
		"rule 2: times must be at least 1 (or left out for no limit), is -1", "rule 2: status must be 200 to 599, is 2"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v lacks %q", err, want)
		}
	}
	wantStatus(t, post(t, s, "/v1/batch", tracks(1)), 503)
}

func TestTheReturnedScriptIsACopy(t *testing.T) {
	s := New(Options{})
	mine := []int{500}
	setScript(t, s, Rule{Statuses: mine})
	mine[0] = 501
	set, since := s.Script()
	set.Rules[0].Statuses[0] = 502
	if since.IsZero() {
		t.Error("it does not say since when")
	}
	wantStatus(t, post(t, s, "/v1/batch", tracks(1)), 500)
	if got, since := New(Options{}).Script(); !since.IsZero() || got.Rules == nil || len(got.Rules) != 0 {
		t.Errorf("a normal server has the script %+v", got)
	}
}
