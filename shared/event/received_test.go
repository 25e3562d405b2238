package event

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/shared/rawjson"
)

var receivedAt = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func newID(dst []byte) []byte { return append(dst, "new-id"...) }

// enriched is an event after its enrichment, and the problem that was found in it.
func enriched(t testing.TB, raw, pathType string, en Enrichment) (string, *Problem) {
	t.Helper()
	var s rawjson.Scanner
	s.Reset([]byte(raw))
	var e Received
	if err := ScanReceived(&s, []byte(raw), pathType, &e); err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	en.PathType, en.ReceivedAt, en.AppendID = pathType, receivedAt, newID
	out, _ := e.AppendEnriched(nil, &en)
	return string(out), e.Problem
}

func TestReceivedEventsAreEnriched(t *testing.T) {
	const full = `"type":"track","messageId":"m","timestamp":"2026-11-23T11:00:00.000Z"`
	const front = `"messageId":"new-id","timestamp":"2026-11-23T12:00:00.000Z"`
	client := Enrichment{Client: true, IP: "203.0.113.7"}
	agent := Enrichment{Client: true, IP: "203.0.113.7", UserAgent: `Mozilla "5"`}
	sent := func(text string) Enrichment {
		at, _ := ParseTime([]byte(`"` + text + `"`))
		return Enrichment{SentAt: at}
	}
	for name, c := range map[string]struct {
		raw, pathType string
		en            Enrichment
		want          string
	}{
		"nothing to do":          {raw: "{ " + full + " , \"a\" : 1 }", want: "{ " + full + " , \"a\" : 1 }"},
		"empty":                  {raw: `{}`, pathType: "page", want: `{"type":"page",` + front + `}`},
		"empty with white space": {raw: "{ \n}", want: `{` + front + " \n}"},
		"type": {raw: `{"messageId":"m","timestamp":"x"}`, pathType: "track",
			want: `{"type":"track","messageId":"m","timestamp":"x"}`},
		"type null": {raw: `{"messageId":"m","type":null,"timestamp":"x"}`, pathType: "track",
			want: `{"messageId":"m","type":"track","timestamp":"x"}`},
		"another type than the path's": {raw: `{` + full + `}`, pathType: "page",
			want: `{` + strings.Replace(full, "track", "page", 1) + `}`},
		"the path's type in capitals": {raw: `{"messageId":"m","type": "Track","timestamp":"x"}`, pathType: "track",
			want: `{"messageId":"m","type": "track","timestamp":"x"}`},
		"a type that is no string": {raw: `{"type":{"a":1},"type":[1],"messageId":"m","timestamp":"x"}`, pathType: "group",
			want: `{"type":{"a":1},"type":"group","messageId":"m","timestamp":"x"}`},
		"no type by the path": {raw: `{"messageId":"m","timestamp":"x"}`,
			want: `{"messageId":"m","timestamp":"x"}`},
		"invalid ids": {raw: `{"messageId":7,"timestamp":null}`,
			want: `{"messageId":"new-id","timestamp":"2026-11-23T12:00:00.000Z"}`},
		"an empty id": {raw: `{"timestamp":"x", "messageId" : "" }`,
			want: `{"timestamp":"x", "messageId" : "new-id" }`},
		"duplicates: the last counts": {raw: `{"messageId":"m","messageId":null,"timestamp":null,"timestamp":"x"}`,
			want: `{"messageId":"m","messageId":"new-id","timestamp":null,"timestamp":"x"}`},
		"own sentAt":                  {raw: `{"messageId":"m","timestamp":"2026-11-23T11:00:00Z","sentAt":"2026-11-23T11:00:10.5Z"}`, want: `{"messageId":"m","timestamp":"2026-11-23T11:59:49.500Z"}`},
		"sentAt first":                {raw: `{"sentAt":"2026-11-23T11:00:10Z" , "messageId":"m","timestamp":"2026-11-23T11:00:00Z"}`, want: `{ "messageId":"m","timestamp":"2026-11-23T11:59:50.000Z"}`},
		"sentAt in the middle, twice": {raw: `{"messageId":"m","sentAt":1,"timestamp":"2026-11-23T11:00:00Z","sentAt":"2026-11-23T11:00:10Z","a":1}`, want: `{"messageId":"m","timestamp":"2026-11-23T11:59:50.000Z","a":1}`},
		"sentAt alone":                {raw: `{"sentAt":"2026-11-23T11:00:10Z"}`, want: `{` + front + `}`},
		"sentAt alone, all else present": {raw: `{"sentAt":null,"messageId":"m","timestamp":"x"}`,
			want: `{"messageId":"m","timestamp":"x"}`},
		"batch's sentAt": {raw: `{"messageId":"m","timestamp":"2026-11-23T11:00:00Z"}`,
			en: sent("2026-11-23T11:01:00Z"), want: `{"messageId":"m","timestamp":"2026-11-23T11:59:00.000Z"}`},
		"own sentAt before the batch's": {raw: `{"messageId":"m","timestamp":"2026-11-23T11:00:00Z","sentAt":"2026-11-23T11:00:10Z"}`, en: sent("2026-11-23T11:01:00Z"), want: `{"messageId":"m","timestamp":"2026-11-23T11:59:50.000Z"}`},
		"sentAt that is not a time": {raw: `{"messageId":"m","timestamp":"2026-11-23T11:00:00Z","sentAt":"soon"}`,
			want: `{"messageId":"m","timestamp":"2026-11-23T11:00:00Z"}`},
		"an empty timestamp": {raw: `{"messageId":"m","timestamp":"","sentAt":"2026-11-23T11:00:10Z"}`,
			want: `{"messageId":"m","timestamp":"2026-11-23T12:00:00.000Z"}`},
		"a timestamp that can't be one": {raw: `{"messageId":"m","timestamp":[]}`,
			want: `{"messageId":"m","timestamp":"2026-11-23T12:00:00.000Z"}`},
		"empty name of a page": {raw: `{"name":"",` + full[len(`"type":"track",`):] + `, "category" : "" }`,
			pathType: "page", want: `{"type":"page",` + full[len(`"type":"track",`):] + ` }`},
		"empty category of a screen": {raw: `{` + strings.Replace(full, "track", "screen", 1) + `,"name":"n","category":""}`,
			want: `{` + strings.Replace(full, "track", "screen", 1) + `,"name":"n"}`},
		"every duplicate of an empty name": {raw: `{"type":"page","name":"n","messageId":"m","n\u0061me":"","timestamp":"x"}`,
			want: `{"type":"page","messageId":"m","timestamp":"x"}`},
		"the name is not empty at last": {raw: `{"type":"page","name":"","messageId":"m","name":"n","timestamp":"x"}`,
			want: `{"type":"page","name":"","messageId":"m","name":"n","timestamp":"x"}`},
		"empty name of a track": {raw: `{` + full + `,"name":"","category":""}`,
			want: `{` + full + `,"name":"","category":""}`},
		"timestamp that is not a time": {raw: `{"messageId":"m","timestamp":"yesterday","sentAt":"2026-11-23T11:00:10Z"}`,
			want: `{"messageId":"m","timestamp":"yesterday"}`},
		"timestamp without a zone": {raw: `{"messageId":"m","timestamp":"2026-11-23T11:00:00.000","sentAt":"2026-11-23T11:00:10Z"}`, want: `{"messageId":"m","timestamp":"2026-11-23T11:00:00.000"}`},
		"offsets": {raw: `{"messageId":"m","timestamp":"2026-11-23T12:00:00.000123+01:00"}`,
			en: sent("2026-11-23T06:00:30-0500"), want: `{"messageId":"m","timestamp":"2026-11-23T11:59:30.000Z"}`},
		"client's clock in the future": {raw: `{"messageId":"m","timestamp":"2031-01-01T00:00:00Z"}`,
			en: sent("2031-01-01T00:00:02Z"), want: `{"messageId":"m","timestamp":"2026-11-23T11:59:58.000Z"}`},
		"a difference of centuries": {raw: `{"messageId":"m","timestamp":"0001-01-01T00:00:00Z"}`,
			en: sent("2026-11-23T11:00:10Z"), want: `{"messageId":"m","timestamp":"0001-01-01T00:00:00Z"}`},
		"a clock at the end of time": {raw: `{"messageId":"m","timestamp":"9999-12-31T23:59:59Z"}`,
			en: sent("9999-12-30T00:00:00Z"), want: `{"messageId":"m","timestamp":"2026-11-25T11:59:59.000Z"}`},
		"a server's address is not added": {raw: `{` + full + `,"context":{}}`,
			en: Enrichment{IP: "203.0.113.7", UserAgent: "x"}, want: `{` + full + `,"context":{}}`},
		"address, no context": {raw: `{` + full + `}`, en: client,
			want: `{"context":{"ip":"203.0.113.7"},` + full + `}`},
		"address, context null": {raw: `{` + full + `,"context":null}`, en: client,
			want: `{` + full + `,"context":{"ip":"203.0.113.7"}}`},
		"address, context empty": {raw: `{"context": { } ,` + full + `}`, en: client,
			want: `{"context": {"ip":"203.0.113.7" } ,` + full + `}`},
		"address, context": {raw: `{` + full + `,"context": { "page":{"ip":"x"}}}`, en: client,
			want: `{` + full + `,"context": {"ip":"203.0.113.7", "page":{"ip":"x"}}}`},
		"address null": {raw: `{` + full + `,"context":{"a":1,"ip" : null ,"b":2}}`, en: client,
			want: `{` + full + `,"context":{"a":1,"ip" : "203.0.113.7" ,"b":2}}`},
		"address present": {raw: `{` + full + `,"context":{"ip":"0.0.0.0"}}`, en: client,
			want: `{` + full + `,"context":{"ip":"0.0.0.0"}}`},
		"address present, then null": {raw: `{` + full + `,"context":{"ip":"1.1.1.1","ip":null}}`, en: client,
			want: `{` + full + `,"context":{"ip":"1.1.1.1","ip":"203.0.113.7"}}`},
		"context that is not an object": {raw: `{` + full + `,"context":"web"}`, en: client,
			want: `{` + full + `,"context":"web"}`},
		"address unknown": {raw: `{` + full + `,"context":null}`, en: Enrichment{Client: true},
			want: `{` + full + `,"context":null}`},
		"address in the batch's context": {raw: `{` + full + `}`,
			en:   Enrichment{Client: true, IP: "203.0.113.7", Shared: ScanContext([]byte(`{"ip":"9.9.9.9"}`))},
			want: `{` + full + `}`},
		"null in the batch's context": {raw: `{` + full + `}`,
			en:   Enrichment{Client: true, IP: "203.0.113.7", Shared: ScanContext([]byte(`{"ip":null}`))},
			want: `{"context":{"ip":"203.0.113.7"},` + full + `}`},
		"direct": {raw: `{` + full + `,"context":{"direct":true}}`,
			en: Enrichment{IP: "203.0.113.7"}, want: `{` + full + `,"context":{"ip":"203.0.113.7","direct":true}}`},
		"direct with escapes": {raw: `{` + full + `,"context":{"dir\u0065ct":true}}`,
			en: Enrichment{IP: "203.0.113.7"}, want: `{` + full + `,"context":{"ip":"203.0.113.7","dir\u0065ct":true}}`},
		"not direct": {raw: `{` + full + `,"context":{"direct":false,"a":{"direct":true}}}`,
			en: Enrichment{IP: "203.0.113.7"}, want: `{` + full + `,"context":{"direct":false,"a":{"direct":true}}}`},
		"the batch is direct": {raw: `{` + full + `}`,
			en:   Enrichment{IP: "203.0.113.7", Shared: ScanContext([]byte(`{"direct":true}`))},
			want: `{"context":{"ip":"203.0.113.7"},` + full + `}`},
		"user agent of raw HTTP": {raw: `{` + full + `}`, en: agent,
			want: `{"context":{"ip":"203.0.113.7","userAgent":"Mozilla \"5\""},` + full + `}`},
		"user agent present": {raw: `{` + full + `,"context":{"userAgent":"mine"}}`, en: agent,
			want: `{` + full + `,"context":{"ip":"203.0.113.7","userAgent":"mine"}}`},
		"user agent null, and ip before it": {raw: `{` + full + `,"context":{"userAgent":null,"ip":null}}`, en: agent,
			want: `{` + full + `,"context":{"userAgent":"Mozilla \"5\"","ip":"203.0.113.7"}}`},
		"user agent null, ip missing": {raw: `{` + full + `,"context":{"userAgent":null}}`, en: agent,
			want: `{` + full + `,"context":{"ip":"203.0.113.7","userAgent":"Mozilla \"5\""}}`},
		"user agent of an SDK is its own": {raw: `{` + full + `,"context":{"library":{"name":"x"}}}`, en: agent,
			want: `{` + full + `,"context":{"ip":"203.0.113.7","library":{"name":"x"}}}`},
		"user agent, both missing": {raw: `{` + full + `,"context":{"a":1}}`, en: agent,
			want: `{` + full + `,"context":{"ip":"203.0.113.7","userAgent":"Mozilla \"5\"","a":1}}`},
		"write key": {raw: `{"writeKey":"WK",` + full + `}`, en: Enrichment{WriteKey: "WK"},
			want: `{` + full + `}`},
		"write key at the end": {raw: `{` + full + ` , "writeKey":"\u0057K" }`, en: Enrichment{WriteKey: "WK"},
			want: `{` + full + ` }`},
		"write key of another": {raw: `{"writeKey":"other",` + full + `}`, en: Enrichment{WriteKey: "WK"},
			want: `{"writeKey":"other",` + full + `}`},
		"only what is inserted is left": {raw: `{"writeKey":"WK","sentAt":"x","writeKey":"WK"}`,
			en: Enrichment{WriteKey: "WK"}, want: `{` + front + `}`},
		"not an object": {raw: `[1]`, pathType: "track", en: client, want: `[1]`},
		"large numbers and unknown fields": {raw: `{` + full + `,"n":9007199254740993,"x":1e400,"é":"\u00e9"}`,
			want: `{` + full + `,"n":9007199254740993,"x":1e400,"é":"\u00e9"}`},
	} {
		t.Run(name, func(t *testing.T) {
			got, _ := enriched(t, c.raw, c.pathType, c.en)
			if got != c.want {
				t.Errorf("%s\nbecame %s\nwant   %s", c.raw, got, c.want)
			}
			if !json.Valid([]byte(got)) {
				t.Errorf("the result is not JSON")
			}
			// A second time changes nothing: what was set is not set again.
			if again, _ := enriched(t, got, c.pathType,
				Enrichment{Client: c.en.Client, IP: c.en.IP, UserAgent: c.en.UserAgent, WriteKey: c.en.WriteKey,
					Shared: c.en.Shared}); again != got {
				t.Errorf("the second time it became %s", again)
			}
		})
	}
}

