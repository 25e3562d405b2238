package segmentd

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	product "github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/rawjson"
)

// stricter are the problems for which Segment publishes no code, so that only the product has a rule.
var stricter = []*product.Problem{product.NotUTF8, product.TooDeep, product.TooLarge, product.MessageIDTooLong}

// FuzzTheProductAgreesWithTheEmulator compares the rules, which are written twice on purpose: what
// the product sends on, the emulator accepts, and what it refuses, the emulator rejects with the
// same code. Otherwise events are lost behind a 200, or refused for nothing.
func FuzzTheProductAgreesWithTheEmulator(f *testing.F) {
	for _, seed := range []string{
		`{"type":"track","userId":"u","event":"e","properties":{}}`, `{"type":"track","userId":true,"event":""}`,
		`{"type":"page","anonymousId":"a","name":"n","category":null}`, `{"type":"screen","userId":1e999,"name":7}`,
		`{"type":"group","userId":1,"groupId":2,"traits":[]}`, `{"type":"group","userId":"","groupId":{}}`,
		`{"type":"alias","userId":1,"previousId":-2}`, `{"type":"alias","userId":"u","previousId":""}`,
		`{"type":"identify","userId":null,"userId":"u","groupId":[],"traits":{}}`, `{"\u0074ype":"trac\u006b"}`,
		`{"type":"alias","userId":{},"previousId":"p","anonymousId":[]}`, `{"type":7}`, `[]`, `null`, `"x"`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(agree)
}

// agree fails the test when the product and the emulator judge an event differently.
func agree(t *testing.T, raw []byte) {
	var s rawjson.Scanner
	var e product.Event
	s.Reset(raw)
	if product.Scan(&s, raw, &e) != nil || s.End() != nil || slices.Contains(stricter, e.Problem) {
		return
	}
	sent, _ := e.AppendIdentified(nil, "id", time.Now())
	var b batch
	if refused := b.parse(fmt.Appendf(nil, `{"batch":[%s]}`, sent), route{batch: true}); refused != nil {
		t.Fatalf("%s: the emulator answers 400 %v", raw, refused)
	}
	want := ""
	switch e.Problem {
	case nil:
	case product.TypeUnknown:
		want = codeTypeNotKnown
	case product.NotAnObject:
		want = codeNotObject
	default:
		want = e.Problem.Code
	}
	if got := b.events[0].code; got != want {
		t.Fatalf("%s: the emulator rejects it as %q, the product as %q, and sends %s", raw, got, want, sent)
	}
}

func TestTheProductAgreesWithTheEmulatorAboutEveryFieldsValues(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	types := []string{"track", "page", "screen", "identify", "group", "alias"}
	keys := []string{"userId", "anonymousId", "groupId", "previousId", "event", "name", "category", "properties", "traits"}
	values := []string{`"a"`, `7`, `""`, `null`, `{}`, `[]`, `true`, `-0.5e3`}
	for range 30_000 {
		raw := fmt.Appendf(nil, `{"type":%q`, types[rng.IntN(len(types))])
		for _, key := range keys {
			switch rng.IntN(3) {
			case 0: // a value that is right more often than not
				raw = fmt.Appendf(raw, `,%q:%s`, key,
					map[bool]string{true: `{}`, false: `"x"`}[key == "properties" || key == "traits"])
			case 1:
				raw = fmt.Appendf(raw, `,%q:%s`, key, values[rng.IntN(len(values))])
			}
		}
		agree(t, append(raw, '}'))
	}
}
