package rawjson

// Indent appends a valid document to dst, indented by two spaces a level as encoding/json does it,
// and stops when that has limit bytes: rest is how many bytes of the document are left out then. An
// indented document may be very much longer than it came: 60 KB with 20,000 numbers at a depth of
// 10,000 would be 400 MB.
func Indent(dst, document []byte, limit int) (indented []byte, rest int) {
	begun, depth, inText := len(dst), 0, false
	line := func() {
		dst = append(dst, '\n')
		for range depth {
			dst = append(dst, "  "...)
		}
	}
	for i := 0; i < len(document); i++ {
		if len(dst)-begun >= limit {
			return dst, len(document) - i
		}
		c := document[i]
		if !inText && isSpace(c) {
			continue
		}
		if !inText && (c == '}' || c == ']') {
			if depth--; dst[len(dst)-1] != c-2 { // not the bracket that it closes: ASCII has one character between
				line()
			}
		} else if last := len(dst) - 1; !inText && last >= begun && (dst[last] == '{' || dst[last] == '[') {
			line()
		}
		dst = append(dst, c)
		switch {
		case inText && c == '\\':
			i++
			dst = append(dst, document[i])
		case c == '"':
			inText = !inText
		case inText:
		case c == '{' || c == '[':
			depth++
		case c == ',':
			line()
		case c == ':':
			dst = append(dst, ' ')
		}
	}
	return dst, 0
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }
