package metricmath

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A token is a number, a name, an operator or a bracket, or the end, whose text is empty.
type token struct {
	text   string
	at     int // its first character, from 1
	number float64
	is     class
}

type class int

const (
	end class = iota
	number
	name   // of a metric: begins with a lower-case letter
	upper  // of a function, or AND and OR
	symbol // an operator or a bracket
)

// mistake is an error with its place.
func mistake(at int, format string, args ...any) error {
	return fmt.Errorf("at character %d: %w", at, fmt.Errorf(format, args...))
}

type lexer struct {
	source string
	offset int
}

// symbols are those of two characters first, because the longest counts.
var symbols = [...]string{"==", "!=", "<=", ">=", "&&", "||",
	"<", ">", "+", "-", "*", "/", "^", "(", ")", "[", "]", ","}

func (l *lexer) next() (token, error) {
	l.offset += len(l.source[l.offset:]) - len(strings.TrimLeft(l.source[l.offset:], " \t\r\n"))
	rest := l.source[l.offset:]
	t := token{at: utf8.RuneCountInString(l.source[:l.offset]) + 1}
	if rest == "" {
		return t, nil
	}
	switch c := rest[0]; {
	case isDigit(c):
		t.is, t.text = number, rest[:span(rest, func(c byte) bool { return isDigit(c) || c == '.' })]
		n, err := strconv.ParseFloat(t.text, 64)
		if err != nil {
			return t, mistake(t.at, "%q is not a number; write it like 5 or 50.25", t.text)
		}
		t.number = n
	case isAlpha(c):
		t.is, t.text = name, rest[:span(rest, func(c byte) bool { return isAlpha(c) || isDigit(c) || c == '_' })]
		if c <= 'Z' {
			t.is = upper
		}
	default:
		for _, s := range symbols {
			if strings.HasPrefix(rest, s) {
				t.is, t.text = symbol, s
				break
			}
		}
		if t.text == "" {
			r, _ := utf8.DecodeRuneInString(rest)
			return t, mistake(t.at, "unexpected %q", r)
		}
	}
	l.offset += len(t.text)
	return t, nil
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
func isAlpha(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }

// span is the length of the longest beginning of s whose bytes all are so.
func span(s string, is func(byte) bool) int {
	n := 0
	for n < len(s) && is(s[n]) {
		n++
	}
	return n
}
