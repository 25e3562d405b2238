// Package rawjson reads JSON without decoding it.
//
// Events travel through Spillway as the bytes they came in: decoding them into typed structs and
// encoding them again loses data (integers above 2^53, unknown fields, empty objects). So the
// pipeline only needs to know where a document's values begin and end, and whether it is valid. A
// [Scanner] finds both in one pass, without an allocation, without recursion (a document of 100,000
// nested arrays needs 12 KB and no stack), and only as deep as its caller asks.
//
// It accepts what encoding/json accepts, which a fuzz test checks. It also accepts deep nesting and
// invalid UTF-8 in a string, and reports them ([Scanner.TakeFlaws]), so that one such event does
// not make the others of its batch unreadable.
package rawjson

import (
	"bytes"
	"errors"
	"fmt"
)

// errEnd is wrapped by the error for a document that ends before it is complete.
var errEnd = errors.New("unexpected end of JSON")

// A Scanner reads one JSON document. The zero value is ready for [Scanner.Reset].
//
// After the first error every call returns a zero value, and [Scanner.Err] returns that error.
// Returned slices are parts of the document. It is not safe for concurrent use.
type Scanner struct {
	data  []byte
	pos   int
	first bool // nothing of the innermost open container was read yet
	err   error

	stack []uint64 // a bit for each level in which skip is: 1 is an object, 0 an array
	level int      // how many containers are open, entered or skipped
	flaws Flaws
}

// Flaws are accepted by the Scanner, but may be a reason to refuse a value.
type Flaws struct {
	NotUTF8 bool // a string held bytes that are not UTF-8
	Depth   int  // the deepest nesting, counted from the document's outermost container = 1
}

// Reset begins to read data, which the Scanner never changes.
func (s *Scanner) Reset(data []byte) {
	*s = Scanner{data: data, stack: s.stack[:0]}
}

// Err returns the first error, with the byte offset in its text, or nil.
func (s *Scanner) Err() error { return s.err }

// TakeFlaws returns the flaws that were found since the last call or Reset.
func (s *Scanner) TakeFlaws() Flaws {
	f := s.flaws
	s.flaws = Flaws{}
	return f
}

func (s *Scanner) fail(what string) {
	if s.err != nil {
		return
	}
	if s.pos >= len(s.data) {
		s.err = fmt.Errorf("%w: %s at byte %d", errEnd, what, len(s.data))
		return
	}
	s.err = fmt.Errorf("%s at byte %d, found %q", what, s.pos, s.data[s.pos])
}

// space moves to the next byte that is not white space and returns it, 0 at the end.
func (s *Scanner) space() byte {
	for s.pos < len(s.data) {
		c := s.data[s.pos]
		if c > ' ' || (c != ' ' && c != '\n' && c != '\r' && c != '\t') {
			return c
		}
		s.pos++
	}
	return 0
}

// Peek returns the first byte of the next value ('{', '[', '"', 't', 'f', 'n', '-' or a digit if it
// is valid), 0 at the end and after an error.
func (s *Scanner) Peek() byte {
	if s.err != nil {
		return 0
	}
	return s.space()
}

// Enter enters the next value, which must be an object if open is '{' and an array if it is '['. It
// returns false if it is not, which is an error.
func (s *Scanner) Enter(open byte) bool {
	if s.err != nil {
		return false
	}
	if s.space() != open {
		if open == '{' {
			s.fail("expected an object")
		} else {
			s.fail("expected an array")
		}
		return false
	}
	s.pos++
	s.deeper()
	s.first = true
	return true
}

func (s *Scanner) deeper() {
	s.level++
	s.flaws.Depth = max(s.flaws.Depth, s.level)
}

// Field moves to the next field of the object that was entered last and returns its key, unescaped.
// After the last one ok is false and the object is left. The caller must read the value, by
// [Scanner.Value] or [Scanner.Enter], before the next call.
func (s *Scanner) Field() (key []byte, ok bool) {
	if !s.next('}') {
		return nil, false
	}
	if s.space() != '"' {
		s.fail("expected a key in quotes")
		return nil, false
	}
	start := s.pos + 1
	end := s.text(start)
	if end < 0 {
		return nil, false
	}
	key = s.data[start : end-1]
	if bytes.IndexByte(key, '\\') >= 0 {
		key = AppendUnescaped(nil, key)
	}
	s.pos = end
	if s.space() != ':' {
		s.fail("expected ':' after a key")
		return nil, false
	}
	s.pos++
	return key, true
}

// Elem moves to the next element of the array that was entered last. After the last one it returns
// false and the array is left. As with [Scanner.Field], the caller must read the value.
func (s *Scanner) Elem() bool { return s.next(']') }

func (s *Scanner) next(end byte) bool {
	if s.err != nil {
		return false
	}
	c := s.space()
	if c == end {
		s.pos++
		s.level--
		s.first = false
		return false
	}
	if s.first {
		s.first = false
		if s.pos >= len(s.data) {
			s.fail("expected a value")
			return false
		}
		return true
	}
	if c != ',' {
		s.fail("expected ',' or '" + string(end) + "'")
		return false
	}
	s.pos++
	return true
}

// Value validates the next value and returns its bytes, without the white space around them; nil
// after an error.
func (s *Scanner) Value() []byte {
	if s.err != nil {
		return nil
	}
	s.space()
	start := s.pos
	s.skip()
	if s.err != nil {
		return nil
	}
	s.first = false
	return s.data[start:s.pos]
}

// Depth returns how many objects and arrays have been entered and not left.
func (s *Scanner) Depth() int { return s.level }

// Offset returns the position of the Scanner, in bytes from the beginning of the document.
func (s *Scanner) Offset() int { return s.pos }

// End checks that only white space is left, and returns the first error of the whole document.
func (s *Scanner) End() error {
	if s.err == nil && s.space() != 0 {
		s.fail("expected the end of the document")
	} else if s.err == nil && s.pos < len(s.data) { // a NUL byte
		s.fail("expected the end of the document")
	}
	return s.err
}

// Valid reports whether data is one JSON value.
func Valid(data []byte) bool {
	var s Scanner
	s.Reset(data)
	s.Value()
	return s.End() == nil
}
