package terminal

import (
	"fmt"
	"time"

	"github.com/dustin/go-humanize"
)

// Number writes a number with separators between thousands.
func Number[N int | int64](n N) string { return humanize.Comma(int64(n)) }

// Plural writes a number of things, like "1 event" or "1,234 events".
func Plural[N int | int64](n N, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return Number(n) + " " + what + "s"
}

// Age writes a duration for a table, in at most two units.
func Age(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd%02dh", int(d.Hours())/24, int(d.Hours())%24)
}

// Wrap breaks a text into lines of at most width characters, between words where possible. A width
// below 10 counts as 10.
func Wrap(text string, width int) []string {
	width = max(width, 10)
	var lines []string
	for {
		n, space, end := 0, 0, -1 // characters, the last space behind the first, and where the line is full
		for i, c := range text {
			if c == ' ' {
				space = i
			}
			if n == width {
				end = i
				break
			}
			n++
		}
		switch {
		case end < 0:
			return append(lines, text)
		case space == 0:
			lines, text = append(lines, text[:end]), text[end:]
		default:
			lines, text = append(lines, text[:space]), text[space+1:]
		}
	}
}