func TestTheRulesApplyToTheTypeOfThePath(t *testing.T) {
	for _, c := range []struct {
		raw, pathType string
		problem       *Problem
	}{
		{`{"userId":"u","event":"e"}`, "track", nil},
		{`{"userId":"u","event":"e","type":null}`, "track", nil},
		{`{"userId":"u","event":"e"}`, "", TypeUnknown},
		{`{"userId":"u"}`, "track", EventNotDefined},
		{`{"userId":"u","type":"page"}`, "track", EventNotDefined},
		{`{"userId":"u","event":"e","type":"Track"}`, "track", nil},
		{`{"userId":"u","event":"e","type":7}`, "track", nil},
		{`{"userId":"u"}`, "identify", nil},
		{`{"userId":"u"}`, "screen", nil},
		{`{"userId":"u"}`, "group", IDRequired},
		{`{"userId":"u","previousId":"p"}`, "alias", nil},
		{`{"userId":"u","type":"foo"}`, "page", nil},
		{`{"userId":"u","type":"foo"}`, "", TypeUnknown},
		{`[]`, "page", NotAnObject},
	} {
		if _, problem := enriched(t, c.raw, c.pathType, Enrichment{}); problem != c.problem {
			t.Errorf("%s as a %s: %v, want %v", c.raw, c.pathType, problem, c.problem)
		}
	}
}

