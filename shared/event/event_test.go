package event

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/spillwayhq/spillway/shared/rawjson"
)

// scan reads one event that is a document of its own.
func scan(document []byte) (Event, error) {
	var s rawjson.Scanner
	var e Event
	s.Reset(document)
	err := Scan(&s, document, &e)
	if err == nil {
		err = s.End()
	}
	return e, err
}

func mustScan(t testing.TB, document string) Event {
	t.Helper()
	e, err := scan([]byte(document))
	if err != nil {
		t.Fatalf("Scan(%.200q): %v", document, err)
	}
	return e
}

// padded is a valid track of exactly n bytes.
func padded(n int) string {
	const head, tail = `{"type":"track","userId":"u","event":"e","pad":"`, `"}`
	return head + strings.Repeat("x", n-len(head)-len(tail)) + tail
}

// nested is a valid track that is n levels deep, its own braces being the first.
func nested(n int) string {
	return `{"type":"track","userId":"u","event":"e","properties":` + strings.Repeat(`{"a":`, n-1) + "1" +
		strings.Repeat("}", n)
}

func TestEachRuleHasItsProblem(t *testing.T) {
	for _, c := range []struct {
		event string
		want  *Problem
	}{
		// track
		{`{"type":"track","userId":"u","event":"e"}`, nil},
		{`{"type":"track","anonymousId":"a","event":"e","properties":{}}`, nil},
		{`{"type":"track","userId":null,"anonymousId":"a","event":"e","properties":null}`, nil},
		{`{"type":"track","userId":7,"event":"e"}`, nil},
		{`{"type":"track","userId":-1.5e3,"event":"e"}`, nil},
		{`{"type":"track","userId":0,"event":"e"}`, nil},
		{`{"type":"track","event":"e"}`, NoUserOrAnonymousID},
		{`{"type":"track","userId":null,"event":"e"}`, NoUserOrAnonymousID},
		{`{"type":"track","userId":"","anonymousId":"","event":"e"}`, NoUserOrAnonymousID},
		{`{"type":"track","userId":"u"}`, EventNotDefined},
		{`{"type":"track","userId":"u","event":null}`, EventNotDefined},
		{`{"type":"track","userId":"u","event":""}`, EventNotDefined},
		{`{"type":"track","userId":"u","event":12}`, EventNotString},
		{`{"type":"track","userId":"u","event":{}}`, EventNotString},
		{`{"type":"track","userId":"u","event":[]}`, EventNotString},
		{`{"type":"track","userId":"u","event":"e","properties":[]}`, PropertiesNotObject},
		{`{"type":"track","userId":"u","event":"e","properties":"{}"}`, PropertiesNotObject},
		{`{"type":"track","userId":"u","event":"e","properties":false}`, PropertiesNotObject},
		{`{"type":"track","userId":"u","event":"e","name":1,"category":1,"traits":1}`, nil}, // other types' fields
		// page and screen
		{`{"type":"page","anonymousId":"a"}`, nil},
		{`{"type":"page","anonymousId":"a","name":"n","category":"c","properties":{"a":1}}`, nil},
		{`{"type":"page","anonymousId":"a","name":null,"category":null,"properties":null}`, nil},
		{`{"type":"page","anonymousId":"a","name":""}`, nil},
		{`{"type":"screen","userId":"u","name":"n"}`, nil},
		{`{"type":"page"}`, NoUserOrAnonymousID},
		{`{"type":"screen","userId":""}`, NoUserOrAnonymousID},
		{`{"type":"page","userId":"u","name":1}`, NameNotString},
		{`{"type":"screen","userId":"u","name":{}}`, NameNotString},
		{`{"type":"page","userId":"u","category":true}`, CategoryNotString},
		{`{"type":"screen","userId":"u","category":[]}`, CategoryNotString},
		{`{"type":"page","userId":"u","properties":1}`, PropertiesNotObject},
		{`{"type":"screen","userId":"u","properties":"p"}`, PropertiesNotObject},
		// identify
		{`{"type":"identify","userId":"u"}`, nil},
		{`{"type":"identify","anonymousId":"a","traits":{"email":"a@b.c"}}`, nil},
		{`{"type":"identify","userId":"u","traits":null}`, nil},
		{`{"type":"identify","traits":{}}`, NoUserOrAnonymousID},
		{`{"type":"identify","userId":"u","traits":[]}`, TraitsNotObject},
		{`{"type":"identify","userId":"u","traits":"t"}`, TraitsNotObject},
		{`{"type":"identify","userId":"u","properties":[]}`, nil},
		// group
		{`{"type":"group","userId":"u","groupId":"g"}`, nil},
		{`{"type":"group","userId":"u","groupId":12,"traits":{}}`, nil},
		{`{"type":"group","anonymousId":7,"groupId":-1.5}`, nil},
		{`{"type":"group","userId":"u","groupId":0}`, nil},
		{`{"type":"group","userId":"u","groupId":{}}`, IDNotString},
		{`{"type":"group","userId":"u","groupId":[]}`, IDNotString},
		{`{"type":"group","userId":true,"groupId":"g"}`, IDNotString},
		{`{"type":"group","userId":"u"}`, IDRequired},
		{`{"type":"group","userId":"u","groupId":null}`, IDRequired},
		{`{"type":"group","userId":"u","groupId":""}`, IDRequired},
		{`{"type":"group","groupId":"g"}`, NoUserOrAnonymousID},
		{`{"type":"group","userId":"u","groupId":"g","traits":1}`, TraitsNotObject},
		// alias
		{`{"type":"alias","userId":"u","previousId":"p"}`, nil},
		{`{"type":"alias","userId":1,"previousId":2}`, nil},
		{`{"type":"alias","userId":0,"previousId":"p"}`, nil},
		{`{"type":"alias","userId":"u","previousId":1e3}`, nil},
		{`{"type":"alias","userId":{},"previousId":"p"}`, IDNotString},
		{`{"type":"alias","userId":"","previousId":"p"}`, IDRequired},
		{`{"type":"alias","userId":7,"previousId":null}`, IDRequired},
		{`{"type":"alias","userId":"u"}`, IDRequired},
		{`{"type":"alias","previousId":"p"}`, IDRequired},
		{`{"type":"alias","anonymousId":"a","previousId":"p"}`, IDRequired},
		{`{"type":"alias","userId":"u","previousId":""}`, IDRequired},
		// ids
		{`{"type":"track","userId":true,"event":"e"}`, IDNotString},
		{`{"type":"track","userId":"u","event":"e","groupId":{},"previousId":[]}`, nil}, // other types' ids
		{`{"type":"page","userId":"u","groupId":true,"previousId":false}`, nil},
		{`{"type":"identify","userId":"u","groupId":[1],"previousId":{}}`, nil},
		{`{"type":"group","userId":"u","groupId":"g","previousId":[]}`, nil},
		{`{"type":"alias","userId":"u","previousId":"p","anonymousId":{},"groupId":[]}`, nil},
		{`{"type":"identify","userId":"","anonymousId":0}`, nil},
		{`{"type":"track","userId":{},"event":"e"}`, IDNotString},
		{`{"type":"track","userId":"u","anonymousId":[],"event":"e"}`, IDNotString},
		{`{"type":"group","userId":"u","groupId":false}`, IDNotString},
		{`{"type":"alias","userId":"u","previousId":["p"]}`, IDNotString},
		// type
		{`{"userId":"u","event":"e"}`, TypeUnknown},
		{`{"type":null,"userId":"u"}`, TypeUnknown},
		{`{"type":"","userId":"u"}`, TypeUnknown},
		{`{"type":"Track","userId":"u","event":"e"}`, TypeUnknown},
		{`{"type":"delete","userId":"u"}`, TypeUnknown},
		{`{"type":1,"userId":"u"}`, TypeUnknown},
		{`{}`, TypeUnknown},
		// what is no object
		{`null`, NotAnObject}, {`[]`, NotAnObject}, {`"track"`, NotAnObject}, {`1`, NotAnObject}, {`true`, NotAnObject},
		{strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000), NotAnObject},
		// the last of duplicate keys counts
		{`{"type":"none","type":"track","userId":"u","event":"e"}`, nil},
		{`{"type":"track","type":"none","userId":"u","event":"e"}`, TypeUnknown},
		{`{"type":"track","userId":"u","event":"e","userId":null}`, NoUserOrAnonymousID},
		{`{"type":"track","userId":"u","event":1,"event":"e"}`, nil},
		{`{"type":"track","userId":"u","event":"e","properties":{},"properties":[]}`, PropertiesNotObject},
		// keys and values in escapes
		{`{"\u0074ype":"\u0074rack","user\u0049d":"u","event":"\u0065"}`, nil},
		{`{"type":"trac\u0068","userId":"u"}`, TypeUnknown},
		// messageId
		{`{"type":"identify","userId":"u","messageId":"` + strings.Repeat("m", 99) + `"}`, nil},
		{`{"type":"identify","userId":"u","messageId":"` + strings.Repeat("m", 100) + `"}`, MessageIDTooLong},
		{`{"type":"identify","userId":"u","messageId":"` + strings.Repeat("é", 99) + `"}`, nil},
		{`{"type":"identify","userId":"u","messageId":"` + strings.Repeat("é", 100) + `"}`, MessageIDTooLong},
		{`{"type":"identify","userId":"u","messageId":"` + strings.Repeat(`\u00e9`, 99) + `"}`, nil},
		{`{"type":"identify","userId":"u","messageId":"` + strings.Repeat(`\u00e9`, 100) + `"}`, MessageIDTooLong},
		{`{"type":"identify","userId":"u","messageId":12}`, nil},
		{`{"type":"identify","userId":"u","messageId":null}`, nil},
		// size
		{padded(MaxEventBytes), nil},
		{padded(MaxEventBytes + 1), TooLarge},
		{" \n" + padded(MaxEventBytes) + "\t ", nil}, // the white space around it is not the event's
		// depth
		{nested(MaxDepth), nil},
		{nested(MaxDepth + 1), TooDeep},
		{`{"type":"track","userId":"u","event":"e","x":` + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000) + `}`,
			TooDeep},
		// UTF-8
		{"{\"type\":\"track\",\"userId\":\"u\",\"event\":\"\xff\"}", NotUTF8},
		{"{\"type\":\"track\",\"userId\":\"u\",\"event\":\"e\",\"\xc3\":1}", NotUTF8},
		// a surrogate
		{"{\"type\":\"track\",\"userId\":\"u\",\"event\":\"e\",\"properties\":{\"a\":[\"\xed\xa0\x80\"]}}", NotUTF8},
		{`{"type":"track","userId":"u","event":"é 😀 \ud800"}`, nil},
	} {
		e, err := scan([]byte(c.event))
		if err != nil {
			t.Errorf("%.150q: %v", c.event, err)
			continue
		}
		if e.Problem != c.want {
			t.Errorf("%.150q: problem %v, want %v", c.event, e.Problem, c.want)
		}
		if want := strings.Trim(c.event, " \n\t"); string(e.Raw) != want {
			t.Errorf("%.150q: Raw is %.150q", c.event, e.Raw)
		}
	}
}

