package message

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

// isLegalRune reports whether SQS takes the character: XML text only (SQS API reference,
// SendMessage).
func isLegalRune(r rune) bool {
	return r >= 0x20 && r != '\ufffe' && r != '\uffff' || r == '\t' || r == '\n' || r == '\r'
}

// isLegal reports whether SQS takes the text, which must not be empty.
func isLegal(text []byte) bool {
	return utf8.Valid(text) && !bytes.ContainsFunc(text, func(r rune) bool { return !isLegalRune(r) })
}

// isLegalJSON is isLegal for valid JSON, and several times as fast: JSON holds no control
// characters but white space.
func isLegalJSON(json []byte) bool {
	return utf8.Valid(json) && !bytes.Contains(json, []byte("\ufffe")) && !bytes.Contains(json, []byte("\uffff"))
}

// LegalText makes text fit for SQS: what SQS does not take becomes U+FFFD, and an empty text
// becomes "-".
func LegalText(text string) string {
	if text == "" {
		return "-"
	}
	return strings.Map(func(r rune) rune {
		if isLegalRune(r) {
			return r
		}
		return utf8.RuneError
	}, strings.ToValidUTF8(text, "\ufffd"))
}

// Shorten shortens text to at most n bytes, of which "…" takes the last three where something is
// missing. n must be at least 3.
func Shorten(text string, n int) string {
	if len(text) <= n {
		return text
	}
	return Truncate(text, n-len("…")) + "…"
}

// LegalDetail makes a text fit for a dead letter's detail.
func LegalDetail(text string) string { return LegalText(Shorten(text, MaxDetail)) }

// Truncate shortens text to at most n bytes and cuts no character of valid UTF-8 in two.
func Truncate(text string, n int) string {
	if len(text) <= n {
		return text
	}
	return strings.ToValidUTF8(text[:n], "")
}
