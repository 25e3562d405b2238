package event

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
)

var (
	identity = "0f1e2d3c-message-7"
	sentAt   = time.Date(2026, 3, 4, 5, 6, 7, 89_999_999, time.FixedZone("", 3600))
)

const sentText = "2026-03-04T04:06:07.089Z"

func TestIdentityIsSetOnlyWhereItIsMissing(t *testing.T) {
	for _, c := range []struct{ event, want string }{
		{`{}`, `{"messageId":"ID","timestamp":"TS"}`},
		{"{ \n\t}", "{\"messageId\":\"ID\",\"timestamp\":\"TS\" \n\t}"},
		{`{"a":1}`, `{"messageId":"ID","timestamp":"TS","a":1}`},
		{` { "a" : 1 } `, `{"messageId":"ID","timestamp":"TS", "a" : 1 }`},
		{`{"messageId":"m"}`, `{"timestamp":"TS","messageId":"m"}`},
		{`{"timestamp":"t"}`, `{"messageId":"ID","timestamp":"t"}`},
		{`{"timestamp":"soon"}`, `{"messageId":"ID","timestamp":"soon"}`}, // it is present, and Segment interprets it
		{`{"timestamp":""}`, `{"messageId":"ID","timestamp":"TS"}`},
		{`{"timestamp":" \t\u0020"}`, `{"messageId":"ID","timestamp":"TS"}`},
		{`{"timestamp":"  "}`, `{"messageId":"ID","timestamp":"TS"}`},
		{`{"timestamp":false}`, `{"messageId":"ID","timestamp":"TS"}`},
		{`{"timestamp":[],"messageId":"m"}`, `{"timestamp":"TS","messageId":"m"}`},
		{`{"messageId":"m","timestamp":{}}`, `{"messageId":"m","timestamp":"TS"}`},
		{`{"timestamp":-1}`, `{"messageId":"ID","timestamp":-1}`},
		{`{"timestamp":17}`, `{"messageId":"ID","timestamp":17}`},
		{`{"messageId":"m","timestamp":"t"}`, `{"messageId":"m","timestamp":"t"}`},
		{`{"messageId":null,"timestamp":null}`, `{"messageId":"ID","timestamp":"TS"}`},
		{`{"timestamp":null,"messageId":null}`, `{"timestamp":"TS","messageId":"ID"}`},
		{`{"timestamp" : null , "x":[1, 2],"messageId":""}`, `{"timestamp" : "TS" , "x":[1, 2],"messageId":"ID"}`},
		{`{"messageId":"","a":{}}`, `{"timestamp":"TS","messageId":"ID","a":{}}`},
		{`{"messageId":12}`, `{"timestamp":"TS","messageId":"ID"}`},
		{`{"messageId":{"a":1},"timestamp":"t"}`, `{"messageId":"ID","timestamp":"t"}`},
		{`{"messageId":"m","messageId":null}`, `{"timestamp":"TS","messageId":"m","messageId":"ID"}`},
		{`{"messageId":null,"messageId":"m"}`, `{"timestamp":"TS","messageId":null,"messageId":"m"}`},
		{`{"timestamp":"t","timestamp":null,"messageId":"m"}`, `{"timestamp":"t","timestamp":"TS","messageId":"m"}`},
		{`{"message\u0049d":null}`, `{"timestamp":"TS","message\u0049d":"ID"}`},
		{`{"context":{"messageId":null}}`, `{"messageId":"ID","timestamp":"TS","context":{"messageId":null}}`},
		{`null`, `null`}, {`[{}]`, `[{}]`}, {` 7 `, `7`}, {`"text"`, `"text"`},
	} {
		e := mustScan(t, c.event)
		want := "before" + strings.NewReplacer("ID", identity, "TS", sentText).Replace(c.want)
		if got, omitted := e.AppendIdentified([]byte("before"), identity, sentAt); string(got) != want || omitted != 0 {
			t.Errorf("%s becomes\n%s, want\n%s; omitted %v", c.event, got, want, omitted)
		}
	}
}

func TestIdentifyingTwiceChangesNothing(t *testing.T) {
	for _, event := range []string{`{}`, `{"messageId":null,"a":1}`, `{"timestamp":null}`, string(sample(3))} {
		e := mustScan(t, event)
		once, _ := e.AppendIdentified(nil, identity, sentAt)
		again := mustScan(t, string(once))
		if !again.Identified() {
			t.Errorf("%s is not identified", once)
		}
		if twice, _ := again.AppendIdentified(nil, "another", sentAt.Add(time.Hour)); !bytes.Equal(once, twice) {
			t.Errorf("%s becomes %s", once, twice)
		}
	}
}

