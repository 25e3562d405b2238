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

// pair is how many of sixteen bytes are before the first that [special] marks, 16 if none is, by the
// marks of the first eight and of the others. It has no branch that depends on where that is: most
// of an event is text in short pieces, and no processor foresees their lengths.
func pair(first, second uint64) int {
	at := 64 + bits.TrailingZeros64(second)
	if first != 0 {
		at = bits.TrailingZeros64(first)
	}
	return at / 8
}

// plain returns the position at or behind i of the first byte that is a quote, a backslash, a
// control character or outside of ASCII.
func plain(data []byte, i int) int {
	for ; len(data)-i >= 16; i += 16 {
		next := data[i : i+16 : i+16]
		at := pair(special(binary.LittleEndian.Uint64(next)), special(binary.LittleEndian.Uint64(next[8:])))
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

// marks has a bit for each of 64 bytes, the lowest for the first, which is set for what [special]
// marks and nothing else.
func marks(block *[64]byte) (bits uint64) {
	for i := 0; i < len(block); i += 8 {
		eight := binary.LittleEndian.Uint64(block[i : i+8])
		seven := eight &^ highs // so that no byte's sum reaches the next byte
		text := (seven ^ lows*2) + lows*(0x80-0x21)
		text &= (seven ^ lows*'\\') + lows*0x7f
		found := (^text | eight) & highs
		bits |= found >> 7 * 0x0102040810204080 >> 56 << i // the eight bits, one beside the other
	}
	return bits
}

// text reads a string from the position behind its first quote. Nearly all end in the first loop,
// which is [plain] without its calls: they took a tenth of a scan.
func (s *Scanner) text(i int) int {
	for data := s.data; len(data)-i >= 16; i += 16 {
		next := data[i : i+16 : i+16]
		at := pair(special(binary.LittleEndian.Uint64(next)), special(binary.LittleEndian.Uint64(next[8:])))
		if at == 16 {
			continue
		}
		if i += at; data[i] == '"' {
			return i + 1
		}
		break
	}
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

// ahead is how many bytes unescape copies before it is known how many of them are text: a copy of a
// length that varies takes longer, and few pieces between escapes are longer.
const ahead = 32

// copyAhead is a copy for which the compiler makes no call.
func copyAhead(dst, src *[ahead]byte) {
	a, b := binary.LittleEndian.Uint64(src[:]), binary.LittleEndian.Uint64(src[8:])
	c, d := binary.LittleEndian.Uint64(src[16:]), binary.LittleEndian.Uint64(src[24:])
	binary.LittleEndian.PutUint64(dst[:], a)
	binary.LittleEndian.PutUint64(dst[8:], b)
	binary.LittleEndian.PutUint64(dst[16:], c)
	binary.LittleEndian.PutUint64(dst[24:], d)
}

// unescape reads a string from i to its end and appends its text to dst. It finds all escapes of 64
// bytes at once: JSON in a string has one every eight bytes, and to look for them one after the
// other, each step would wait for the last one.
func (s *Scanner) unescape(dst []byte, i int) (text []byte, end int) {
	data := s.data
	for len(data)-i >= 64+ahead {
		next := data[i : i+64+ahead : i+64+ahead]
		dst = slices.Grow(dst, len(next))
		to, n, from := dst[:cap(dst)], len(dst), 0 // what is before from has been copied
		for m := marks((*[64]byte)(next)); m != 0; {
			at := bits.TrailingZeros64(m)
			copyAhead((*[ahead]byte)(to[n:]), (*[ahead]byte)(next[from:]))
			if at-from > ahead {
				copy(to[n:], next[from:at])
			}
			n += at - from
			c := next[at]
			if c == '"' {
				return to[:n], i + at + 1
			}
			if e := next[at+1]; c == '\\' && (e == '"' || e == '\\') {
				to[n] = e
				n, from = n+1, at+2
				m &^= 3 << at
				continue
			}
			if dst, end = s.unescapeNext(to[:n], i+at); end < 0 {
				return dst, end
			}
			to, n, from = dst[:cap(dst)], len(dst), end-i
			m &^= 1<<from - 1
		}
		if from < 64 {
			n += copy(to[n:], next[from:64])
		}
		dst, i = to[:n], i+max(from, 64)
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
