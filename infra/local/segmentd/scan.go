package segmentd

import (
	"encoding/json"
	"strings"
)

// maxDepth is how deeply a body may nest, as in encoding/json: a deeper one is an attack on the
// parser's stack.
const maxDepth = 10_000

// scanner reads JSON in one pass, validates it, and calls back for members and elements. It exists
// for speed: validating with a library, then finding the batch, its events and their fields read
// every byte four times, and took three quarters of the emulator's time. Its methods return false at
// the first byte that is not JSON, and leave i there.
type scanner struct {
	in    string
	i     int
	depth int
}

// next skips white space and returns the byte that follows, 0 at the end.
func (s *scanner) next() byte {
	for ; s.i < len(s.in); s.i++ {
		if c := s.in[s.i]; c != ' ' && c != '\n' && c != '\t' && c != '\r' {
			return c
		}
	}
	return 0
}

// atEnd reports whether only white space follows.
func (s *scanner) atEnd() bool { return s.next() == 0 && s.i == len(s.in) }

// tooDeep reports whether the scanner stopped because of the nesting.
func (s *scanner) tooDeep() bool { return s.depth > maxDepth }

// value passes over any value.
func (s *scanner) value() bool {
	switch s.next() {
	case '"':
		return s.str()
	case '{':
		return s.object(nil)
	case '[':
		return s.array(nil)
	case 't':
		return s.literal("true")
	case 'f':
		return s.literal("false")
	case 'n':
		return s.literal("null")
	}
	return s.number()
}

// object passes over an object. For each member it calls member, if not nil, which must pass over
// the value; the key is as it is written, with its quotes.
func (s *scanner) object(member func(quoted string) bool) bool {
	if !s.enter() {
		return false
	}
	if s.next() == '}' {
		return s.leave()
	}
	for {
		if s.next() != '"' {
			return false
		}
		start := s.i
		if !s.str() {
			return false
		}
		key := s.in[start:s.i]
		if s.next() != ':' {
			return false
		}
		s.i++
		if member == nil {
			if !s.value() {
				return false
			}
		} else if !member(key) {
			return false
		}
		switch s.next() {
		case ',':
			s.i++
		case '}':
			return s.leave()
		default:
			return false
		}
	}
}

// array passes over an array. For each element it calls element, if not nil, which must pass over
// the value.
func (s *scanner) array(element func() bool) bool {
	if !s.enter() {
		return false
	}
	if s.next() == ']' {
		return s.leave()
	}
	for {
		if element == nil {
			if !s.value() {
				return false
			}
		} else if !element() {
			return false
		}
		switch s.next() {
		case ',':
			s.i++
		case ']':
			return s.leave()
		default:
			return false
		}
	}
}

func (s *scanner) enter() bool {
	s.i++
	s.depth++
	return s.depth <= maxDepth
}

func (s *scanner) leave() bool {
	s.i++
	s.depth--
	return true
}

// str passes over a string, from its opening quote. Like most parsers it takes bytes that are not
// UTF-8.
func (s *scanner) str() bool {
	in := s.in
	for i := s.i + 1; i < len(in); i++ {
		switch c := in[i]; {
		case c == '"':
			s.i = i + 1
			return true
		case c < ' ':
			s.i = i
			return false
		case c == '\\':
			n := escape(in[i+1:])
			if n == 0 {
				s.i = i
				return false
			}
			i += n
		}
	}
	s.i = len(in)
	return false
}

// escape returns the length of the escape that rest, after a backslash, begins with, or 0.
func escape(rest string) int {
	if rest == "" {
		return 0
	}
	switch rest[0] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 1
	case 'u':
		if len(rest) < 5 || strings.Trim(rest[1:5], "0123456789abcdefABCDEF") != "" {
			return 0
		}
		return 5
	}
	return 0
}

func (s *scanner) literal(want string) bool {
	if !strings.HasPrefix(s.in[s.i:], want) {
		return false
	}
	s.i += len(want)
	return true
}

func (s *scanner) number() bool {
	s.accept('-')
	if !s.accept('0') && !s.digits() { // no digit may follow a leading 0: what does is then no separator
		return false
	}
	if s.accept('.') && !s.digits() {
		return false
	}
	if s.accept('e') || s.accept('E') {
		if !s.accept('+') {
			s.accept('-')
		}
		return s.digits()
	}
	return true
}

func (s *scanner) accept(c byte) bool {
	if s.i < len(s.in) && s.in[s.i] == c {
		s.i++
		return true
	}
	return false
}

func (s *scanner) digits() bool {
	start := s.i
	for s.i < len(s.in) && '0' <= s.in[s.i] && s.in[s.i] <= '9' {
		s.i++
	}
	return s.i > start
}

// unquote returns what a valid JSON string says: a part of it where nothing is escaped, and a copy
// else.
func unquote(quoted string) string {
	inner := quoted[1 : len(quoted)-1]
	if strings.IndexByte(inner, '\\') < 0 {
		return inner
	}
	var out string
	if json.Unmarshal([]byte(quoted), &out) != nil {
		return inner // it was scanned before, so it is valid
	}
	return out
}