// FuzzAppendIdentified compares the result with what encoding/json makes of the event: the same
// value but for messageId and timestamp, and no other byte was removed or inserted.
func FuzzAppendIdentified(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{ }`, `{"a":1}`, ` {"messageId":null , "timestamp":null}`, `{"timestamp":null,"messageId":""}`,
		`{"messageId":"m","messageId":null}`,
		`{"timestamp":"t","x":{"messageId":1},"timestamp":null}`, `{"messageId":1e3,"timestamp":false}`,
		`{"message\u0049d":"","":{}}`, `[{}]`, `null`,
		"{\"a\":\"\xff\",\"timestamp\":null}", `{"a":12345678901234567890,"messageId":{}}`, string(sample(0)),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, document []byte) {
		e, err := scan(document)
		if (err == nil) != json.Valid(document) && len(document) < 9000 { // encoding/json refuses 10,000 levels
			t.Fatalf("Scan(%q): %v, encoding/json says valid: %v", document, err, json.Valid(document))
		}
		if err != nil {
			return
		}
		before := bytes.Clone(document)
		if e.empty != 0 || len(e.Raw) > MaxEventBytes-200 {
			return // tests of their own look at what is left out
		}
		got, _ := e.AppendIdentified(nil, identity, sentAt)
		if !bytes.Equal(document, before) {
			t.Fatalf("the document was changed: %q to %q", before, document)
		}
		if bytes.IndexByte(e.Raw, '{') != 0 {
			if !bytes.Equal(got, e.Raw) {
				t.Fatalf("%q became %q", e.Raw, got)
			}
			return
		}
		var old, edited map[string]json.RawMessage
		if json.Unmarshal(e.Raw, &old) != nil {
			return // too deep for encoding/json
		}
		if err := json.Unmarshal(got, &edited); err != nil {
			t.Fatalf("%q became %q: %v", e.Raw, got, err)
		}
		want := map[string]string{"messageId": identity, "timestamp": sentText}
		// The event's own values are unchanged, unless they count as missing.
		if id := ""; json.Unmarshal(old["messageId"], &id) == nil && id != "" {
			delete(want, "messageId")
		}
		text, number := "", json.Number("")
		if ts := old["timestamp"]; len(ts) > 0 && (json.Unmarshal(ts, &text) == nil && strings.TrimSpace(text) != "" ||
			ts[0] != '"' && json.Unmarshal(ts, &number) == nil && number != "") {
			delete(want, "timestamp")
		}
		for key, text := range want {
			if string(edited[key]) != `"`+text+`"` {
				t.Fatalf("%q became %q: %s is %s", e.Raw, got, key, edited[key])
			}
			delete(edited, key)
			delete(old, key)
		}
		if len(old) != len(edited) {
			t.Fatalf("%q became %q: %d other fields instead of %d", e.Raw, got, len(edited), len(old))
		}
		for key, value := range old {
			if !bytes.Equal(edited[key], value) {
				t.Fatalf("%q became %q: %q was %q", e.Raw, got, key, value)
			}
		}
		if len(want) == 0 && !bytes.Equal(got, e.Raw) {
			t.Fatalf("%q needs nothing and became %q", e.Raw, got)
		}
		again, err := scan(got)
		if err != nil || !again.Identified() {
			t.Fatalf("%q became %q: error %v, identified %v", e.Raw, got, err, again.Identified())
		}
		if !sameOutside(e.Raw, got, &e) {
			t.Fatalf("%q became %q: bytes outside of messageId and timestamp differ", e.Raw, got)
		}
	})
}

// sameOutside removes from both what the edit may insert or remove, and compares the rest byte by
// byte.
func sameOutside(raw, got []byte, e *Event) bool {
	rest := bytes.Clone(raw)
	last := []span{e.id, e.timestamp}
	if last[0].from < last[1].from {
		last[0], last[1] = last[1], last[0]
	}
	for _, s := range last { // from the back, so that the offsets before it hold
		missing := s == e.id && !e.hasID() || s == e.timestamp && !e.hasTimestamp()
		if s.to > 0 && missing {
			rest = append(rest[:s.from:s.from], rest[s.to:]...)
		}
	}
	text := string(got)
	if !e.hasID() {
		if e.id.to == 0 {
			text = strings.Replace(text, `"messageId":"`+identity+`"`, "", 1)
		} else {
			text = strings.Replace(text, `"`+identity+`"`, "", 1)
		}
	}
	if !e.hasTimestamp() {
		if e.timestamp.to == 0 {
			text = strings.Replace(text, `"timestamp":"`+sentText+`"`, "", 1)
		} else {
			text = strings.Replace(text, `"`+sentText+`"`, "", 1)
		}
	}
	// The commas after what was inserted.
	inserted := 0
	for _, absent := range []bool{e.id.to == 0, e.timestamp.to == 0} {
		if absent {
			inserted++
		}
	}
	empty := len(bytes.TrimSpace(raw[1:len(raw)-1])) == 0
	if empty && inserted > 0 {
		inserted--
	}
	return text == "{"+strings.Repeat(",", inserted)+string(rest[1:])
}
