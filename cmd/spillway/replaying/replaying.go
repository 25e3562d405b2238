// Package replaying has the texts of `spillway replay`: how far it is, what it has counted, what it
// leaves out, and of what it warns.
package replaying

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/spillwayhq/spillway/cmd/spillway/terminal"
	"github.com/spillwayhq/spillway/shared/deadletter"
	"github.com/spillwayhq/spillway/shared/replay"
)

// A Bar shows how far a replay is.
type Bar struct {
	line  *terminal.Line
	doing string
	total int64 // of events; 0: not known, and the bytes that are read say how far it is
	began time.Time
}

// NewBar returns a bar for one pass over the archive.
func NewBar(out io.Writer, doing string, total int64) *Bar {
	return &Bar{line: terminal.NewLine(out), doing: doing, total: total, began: time.Now()}
}

// Set shows the progress.
func (b *Bar) Set(p replay.Progress) { b.line.Set(b.text(p, time.Since(b.began))) }

// Clear removes the bar.
func (b *Bar) Clear() { b.line.Clear() }

func (b *Bar) text(p replay.Progress, took time.Duration) string {
	part, events := 0.0, terminal.Number(p.Events)+" events match"
	switch {
	case b.total > 0:
		part = float64(p.Events) / float64(b.total)
		events = fmt.Sprintf("%s of %s", terminal.Number(p.Events), terminal.Plural(b.total, "event"))
	case p.OfBytes > 0:
		part = float64(p.Bytes) / float64(p.OfBytes)
	}
	text := fmt.Sprintf("%s %s %3.0f %%  %s of %s, %s read, %s", b.doing, terminal.Bar(part, 20), part*100,
		terminal.Number(p.Objects), terminal.Plural(p.OfObjects, "object"), terminal.Plural(p.Lines, "record"), events)
	if part > 0 && part < 1 && took >= time.Second {
		text += ", " + terminal.Age(time.Duration(float64(took)*(1-part)/part)) + " left"
	}
	return text
}

// LeftOut prints what the selection means and is left out, and what could not be read.
func LeftOut(out io.Writer, c *replay.Counts) {
	for _, why := range slices.Sorted(maps.Keys(c.Skipped)) {
		fmt.Fprintln(out, leftOut(why, c.Skipped[why], c.SkippedFor))
	}
	if c.Gone > 0 {
		fmt.Fprintf(out, "%s gone since the replay began: expired, or without an event after a forget\n",
			terminal.Plural(int64(c.Gone), "object"))
	}
	if c.BadLines > 0 {
		fmt.Fprintf(out, "left out %s that can't be read, the first is %s\n", terminal.Plural(c.BadLines, "record"),
			terminal.OneLine(c.BadLine))
	}
	for _, d := range c.Damage {
		fmt.Fprintf(out, "damaged: %s\n", terminal.OneLine(d))
	}
	if c.DamageMore > 0 {
		fmt.Fprintf(out, "damaged: %s more\n", terminal.Plural(int64(c.DamageMore), "place"))
	}
}

func leftOut(why string, n int64, first string) string {
	events := terminal.Plural(n, "event")
	switch why {
	case replay.SkippedDouble:
		return fmt.Sprintf("left out %s: that many are in the archive more than once", terminal.Plural(n, "double"))
	case replay.SkippedReplayed:
		return fmt.Sprintf("left out %s that a replay has delivered; to take them too: --include-replayed", events)
	case replay.SkippedUnreadable:
		return fmt.Sprintf("left out %s that could not be read and so can't be sent; to look at them: --out FILE",
			terminal.Plural(n, "message"))
	case replay.SkippedUneditable:
		return fmt.Sprintf("left out %s that can't be changed so: %s", events, terminal.OneLine(first))
	case replay.SkippedDropped:
		return fmt.Sprintf("left out %s that Segment would drop (%s)", events, terminal.OneLine(first))
	}
	return fmt.Sprintf("left out %s with the reason %s, which would become dead letters again; to send them: --reason %s",
		events, terminal.OneLine(why), terminal.ShellWord(why))
}

// Warn prints which of the counted events Segment may count twice if they are sent at this rate
// from now on.
func Warn(out io.Writer, c *replay.Counts, rate float64, now time.Time) {
	end := now.Add(time.Duration(float64(c.Events) / rate * float64(time.Second)))
	if old := c.Old(end); old > 0 {
		fmt.Fprintf(out, "spillway: warning: %s of %s will be over %.0f h old when they are sent: Segment has forgotten "+
			"their messageIds, and counts those twice that it has already received\n", terminal.Number(old),
			terminal.Plural(c.Events, "event"), deadletter.DedupePeriod.Hours())
	}
	if c.Repeated > 0 {
		fmt.Fprintf(out, "spillway: warning: %s of %s were delivered to the same source: with new messageIds it counts them "+
			"twice\n", terminal.Number(c.Repeated), terminal.Plural(c.Events, "event"))
	}
}
