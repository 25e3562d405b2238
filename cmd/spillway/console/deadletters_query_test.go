package console

import (
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/cmd/spillway/dlq"
	"github.com/spillwayhq/spillway/shared/message"
)

func FuzzDeadLetterQuery(f *testing.F) {
	for _, seed := range []string{"",
		"reason=rejected&reason=invalid&key=shop&event=A%20B&user=u&id=x/1&older=2h&newer=24h&before=abc",
		"older=3h&newer=2h", "older=-1s", "before=zzzzzzzzzzzzzzzzzzzz", "older=1e9h", "reason=%00&user=%ff",
		"key=+&key=x&key=x", "newer=1ns&older=0"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		values, _ := url.ParseQuery(raw)
		q, err := parseDeadQuery(values)
		if q.Limit != deadRows {
			t.Errorf("a limit of %d", q.Limit)
		}
		for _, field := range deadFields {
			if n := len(*field.of(&q.Selection)); n > maxValues {
				t.Errorf("%d values of %s", n, field.name)
			}
		}
		_ = inWords(q.Selection) + q.Flags()
		if err != nil {
			return
		}
		if _, err := q.Filter(func(k string) string { return k }); err != nil {
			t.Errorf("what was parsed is no filter: %v", err)
		}
		again, err := parseDeadQuery(deadValues(q.Selection))
		if err != nil || !reflect.DeepEqual(again.Selection, q.Selection) {
			t.Errorf("%q becomes %+v, its address %+v (%v)", raw, q.Selection, again.Selection, err)
		}
	})
}

func TestAReasonIsTakenAsItIsAndWhatPeopleTypeWithoutSpaceAroundIt(t *testing.T) {
	q, err := parseDeadQuery(url.Values{"reason": {" of another program\n"}, "user": {" u "}, "event": {"  "}})
	want := dlq.Selection{Reasons: []string{" of another program\n"}, Users: []string{"u"}}
	if err != nil || !reflect.DeepEqual(q.Selection, want) {
		t.Errorf("%+v, %v", q.Selection, err)
	}
}

func TestASelectionIsSaidInWordsAndAsFlags(t *testing.T) {
	for _, c := range []struct {
		s            dlq.Selection
		words, flags string
	}{
		{dlq.Selection{}, "", ""},
		{dlq.Selection{OlderThan: 2 * time.Hour}, "older than 2h", " --older-than=2h0m0s"},
		{dlq.Selection{Reasons: []string{"rejected", "moved by SQS"}, Users: []string{"it's"}, NewerThan: 90 * time.Minute},
			"with the reason rejected or moved by SQS and the user it's, newer than 1h30m",
			` --reason=rejected --reason='moved by SQS' --user='it'\''s' --newer-than=1h30m0s`},
	} {
		if got := inWords(c.s); got != c.words {
			t.Errorf("in words %q, want %q", got, c.words)
		}
		if got := c.s.Flags(); got != c.flags {
			t.Errorf("as flags %q, want %q", got, c.flags)
		}
	}
}

func TestEveryReasonHasAnAdvice(t *testing.T) {
	for _, reason := range message.Reasons() {
		if _, ok := advices[reason]; !ok {
			t.Errorf("the reason %s has none", reason)
		}
	}
	if a := adviceFor("of another version"); !strings.Contains(a.Means, "does not know") {
		t.Errorf("%+v", a)
	}
}

func TestTheNumberToTypeMayHaveSeparators(t *testing.T) {
	for text, want := range map[string]string{"1,234": "1234", " 1 234 ": "1234", "1234": "1234", "": "",
		"yes": "", "-1": ""} {
		if got := digits(text); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}

func TestAStorySaysWhereAnEventIsNow(t *testing.T) {
	at := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	step := func(minutes int, where, outcome, id string) Sighting {
		return Sighting{Sample: Sample{At: at.Add(time.Duration(minutes) * time.Minute), Outcome: outcome, MessageID: id},
			Where: where}
	}
	for name, c := range map[string]struct {
		steps []Sighting
		want  string
	}{
		"nothing but a retry": {[]Sighting{step(1, InSamples, OutcomeRetried, "m")}, ""},
		"retried and delivered": {[]Sighting{step(2, InSamples, OutcomeDelivered, "m"),
			step(1, InSamples, OutcomeRetried, "m")}, AtSegment},
		"in the emulator": {[]Sighting{step(1, AtSegment, OutcomeDelivered, "m")}, AtSegment},
		"retried, waits": {[]Sighting{step(1, InSamples, OutcomeRetried, "m"), step(0, InQueue, "", "m")},
			InQueue},
		"a dead letter": {[]Sighting{step(1, InDeadQueue, OutcomeDeadLettered, "m")}, InDeadQueue},
		"a dead letter that is sent again": {[]Sighting{step(1, InSamples, OutcomeDeadLettered, "m"),
			step(2, InQueue, "", "m")}, InQueue},
	} {
		s := NewStory("m", c.steps, nil, MaxStory)
		if len(s.Events) != 1 || s.Events[0].IsIn != c.want || len(s.Events[0].Steps) != len(c.steps) {
			t.Errorf("%s: %+v, want %q", name, s.Events, c.want)
		}
		for i, e := range s.Events[0].Steps[1:] {
			if e.At.Before(s.Events[0].Steps[i].At) {
				t.Errorf("%s: the steps are not in their order", name)
			}
		}
	}
	var many []Sighting
	for i := range 50 {
		many = append(many, step(i, InSamples, OutcomeDelivered, string(rune('A'+i))))
	}
	many = append(many, step(0, InQueue, "", ""), step(0, InQueue, "", ""))
	if s := NewStory("u", many, nil, MaxStory); len(s.Events) != MaxStory || s.More != 52-MaxStory ||
		!s.Events[0].At.After(s.Events[1].At) {
		t.Errorf("%d events and %d more", len(s.Events), s.More)
	}
}