// checkEnrichment compares the result with what encoding/json makes of the event: the same value
// but for the fields that are set.
func checkEnrichment(t testing.TB, raw []byte, pathType string, en Enrichment) {
	t.Helper()
	var s rawjson.Scanner
	s.Reset(raw)
	var e Received
	if ScanReceived(&s, raw, pathType, &e) != nil || s.End() != nil {
		return
	}
	var plain Event
	s.Reset(raw)
	if e.Problem == TooManyDuplicates {
		return
	}
	if Scan(&s, raw, &plain) != nil || !bytes.Equal(plain.Raw, e.Raw) || pathType == "" && plain.Problem != e.Problem {
		t.Fatalf("Scan and ScanReceived differ for %q: %v, %v", raw, plain.Problem, e.Problem)
	}
	en.PathType, en.ReceivedAt, en.AppendID = pathType, receivedAt, newID
	out, _ := e.AppendEnriched([]byte("x"), &en)
	out = out[1:]
	if !rawjson.IsObject(e.Raw) {
		if !bytes.Equal(out, e.Raw) {
			t.Fatalf("%q became %q", e.Raw, out)
		}
		return
	}
	decode := func(doc []byte) (v map[string]any) {
		d := json.NewDecoder(bytes.NewReader(doc))
		d.UseNumber()
		if err := d.Decode(&v); err != nil {
			if strings.Contains(err.Error(), "exceeded max depth") {
				t.SkipNow()
			}
			t.Fatalf("%q became %q: %v", raw, doc, err)
		}
		return v
	}
	before, after := decode(e.Raw), decode(out)
	// What is to be, from the decoded values alone.
	want := before
	text := func(v any) string { s, _ := v.(string); return s }
	client := en.Client || en.Shared.Direct
	var own map[string]any
	if c, ok := before["context"].(map[string]any); ok {
		own = c
		client = client || c["direct"] == true
	}
	if pathType != "" {
		want["type"] = pathType
	}
	if text(want["messageId"]) == "" {
		want["messageId"] = "new-id"
	}
	// Time formats are the table's; here it is whether a time is left, set or moved.
	quoted := func(v any) []byte { b, _ := json.Marshal(v); return b }
	sentAt, ok := ParseTime(quoted(before["sentAt"]))
	if !ok {
		sentAt = en.SentAt
	}
	noTime := false
	switch at := want["timestamp"].(type) {
	case json.Number:
	case string:
		noTime = strings.TrimSpace(at) == ""
	default:
		noTime = true
	}
	if noTime {
		want["timestamp"] = receivedAt.Format(TimeFormat)
	} else if at, ok := ParseTime(quoted(want["timestamp"])); ok && !sentAt.IsZero() {
		moved := receivedAt.Add(at.Sub(sentAt)).UTC()
		if got, ok := ParseTime(quoted(after["timestamp"])); ok && got.Sub(moved).Abs() < time.Millisecond {
			want["timestamp"] = after["timestamp"]
		} else if d := at.Sub(sentAt); d.Abs() < 1000*time.Hour {
			t.Fatalf("the timestamp of %q became %v, want %v", raw, after["timestamp"], moved)
		}
	}
	delete(want, "sentAt")
	if key, ok := before["writeKey"].(string); ok && key == en.WriteKey {
		delete(want, "writeKey")
	}
	if client && (before["context"] == nil || own != nil) {
		set := map[string]any{}
		if en.IP != "" && own["ip"] == nil && !en.Shared.ip {
			set["ip"] = en.IP
		}
		if en.UserAgent != "" && own["userAgent"] == nil && own["library"] == nil && !en.Shared.userAgent &&
			!en.Shared.library {
			set["userAgent"] = en.UserAgent
		}
		if len(set) > 0 {
			for k, v := range own {
				if _, taken := set[k]; !taken {
					set[k] = v
				}
			}
			want["context"] = set
		}
	}
	if kind := want["type"]; kind == "page" || kind == "screen" {
		for _, key := range []string{"name", "category"} {
			if want[key] == "" {
				delete(want, key)
			}
		}
	}
	if !reflect.DeepEqual(after, want) {
		t.Fatalf("%q\nbecame %q\nwhich is %v\nwant     %v", raw, out, after, want)
	}
}

