package main

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/spillwayhq/spillway/infra/local"
)

// view turns statuses into text. It remembers the last ones, to tell a speed, and whether there is
// something to draw over.
type view struct {
	past  []local.Status // of the last few seconds, oldest first
	lines int            // drawn last
}

// speedOver is the time over which the speed is taken: long enough to be read, short enough to be
// true.
const speedOver = 2 * time.Second

// rate is events delivered a second since about speedOver ago; since the last status where that is
// longer ago.
func (v *view) rate(s local.Status) float64 {
	for len(v.past) > 1 && s.At.Sub(v.past[1].At) >= speedOver {
		v.past = v.past[1:]
	}
	v.past = append(v.past, s)
	first := v.past[0]
	elapsed := s.At.Sub(first.At).Seconds()
	if elapsed <= 0 {
		return 0
	}
	return float64(s.Delivered-first.Delivered) / elapsed
}

func number(n int64) string { return humanize.Comma(n) }

func age(d time.Duration) string {
	if d < time.Minute {
		return fmt.Sprintf("%.1fs", d.Seconds())
	}
	return d.Round(time.Second).String()
}

// sung says how the last one did.
func sung(s local.Status) string {
	said := "none yet"
	switch c := s.Canary; {
	case !c.On:
		return "off"
	case !c.At.IsZero():
		said = fmt.Sprintf("%d ms, %s ago", c.Latency.Milliseconds(), age(max(0, s.At.Sub(c.At))))
	}
	if s.Canary.Failure != "" {
		said += "; the last one failed"
	}
	return said
}

// line is a status as one line, for logs.
func (v *view) line(s local.Status) string {
	line := fmt.Sprintf("%s accepted=%d backlog_events=%d backlog_messages=%d in_flight=%d oldest=%s delivered=%d "+
		"rate=%.0f/s retried=%d dead_letters=%d refused_requests=%d shed_requests=%d",
		s.At.Format(time.RFC3339), s.Accepted, s.BacklogEvents, s.Backlog, s.InFlight, age(s.OldestAge), s.Delivered,
		v.rate(s), s.Retried, s.DeadLetters, s.Refused, s.Shed)
	if s.Canary.On && s.Canary.At.IsZero() {
		line += " canary=none"
	} else if s.Canary.On {
		line += fmt.Sprintf(" canary=%s canary_ago=%s", s.Canary.Latency.Round(time.Millisecond), age(s.At.Sub(s.Canary.At)))
	}
	if s.Canary.Failure != "" {
		line += fmt.Sprintf(" canary_failure=%q", s.Canary.Failure)
	}
	if s.Trouble != "" {
		line += fmt.Sprintf(" trouble=%q", s.Trouble)
	}
	return line
}

// draw is a status as a block of lines for a terminal of so many columns, over the block that was
// drawn before. It breaks the lines itself, because one that the terminal breaks is two, and the
// next block would not cover them.
func (v *view) draw(s local.Status, columns int) string {
	rows := [][2]string{
		{"accepted", plural(s.Accepted, "event")},
		{"backlog", fmt.Sprintf("%s in %s, %s of them in flight", plural(s.BacklogEvents, "event"),
			plural(s.Backlog, "message"), number(s.InFlight))},
		{"oldest", age(s.OldestAge)},
		{"delivered", fmt.Sprintf("%s, %s/s", plural(s.Delivered, "event"), number(int64(v.rate(s))))},
		{"retried", plural(s.Retried, "event")},
		{"dead letters", plural(s.DeadLetters, "event")},
		{"at the door", fmt.Sprintf("%s refused, %s told to come later", plural(s.Refused, "request"), number(s.Shed))},
		{"canary", sung(s)},
		{"trouble", cmp.Or(s.Trouble, "none")},
	}
	var b strings.Builder
	if v.lines > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", v.lines)
	}
	v.lines = 0
	for _, row := range rows {
		name := row[0]
		for _, line := range broken(row[1], columns-viewIndent) {
			fmt.Fprintf(&b, "\x1b[2K  %-13s %s\n", name, line)
			name = ""
			v.lines++
		}
	}
	b.WriteString("\x1b[J") // what is left of a longer block
	return b.String()
}

// viewIndent is what stands before a row's text.
const viewIndent = 2 + 13 + 1

// broken is a text in lines of at most so many characters, broken between words where that can be;
// 10 at least.
func broken(text string, width int) []string {
	width = max(width, 10)
	var lines []string
	rest := []rune(text)
	for len(rest) > width {
		end := width
		for end > 0 && rest[end] != ' ' {
			end--
		}
		if end == 0 {
			lines, rest = append(lines, string(rest[:width])), rest[width:]
			continue
		}
		lines, rest = append(lines, string(rest[:end])), rest[end+1:]
	}
	return append(lines, string(rest))
}
