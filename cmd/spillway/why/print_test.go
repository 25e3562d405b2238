package why

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/cmd/spillway/console"
)

var at = time.Date(2026, 11, 27, 14, 3, 21, 0, time.UTC)

// step is a sighting some seconds after at.
func step(seconds int, where, outcome, reason, answer string) console.Sighting {
	return console.Sighting{Where: where, Sample: console.Sample{At: at.Add(time.Duration(seconds) * time.Second),
		Outcome: outcome, Reason: reason, Answer: answer, Type: "track", Event: "Run Started", User: "anna", MessageID: "m1",
		Age: time.Duration(seconds) * time.Second, Receives: 1}}
}

func with(s console.Sighting, change func(*console.Sighting)) console.Sighting {
	change(&s)
	return s
}

func TestALineTellsTheStoryOfAnEvent(t *testing.T) {
	const what = `track "Run Started" user=anna messageId=m1: `
	archived := with(step(100, console.InArchive, "delivered", "", ""), func(s *console.Sighting) {
		s.Object, s.Receives = "archive/2026/11/27/14/x.ndjson.zst", 3
	})
	dead := with(step(9, console.InDeadQueue, "dead_lettered", "rejected", "400: wrong"), func(s *console.Sighting) { s.DeadLetterID = "d/0" })
	for name, c := range map[string]struct {
		steps []console.Sighting
		want  string
	}{
		"delivered after a retry": {[]console.Sighting{step(1, console.InSamples, "retried", "transient", "503: no"),
			step(100, console.InSamples, "delivered", "", ""), archived, with(step(101, console.AtSegment, "delivered", "", ""),
				func(s *console.Sighting) { s.Age = console.Unknown })},
			"2026-11-27 14:05:02 UTC delivered " + what + "accepted at 14:03:21.000; retried at 14:03:22.000 (transient: " +
				"503: no); delivered at 14:05:01.000, 1m40s after it was accepted; archived in archive/2026/11/27/14/x.ndjson.zst"},
		"known to the archive only": {[]console.Sighting{archived},
			"2026-11-27 14:05:01 UTC delivered " + what + "accepted at 14:03:21.000; delivered at 14:05:01.000 at attempt 3, " +
				"1m40s after it was accepted; archived in archive/2026/11/27/14/x.ndjson.zst"},
		"a dead letter": {[]console.Sighting{step(9, console.InArchive, "dead_lettered", "rejected", "400: wrong"), dead},
			"2026-11-27 14:03:30 UTC dead letter " + what + "accepted at 14:03:21.000; became a dead letter at 14:03:30.000 " +
				"(rejected: 400: wrong); `spillway dlq redrive --name n --id 'd/0'` sends it again"},
		"a dead letter that is gone": {[]console.Sighting{step(9, console.InArchive, "dead_lettered", "expired", "")},
			"2026-11-27 14:03:30 UTC was a dead letter " + what + "accepted at 14:03:21.000; became a dead letter at " +
				"14:03:30.000 (expired)"},
		"replayed": {[]console.Sighting{archived, with(step(200, console.InArchive, "delivered", "", ""),
			func(s *console.Sighting) { s.Replay, s.Age = "r7", console.Unknown })},
			"2026-11-27 14:06:41 UTC delivered " + what + "accepted at 14:03:21.000; delivered at 14:05:01.000 at attempt 3, " +
				"1m40s after it was accepted; delivered at 14:06:41.000, 3m20s after it was accepted, by replay r7; archived in " +
				"archive/2026/11/27/14/x.ndjson.zst"},
		"a dead letter again after a replay": {[]console.Sighting{
			step(9, console.InArchive, "dead_lettered", "rejected", "rejected: 400: wrong"), dead,
			with(dead, func(s *console.Sighting) { s.DeadLetterID, s.At = "e/0", at.Add(19*time.Second) }),
			with(step(20, console.InArchive, "dead_lettered", "rejected", "rejected: 400: wrong"),
				func(s *console.Sighting) { s.Replay, s.Age = "r7", console.Unknown }),
			with(step(20, console.InSamples, "dead_lettered", "rejected", "rejected: 400: wrong"),
				func(s *console.Sighting) { s.Age = console.Unknown })},
			"2026-11-27 14:03:41 UTC dead letter " + what + "accepted at 14:03:21.000; became a dead letter at 14:03:30.000 " +
				"(rejected: 400: wrong); became a dead letter at 14:03:41.000, by replay r7; " +
				"`spillway dlq redrive --name n --id 'd/0' --id 'e/0'` sends them again"},
		"waiting": {[]console.Sighting{with(step(0, console.InQueue, "", "", ""), func(s *console.Sighting) { s.Waits = "it waits for its turn" })},
			"2026-11-27 14:03:21 UTC waits " + what + "it waits for its turn"},
	} {
		s := console.NewStory("m1", c.steps, nil, 10)
		if len(s.Events) != 1 {
			t.Fatalf("%s: %d events", name, len(s.Events))
		}
		if got := Line(&s.Events[0], " --name n"); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, c.want)
		}
	}
}

