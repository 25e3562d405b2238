package lambda

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"unicode/utf8"
)

// appendString appends s as a JSON string. Invalid UTF-8 becomes U+FFFD, as in encoding/json; only
// what JSON requires is escaped.
//
// It copies and checks eight bytes at a time. With encoding/json instead, BenchmarkPayload… takes
// twice the time: 9.5 ms instead of 4.3 ms for 50 packed messages (base64, nothing to escape),
// 0.57 ms instead of 0.28 ms for 100 JSON events (a quote every few bytes).
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	i := 0
	for i+8 <= len(s) {
		n := len(b)
		if cap(b)-n < 8 {
			b = slices.Grow(b, len(s)-i+8)
		}
		word := load8(s, i)
		b = b[:n+8]
		binary.LittleEndian.PutUint64(b[n:], word)
		special := specials(word)
		if special == 0 {
			i += 8
			continue
		}
		plain := bits.TrailingZeros64(special) / 8
		i += plain
		if c := s[i]; c == '"' || c == '\\' { // by far the most frequent in JSON within JSON
			b = append(b[:n+plain], '\\', c)
			i++
			continue
		}
		b, i = appendSpecial(b[:n+plain], s, i)
	}
	for i < len(s) {
		if c := s[i]; plainByte(c) {
			b = append(b, c)
			i++
			continue
		}
		b, i = appendSpecial(b, s, i)
	}
	return append(b, '"')
}

// plainByte reports whether a byte needs no escape in a JSON string: ASCII without control
// characters, quotes and backslashes.
func plainByte(c byte) bool {
	return c >= ' ' && c < utf8.RuneSelf && c != '"' && c != '\\'
}

// appendSpecial appends the character that begins with the special byte s[i], and returns the index
// after it.
func appendSpecial(b []byte, s string, i int) ([]byte, int) {
	c := s[i]
	if c < utf8.RuneSelf {
		return appendEscaped(b, c), i + 1
	}
	r, size := utf8.DecodeRuneInString(s[i:])
	return utf8.AppendRune(b, r), i + size // U+FFFD for what is invalid
}

func appendEscaped(b []byte, c byte) []byte {
	const hex = "0123456789abcdef"
	switch c {
	case '"', '\\':
		return append(b, '\\', c)
	case '\n':
		return append(b, '\\', 'n')
	case '\r':
		return append(b, '\\', 'r')
	case '\t':
		return append(b, '\\', 't')
	default:
		return append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&0xf])
	}
}

// load8 reads eight bytes. The compiler makes one load of it.
func load8(s string, i int) uint64 {
	_ = s[i+7]
	return uint64(s[i]) | uint64(s[i+1])<<8 | uint64(s[i+2])<<16 | uint64(s[i+3])<<24 |
		uint64(s[i+4])<<32 | uint64(s[i+5])<<40 | uint64(s[i+6])<<48 | uint64(s[i+7])<<56
}

// specials sets the top bit of each byte of word that is not plain. A borrow can also set it in
// bytes above such a byte, never below: the lowest set bit is right, and so is zero.
func specials(word uint64) uint64 {
	const (
		ones = 0x0101010101010101
		tops = 0x8080808080808080
	)
	quote := word ^ ones*'"'
	slash := word ^ ones*'\\'
	return (word | // 0x80 and above
		(word - ones*' ') | // below the space
		(quote-ones)&^quote |
		(slash-ones)&^slash) & tops
}