func TestAProblemOfOneEventDoesNotAffectOthers(t *testing.T) {
	good := `{"type":"track","userId":"u","event":"e"}`
	document := []byte(`[` + good + ",{\"type\":\"track\",\"userId\":\"u\",\"event\":\"\xff\"}," + good + `,` +
		nested(MaxDepth+1) + `,` + nested(MaxDepth) + `, 7 ,` + good + `]`)
	var s rawjson.Scanner
	s.Reset(document)
	s.Enter('[')
	var got []string
	for s.Elem() {
		var e Event
		if err := Scan(&s, document, &e); err != nil {
			t.Fatal(err)
		}
		if e.Problem == nil {
			got = append(got, "")
		} else {
			got = append(got, e.Problem.Code)
		}
	}
	if err := s.End(); err != nil {
		t.Fatal(err)
	}
	if want := "|not_utf8||too_deep||not_an_object|"; strings.Join(got, "|") != want {
		t.Errorf("problems %q, want %q", strings.Join(got, "|"), want)
	}
}

func TestInvalidJSONIsAnErrorAndNotAProblem(t *testing.T) {
	for _, document := range []string{``, ` `, `{`, `{"type":"track"`, `{"type":}`, `{"type":"track",}`, `{'type':1}`,
		`tru`, `]`, `{"a":"` + "\x01" + `"}`} {
		var s rawjson.Scanner
		var e Event
		s.Reset([]byte(document))
		if err := Scan(&s, []byte(document), &e); err == nil {
			t.Errorf("Scan(%q) found an event %q with problem %v, want an error", document, e.Raw, e.Problem)
		}
	}
}