// randomEvent has fields that enrichment looks at and some others, in any order, null, of a wrong
// type, duplicate, with white space.
func randomEvent(rng *rand.Rand) []byte {
	pick := func(of ...string) string { return of[rng.IntN(len(of))] }
	space := func() string { return pick("", "", "", " ", "\n\t", "  ") }
	object := func(fields func() (string, string), n int) string {
		var b strings.Builder
		b.WriteString("{" + space())
		for i := range n {
			if i > 0 {
				b.WriteString(space() + "," + space())
			}
			k, v := fields()
			fmt.Fprintf(&b, "%q%s:%s%s", k, space(), space(), v)
		}
		return b.String() + space() + "}"
	}
	inner := func() (string, string) {
		return pick("ip", "ip", "userAgent", "library", "direct", "page", "x"),
			pick("null", `"1.2.3.4"`, "true", "false", `{"ip":null}`, "[]", "12345678901234567890")
	}
	times := []string{"null", `"2026-11-23T11:00:00.000Z"`, `"2026-11-23T11:00:05Z"`, `"2026-11-23T11:00:00+01:00"`, `"x"`,
		`5`, `""`}
	outer := func() (string, string) {
		switch key := pick("type", "messageId", "timestamp", "sentAt", "context", "writeKey", "userId", "properties",
			"event", "name", "category"); key {
		case "type":
			return key, pick(`"track"`, `"page"`, "null", "1")
		case "timestamp", "sentAt":
			return key, pick(times...)
		case "context":
			return key, pick("null", `"c"`, "7", object(inner, rng.IntN(5)), object(inner, rng.IntN(5)),
				object(inner, rng.IntN(5)))
		case "writeKey":
			return key, pick(`"WK"`, `"other"`, "null", "3")
		default:
			return key, pick("null", `"text \" \u00e9"`, `""`, "-1.5e3", `{"a":[1,{"sentAt":2}]}`)
		}
	}
	return []byte(object(outer, rng.IntN(9)))
}

