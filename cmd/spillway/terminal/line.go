package terminal

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// logEvery is how often a Line is written where it can't be redrawn.
const logEvery = time.Minute

// A Line is one line that changes: on a terminal it is redrawn, elsewhere written once a minute, so
// that a log of a long run shows that it goes on. It is not safe for concurrent use.
type Line struct {
	out     io.Writer
	redrawn bool
	drawn   bool
	written time.Time
}

// NewLine returns a Line that has not been written yet.
func NewLine(out io.Writer) *Line { return &Line{out: out, redrawn: Is(out), written: time.Now()} }

// Set shows a text.
func (l *Line) Set(text string) {
	switch text = OneLine(text); {
	case l.redrawn:
		if width := max(1, Columns(l.out)-1); utf8.RuneCountInString(text) > width {
			text = string([]rune(text)[:width])
		}
		fmt.Fprintf(l.out, "\r%s\x1b[K", text)
		l.drawn = true
	case time.Since(l.written) >= logEvery:
		l.written = time.Now()
		fmt.Fprintln(l.out, text)
	}
}

// Clear removes it from the terminal.
func (l *Line) Clear() {
	if l.drawn {
		fmt.Fprint(l.out, "\r\x1b[K")
		l.drawn = false
	}
}

// Bar draws a part of 1 as a bar of so many characters.
func Bar(part float64, width int) string {
	full := int(min(max(part, 0), 1)*float64(width) + 0.5)
	return "[" + strings.Repeat("#", full) + strings.Repeat("-", width-full) + "]"
}
