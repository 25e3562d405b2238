package upsource

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/shared/deliver"
	"github.com/spillwayhq/spillway/shared/heavy"
	"github.com/spillwayhq/spillway/shared/ingest"
)

var noon = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)

// line is what a part wrote so many minutes before noon, about the minute before. An entry is a
// word: fingerprint=events, or fingerprint=events/code; ingest knows names, which are like the
// fingerprints.
func line(part string, minutes int, entries ...string) heavy.Line {
	at := noon.Add(-time.Duration(minutes) * time.Minute)
	l := heavy.Line{Part: part, Time: at, From: at.Add(-time.Minute)}
	for _, word := range entries {
		e := heavy.Entry{By: heavy.ByWriteKey}
		id, rest, _ := strings.Cut(word, "=")
		events, code, _ := strings.Cut(rest, "/")
		if _, err := fmt.Sscan(events, &e.Events); err != nil {
			panic(err)
		}
		if e.Name, e.Code = id, code; part == heavy.PartIngest && id != "any" {
			e.Name, e.ID = "name of "+id, id
		}
		l.Heaviest = append(l.Heaviest, e, heavy.Entry{By: heavy.ByEvent, Name: "Run", Events: 1})
	}
	return l
}

func TestAWriteKeyHasItsRateItsQuotaAndItsLastEvent(t *testing.T) {
	for name, c := range map[string]struct {
		usage usage
		want  []string
	}{
		"nothing was sent": {usage{}, nil},
		"a document's keys, used or not": {
			usage{keys: []ingest.Key{{Name: "app", ID: "a", Disabled: true}, {Name: "web", ID: "w", Quota: 50, Burst: 9}},
				lines: []heavy.Line{line(heavy.PartIngest, 0, "w=600", "w=7/quota_exceeded", "a=2/source_disabled")}},
			[]string{"app a disabled rate 0.0 last 12:00 refused 2", "web w quota 50/9 rate 10.0 last 12:00 refused 7"}},
		"an event that came through ingest counts once": {
			usage{lines: []heavy.Line{line(heavy.PartIngest, 0, "w=60"), line(heavy.PartDeliver, 0, "w=60")}},
			[]string{"name of w w rate 1.0 last 12:00 refused 0"}},
		"one from the queue counts too, whatever became of it": {
			usage{lines: []heavy.Line{line(heavy.PartDeliver, 0, "q=60", "q=60/retried/transient")}},
			[]string{" q rate 2.0 last 12:00 refused 0"}},
		"the rate is that of the last minutes": {
			usage{lines: []heavy.Line{line(heavy.PartDeliver, 20, "q=9000"), line(heavy.PartDeliver, 3, "q=240")}},
			[]string{" q rate 1.0 last 11:57 refused 0"}},
		"refused are those of the hour": {
			usage{lines: []heavy.Line{line(heavy.PartIngest, 50, "w=1/invalid_json"),
				line(heavy.PartIngest, 3, "w=2/invalid_json")}},
			[]string{"name of w w rate 0.0 last 11:57 refused 3"}},
		"a sample knows the second": {
			usage{lines: []heavy.Line{line(heavy.PartDeliver, 0, "q=60")}, seen: map[string]time.Time{
				"q": noon.Add(-30 * time.Second), "other": noon}},
			[]string{" q rate 1.0 last 11:59:30 refused 0"}},
		"an older sample does not": {
			usage{lines: []heavy.Line{line(heavy.PartDeliver, 0, "q=60")},
				seen: map[string]time.Time{"q": noon.Add(-time.Hour)}},
			[]string{" q rate 1.0 last 12:00 refused 0"}},
		"paused": {
			usage{lines: []heavy.Line{line(heavy.PartDeliver, 0, "q=60")}, pauses: map[string]deliver.Pause{
				"q": {Key: "q", Why: "Segment throttles it"}}},
			[]string{" q rate 1.0 last 12:00 refused 0 paused: Segment throttles it"}},
		"the busiest first": {
			usage{lines: []heavy.Line{line(heavy.PartDeliver, 0, "a=60", "b=120", heavy.Unknown+"=9")}},
			[]string{" b rate 2.0 last 12:00 refused 0", " a rate 1.0 last 12:00 refused 0"}},
		"a name that the page knows": {
			usage{lines: []heavy.Line{line(heavy.PartDeliver, 0, "a=60")}, names: map[string]string{"a": "made up"}},
			[]string{"made up a rate 1.0 last 12:00 refused 0"}},
	} {
		u := c.usage
		u.at = noon
		var got []string
		for _, k := range u.writeKeys() {
			text := k.Name + " " + k.ID
			if k.Disabled {
				text += " disabled"
			}
			if k.Quota > 0 {
				text += fmt.Sprintf(" quota %g/%g", k.Quota, k.Burst)
			}
			text += fmt.Sprintf(" rate %.1f last %s refused %d", k.Rate, strings.TrimSuffix(k.Last.Format(time.TimeOnly), ":00"),
				k.Refused)
			if k.Paused != "" {
				text += " paused: " + k.Paused
			}
			got = append(got, text)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s:\n%q, want\n%q", name, got, c.want)
		}
	}
}

func TestTheWriteKeysThatAnybodyMakesUpAreBounded(t *testing.T) {
	u := usage{at: noon}
	for i := range 5000 {
		u.lines = append(u.lines, line(heavy.PartDeliver, 0, fmt.Sprint("key", i, "=1")))
	}
	if got := u.writeKeys(); len(got) != maxUsed {
		t.Errorf("there are %d", len(got))
	}
}
