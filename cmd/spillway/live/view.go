package live

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/spillwayhq/spillway/cmd/spillway/terminal"
	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/infra/local/cloudwatch"
)

// view turns statuses into text. It holds recent ones to compute a rate, and the number of lines
// that it has drawn, to draw over them.
type view struct {
	recent []local.Status // of the last few seconds, oldest first
	lines  int            // drawn last
}

// rateOver is the time over which the rate is computed: long enough to be read, short enough to be
// current.
const rateOver = 2 * time.Second

// rate returns the events delivered per second over the last rateOver, or since the status before
// where that is older.
func (v *view) rate(s local.Status) float64 {
	for len(v.recent) > 1 && s.At.Sub(v.recent[1].At) >= rateOver {
		v.recent = v.recent[1:]
	}
	v.recent = append(v.recent, s)
	first := v.recent[0]
	elapsed := s.At.Sub(first.At).Seconds()
	if elapsed <= 0 {
		return 0
	}
	return float64(s.Delivered-first.Delivered) / elapsed
}

func age(d time.Duration) string {
	if d < time.Minute {
		return fmt.Sprintf("%.1fs", d.Seconds())
	}
	return d.Round(time.Second).String()
}

// canaryRow says when the last canary arrived, and whether one failed since.
func canaryRow(s local.Status) string {
	row := "none yet"
	switch c := s.Canary; {
	case !c.On:
		return "off"
	case !c.At.IsZero():
		row = fmt.Sprintf("%d ms, %s ago", c.Latency.Milliseconds(), age(max(0, s.At.Sub(c.At))))
	}
	if s.Canary.Failure != "" {
		row += "; the last one failed"
	}
	return row
}

// archiveRow says what the archive has, and whether it takes events.
func archiveRow(s local.Status) string {
	a := s.Archive
	if s.ArchiveDir == "" {
		return "off"
	}
	row := terminal.Plural(a.Events, "event") + ", " + humanize.IBytes(uint64(max(0, a.Bytes))) + " on disk"
	if !a.Oldest.IsZero() {
		row += " since " + a.Oldest.Local().Format("2006-01-02 15:04")
	}
	if a.Removed > 0 {
		row += "; " + terminal.Plural(a.Removed, "old event") + " removed"
	}
	if a.Waiting > 0 {
		row += "; " + terminal.Number(a.Waiting) + " had to wait"
	}
	if a.Failure != "" {
		row += "; it fails: " + a.Failure
	}
	return row
}

// line returns a status as one line, for logs.
func (v *view) line(s local.Status) string {
	line := fmt.Sprintf("%s accepted=%d backlog_events=%d backlog_messages=%d in_flight=%d oldest=%s delivered=%d "+
		"rate=%.0f/s retried=%d dead_letters=%d refused_requests=%d shed_requests=%d",
		s.At.Format(time.RFC3339), s.Accepted, s.BacklogEvents, s.Backlog, s.InFlight, age(s.OldestAge), s.Delivered,
		v.rate(s), s.Retried, s.DeadLetters, s.Refused, s.Shed)
	if b := s.Bulk; b != (local.Bulk{}) {
		line += fmt.Sprintf(" bulk_sent=%d bulk_backlog_events=%d bulk_backlog_messages=%d bulk_in_flight=%d bulk_oldest=%s",
			b.Sent, b.BacklogEvents, b.Backlog, b.InFlight, age(b.OldestAge))
	}
	if s.Canary.On && s.Canary.At.IsZero() {
		line += " canary=none"
	} else if s.Canary.On {
		line += fmt.Sprintf(" canary=%s canary_ago=%s", s.Canary.Latency.Round(time.Millisecond), age(s.At.Sub(s.Canary.At)))
	}
	if s.Canary.Failure != "" {
		line += fmt.Sprintf(" canary_failure=%q", s.Canary.Failure)
	}
	if s.Store != "" {
		line += fmt.Sprintf(" store=%q", s.Store)
	}
	if s.ArchiveDir != "" {
		line += fmt.Sprintf(" archived=%d archive_waiting=%d archive_bytes=%d", s.Archive.Events, s.Archive.Waiting,
			s.Archive.Bytes)
	}
	if s.Archive.Failure != "" {
		line += fmt.Sprintf(" archive_failure=%q", s.Archive.Failure)
	}
	if s.StatusSite != "" {
		line += fmt.Sprintf(" status_site=%q", s.StatusSite)
	}
	if s.Degraded != "" {
		line += fmt.Sprintf(" degraded=%q", s.Degraded)
	}
	if len(s.PausedKeys) > 0 {
		line += " paused_keys=" + strings.Join(slices.Sorted(maps.Keys(s.PausedKeys)), ",")
	}
	if firing := names(s.Alarms, cloudwatch.Alarm); len(firing) > 0 {
		line += " alarms=" + strings.Join(firing, ",")
	}
	return line
}