func randomEnrichment(rng *rand.Rand) (pathType string, en Enrichment) {
	if rng.IntN(2) == 0 {
		en.SentAt = receivedAt.Add(-30 * time.Minute)
	}
	if rng.IntN(2) == 0 {
		en.IP = "203.0.113.7"
	}
	if rng.IntN(2) == 0 {
		en.UserAgent = `a "b" é`
	}
	en.Client = rng.IntN(2) == 0
	en.WriteKey = "WK"
	en.Shared = ScanContext([]byte([]string{"", `{}`, `{"ip":"9.9.9.9"}`, `{"direct":true}`, `{"library":{}}`,
		`{"userAgent":"a","ip":null}`}[rng.IntN(6)]))
	return []string{"", "track", "page"}[rng.IntN(3)], en
}

var randomEvents = flag.Int("random-events", 5_000, "how many random events are enriched")

func TestEnrichmentChangesOnlyItsOwnFields(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range *randomEvents {
		raw := randomEvent(rng)
		pathType, en := randomEnrichment(rng)
		checkEnrichment(t, raw, pathType, en)
	}
}

func FuzzAppendEnriched(f *testing.F) {
	rng := rand.New(rand.NewPCG(3, 4))
	for n := range uint64(50) {
		f.Add(randomEvent(rng), n)
	}
	f.Add([]byte(`{"context":{"ip":null},"context":{}}`), uint64(1))
	f.Fuzz(func(t *testing.T, raw []byte, seed uint64) {
		if len(raw) > 9000 {
			return
		}
		// encoding/json reads what is not UTF-8 as U+FFFD, and matches no key by it.
		if !bytes.Equal(bytes.ToValidUTF8(raw, nil), raw) {
			return
		}
		pathType, en := randomEnrichment(rand.New(rand.NewPCG(seed, 0)))
		checkEnrichment(t, raw, pathType, en)
	})
}

