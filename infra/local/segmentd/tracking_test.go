package segmentd

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

func TestEveryPathOfTheSDKsIsAnswered(t *testing.T) {
	event := `{"userId":"u","event":"e","groupId":"g","previousId":"p","messageId":"m"}`
	for path, body := range map[string]string{
		"/v1/batch": tracks(2), "/v1/batch/": tracks(2), "/v1/b": tracks(2), "/v1/import": tracks(2),
		"/v1/import/": tracks(2), "/b": tracks(2),
		"/v1/track": event, "/v1/t": event, "/v1/identify": event, "/v1/i": event, "/v1/page": event, "/v1/p": event,
		"/v1/screen": event, "/v1/s": event, "/v1/group": event, "/v1/g": event, "/v1/alias": event, "/v1/a/": event,
	} {
		s := New(Options{})
		r := post(t, s, path, body)
		if r.status != 200 || r.body != `{"success":true}` || r.header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %d %q %v", path, r.status, r.body, r.header)
		}
		events := s.Events(Query{})
		if len(events) != strings.Count(body, "messageId") {
			t.Errorf("%s: %d events, want %d", path, len(events), strings.Count(body, "messageId"))
			continue
		}
		if want := strings.TrimSuffix(path, "/"); events[0].Path != want || events[0].WriteKey != "key" {
			t.Errorf("%s: event %+v", path, events[0])
		}
	}
}

func TestOtherPathsAndMethodsAreRefused(t *testing.T) {
	s := New(Options{})
	for _, path := range []string{"/", "/v1", "/v1/", "/v1/x", "/v1/batch/x", "/batch", "/v1/pixel/track"} {
		if r := post(t, s, path, tracks(1)); r.status != 404 || !strings.Contains(r.body, `"success":false`) {
			t.Errorf("%s: %d %s", path, r.status, r.body)
		}
	}
	r := post(t, s, "/v1/batch", "", func(r *http.Request) { r.Method = http.MethodGet })
	if r.status != 405 || r.header.Get("Allow") != "POST" {
		t.Errorf("GET: %d %v", r.status, r.header)
	}
	if got := s.Stats(); got.ByStatus[404] != 7 || got.ByStatus[405] != 1 || got.Requests != 8 {
		t.Errorf("stats %+v", got)
	}
}