// names are the alarms in a state.
func names(alarms []local.Alarm, state cloudwatch.State) []string {
	var names []string
	for i := range alarms {
		if alarms[i].State == state {
			names = append(names, alarms[i].Name)
		}
	}
	return names
}

// alarmsRow names the alarms that fire and those without data, so that all others are OK.
func alarmsRow(s local.Status) string {
	if len(s.Alarms) == 0 {
		return "off"
	}
	var parts []string
	if firing := names(s.Alarms, cloudwatch.Alarm); len(firing) > 0 {
		parts = append(parts, "ALARM: "+strings.Join(firing, ", "))
	}
	waiting := names(s.Alarms, cloudwatch.InsufficientData)
	if ok := len(names(s.Alarms, cloudwatch.OK)); ok > 0 || len(parts) > 0 {
		parts = append(parts, fmt.Sprintf("%d ok", ok))
		if len(waiting) > 0 {
			parts = append(parts, "no data: "+strings.Join(waiting, ", "))
		}
	} else {
		parts = append(parts, "evaluated at the end of each minute")
	}
	return strings.Join(parts, "; ")
}

// alarmLine says what changed about an alarm, and of one that fires what to do.
func alarmLine(c local.AlarmChange) string {
	line := c.At.Format(time.RFC3339) + " " + string(c.To) + " " + c.Alarm
	switch {
	case c.Ends():
		return fmt.Sprintf("%s: over after %s; %s", line, c.After.Round(time.Second), c.Reason)
	case !c.Begins(): // a composite whose notification was held back
		return line + ": notified now; " + c.Text
	}
	return line + ": " + c.Text + " (" + c.Reason + ")"
}

// waiting says what a queue holds.
func waiting(events, messages, inFlight int64) string {
	return fmt.Sprintf("%s in %s, %s of them in flight", terminal.Plural(events, "event"),
		terminal.Plural(messages, "message"), terminal.Number(inFlight))
}

// draw returns a status as a block of lines that covers the previous one on a terminal. It breaks
// long lines itself, because the next block would not cover a line that the terminal has broken.
func (v *view) draw(s local.Status, columns int) string {
	rows := [][2]string{
		{"accepted", terminal.Plural(s.Accepted, "event")},
		{"backlog", waiting(s.BacklogEvents, s.Backlog, s.InFlight)},
		{"oldest", age(s.OldestAge)},
	}
	if b := s.Bulk; b != (local.Bulk{}) {
		rows = append(rows, [2]string{"bulk", fmt.Sprintf("%s; %s sent", waiting(b.BacklogEvents, b.Backlog, b.InFlight),
			terminal.Plural(b.Sent, "event"))})
	}
	rows = append(rows, [][2]string{
		{"delivered", fmt.Sprintf("%s, %s/s", terminal.Plural(s.Delivered, "event"), terminal.Number(int64(v.rate(s))))},
		{"retried", terminal.Plural(s.Retried, "event")},
		{"dead letters", terminal.Plural(s.DeadLetters, "event")},
		{"ingest", fmt.Sprintf("%s refused, %s told to retry later", terminal.Plural(s.Refused, "request"),
			terminal.Number(s.Shed))},
		{"canary", canaryRow(s)},
		{"archive", archiveRow(s)},
		{"store", cmp.Or(s.Store, "ok")},
		{"degraded", cmp.Or(s.Degraded, "no")},
		{"alarms", alarmsRow(s)},
	}...)
	for _, id := range slices.Sorted(maps.Keys(s.PausedKeys)) {
		rows = append(rows, [2]string{"paused key", id + " " + s.PausedKeys[id].String()})
	}
	if s.StatusSite != "" { // nobody needs to know that it is written
		rows = append(rows, [2]string{"status site", s.StatusSite})
	}
	var b strings.Builder
	if v.lines > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", v.lines)
	}
	v.lines = 0
	for _, row := range rows {
		name := row[0]
		for _, line := range terminal.Wrap(row[1], columns-indent) {
			fmt.Fprintf(&b, "\x1b[2K  %-13s %s\n", name, line)
			name = ""
			v.lines++
		}
	}
	b.WriteString("\x1b[J") // erases the rest of a longer block
	return b.String()
}

// erase returns what removes the block, so that a line can be written in its place.
func (v *view) erase() string {
	if v.lines == 0 {
		return ""
	}
	up := fmt.Sprintf("\x1b[%dA\x1b[J", v.lines)
	v.lines = 0
	return up
}

// indent is the width of what is before a row's text.
const indent = 2 + 13 + 1
