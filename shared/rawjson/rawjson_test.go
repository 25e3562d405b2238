package rawjson

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

var documents = []string{
	`{}`, `[]`, `null`, `true`, `false`, `0`, `-0`, `-1.5e+10`, `1E9`, `""`, `"a"`, ` { "a" : [ 1 , {"b":null} ] } `,
	`{"a":{"b":{"c":[[],{},[{}]]}}}`, `"\u00e9\ud83d\ude00\ud800\n\/\\\""`,
	`"` + strings.Repeat("long text ", 20) + `é` + strings.Repeat("x", 9) + `"`,
	`"{\"type\":\"track\",\"a long key of an event\":\"\\\\ \/ \n \ud83d\ude00\ud83d \u00e9é\",\"n\":1.5}" `,
	`"a \"quote\" near the end\`, `"a \"quote\" and no end`, `"\"sixteen bytes and` + "\x01",
	"\"\xff\"", "\"\x01\"", `"\x"`, `"\u12g4"`, `"`, `{`, `[`, `[1,]`, `{,}`, `{"a"}`, `{"a":}`, `{"a":1,}`, `{1:2}`, `01`,
	`1.`, `.1`, `1e`, `-`, `+1`, `tru`, `nulll`,
	`[1 2]`, `{"a":1 "b":2}`, `1 2`, ``, ` `, `]`, `}`, `[}`, `{]`, `{"a":1]`, `[1}`, "[1]\x00", "\xef\xbb\xbf{}",
	`{"type":"a","type":"b"}`,
	strings.Repeat("[", 200) + strings.Repeat("]", 200), strings.Repeat(`{"a":[`, 70) + strings.Repeat("]}", 70),
}

func TestAcceptsExactlyWhatEncodingJSONAccepts(t *testing.T) {
	for _, doc := range documents {
		if got, want := Valid([]byte(doc)), json.Valid([]byte(doc)); got != want {
			t.Errorf("Valid(%q) = %v, encoding/json says %v", doc, got, want)
		}
	}
}

// walk reads a document by Enter, Field and Elem down to the given depth, and by Value below it.
func walk(s *Scanner, depth int) (values int) {
	switch {
	case depth > 0 && s.Peek() == '{':
		s.Enter('{')
		for {
			if _, ok := s.Field(); !ok {
				return values + 1
			}
			values += walk(s, depth-1)
		}
	case depth > 0 && s.Peek() == '[':
		s.Enter('[')
		for s.Elem() {
			values += walk(s, depth-1)
		}
		return values + 1
	}
	s.Value()
	return 1
}

func FuzzScanner(f *testing.F) {
	for _, doc := range documents {
		f.Add([]byte(doc), 3)
	}
	f.Fuzz(func(t *testing.T, doc []byte, depth int) {
		want := json.Valid(doc)
		if len(doc) > 9000 { // encoding/json refuses more than 10,000 levels; we do not
			return
		}
		if got := Valid(doc); got != want {
			t.Fatalf("Valid(%q) = %v, encoding/json says %v", doc, got, want)
		}
		var s Scanner
		s.Reset(doc)
		walk(&s, depth%10)
		if got := s.End() == nil; got != want {
			t.Fatalf("walking %d levels of %q: %v, encoding/json says valid: %v", depth%10, doc, s.Err(), want)
		}
		if f := s.TakeFlaws(); want && f.NotUTF8 != !utf8.Valid(doc) {
			t.Fatalf("NotUTF8 = %v for %q", f.NotUTF8, doc)
		}
		// What follows lets Text read all of doc in blocks.
		s.Reset(append(slices.Clip(doc), strings.Repeat(" ", 100)...))
		inPlace, _ := s.Text(nil)
		isText := s.End() == nil
		if (want && strings.TrimLeft(string(doc), " \t\r\n")[0] == '"') != isText {
			t.Fatalf("Text reads %q: %v, encoding/json says valid: %v", doc, isText, want)
		}
		flaws := s.TakeFlaws()
		var text string
		if isText && json.Unmarshal(doc, &text) == nil && utf8.Valid(doc) {
			s.Reset(doc)
			if got := string(Unquote(nil, s.Value())); got != text || string(inPlace) != text || flaws != s.TakeFlaws() {
				t.Fatalf("Unquote(%q) = %q, Text %q with %+v, encoding/json says %q", doc, got, inPlace, flaws, text)
			}
		}
	})
}

