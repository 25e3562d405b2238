package ingest

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/rawjson"
)

var paths = []string{"/v1/batch", "/v1/b", "/v1/track", "/v1/t", "/v1/p/", "/b", "/v1/pixel/track?data=e30",
	"/v1/projects/k/settings", "/v1/m", "/health", "/none", "/v1/import/"}

// FuzzRequest sends any request: the handler never panics, answers in the form that SDKs
// understand, and what it accepts is in the queue or among the dead letters, each event with an
// identity.
func FuzzRequest(f *testing.F) {
	bodies := []string{
		`{"batch":[` + track("1") + `,{"type":"foo"},7]}`, track("1"),
		`{"writeKey":"k","batch":[{"type":"page","userId":"u","sentAt":"2026-11-23T11:00:00Z","context":null}],"sentAt":"x","context":{}}`,
		`{"type":null,"userId":"u","event":"e","context":{"ip":null,"direct":true},"writeKey":"k"}`, "", "null",
		`{"batch":[[],{}]}`, "\xff", `{"batch":[` + strings.Repeat("[", 2000),
		`{"userId":"u","event":"\ud800"}`, "\xef\xbb\xbf{}", `{"batch":[],"batch":[{}]}`,
		zipped(f, `{"batch":[`+track("1")+`]}`), zipped(f, `{}`)[:12],
		asText(zipped(f, `{"batch":[`+track("1")+`]}`)), zipped(f, `{}`) + "x", "\x1f\xef\xbf\xbd\x08",
	}
	for i, body := range bodies {
		f.Add(byte(i), []byte(body), "Basic azo=", "gzip")
		f.Add(byte(i+3), []byte(body), "Bearer k", "")
		f.Add(byte(i+5), []byte(body), "", "br")
	}
	f.Fuzz(func(t *testing.T, path byte, body []byte, auth, encoding string) {
		r := newRig(t, nil)
		target := paths[int(path)%len(paths)]
		method := "POST"
		if strings.Contains(target, "pixel") || strings.Contains(target, "settings") || target == "/health" {
			method = "GET"
		}
		request := httptest.NewRequest(method, target, strings.NewReader(string(body)))
		request.Header["Authorization"] = []string{auth}
		request.Header["Content-Encoding"] = []string{encoding}
		w := httptest.NewRecorder()
		r.ServeHTTP(w, request)
		if method == "GET" {
			want(t, "status", w.Code, 200)
			return
		}
		status, code := r.understood(w)
		if status != 200 && status != 400 && status != 404 && code != "gzip_mangled" {
			t.Fatalf("%d %s", status, code)
		}
		totals := r.counters.Totals()
		accepted, rejected := 0, 0
		for _, m := range sent(t, &r.queue) {
			for i := range m.Events {
				e := &m.Events[i]
				accepted++
				if e.Problem != nil || !e.Identified() || !json.Valid(e.Raw) {
					t.Fatalf("%v: %s was accepted", e.Problem, e.Raw)
				}
				var v map[string]json.RawMessage
				if err := json.Unmarshal(e.Raw, &v); err == nil && v["sentAt"] != nil {
					t.Fatalf("%s has a sentAt", e.Raw)
				}
			}
		}
		for _, m := range sent(t, &r.deadLetters) {
			rejected += len(m.Events)
			for i := range m.Events {
				if m.Events[i].Problem == nil {
					t.Fatalf("%s is a dead letter", m.Events[i].Raw)
				}
			}
		}
		sum := 0
		for _, n := range totals.Rejected {
			sum += n
		}
		if accepted != totals.Accepted || rejected != sum || status != 200 && accepted+rejected > 0 {
			t.Fatalf("%d events accepted and %d rejected, counted %d and %d, answer %d", accepted, rejected, totals.Accepted,
				sum, status)
		}
	})
}

func FuzzHeaderKey(f *testing.F) {
	for _, auth := range []string{"", "Basic", "Basic ", "Basic azo=", "basic  azo", "Bearer k", "Bearer k x",
		"Basic ====", "Digest k", "Basic " + strings.Repeat("a", 400)} {
		f.Add(auth)
	}
	f.Fuzz(func(t *testing.T, auth string) {
		key, _, ok := headerKey(auth)
		if !ok {
			return
		}
		quoted := rawjson.AppendQuoted(nil, key)
		if !event.ValidWriteKey(key) || string(quoted) != `"`+key+`"` {
			t.Fatalf("%q gave %q", auth, key)
		}
		if back, ok := bodyKey(quoted); !ok || back != key {
			t.Fatalf("%q in a body is %q", key, back)
		}
	})
}

// FuzzParse compares the parser with encoding/json: the same bodies are JSON, with as many events.
func FuzzParse(f *testing.F) {
	for _, body := range []string{`{"batch":[{},{"a":1}],"sentAt":"x"}`, `{"batch":[1,"a",null]}`,
		`{"batch":[{}],"batch":null}`, `{"Batch":[{}]}`, `{}`, `[]`, `{"context":{},"batch":[{}]}`, `{"batch":[{}]} x`} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		// both accept escaped keys, but the order of duplicates is lost in this test's map
		if len(body) > 9000 || strings.Contains(string(body), `\u`) {
			return
		}
		var c content
		fault := c.parse(body, route{kind: routeBatch})
		if fault == refusalTooManyEvents {
			return
		}
		if (fault == refusalJSON) == json.Valid(body) {
			t.Fatalf("%q: %v, encoding/json says valid: %v", body, fault, json.Valid(body))
		}
		var v map[string]json.RawMessage
		var events []json.RawMessage
		if json.Unmarshal(body, &v) != nil || v["batch"] == nil || json.Unmarshal(v["batch"], &events) != nil ||
			v["batch"][0] != '[' {
			if fault == nil {
				t.Fatalf("%q was read as %d events", body, len(c.events))
			}
			return
		}
		if fault == refusalEmptyBatch && len(events) == 0 {
			return
		}
		if fault != nil || len(events) != len(c.events) {
			t.Fatalf("%q: %v, %d events, want %d", body, fault, len(c.events), len(events))
		}
		for i := range events {
			if string(events[i]) != string(c.events[i].Raw) {
				t.Fatalf("event %d of %q is %q", i, body, c.events[i].Raw)
			}
		}
	})
}
