package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode"
)

// steers reports whether a character may steer a terminal, or make text show in another order than
// it has. What stands in events and letters came from anybody.
func steers(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) }

// oneLine makes text safe for a table.
func oneLine(text string) string {
	return strings.Join(strings.FieldsFunc(text, func(r rune) bool { return steers(r) || r == ' ' }), " ")
}

// harmless makes text safe that has several lines.
func harmless(text string) string {
	return strings.Map(func(r rune) rune {
		if steers(r) && r != '\n' {
			return unicode.ReplacementChar
		}
		return r
	}, text)
}

// harmlessJSON is the same JSON value. What steers is escaped there anyway below a space, and
// stands nowhere but in strings above.
func harmlessJSON(text []byte) []byte {
	above := func(r rune) bool { return r > ' ' && steers(r) }
	if !bytes.ContainsFunc(text, above) {
		return text
	}
	var b bytes.Buffer
	for _, r := range string(text) {
		if above(r) {
			fmt.Fprintf(&b, `\u%04x`, r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.Bytes()
}

// argument is text as it can be pasted into a shell: a word, or in quotes between which nothing has
// a meaning.
func argument(text string) string {
	if text = oneLine(text); text != "" &&
		!strings.ContainsFunc(text, func(r rune) bool { return r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

// writeJSON writes a value on a line.
func writeJSON(out io.Writer, v any) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err
	}
	_, err := out.Write(harmlessJSON(b.Bytes()))
	return err
}
