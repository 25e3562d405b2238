package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/spillwayhq/spillway/shared/deadletter"
	"github.com/spillwayhq/spillway/shared/message"
)

func newDLQShow(f *dlqFlags) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "show LETTER",
		Short: "Show a dead letter with its events",
		Long:  "Shows a dead letter, named as ls shows it, with its events. In place of a write key stands its name.",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return errors.New("name one letter: `spillway dlq ls` lists them")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			return dlqShow(c.Context(), c.OutOrStdout(), f, args[0], asJSON)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "as one JSON object")
	return c
}

// shown is a letter as show prints it.
type shown struct {
	deadletter.Entry
	Origin     string            `json:"origin,omitempty"`
	Context    json.RawMessage   `json:"context,omitempty"`
	List       []json.RawMessage `json:"batch,omitempty"`
	Body       string            `json:"body,omitempty"` // where it can't be read
	Unreadable string            `json:"unreadable,omitempty"`
}

func dlqShow(ctx context.Context, out io.Writer, f *dlqFlags, id string, asJSON bool) error {
	name, err := f.names()
	if err != nil {
		return err
	}
	q, err := f.open(ctx)
	if err != nil {
		return err
	}
	l, err := q.dead.Find(ctx, id)
	if err != nil {
		return plainly(err, q.deadURL)
	}
	if l == nil {
		return fmt.Errorf("there is no visible dead letter %q: `spillway dlq ls --limit 0` lists all", id)
	}
	s, err := show(l, name)
	if err != nil {
		return err
	}
	if asJSON {
		return writeJSON(out, s)
	}
	s.draw(out, time.Now())
	return nil
}

// show takes a letter apart.
func show(l *deadletter.Received, name func(string) string) (*shown, error) {
	r, err := deadletter.NewReader()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	s := &shown{Entry: deadletter.Entry{ID: l.ID, Reason: l.Reason, WriteKey: deadletter.UnreadableKey,
		Events: max(1, l.Count), FirstSeen: l.FirstSeen, LastSeen: l.LastSeen,
		Receives: l.Receives, Detail: l.Detail}}
	m, err := r.Read(l)
	if err != nil {
		s.Body, s.Unreadable = string(l.Body), err.Error()
		return s, nil
	}
	s.WriteKey, s.Events, s.Origin = name(m.WriteKey), len(m.Events), m.Origin.String()
	masked := func(raw []byte) json.RawMessage {
		if m.WriteKey == "" {
			return bytes.Clone(raw)
		}
		return bytes.ReplaceAll(raw, []byte(strconv.Quote(m.WriteKey)), []byte(strconv.Quote("["+s.WriteKey+"]")))
	}
	if len(m.Context) > 0 {
		s.Context = masked(m.Context)
	}
	for i := range m.Events {
		s.List = append(s.List, masked(m.Events[i].Raw))
	}
	return s, nil
}

// maxBody is how much is printed of a body that can't be read.
const maxBody = 4 << 10

func (s *shown) draw(out io.Writer, now time.Time) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(name, value string) {
		if value != "" {
			fmt.Fprintf(w, "%s\t%s\n", name, value)
		}
	}
	moment := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return fmt.Sprintf("%s, %s ago", t.UTC().Format(time.RFC3339), ago(max(0, now.Sub(t))))
	}
	row("letter", oneLine(s.ID))
	row("reason", oneLine(s.Reason))
	row("detail", oneLine(s.Detail))
	row("write key", s.WriteKey)
	row("origin", s.Origin)
	row("came in", moment(s.FirstSeen))
	row("last tried", moment(s.LastSeen))
	row("receives", strconv.Itoa(s.Receives))
	row("events", number(int64(s.Events)))
	if s.Unreadable != s.Detail { // that the body can't be read is mostly why it became a letter
		row("unreadable", oneLine(s.Unreadable))
	}
	w.Flush()
	if s.Unreadable != "" {
		fmt.Fprintf(out, "\n%s\n", oneLine(message.Truncate(s.Body, maxBody)))
		if len(s.Body) > maxBody {
			fmt.Fprintf(out, "… and %s bytes more: --json has them all.\n", number(int64(len(s.Body)-maxBody)))
		}
		return
	}
	indented := func(what string, raw []byte) {
		var b bytes.Buffer
		if json.Indent(&b, raw, "", "  ") != nil {
			b.Reset()
			b.Write(raw)
		}
		fmt.Fprintf(out, "\n%s%s\n", what, harmless(b.String()))
	}
	if len(s.Context) > 0 {
		indented("context of all: ", s.Context)
	}
	for _, raw := range s.List {
		indented("", raw)
	}
}