func TestAStoryIsPrintedOnALineEach(t *testing.T) {
	hostile := step(1, console.InSamples, "retried", "transient", "503:\n\x1b[31mred")
	hostile.Event = "two\nlines"
	s := console.NewStory("anna", []console.Sighting{hostile, with(step(2, console.InSamples, "delivered", "", ""),
		func(s *console.Sighting) { s.MessageID = "m2" })},
		[]console.Place{{Name: "Archive", Failed: "no permission"}, {Name: "Dead-letter queue", Says: "all of 3"}}, 1)
	var out, errOut bytes.Buffer
	Print(&out, &errOut, &s, "")
	if strings.Count(out.String(), "\n") != 2 || !strings.HasSuffix(out.String(), "… and older events: --limit shows more\n") {
		t.Errorf("printed %q", out.String())
	}
	if errOut.String() != "spillway: archive was not searched: no permission\n" {
		t.Errorf("said %q", errOut.String())
	}
	s = console.NewStory("anna", []console.Sighting{hostile}, nil, 10)
	out.Reset()
	Print(&out, &errOut, &s, "")
	if strings.Count(out.String(), "\n") != 1 || strings.Contains(out.String(), "\x1b") {
		t.Errorf("printed %q", out.String())
	}
	none := console.NewStory("anna", nil, []console.Place{{Name: "Dead-letter queue", Says: "all of 3"}}, 10)
	errOut.Reset()
	Print(&out, &errOut, &none, "")
	if errOut.String() != "Dead-letter queue: all of 3\n" {
		t.Errorf("without a trace it said %q", errOut.String())
	}
}

func TestTheJSONHasEachStepAndTheEvent(t *testing.T) {
	archived := with(step(100, console.InArchive, "delivered", "", ""), func(s *console.Sighting) { s.Payload = []byte(`{"n":1.50}`) })
	broken := with(step(9, console.InArchive, "dead_lettered", "undecodable", "no"), func(s *console.Sighting) {
		s.MessageID, s.Payload = "", []byte("not\nJSON")
	})
	s := console.NewStory("m1", []console.Sighting{step(1, console.InSamples, "retried", "transient", "503"), archived, broken},
		[]console.Place{{Name: "Archive", Says: "all"}}, 10)
	var out bytes.Buffer
	if err := WriteJSON(&out, &s); err != nil {
		t.Fatal(err)
	}
	var d document
	if err := json.Unmarshal(out.Bytes(), &d); err != nil {
		t.Fatal(err)
	}
	if len(d.Events) != 2 || len(d.Events[0].Steps) != 2 || d.Events[0].Now != "delivered" || !d.Events[0].Accepted.Equal(at) ||
		len(d.Searched) != 1 || d.Query != "m1" {
		t.Errorf("%+v", d)
	}
	if got := string(d.Events[0].Payload); got != `{"n":1.50}` {
		t.Errorf("the event is %s", got)
	}
	if got := string(d.Events[1].Payload); got != `"not\u000aJSON"` {
		t.Errorf("the body that can't be read is %s", got)
	}
}
