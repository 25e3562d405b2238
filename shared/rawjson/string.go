package rawjson

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"unicode/utf8"
)

const (
	lows  = 0x0101010101010101
	highs = 0x8080808080808080
)

// special marks, by its highest bit, the first of eight bytes that is a quote, a backslash, a
// control character or outside of ASCII; other bits above it mean nothing. 0: none is. A quote and
// the control characters, and only they, are at most 0x20 after their second bit is flipped.
func special(eight uint64) uint64 {
	quoteOrControl := (eight ^ lows*2) - lows*0x21
	backslash := (eight ^ lows*'\\') - lows
	return (quoteOrControl | backslash | eight) & highs
}

// pair is [special] of sixteen bytes: how many of them are before the first that it marks, 16 if
// none is. It has no branch that depends on where that is: most of an event is text in short
// pieces, and no processor foresees their lengths.
func pair(first, second uint64) int {
	marks, more := special(first), special(second)
	at := 64 + bits.TrailingZeros64(more)
	if marks != 0 {
		at = bits.TrailingZeros64(marks)
	}
	return at / 8
}

// plain returns the position at or behind i of the first byte that is a quote, a backslash, a
// control character or outside of ASCII.
func plain(data []byte, i int) int {
	for ; len(data)-i >= 16; i += 16 {
		next := data[i : i+16 : i+16]
		at := pair(binary.LittleEndian.Uint64(next), binary.LittleEndian.Uint64(next[8:]))
		if at < 16 {
			return i + at
		}
	}
	for i < len(data) {
		if c := data[i]; c == '"' || c == '\\' || c < 0x20 || c >= utf8.RuneSelf {
			break
		}
		i++
	}
	return i
}

// text reads a string from the position behind its first quote.
func (s *Scanner) text(i int) int {
	for {
		i = s.piece(i)
		if i < 0 {
			return i
		}
		if s.data[i] == '"' {
			return i + 1
		}
		if i = s.escape(i + 1); i < 0 {
			return i
		}
	}
}

// piece reads a string until its end or an escape, and returns where that is.
func (s *Scanner) piece(i int) int {
	for {
		if i = plain(s.data, i); i >= len(s.data) {
			return s.failAt(i, "expected '\"'")
		}
		switch c := s.data[i]; {
		case c == '"' || c == '\\':
			return i
		case c < 0x20:
			return s.failAt(i, "expected no control character in a string")
		}
		i += s.character(i)
	}
}

// character returns how many bytes the character has, which is outside of ASCII.
func (s *Scanner) character(i int) int {
	r, size := utf8.DecodeRune(s.data[i:])
	if r == utf8.RuneError && size == 1 {
		s.flaws.NotUTF8 = true
	}
	return size
}

// escape reads an escape from the position behind its backslash.
func (s *Scanner) escape(i int) int {
	if i >= len(s.data) {
		return s.failAt(i, "expected an escape")
	}
	switch s.data[i] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 1
	case 'u':
		for n := 1; n <= 4; n++ {
			if i+n >= len(s.data) || unhex(s.data[i+n]) < 0 {
				return s.failAt(i+n, "expected four hexadecimal digits")
			}
		}
		return i + 5
	}
	return s.failAt(i, "expected an escape")
}

// Text reads the next value, which must be a string, and returns its text, as [Unquote] does, in
// one pass. Without escapes the text is a part of the document, otherwise of buffer, which may have
// grown and is returned.
func (s *Scanner) Text(buffer []byte) (text, grown []byte) {
	if s.err != nil {
		return nil, buffer
	}
	if s.space() != '"' {
		s.fail("expected a string")
		return nil, buffer
	}
	start := s.pos + 1
	i := s.piece(start)
	if i < 0 {
		return nil, buffer
	}
	text = s.data[start:i]
	end := i + 1
	if s.data[i] == '\\' {
		buffer, end = s.unescape(append(buffer[:0], text...), i)
		text = buffer
	}
	if end < 0 {
		return nil, buffer
	}
	s.pos, s.first = end, false
	return text, buffer
}

// unescape reads a string from i to its end and appends its text to dst. Sixteen bytes are copied
// before it is known how many of them are text: a copy of a length that varies takes longer.
func (s *Scanner) unescape(dst []byte, i int) (text []byte, end int) {
	data := s.data
	for len(data)-i >= 16 {
		next, n := data[i:i+16:i+16], len(dst)
		dst = slices.Grow(dst, 16)
		first, second := binary.LittleEndian.Uint64(next), binary.LittleEndian.Uint64(next[8:])
		copied := dst[n : n+16]
		binary.LittleEndian.PutUint64(copied, first)
		binary.LittleEndian.PutUint64(copied[8:], second)
		at := pair(first, second)
		dst, i = dst[:n+at], i+at
		if at == 16 {
			continue
		}
		if data[i] == '"' {
			return dst, i + 1
		}
		if data[i] == '\\' && i+1 < len(data) && (data[i+1] == '"' || data[i+1] == '\\') {
			dst, i = append(dst, data[i+1]), i+2
			continue
		}
		if dst, i = s.unescapeNext(dst, i); i < 0 {
			return dst, i
		}
	}
	for i >= 0 { // the last bytes of the document
		from := i
		if i = s.piece(i); i < 0 {
			break
		}
		dst = append(dst, data[from:i]...)
		if data[i] == '"' {
			return dst, i + 1
		}
		dst, i = s.unescapeNext(dst, i)
	}
	return dst, i
}

// unescapeNext is a step of unescape: it reads the escapes at i, or one other character. Escapes
// are read together because two may be a surrogate pair.
func (s *Scanner) unescapeNext(dst []byte, i int) (text []byte, end int) {
	c := s.data[i]
	switch end = i; {
	case c < 0x20:
		return dst, s.failAt(i, "expected no control character in a string")
	case c >= utf8.RuneSelf:
		end += s.character(i)
		return append(dst, s.data[i:end]...), end
	}
	for end < len(s.data) && s.data[end] == '\\' {
		if end = s.escape(end + 1); end < 0 {
			return dst, end
		}
	}
	return AppendUnescaped(dst, s.data[i:end]), end
}