func TestScanningAndEnrichingAllocateNothing(t *testing.T) {
	raw := []byte(`{"type":"track","userId":"u","event":"e","messageId":"m","timestamp":"2026-11-23T11:00:00Z","sentAt":"2026-11-23T11:00:00Z","context":{"ip":"1.1.1.1"},"writeKey":"WK"}`)
	var s rawjson.Scanner
	var e Received
	en := &Enrichment{ReceivedAt: receivedAt, AppendID: newID, WriteKey: "WK"}
	out := make([]byte, 0, 1000)
	if n := testing.AllocsPerRun(100, func() {
		s.Reset(raw)
		if err := ScanReceived(&s, raw, "", &e); err != nil {
			t.Fatal(err)
		}
		out, _ = e.AppendEnriched(out[:0], en)
	}); n > 0 {
		t.Errorf("%v allocations an event", n)
	}
}

func TestDuplicateFieldsTakeNoMemory(t *testing.T) {
	var e Received
	var s rawjson.Scanner
	scan := func(raw string) string {
		s.Reset([]byte(raw))
		if err := ScanReceived(&s, []byte(raw), "", &e); err != nil {
			t.Fatal(err)
		}
		out, _ := e.AppendEnriched(nil, &Enrichment{ReceivedAt: receivedAt, WriteKey: "WK", AppendID: newID})
		return string(out)
	}
	const rest = `"userId":"u","event":"e","messageId":"m","timestamp":"x"}`
	for _, field := range []string{`"type":"track",`, `"messageId":"m",`, `"timestamp":"x",`, `"context":{},`} {
		raw := `{"type":"track",` + strings.Repeat(field, 1000) + rest
		if got := scan(raw); got != raw || e.Problem != nil {
			t.Errorf("%s a thousand times: %v, %.100s", field, e.Problem, got)
		}
	}
	for _, field := range []string{`"sentAt":1,`, `"writeKey":"WK",`} {
		if got := scan(`{"type":"track",` + strings.Repeat(field, 7) + rest); got != `{"type":"track",`+rest ||
			e.Problem != nil {
			t.Errorf("%s seven times: %v, %s", field, e.Problem, got)
		}
		if scan(`{"type":"track",` + strings.Repeat(field, 1000) + rest); e.Problem != TooManyDuplicates {
			t.Errorf("%s a thousand times: %v", field, e.Problem)
		}
	}
	long := []byte(`{"type":"track",` + strings.Repeat(`"type":"track","sentAt":1,`, 1000) + rest)
	if n := testing.AllocsPerRun(10, func() {
		s.Reset(long)
		if err := ScanReceived(&s, long, "", &e); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
