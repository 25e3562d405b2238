// Package terminal formats output for a terminal: text without control characters, readable numbers
// and ages, and progress bars.
//
// Anybody can send events. So the text of events and dead letters is printed only through this
// package: a control character could change what the reader sees.
package terminal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode"
)

// controls reports whether a character may control a terminal, or change the order in which text
// is shown.
func controls(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) }

// OneLine makes text safe for a cell of a table: without control characters and line breaks.
func OneLine(text string) string {
	return strings.Join(strings.FieldsFunc(text, func(r rune) bool { return controls(r) || r == ' ' }), " ")
}

// Safe replaces control characters. Line breaks remain.
func Safe(text string) string {
	return strings.Map(func(r rune) rune {
		if controls(r) && r != '\n' {
			return unicode.ReplacementChar
		}
		return r
	}, text)
}

// SafeJSON escapes control characters, which leaves the JSON value the same. JSON itself escapes
// those below a space, and the others can only be in strings.
func SafeJSON(text []byte) []byte {
	unescaped := func(r rune) bool { return r > ' ' && controls(r) }
	if !bytes.ContainsFunc(text, unescaped) {
		return text
	}
	var b bytes.Buffer
	for _, r := range string(text) {
		if unescaped(r) {
			fmt.Fprintf(&b, `\u%04x`, r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.Bytes()
}

// WriteJSON writes a value as one line.
func WriteJSON(out io.Writer, v any) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err
	}
	_, err := out.Write(SafeJSON(b.Bytes()))
	return err
}

// ShellWord quotes text for a shell, so that it can be pasted as one argument.
func ShellWord(text string) string {
	needsQuotes := func(r rune) bool { return r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) }
	if text = OneLine(text); text != "" && !strings.ContainsFunc(text, needsQuotes) {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
