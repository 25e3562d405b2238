package segmentd

import "testing"

func TestTheBatchsContextIsMergedIntoEachEventAndTheEventsOwnKeysWin(t *testing.T) {
	for _, tc := range []struct{ event, context, integrations, want string }{
		{`{"a":1 }`, ``, ``, `{"a":1 }`},
		{`{"a":1}`, `{"ip":"1"}`, ``, `{"a":1,"context":{"ip":"1"}}`},
		{`{"a":1}`, ``, `{"All":true}`, `{"a":1,"integrations":{"All":true}}`},
		{`{}`, `{"ip":"1"}`, `{"All":true}`, `{"context":{"ip":"1"},"integrations":{"All":true}}`},
		{`{"context":{"ip":"2","os":{}},"a":1}`, `{"ip":"1","library":{"name":"go"}}`, ``,
			`{"context":{"ip":"2","os":{},"library":{"name":"go"}},"a":1}`},
		{`{"context":null}`, `{"ip":"1"}`, ``, `{"context":{"ip":"1"}}`},
		{`{"context":"mine"}`, `{"ip":"1"}`, ``, `{"context":"mine"}`},
		{`{"a":1,"a":2,"context":{"x":1},"context":{"y":1}}`, `{"x":3}`, ``, `{"a":2,"context":{"y":1,"x":3}}`},
		{`{"conte\u0078t":{"ip":"2"}}`, `{"i\u0070":"1"}`, ``, `{"conte\u0078t":{"ip":"2"}}`},
		{`{"n":12345678901234567890,"s":"<é>"}`, `{}`, ``, `{"n":12345678901234567890,"s":"<é>","context":{}}`},
	} {
		r := Received{Raw: []byte(tc.event), context: tc.context, integrations: tc.integrations}
		if got := string(r.Merged()); got != tc.want {
			t.Errorf("%s with context %s, integrations %s:\n got %s\nwant %s", tc.event, tc.context, tc.integrations, got,
				tc.want)
		}
	}
}

func TestRawIsTheEventByteForByteAndMergedAddsTheBatch(t *testing.T) {
	s := New(Options{})
	event := "{ \"type\":\"track\",\n\t\"event\":\"e\", \"userId\":\"\u00fc\", \"x\": 1.0 }"
	wantStatus(t, post(t, s, "/v1/batch", `{"sentAt":"2026-11-23T10:00:00Z","context":{"ip":"1"},"batch":[ `+event+` ]}`),
		200)
	got := s.Events(Query{})[0]
	if string(got.Raw) != event || got.SentAt != "2026-11-23T10:00:00Z" {
		t.Errorf("got %+v", got)
	}
	if want := `{"type":"track","event":"e","userId":"ü","x":1.0,"context":{"ip":"1"}}`; string(got.Merged()) != want {
		t.Errorf("merged %s", got.Merged())
	}
}

func TestSentAtIsTheBatchsOrElseTheEventsOwn(t *testing.T) {
	s := New(Options{})
	own := `{"type":"track","event":"e","userId":"u","sentAt":"own"}`
	wantStatus(t, post(t, s, "/v1/batch", `{"batch":[`+own+`],"sentAt":"batch"}`), 200)
	wantStatus(t, post(t, s, "/v1/batch", `{"batch":[`+own+`]}`), 200)
	wantStatus(t, post(t, s, "/v1/t", own), 200)
	for i, want := range []string{"batch", "own", "own"} {
		if got := s.Events(Query{})[i].SentAt; got != want {
			t.Errorf("event %d: sentAt %q, want %q", i, got, want)
		}
	}
}
