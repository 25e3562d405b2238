package rawjson

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"
)

// IsNull reports whether a value that a [Scanner] returned is null, or absent, which is an empty
// one. Segment treats the two alike, and the browser SDK sends null.
func IsNull(value []byte) bool { return len(value) == 0 || value[0] == 'n' }

// IsString reports whether a value that a [Scanner] returned is a string.
func IsString(value []byte) bool { return len(value) > 0 && value[0] == '"' }

// IsObject reports whether a value that a [Scanner] returned is an object.
func IsObject(value []byte) bool { return len(value) > 0 && value[0] == '{' }

// Unquote returns the text of a string value, as encoding/json decodes it. Without escapes the
// result is a slice of value; otherwise the text is appended to dst and the extended dst is
// returned.
func Unquote(dst, value []byte) []byte {
	text := value[1 : len(value)-1]
	if bytes.IndexByte(text, '\\') < 0 {
		return text
	}
	return AppendUnescaped(dst, text)
}

// AppendUnescaped decodes the escapes of text, a valid JSON string without its quotes, and appends
// the result to dst. A surrogate without its pair becomes U+FFFD, as in encoding/json.
func AppendUnescaped(dst, text []byte) []byte {
	for {
		i := bytes.IndexByte(text, '\\')
		if i < 0 || i+1 >= len(text) {
			return append(dst, text...)
		}
		dst = append(dst, text[:i]...)
		c := text[i+1]
		text = text[i+2:]
		switch c {
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			r := hex4(text)
			text = text[min(4, len(text)):]
			if utf16.IsSurrogate(r) {
				pair := rune(utf8.RuneError)
				if len(text) >= 6 && text[0] == '\\' && text[1] == 'u' {
					pair = utf16.DecodeRune(r, hex4(text[2:]))
				}
				if pair != utf8.RuneError {
					text = text[6:]
				}
				r = pair
			}
			dst = utf8.AppendRune(dst, r)
		default: // '"', '\\', '/'
			dst = append(dst, c)
		}
	}
}

func hex4(text []byte) rune {
	if len(text) < 4 {
		return utf8.RuneError
	}
	var r rune
	for _, c := range text[:4] {
		d := unhex(c)
		if d < 0 {
			return utf8.RuneError
		}
		r = r<<4 | d
	}
	return r
}

func unhex(c byte) rune {
	switch {
	case c >= '0' && c <= '9':
		return rune(c - '0')
	case c >= 'a' && c <= 'f':
		return rune(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return rune(c-'A') + 10
	}
	return -1
}

// AppendQuoted appends text as a JSON string. Bytes that are not UTF-8 become U+FFFD.
func AppendQuoted(dst []byte, text string) []byte {
	const digits = "0123456789abcdef"
	dst = append(dst, '"')
	data := unsafe.Slice(unsafe.StringData(text), len(text)) // only read
	for {
		n := plain(data, 0)
		dst = append(dst, data[:n]...)
		if data = data[n:]; len(data) == 0 {
			return append(dst, '"')
		}
		switch c := data[0]; {
		case c == '"' || c == '\\':
			dst, data = append(dst, '\\', c), data[1:]
		case c < 0x20:
			dst, data = append(dst, '\\', 'u', '0', '0', digits[c>>4], digits[c&15]), data[1:]
		default:
			r, size := utf8.DecodeRune(data)
			dst, data = utf8.AppendRune(dst, r), data[size:]
		}
	}
}
