package main

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"
	"unicode"

	"github.com/spillwayhq/spillway/cmd/spillway/dlq"
	"github.com/spillwayhq/spillway/cmd/spillway/terminal"
	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/shared/deadletter"
)

// The text begins a control sequence, in seven bits and in eight, and reverses the order of text.
func TestTextOfEventsCanNotControlTheTerminal(t *testing.T) {
	t.Parallel()
	const hostile = "a\x1b]0;owned\x07\u009b2J\x7f\u202egnp.exe\u2066\r\nb"
	quoted, err := json.Marshal(hostile)
	if err != nil {
		t.Fatal(err)
	}
	entry := deadletter.Entry{ID: hostile, Reason: hostile, Detail: hostile}
	for name, draw := range map[string]func(*bytes.Buffer) error{
		"ls": func(b *bytes.Buffer) error {
			dlq.PrintListing(b, &deadletter.Listing{Groups: []deadletter.Group{{Reason: hostile}},
				Entries: []deadletter.Entry{entry}}, time.Now())
			return nil
		},
		"ls --json": func(b *bytes.Buffer) error {
			return printListingJSON(b, &deadletter.Listing{Entries: []deadletter.Entry{entry}})
		},
		"show": func(b *bytes.Buffer) error {
			(&dlq.Description{Entry: entry, Context: quoted, Batch: []json.RawMessage{quoted}}).Print(b, time.Now())
			return nil
		},
		"show of a body that can't be decoded": func(b *bytes.Buffer) error {
			(&dlq.Description{Entry: entry, Body: hostile, Unreadable: hostile}).Print(b, time.Now())
			return nil
		},
		"show --json": func(b *bytes.Buffer) error {
			return terminal.WriteJSON(b, &dlq.Description{Entry: entry, Batch: []json.RawMessage{quoted}, Body: hostile})
		},
		"redrive": func(b *bytes.Buffer) error {
			(&redriveFlags{}).report(b, deadletter.RedriveResult{Skipped: map[string]int{hostile: 1}}, time.Second)
			return nil
		},
		"tail": func(b *bytes.Buffer) error {
			b.WriteString(outcomeLine(&local.Outcome{Outcome: hostile, Reason: hostile, Type: hostile, Event: hostile,
				User:      hostile,
				MessageID: hostile, Payload: quoted}))
			return nil
		},
		"tail --json": func(b *bytes.Buffer) error { b.Write(terminal.SafeJSON(quoted)); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			if err := draw(&b); err != nil {
				t.Fatal(err)
			}
			for _, r := range b.String() {
				if (unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)) && r != '\n' {
					t.Errorf("%U is in %q", r, b.String())
				}
			}
		})
	}
}