func TestTheWriteKeyIsFoundWhereverAnSDKPutsIt(t *testing.T) {
	b64 := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	eventKey := `{"batch":[{"type":"track","event":"e","userId":"u","writeKey":"k3"}]}`
	bodyKey := `{"writeKey":"k2","batch":[{"type":"track","event":"e","userId":"u","writeKey":"k3"}]}`
	for name, tc := range map[string]struct{ auth, body, want string }{
		"basic with a colon":        {"Basic " + b64("k1:"), eventKey, "k1"},
		"basic without a colon":     {"Basic " + b64("k1"), eventKey, "k1"},
		"basic without padding":     {"Basic " + strings.TrimRight(b64("k1:"), "="), eventKey, "k1"},
		"basic in lower case":       {"basic " + b64("k1:"), eventKey, "k1"},
		"bearer":                    {"Bearer k1", eventKey, "k1"},
		"the header beats the body": {"Bearer k1", bodyKey, "k1"},
		"the batch beats the event": {"", bodyKey, "k2"},
		"the event's own":           {"", eventKey, "k3"},
		"no base64 at all":          {"Basic ?", eventKey, "k3"},
		"nowhere":                   {"", `{"batch":[{"type":"track","event":"e","userId":"u"}]}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := New(Options{})
			wantStatus(t, post(t, s, "/v1/batch", tc.body, func(r *http.Request) {
				r.Header.Del("Authorization")
				if tc.auth != "" {
					r.Header.Set("Authorization", tc.auth)
				}
			}), 200)
			if tc.want == "" {
				if got := s.Stats(); got.Rejected[codeNoWriteKey] != 1 || got.Received != 0 {
					t.Fatalf("stats %+v", got)
				}
				return
			}
			if got := s.Events(Query{}); len(got) != 1 || got[0].WriteKey != tc.want {
				t.Fatalf("events %+v, want write key %q", got, tc.want)
			}
		})
	}
}

func TestEventsOfAnUnknownWriteKeyAreAnswered200AndDropped(t *testing.T) {
	s := New(Options{WriteKeys: []string{"k1", "key"}})
	wantStatus(t, post(t, s, "/v1/batch", tracks(2)), 200)
	wantStatus(t, post(t, s, "/v1/batch", tracks(3), func(r *http.Request) { r.SetBasicAuth("other", "") }), 200)
	if got := s.Stats(); got.Received != 2 || got.Rejected[codeUnknownWriteKey] != 3 {
		t.Fatalf("stats %+v", got)
	}
}

func TestEventsWithAWriteKeyOfNoSourceAreAnswered200AndDropped(t *testing.T) {
	for _, key := range []string{`abc\n`, ` abc`, `a b`, `\"abc\"`, `abc:`, `<abc>`, `a\\b`, `schlüssel`, strings.Repeat("k", 129)} {
		s := New(Options{})
		body := `{"writeKey":"` + key + `","batch":[` + track("a") + `]}`
		wantStatus(t, post(t, s, "/v1/batch", body, func(r *http.Request) { r.Header.Del("Authorization") }), 200)
		if got := s.Stats(); got.Received != 0 || got.Rejected[codeUnknownWriteKey] != 1 {
			t.Errorf("%s: stats %+v", key, got)
		}
	}
}

// padded is an event of exactly n bytes.
func padded(id string, n int) string {
	e := strings.TrimSuffix(track(id), "}") + `,"pad":""}`
	return strings.Replace(e, `"pad":"`, `"pad":"`+strings.Repeat("x", n-len(e)), 1)
}

func TestSizesAreLimitedToTheByte(t *testing.T) {
	big := make([]string, 15)
	for i := range big {
		big[i] = padded(fmt.Sprint("m", i), maxEventBytes)
	}
	filled := batchOf(big...) // the rest up to the limit is white space
	filled += strings.Repeat(" ", maxBatchBytes-len(filled))
	for _, tc := range []struct {
		name, path, body string
		status           int
		code             string
	}{
		{"an event of 32,768 bytes", "/v1/track", padded("m", maxEventBytes), 200, ""},
		{"an event of 32,769 bytes", "/v1/track", padded("m", maxEventBytes+1), 400, "event_too_large"},
		{"in a batch, 32,768 bytes", "/v1/batch", batchOf(track("a"), padded("m", maxEventBytes)), 200, ""},
		{"in a batch, 32,769 bytes", "/v1/batch", batchOf(track("a"), padded("m", maxEventBytes+1)), 400, "event_too_large"},
		{"a batch of 524,288 bytes", "/v1/batch", filled, 200, ""},
		{"a batch of 524,289 bytes", "/v1/batch", filled + " ", 400, "batch_too_large"},
	} {
		for _, zipped := range []bool{false, true} {
			t.Run(fmt.Sprint(tc.name, " gzip ", zipped), func(t *testing.T) {
				s := New(Options{})
				body, edit := tc.body, func(*http.Request) {}
				if zipped {
					body, edit = string(zip(t, []byte(body))), func(r *http.Request) { r.Header.Set("Content-Encoding", "gzip") }
				}
				r := post(t, s, tc.path, body, edit)
				wantStatus(t, r, tc.status)
				if tc.code == "" {
					if got := s.Stats(); got.Received == 0 || got.WireBytes != int64(len(body)) ||
						got.BodyBytes != int64(len(tc.body)) {
						t.Fatalf("stats %+v", got)
					}
					return
				}
				wantReceived(t, s, 0)
				if s.Stats().Refused[tc.code] != 1 || !strings.Contains(r.body, `"code":"`+tc.code+`"`) {
					t.Fatalf("%s; stats %+v, want code %s", r.body, s.Stats(), tc.code)
				}
			})
		}
	}
}

func TestAGzipBombIsRefusedWithoutDecompressingItWhole(t *testing.T) {
	s := New(Options{})
	bomb := zip(t, make([]byte, 64<<20))
	bufs := &buffers{}
	req, err := http.NewRequest(http.MethodPost, "http://segment/v1/batch", strings.NewReader(string(bomb)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Encoding", "gzip")
	if _, _, refused := bufs.read(req, route{batch: true}); refused == nil || refused.code != "batch_too_large" {
		t.Fatalf("refusal %v", refused)
	}
	if c := bufs.plain.Cap(); c > 4*maxBatchBytes {
		t.Errorf("unpacked into %d bytes", c)
	}
	wantStatus(t, post(t, s, "/v1/batch", string(bomb),
		func(r *http.Request) { r.Header.Set("Content-Encoding", "gzip") }), 400)
}

func TestUnreadableBodiesAreAnswered400(t *testing.T) {
	whole := zip(t, []byte(tracks(3)))
	deep := `{"batch":[{"type":"track","event":"e","userId":"u","properties":` + strings.Repeat("[", maxDepth) +
		strings.Repeat("]", maxDepth) + `}]}`
	for name, tc := range map[string]struct{ encoding, body, code string }{
		"empty":                 {"", "", "invalid_json"},
		"not JSON":              {"", "hello", "invalid_json"},
		"an array":              {"", "[]", "invalid_json"},
		"cut off":               {"", strings.TrimSuffix(tracks(1), "}"), "invalid_json"},
		"followed by more":      {"", tracks(1) + "{}", "invalid_json"},
		"broken in the last of": {"", batchOf(track("a"), `{"type":tracks}`), "invalid_json"},
		"too deep":              {"", deep, "too_deep"},
		"not gzip":              {"gzip", tracks(1), "invalid_gzip"},
		"half gzip":             {"gzip", string(whole[:len(whole)/2]), "invalid_gzip"},
		"gzip without its end":  {"gzip", string(whole[:len(whole)-4]), "invalid_gzip"},
		"an unknown encoding":   {"br", tracks(1), "unsupported_encoding"},
	} {
		t.Run(name, func(t *testing.T) {
			s := New(Options{})
			r := post(t, s, "/v1/batch", tc.body, func(r *http.Request) { r.Header.Set("Content-Encoding", tc.encoding) })
			wantStatus(t, r, 400)
			if !strings.Contains(r.body, `"code":"`+tc.code+`"`) || r.header.Get("Content-Type") != "application/json" {
				t.Errorf("answer %s, want code %s", r.body, tc.code)
			}
			if got := s.Stats(); got.Received != 0 || got.Refused[tc.code] != 1 || len(got.Rejected) != 0 {
				t.Errorf("stats %+v", got)
			}
		})
	}
}

func TestABatchOfMoreThan2500EventsIsAnswered200AndRejectedWhole(t *testing.T) {
	s := New(Options{})
	wantStatus(t, post(t, s, "/v1/batch", tracks(maxBatchEvents)), 200)
	wantReceived(t, s, maxBatchEvents)
	wantStatus(t, post(t, s, "/v1/batch", tracks(maxBatchEvents+1)), 200)
	if got := s.Stats(); got.Received != maxBatchEvents || got.Rejected[codeTooManyEvents] != maxBatchEvents+1 {
		t.Fatalf("stats %+v", got)
	}
}

func TestEventsThatSegmentRejectsLaterAreAnswered200AndCounted(t *testing.T) {
	for _, tc := range []struct{ event, code string }{
		{`{"type":"track","event":"e","userId":"u"}`, ""},
		{`{"type":"track","event":"e","anonymousId":"a","userId":null}`, ""},
		{`{"type":"track","event":"e","userId":4711}`, ""},
		{`{"type":"track","event":"e"}`, codeNoUserAnonID},
		{`{"type":"track","event":"e","userId":"","anonymousId":null}`, codeNoUserAnonID},
		{`{"type":"track","event":"e","userId":{}}`, codeIDNotString},
		{`{"type":"track","event":"e","userId":"u","anonymousId":true}`, codeIDNotString},
		{`{"type":"track","event":"e","userId":"u","groupId":{},"previousId":[]}`, ""}, // other types' ids
		{`{"type":"track","userId":"u"}`, codeEventNotDefined},
		{`{"type":"track","userId":"u","event":""}`, codeEventNotDefined},
		{`{"type":"track","userId":"u","event":null}`, codeEventNotDefined},
		{`{"type":"track","userId":"u","event":7}`, codeEventNotString},
		{`{"type":"track","userId":"u","event":"e","properties":[]}`, codePropertiesNotObject},
		{`{"type":"track","userId":"u","event":"e","properties":null}`, ""},
		{`{"type":"identify","userId":"u","traits":"x"}`, codeTraitsNotObject},
		{`{"type":"identify","userId":"u","traits":{}}`, ""},
		{`{"type":"page","userId":"u","name":1}`, codeNameNotString},
		{`{"type":"screen","userId":"u","category":true}`, codeCategoryNotString},
		{`{"type":"page","userId":"u","name":""}`, codeNameNotString},
		{`{"type":"screen","userId":"u","name":"n","category":""}`, codeCategoryNotString},
		{`{"type":"page","userId":"u","name":null,"category":null}`, ""},
		{`{"type":"track","event":"e","userId":"u","name":"","category":""}`, ""},
		{`{"type":"page","userId":"u","properties":1}`, codePropertiesNotObject},
		{`{"type":"page","userId":"u"}`, ""},
		{`{"type":"group","userId":"u"}`, codeIDRequired},
		{`{"type":"group","userId":"u","groupId":1}`, ""},
		{`{"type":"group","userId":"u","groupId":{}}`, codeIDNotString},
		{`{"type":"group","userId":"u","groupId":"g","traits":1}`, codeTraitsNotObject},
		{`{"type":"group","userId":"u","groupId":"g"}`, ""},
		{`{"type":"alias","userId":"u"}`, codeIDRequired},
		{`{"type":"alias","previousId":"p"}`, codeIDRequired},
		{`{"type":"alias","userId":"u","previousId":false}`, codeIDNotString},
		{`{"type":"alias","userId":1,"previousId":2,"anonymousId":{}}`, ""},
		{`{"type":"alias","userId":"u","previousId":"p"}`, ""},
		{`{"type":"delete","userId":"u"}`, codeTypeNotKnown},
		{`{"userId":"u"}`, codeTypeNotKnown},
		{`7`, codeNotObject},
		{`{"type":"identify","type":"track","userId":"u"}`, codeEventNotDefined}, // the last of a duplicate key counts
		{`{"t\u0079pe":"track","event":"e","userId":"u"}`, ""},                   // an escaped key is the key
	} {
		s := New(Options{})
		wantStatus(t, post(t, s, "/v1/batch", batchOf(track("good"), tc.event)), 200)
		got := s.Stats()
		if tc.code == "" {
			if got.Received != 2 || len(got.Rejected) != 0 {
				t.Errorf("%s: %+v, want it received", tc.event, got)
			}
		} else if got.Received != 1 || got.Rejected[tc.code] != 1 || len(got.Rejected) != 1 {
			t.Errorf("%s: %+v, want only %s", tc.event, got, tc.code)
		}
	}
}

func TestABatchWithoutEventsIsCountedAsEmpty(t *testing.T) {
	for _, body := range []string{`{}`, `{"batch":[]}`, `{"batch":null}`, `{"batch":{}}`,
		`{"batch":[` + track("a") + `],"batch":[]}`} {
		s := New(Options{})
		wantStatus(t, post(t, s, "/v1/batch", body), 200)
		if got := s.Stats(); got.Received != 0 || got.Rejected[codeEmptyBatch] != 1 {
			t.Errorf("%s: %+v", body, got)
		}
	}
}

func TestThePathDecidesTheTypeOfASingleEvent(t *testing.T) {
	s := New(Options{})
	wantStatus(t, post(t, s, "/v1/track", `{"type":"identify","userId":"u"}`), 200)
	if got := s.Stats(); got.Rejected[codeEventNotDefined] != 1 {
		t.Fatalf("stats %+v", got)
	}
}