func TestScanOverwritesTheLastEvent(t *testing.T) {
	var s rawjson.Scanner
	var e Event
	first := []byte(`{"type":"none","messageId":"m","timestamp":"2026-01-02T03:04:05Z"}`)
	s.Reset(first)
	if err := Scan(&s, first, &e); err != nil || e.Problem != TypeUnknown || !e.Identified() {
		t.Fatalf("first event: error %v, problem %v, identified %v", err, e.Problem, e.Identified())
	}
	second := []byte(`{"type":"identify","userId":"u"}`)
	s.Reset(second)
	if err := Scan(&s, second, &e); err != nil || e.Problem != nil || e.Identified() {
		t.Errorf("second event: error %v, problem %v, identified %v", err, e.Problem, e.Identified())
	}
}

func TestAProblemIsAnErrorWithACodeAndASentence(t *testing.T) {
	var err error = TooLarge
	var p *Problem
	if !errors.As(err, &p) || p.Code != "too_large" ||
		err.Error() != "too_large: the event is larger than the 32768 bytes that Segment takes" {
		t.Errorf("error is %q", err)
	}
}

func TestScanningAnEventAllocatesNothing(t *testing.T) {
	document := sample(0)
	var s rawjson.Scanner
	var e Event
	if n := testing.AllocsPerRun(100, func() {
		s.Reset(document)
		if err := Scan(&s, document, &e); err != nil || e.Problem != nil {
			t.Fatal(err, e.Problem)
		}
	}); n != 0 {
		t.Errorf("%v allocations an event, want none", n)
	}
}

