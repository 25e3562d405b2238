package dlq

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spillwayhq/spillway/cmd/spillway/terminal"
	"github.com/spillwayhq/spillway/shared/deadletter"
	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/rawjson"
)

// A Description is a dead letter with its events, for a person to read. It has no write key.
type Description struct {
	deadletter.Entry
	Origin     string            `json:"origin,omitempty"`
	Context    json.RawMessage   `json:"context,omitempty"`
	Batch      []json.RawMessage `json:"batch,omitempty"`
	Body       string            `json:"body,omitempty"`       // only if it can't be decoded
	Unreadable string            `json:"unreadable,omitempty"` // why it can't be decoded
}

// Describe decodes a dead letter. name returns what to show of a write key.
func Describe(l *deadletter.Received, name func(writeKey string) string) (*Description, error) {
	r, err := deadletter.NewReader()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	e, m, err := r.Entry(l, name)
	d := &Description{Entry: e}
	if err != nil {
		d.Body, d.Unreadable = string(l.Body), err.Error()
		return d, nil
	}
	d.Origin = m.Origin.String()
	masked := func(raw []byte) json.RawMessage {
		if m.WriteKey == "" {
			return bytes.Clone(raw)
		}
		return bytes.ReplaceAll(raw, []byte(strconv.Quote(m.WriteKey)), []byte(strconv.Quote("["+d.WriteKey+"]")))
	}
	if len(m.Context) > 0 {
		d.Context = masked(m.Context)
	}
	for i := range m.Events {
		d.Batch = append(d.Batch, masked(m.Events[i].Raw))
	}
	return d, nil
}

const (
	// maxBody is how much is printed of a body that can't be decoded.
	maxBody = 4 << 10
	// maxIndented is how much is printed of an event: all of it, unless somebody has nested it a
	// thousand levels deep to make it long.
	maxIndented = 8 << 20
)

// Print prints the description for a terminal.
func (d *Description) Print(out io.Writer, now time.Time) {
	d.printProperties(out, now)
	if d.Unreadable != "" {
		fmt.Fprintf(out, "\n%s\n", terminal.OneLine(message.Truncate(d.Body, maxBody)))
		if len(d.Body) > maxBody {
			fmt.Fprintf(out, "… and %s bytes more: --json prints all.\n", terminal.Number(len(d.Body)-maxBody))
		}
		return
	}
	if len(d.Context) > 0 {
		printJSON(out, "context of all events: ", d.Context)
	}
	for _, raw := range d.Batch {
		printJSON(out, "", raw)
	}
}

func (d *Description) printProperties(out io.Writer, now time.Time) {
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
		return fmt.Sprintf("%s, %s ago", t.UTC().Format(time.RFC3339), terminal.Age(max(0, now.Sub(t))))
	}
	row("id", terminal.OneLine(d.ID))
	row("reason", terminal.OneLine(d.Reason))
	row("detail", terminal.OneLine(d.Detail))
	row("write key", d.WriteKey)
	row("origin", d.Origin)
	row("received", moment(d.FirstSeen))
	row("last tried", moment(d.LastSeen))
	row("receives", strconv.Itoa(d.Receives))
	row("events", terminal.Number(d.Events))
	if d.Unreadable != d.Detail { // that the body can't be decoded is mostly the detail already
		row("unreadable", terminal.OneLine(d.Unreadable))
	}
	w.Flush()
}

func printJSON(out io.Writer, what string, raw []byte) {
	rest := 0
	if rawjson.Valid(raw) {
		raw, rest = rawjson.Indent(nil, raw, maxIndented)
	}
	fmt.Fprintf(out, "\n%s%s\n", what, terminal.Safe(string(raw)))
	if rest > 0 {
		fmt.Fprintf(out, "… and %s bytes more: --json prints all.\n", terminal.Number(rest))
	}
}
