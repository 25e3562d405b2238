package rawjson

// This file reads values. Its functions take a position and return the one behind what they read,
// -1 after an error: kept in the Scanner, each step of a loop would wait for the last one's store,
// which costs half of the time.

// skip reads one value, by a loop with a stack of bits instead of recursion.
func (s *Scanner) skip() {
	data, i, base := s.data, s.pos, s.level
	var c byte
value:
	switch i, c = token(data, i); c {
	case '"':
		i = s.text(i + 1)
	case '{':
		s.push(base, true)
		if i, c = token(data, i+1); c != '}' {
			goto key
		}
		i++
		s.level--
	case '[':
		s.push(base, false)
		if i, c = token(data, i+1); c != ']' {
			goto value
		}
		i++
		s.level--
	default:
		i = s.literalOrNumber(i, c)
	}
	if i < 0 {
		return
	}
	for s.level != base {
		object := s.inObject(base) // the innermost open container is one
		i, c = token(data, i)
		switch {
		case c == ',' && object:
			i, c = token(data, i+1)
			goto key
		case c == ',':
			i++
			goto value
		case c == '}' && object, c == ']' && !object:
			i++
			s.level--
		default:
			s.failAt(i, expectedIn[object])
			return
		}
	}
	s.pos = i
	return
key:
	if c != '"' {
		s.failAt(i, "expected a key in quotes")
		return
	}
	if i = s.text(i + 1); i < 0 {
		return
	}
	if i, c = token(data, i); c != ':' {
		s.failAt(i, "expected ':' after a key")
		return
	}
	i++
	goto value
}

// expectedIn is what an object (true) or array goes on with after a value.
var expectedIn = map[bool]string{true: "expected ',' or '}'", false: "expected ',' or ']'"}

// token returns the position of the next byte that is not white space, and the byte, 0 at the end.
func token(data []byte, i int) (int, byte) {
	for i < len(data) {
		c := data[i]
		if c > ' ' || (c != ' ' && c != '\n' && c != '\r' && c != '\t') {
			return i, c
		}
		i++
	}
	return i, 0
}

// failAt is fail at a position, and returns -1.
func (s *Scanner) failAt(i int, what string) int {
	s.pos = i
	s.fail(what)
	return -1
}

func (s *Scanner) literalOrNumber(i int, c byte) int {
	switch {
	case c == '-' || c >= '0' && c <= '9':
		return s.number(i)
	case c == 't':
		return s.literal(i, "true")
	case c == 'f':
		return s.literal(i, "false")
	case c == 'n':
		return s.literal(i, "null")
	}
	return s.failAt(i, "expected a value")
}

func (s *Scanner) push(base int, object bool) {
	n := s.level - base
	s.deeper()
	if n/64 == len(s.stack) {
		s.stack = append(s.stack, 0)
	}
	if object {
		s.stack[n/64] |= 1 << (n % 64)
	} else {
		s.stack[n/64] &^= 1 << (n % 64)
	}
}

func (s *Scanner) inObject(base int) bool {
	n := s.level - base - 1
	return s.stack[n/64]&(1<<(n%64)) != 0
}

func (s *Scanner) literal(i int, word string) int {
	if len(s.data)-i < len(word) {
		return s.failAt(len(s.data), "expected "+word)
	}
	if string(s.data[i:i+len(word)]) != word {
		return s.failAt(i, "expected "+word)
	}
	return i + len(word)
}

// digits reads as many digits as there are, at least one.
func (s *Scanner) digits(i int) int {
	start := i
	for i < len(s.data) && s.data[i]-'0' <= 9 {
		i++
	}
	if i == start {
		return s.failAt(i, "expected a digit")
	}
	return i
}

func (s *Scanner) number(i int) int {
	data := s.data
	if data[i] == '-' {
		i++
	}
	if i < len(data) && data[i] == '0' {
		i++
	} else if i = s.digits(i); i < 0 {
		return i
	}
	if i < len(data) && data[i] == '.' {
		if i = s.digits(i + 1); i < 0 {
			return i
		}
	}
	if i < len(data) && data[i]|0x20 == 'e' {
		i++
		if i < len(data) && (data[i] == '+' || data[i] == '-') {
			i++
		}
		i = s.digits(i)
	}
	return i
}