// sample is a track of about 1.1 KB as a server SDK makes it.
func sample(i int) []byte {
	return fmt.Appendf(nil, `{"type":"track","messageId":"8b0a4f2c-6a0e-4b43-9a54-%012d","timestamp":"2026-03-04T05:06:07.%03dZ","userId":"user-%d",`+
		`"event":"Order Completed","properties":{"order_id":"ord_%d","total":%d.25,"currency":"EUR","coupon":null,"products":[`+
		`{"product_id":"507f1f77bcf86cd799439011","sku":"45790-32","name":"Monopoly: 3rd Edition","price":19,"quantity":1,"category":"Games"},`+
		`{"product_id":"505bd76785ebb509fc183733","sku":"46493-32","name":"Uno Card Game","price":3,"quantity":2,"category":"Games"}]},`+
		`"context":{"ip":"203.0.113.%d","locale":"de-DE","timezone":"Europe/Berlin","library":{"name":"analytics-node","version":"3.1.0"},`+
		`"userAgent":"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",`+
		`"page":{"path":"/checkout/done","referrer":"https://shop.example/cart","title":"Thank you","url":"https://shop.example/checkout/done?step=%d"},`+
		`"campaign":{"name":"spring","source":"newsletter","medium":"email"}},"integrations":{"All":true,"Mixpanel":false}}`,
		i, i%1000, i%977, i, i%500, i%250, i)
}

func BenchmarkScan(b *testing.B) {
	document := sample(1)
	var s rawjson.Scanner
	var e Event
	b.SetBytes(int64(len(document)))
	b.ReportAllocs()
	for b.Loop() {
		s.Reset(document)
		if Scan(&s, document, &e) != nil || e.Problem != nil {
			b.Fatal(e.Problem)
		}
	}
}

// Who sends what is counted by these.
func TestTheNameAndUserOfAnEvent(t *testing.T) {
	for raw, want := range map[string]string{
		`{"type":"track","event":"Order Completed","userId":"u1"}`:            "Order Completed u1",
		`{"userId":4711,"event":"a","event":"b","type":"track"}`:              "b 4711",
		`{"type":"track","event":"\u00dcber \"x\"","userId":"a\\b"}`:          `Über "x" a\b`,
		`{"type":"tr\u0061ck","event":"escaped"}`:                             "escaped ",
		`{"type":"page","name":"Home","event":"not this","anonymousId":"a"}`:  "page ",
		`{"type":"identify","userId":null}`:                                   "identify ",
		`{"type":"track"}`:                                                    " ",
		`{"type":"track","event":["a"],"userId":{"a":1}}`:                     " ",
		`{"type":"unknown","event":"a"}`:                                      " ",
		`{"type":7}`:                                                          " ",
		`[1]`:                                                                 " ",
		`{"type":"screen","context":{"event":"inner","userId":"inner"}}`:      "screen ",
		`{"type":"","event":"a"}`:                                             " ",
		"{\"type\":\"track\", \"event\" :\t\"spaced\" ,\"userId\": \"u 2\" }": "spaced u 2",
	} {
		document := []byte("  " + raw + " ")
		var s rawjson.Scanner
		s.Reset(document)
		var e Event
		if err := Scan(&s, document, &e); err != nil {
			t.Fatal(err)
		}
		if got := string(e.Name()) + " " + string(e.User()); got != want {
			t.Errorf("%s: %q, want %q", raw, got, want)
		}
	}
	document := []byte(`{"event":"a","userId":"u"}`)
	var s rawjson.Scanner
	s.Reset(document)
	var e Received
	if err := ScanReceived(&s, document, "track", &e); err != nil || string(e.Name()) != "a" || string(e.User()) != "u" {
		t.Errorf("a track by its path has the name %q and the user %q: %v", e.Name(), e.User(), err)
	}
}
