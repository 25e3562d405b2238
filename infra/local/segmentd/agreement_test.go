package segmentd

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
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
		`{"type":"track","event":"Segment Consent Preference","anonymousId":"a","context":{"consent":{"categoryPreferences":{"a":true}}}}`,
		`{"type":"track","event":"Segment Consent Preference Updated","userId":"u","context":{"consent":{"categoryPreferences":{"a":1}}}}`,
		`{"type":"track","event":"Segment Consent Preference","anonymousId":7,"context":{"device":{"advertisingId":7}}}`,
		`{"type":"alias","userId":{},"previousId":"p","anonymousId":[]}`, `{"type":7}`, `[]`, `null`, `"x"`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(agree)
}

func FuzzTheProductAgreesWithTheEmulatorAboutWriteKeys(f *testing.F) {
	for _, key := range []string{"", "abc", "abc\n", " ", `"`, `\`, ":", "<", "~", "\x7f", "é", strings.Repeat("k", 128),
		strings.Repeat("k", 129)} {
		f.Add(key)
	}
	f.Fuzz(func(t *testing.T, key string) {
		if got, want := canBeWriteKey(key), product.ValidWriteKey(key); got != want {
			t.Fatalf("%q: the emulator says %v, the product %v", key, got, want)
		}
	})
}

// agree fails the test when the product and the emulator judge an event differently.
func agree(t *testing.T, raw []byte) {
	var s rawjson.Scanner
	var e product.Event
	s.Reset(raw)
	if product.Scan(&s, raw, &e) != nil || s.End() != nil || slices.Contains(stricter, e.Problem) {
		return
	}
	agreeInBatch(t, &e, "null")
}

// agreeInBatch is agree for an event in a batch with that context.
func agreeInBatch(t *testing.T, e *product.Event, context string) {
	sent, _ := e.AppendIdentified(nil, "id", time.Now())
	var b batch
	if refused := b.parse(fmt.Appendf(nil, `{"batch":[%s],"context":%s}`, sent, context),
		route{batch: true}); refused != nil {
		t.Fatalf("%s: the emulator answers 400 %v", sent, refused)
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
		t.Fatalf("%s in a batch with the context %s: the emulator rejects it as %q, the product as %q", sent, context, got,
			want)
	}
}

func TestTheProductAgreesWithTheEmulatorAboutConsent(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	pick := func(of ...string) string { return of[rng.IntN(len(of))] }
	context := func() string {
		consent := pick(`{"categoryPreferences":`+pick(`{"a":true,"b":false}`, `{}`, `{"a":null}`, `{"a":1}`, `[]`,
			`null`)+`}`,
			`null`, `{}`, `7`)
		device := pick(`{"advertisingId":`+pick(`"x"`, `7`, `null`, `""`)+`}`, `null`, `[]`)
		return pick(`{"consent":`+consent+`,"device":`+device+`}`, `{"consent":`+consent+`}`, `{"device":`+device+`}`, `null`,
			`"web"`)
	}
	accepted := 0
	for range 30_000 {
		raw := fmt.Appendf(nil, `{"type":"track","event":%q,"userId":"u","anonymousId":%s,"context":%s}`,
			pick("Segment Consent Preference", "Segment Consent Preference Updated", "Segment Consent"),
			pick(`"a"`, `"a"`, `7`, `""`, `null`, `{}`), context())
		var s rawjson.Scanner
		var e product.Event
		s.Reset(raw)
		if err := product.Scan(&s, raw, &e); err != nil {
			t.Fatal(err)
		}
		shared := context()
		e.Inherit(product.ScanContext([]byte(shared)), "")
		if e.Problem == nil {
			accepted++
		}
		agreeInBatch(t, &e, shared)
	}
	if accepted < 3000 {
		t.Errorf("only %d events are good", accepted)
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