func TestTextReadsEscapesWhereverTheyStand(t *testing.T) {
	for _, part := range []string{`\"`, `\\`, `\\\"`, `\n`, `\/`, `\u00e9`, `\ud83d\ude00`, `\ud83d\"`, "é", "\x7f", strings.Repeat(`\"`, 40)} {
		for before := range 140 {
			doc := `"\\` + strings.Repeat("x", before) + part + strings.Repeat("y", 140-before) + part + `"`
			var want string
			if err := json.Unmarshal([]byte(doc), &want); err != nil {
				t.Fatal(err)
			}
			var s Scanner
			for _, behind := range []string{"", strings.Repeat(" ", 100)} {
				s.Reset([]byte(doc + behind))
				if got, _ := s.Text(nil); string(got) != want || s.End() != nil {
					t.Fatalf("Text(%q) = %q: %v", doc, got, s.Err())
				}
			}
		}
	}
}

func TestMarksAreExact(t *testing.T) {
	for c := range 256 {
		for at := range 64 {
			block := [64]byte([]byte(strings.Repeat(" ~", 32)))
			block[at] = byte(c)
			var want uint64
			if c < 0x20 || c == '"' || c == '\\' || c >= utf8.RuneSelf {
				want = 1 << at
			}
			if got := marks(&block); got != want {
				t.Errorf("%#x at %d is marked %b", c, at, got)
			}
		}
	}
}

func FuzzQuoted(f *testing.F) {
	f.Add("plain")
	f.Add("quote \" slash \\ control \x01\n non-UTF-8 \xff é 😀")
	f.Fuzz(func(t *testing.T, text string) {
		quoted := AppendQuoted(nil, text)
		var back string
		if err := json.Unmarshal(quoted, &back); err != nil {
			t.Fatalf("AppendQuoted(%q) = %q: %v", text, quoted, err)
		}
		if want := strings.ToValidUTF8(text, "\ufffd"); utf8.ValidString(text) && back != want {
			t.Fatalf("AppendQuoted(%q) reads as %q", text, back)
		}
	})
}

func TestFieldsAreUnescapedAndInOrder(t *testing.T) {
	var s Scanner
	s.Reset([]byte(` {"a": 1, "\u0062":[2, {"x":3}] , "c" : "d"} `))
	var got []string
	for s.Enter('{'); ; {
		key, ok := s.Field()
		if !ok {
			break
		}
		got = append(got, string(key)+"="+string(s.Value()))
	}
	if err := s.End(); err != nil {
		t.Fatal(err)
	}
	if want := `a=1|b=[2, {"x":3}]|c="d"`; strings.Join(got, "|") != want {
		t.Errorf("got %s, want %s", strings.Join(got, "|"), want)
	}
}

func TestAHundredThousandLevelsAreCountedWithoutRecursion(t *testing.T) {
	const depth = 100_000
	var s Scanner
	s.Reset([]byte(strings.Repeat("[", depth) + strings.Repeat("]", depth)))
	s.Value()
	if err := s.End(); err != nil {
		t.Fatal(err)
	}
	if f := s.TakeFlaws(); f.Depth != depth {
		t.Errorf("depth %d, want %d", f.Depth, depth)
	}
}

func TestATruncatedDocumentIsAnUnexpectedEnd(t *testing.T) {
	doc := `{"a":[1,"text",true,{"b":-1.5e3}]}`
	for n := 1; n < len(doc); n++ {
		var s Scanner
		s.Reset([]byte(doc[:n]))
		s.Value()
		if err := s.End(); !errors.Is(err, errEnd) {
			t.Errorf("%q: error %v, want ErrEnd", doc[:n], err)
		}
	}
}

func TestTextOfADocumentIsPartOfItUntilItHasEscapes(t *testing.T) {
	doc := []byte(`["plain é and long enough", "with \"escapes\" and long enough", 1]`)
	var s Scanner
	s.Reset(doc)
	s.Enter('[')
	s.Elem()
	plain, buffer := s.Text(make([]byte, 0, 64))
	if string(plain) != "plain é and long enough" || &plain[0] != &doc[2] || len(buffer) != 0 {
		t.Errorf("text %q, buffer %q", plain, buffer)
	}
	s.Elem()
	escaped, used := s.Text(buffer)
	if string(escaped) != `with "escapes" and long enough` || &escaped[0] != &buffer[:1][0] || &used[0] != &escaped[0] {
		t.Errorf("text %q, buffer %q", escaped, used)
	}
	s.Elem()
	if text, _ := s.Text(nil); text != nil || s.Err() == nil {
		t.Errorf("a number is the text %q", text)
	}
}
