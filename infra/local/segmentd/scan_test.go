package segmentd

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestTheScannerAgreesWithTheStandardLibraryOnWhatIsJSON(t *testing.T) {
	for _, in := range []string{
		`{}`, `[]`, ` { "a" : [ 1 , 2.5e+3 , -0 , "x\u00e9\n" , true , false , null ] } `, `"x"`, `0`, `-1.5E-9`,
		``, `{`, `}`, `{,}`, `{"a"}`, `{"a":}`, `{"a":1,}`, `{"a" 1}`, `{a:1}`, `[1,]`, `[1 2]`, `[,1]`, `01`, `-`, `1.`,
		`.5`, `1e`, `1e+`, `+1`,
		`tru`, `nul`, `truex`, `"`, `"\x"`, `"\u12"`, `"\u12g4"`, `"\`, "\"a\nb\"", "\"\x7f\"", "\"\xff\"", `{"a":1}x`,
		"\u00a01", "[1]\x00", "\v1",
	} {
		checkScanner(t, in)
	}
}

func checkScanner(t *testing.T, in string) {
	t.Helper()
	s := scanner{in: in}
	ok := s.value() && s.atEnd()
	if want := json.Valid([]byte(in)); ok != want && !s.tooDeep() {
		t.Errorf("%q: scanner says %v, encoding/json %v (at byte %d)", in, ok, want, s.i)
	}
}

func TestNestingIsLimitedTo10000(t *testing.T) {
	for depth, want := range map[int]bool{maxDepth: true, maxDepth + 1: false, 250_000: false} {
		s := scanner{in: strings.Repeat("[", depth) + strings.Repeat("]", depth)}
		if got := s.value(); got != want || s.tooDeep() == want {
			t.Errorf("depth %d: %v, too deep %v", depth, got, s.tooDeep())
		}
	}
}

func FuzzParseBody(f *testing.F) {
	for _, seed := range []string{
		tracks(2), `{"writeKey":"k","sentAt":"s","context":{"a":1},"integrations":{},"batch":[{"type":"page","userId":"u\u00e9"},7]}`,
		`{"batch":[{}],"batch":[]}`, `{"type":"track","userId":null,"event":"e"}`, `[[[[`, "{\"\\u0000\":\"\xff\"}", "",
	} {
		f.Add([]byte(seed), true)
		f.Add([]byte(seed), false)
	}
	f.Fuzz(func(t *testing.T, body []byte, isBatch bool) {
		checkScanner(t, string(body))
		var b batch
		refused := b.parse(body, route{batch: isBatch, typ: "track"})
		if refused != nil {
			if len(b.events) != 0 {
				t.Fatalf("refused (%s) and yet %d events", refused.code, len(b.events))
			}
			return
		}
		if !json.Valid(body) {
			t.Fatalf("accepted %q, which is not JSON", body)
		}
		for _, e := range b.events {
			if !json.Valid([]byte(e.raw)) {
				t.Fatalf("event %q is not JSON", e.raw)
			}
			if e.code == codeNotObject {
				continue
			}
			merged := Received{Raw: []byte(e.raw), context: b.context, integrations: b.integrations}.Merged()
			if !json.Valid(merged) {
				t.Fatalf("merged %q is not JSON", merged)
			}
			var std map[string]any
			if err := json.Unmarshal([]byte(e.raw), &std); err != nil {
				t.Fatal(err)
			}
			if want, _ := std["messageId"].(string); utf8.ValidString(e.raw) && e.messageID != want {
				t.Fatalf("messageId %q of %q, want %q", e.messageID, e.raw, want)
			}
		}
	})
}
