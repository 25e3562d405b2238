package main

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/shared/deadletter"
)

// The text has what begins a control sequence, in seven bits and in eight, and what turns text
// around.
func TestNothingThatCameFromAnybodySteersTheTerminal(t *testing.T) {
	const evil = "a\x1b]0;owned\x07\u009b2J\x7f\u202egnp.exe\u2066\r\nb"
	quoted, err := json.Marshal(evil)
	if err != nil {
		t.Fatal(err)
	}
	entry := deadletter.Entry{ID: evil, Reason: evil, Detail: evil}
	for name, draw := range map[string]func(*bytes.Buffer) error{
		"ls": func(b *bytes.Buffer) error {
			list(b, &deadletter.Listing{Groups: []deadletter.Group{{Reason: evil}}, Entries: []deadletter.Entry{entry}}, 0,
				time.Now())
			return nil
		},
		"ls --json": func(b *bytes.Buffer) error {
			return listJSON(b, &deadletter.Listing{Entries: []deadletter.Entry{entry}}, 0)
		},
		"show": func(b *bytes.Buffer) error {
			(&shown{Entry: entry, Context: quoted, List: []json.RawMessage{quoted}}).draw(b, time.Now())
			return nil
		},
		"show of a body that can't be read": func(b *bytes.Buffer) error {
			(&shown{Entry: entry, Body: evil, Unreadable: evil}).draw(b, time.Now())
			return nil
		},
		"show --json": func(b *bytes.Buffer) error {
			return writeJSON(b, &shown{Entry: entry, List: []json.RawMessage{quoted}, Body: evil})
		},
		"redrive": func(b *bytes.Buffer) error {
			(&redriveFlags{}).report(b, deadletter.RedriveResult{Skipped: map[string]int{evil: 1}}, time.Second)
			return nil
		},
		"tail": func(b *bytes.Buffer) error {
			b.WriteString(tailLine(&local.Outcome{Outcome: evil, Reason: evil, Type: evil, Event: evil, User: evil,
				MessageID: evil, Payload: quoted}))
			return nil
		},
		"tail --json": func(b *bytes.Buffer) error { b.Write(harmlessJSON(quoted)); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			if err := draw(&b); err != nil {
				t.Fatal(err)
			}
			for _, r := range b.String() {
				if steers(r) && r != '\n' {
					t.Errorf("%U is in %q", r, b.String())
				}
			}
		})
	}
	var same string
	if err := json.Unmarshal(harmlessJSON(quoted), &same); err != nil || same != evil {
		t.Errorf("as JSON it is %q: %v", same, err)
	}
}

func TestWhatIsToBePastedIsOneArgument(t *testing.T) {
	for text, want := range map[string]string{
		"too_large": "too_large", "moved by SQS": "'moved by SQS'", "x; rm -rf ~": "'x; rm -rf ~'",
		"$(id)'`id`": `'$(id)'\''` + "`id`'", "a\nb": "'a b'", "": "''", "-x": "'-x'",
	} {
		if got := argument(text); got != want {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
}
