package message

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/spillwayhq/spillway/shared/event"
)

func TestDetailsAreLegalTextOfBoundedLength(t *testing.T) {
	for _, text := range []string{"", "plain", "\x00\x01", "\xff", strings.Repeat("é", 700),
		"x" + strings.Repeat("😀", 500), "\uFFFE"} {
		got := LegalText(Shorten(text, MaxDetail))
		if got == "" || !utf8.ValidString(got) || LegalText(got) != got || len(Shorten(text, MaxDetail)) > MaxDetail {
			t.Errorf("the detail %q becomes %q", text, got)
		}
	}
	for text, want := range map[string]string{"": "", "abcdef": "abcdef", "abcdefg": "abc…", "abéé": "abéé",
		"abééé": "ab…"} {
		if got := Shorten(text, 6); got != want {
			t.Errorf("%q is shortened to %q, want %q", text, got, want)
		}
	}
	if got := Truncate("aé", 2); got != "a" {
		t.Errorf("cut in the middle of a character: %q", got)
	}
	if got := Truncate("aé", 3); got != "aé" {
		t.Errorf("cut although it is short enough: %q", got)
	}
}

func TestAnEventThatIsTooLargeHasAReasonOfItsOwn(t *testing.T) {
	if got := ReasonFor(event.TooLarge); got != ReasonTooLarge {
		t.Errorf("an event that is too large: %q", got)
	}
	if got := ReasonFor(event.IDRequired); got != ReasonInvalid {
		t.Errorf("an event against the rules: %q", got)
	}
}

func TestADeadLetterHoldsItsEventsAndItsReason(t *testing.T) {
	c, err := NewCompressor()
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	l := DeadLetter{ID: "id", Reason: ReasonInvalid, Detail: "d", Header: Header{WriteKey: "WK", Origin: event.FromClient},
		Events: [][]byte{[]byte(`{ "a":1 }`), []byte(`7`)}, LastSeen: at}
	got := l.Messages(c)
	if len(got) != 1 || got[0].Body != `{"writeKey":"WK","origin":"client","batch":[{ "a":1 },7]}` {
		t.Fatalf("%v", got)
	}
	attributes := map[string]string{}
	for name, a := range got[0].Attributes {
		attributes[name] = a.Text
	}
	want := map[string]string{AttrDeadLetterID: "id", AttrReason: "invalid", AttrDetail: "d",
		AttrLastSeen: "2026-11-23T12:00:00.000Z", AttrReceives: "0", AttrEventCount: "2", AttrOrigin: "client"}
	if fmt.Sprint(attributes) != fmt.Sprint(want) {
		t.Errorf("attributes %v, want %v", attributes, want)
	}
}

func TestADeadLetterLargerThanSQSTakesBecomesSeveralMessages(t *testing.T) {
	c, err := NewCompressor()
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(7, 7))
	var events [][]byte
	for range 40 {
		raw := make([]byte, 30_000)
		for i := range raw {
			raw[i] = byte(rng.Uint32())
		}
		events = append(events, []byte(`"`+base64.StdEncoding.EncodeToString(raw)+`"`))
	}
	l := DeadLetter{ID: "id", Reason: ReasonInvalid, Events: events}
	var got [][]byte
	for i, m := range l.Messages(c) {
		id := m.Attributes[AttrDeadLetterID].Text
		if want := []string{"id", "id.1", "id.2"}[i]; id != want || m.Size() > MaxBytes {
			t.Errorf("message %d is %s and has %d bytes", i, id, m.Size())
		}
		d, err := NewDecoder()
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		var content Content
		if err := d.Decode([]byte(m.Body), &content); err != nil {
			t.Fatal(err)
		}
		for _, e := range content.Events {
			got = append(got, slices.Clone(e.Raw))
		}
	}
	if len(got) != len(events) {
		t.Fatalf("%d events, want %d", len(got), len(events))
	}
	for i := range got {
		if string(got[i]) != string(events[i]) {
			t.Fatalf("event %d is another", i)
		}
	}
}

func TestTheEventsOfADeadLetterInPartsAreCountedOnce(t *testing.T) {
	c, err := NewCompressor()
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(7, 8))
	raw := make([]byte, 2_000_000)
	for i := range raw {
		raw[i] = byte(rng.Uint32())
	}
	for name, l := range map[string]DeadLetter{
		"a body": {ID: "id", Reason: ReasonUndecodable, Body: raw, Count: 7},
		"events": {ID: "id", Reason: ReasonInvalid, Count: 1, Events: slices.Repeat([][]byte{
			[]byte(`"` + base64.StdEncoding.EncodeToString(raw[:400_000]) + `"`)}, 7)},
	} {
		messages, count, ids := l.Messages(c), 0, map[string]bool{}
		for _, m := range messages {
			count += ReadDeadLetter(m).Count
			ids[ReadDeadLetter(m).ID] = true
		}
		if len(messages) < 3 || count != 7 || len(ids) != len(messages) {
			t.Errorf("%s: %d messages with %d ids count %d events, want 7", name, len(messages), len(ids), count)
		}
	}
}

func TestADeadLetterIsReadAsItWasWritten(t *testing.T) {
	c, err := NewCompressor()
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 23, 12, 0, 0, 123_000_000, time.UTC)
	want := DeadLetter{ID: "id", Reason: ReasonPanic, Detail: "d", Header: Header{Origin: event.FromClient},
		Body: []byte("{"), Count: 3, FirstSeen: at, LastSeen: at.Add(time.Hour), Receives: 5,
		Replay: "r-7"}
	messages := want.Messages(c)
	if len(messages) != 1 {
		t.Fatalf("%d messages", len(messages))
	}
	if got := ReadDeadLetter(messages[0]); fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
		t.Errorf("read %+v, want %+v", got, want)
	}
	if got := ReadDeadLetter(Message{Body: "by hand"}); got.Reason != ReasonNotGiven || string(got.Body) != "by hand" {
		t.Errorf("a message without attributes is read as %+v", got)
	}
}

func TestOnlyLegalTextStaysPlain(t *testing.T) {
	for text, want := range map[string]bool{"plain\t\r\n é 😀": true, "\x00": false, "\x1f": false, "\xff": false,
		"\uFFFE": false, "\uFFFF": false, "\uFFFD": true} {
		if got := isLegal([]byte(text)); got != want || (LegalText(text) == text) != want {
			t.Errorf("isLegal(%q) = %v, LegalText makes it %q", text, got, LegalText(text))
		}
		if json := `"` + text + `"`; text >= " " && isLegalJSON([]byte(json)) != isLegal([]byte(json)) {
			t.Errorf("isLegalJSON(%s) = %v", json, isLegalJSON([]byte(json)))
		}
	}
}
