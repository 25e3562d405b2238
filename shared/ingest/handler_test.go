package ingest

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/message"
)

func TestEveryPathOfTheSDKsIsServed(t *testing.T) {
	for _, c := range []struct {
		path   string
		batch  bool
		kind   string
		client bool
	}{
		{path: "/v1/track", kind: "track"}, {path: "/v1/identify", kind: "identify"}, {path: "/v1/page", kind: "page"},
		{path: "/v1/screen", kind: "screen"}, {path: "/v1/group", kind: "group"}, {path: "/v1/alias", kind: "alias"},
		{path: "/v1/t", kind: "track", client: true}, {path: "/v1/i", kind: "identify", client: true},
		{path: "/v1/p", kind: "page", client: true},
		{path: "/v1/s", kind: "screen", client: true}, {path: "/v1/g", kind: "group", client: true},
		{path: "/v1/a", kind: "alias", client: true},
		{path: "/v1/batch", batch: true}, {path: "/v1/import", batch: true}, {path: "/v1/b", batch: true, client: true},
		{path: "/b", batch: true, client: true},
	} {
		for _, path := range []string{c.path, c.path + "/"} {
			t.Run(path, func(t *testing.T) {
				r := newRig(t, nil)
				body := `{"userId":"u","event":"e","groupId":"g","previousId":"p","messageId":"m","timestamp":"x"}`
				if c.batch {
					body = `{"batch":[{"type":"page","userId":"u","messageId":"m","timestamp":"x"}]}`
				}
				if status, code := r.post(path, body); status != 200 {
					t.Fatalf("answer %d %s", status, code)
				}
				m := sent(t, &r.queue)
				if len(m) != 1 || len(m[0].Events) != 1 {
					t.Fatalf("the queue has %v", events(t, &r.queue))
				}
				origin := event.FromServer
				if c.client {
					origin = event.FromClient
				}
				want(t, "origin", m[0].Origin, origin)
				want(t, "write key", m[0].WriteKey, keyA)
				var e struct {
					Type    string
					Context struct{ IP string }
				}
				if err := json.Unmarshal(m[0].Events[0].Raw, &e); err != nil {
					t.Fatal(err)
				}
				if c.kind != "" {
					want(t, "type", e.Type, c.kind)
				}
				want(t, "address is stamped", e.Context.IP != "", c.client)
			})
		}
	}
}

func TestWhatIsNoPathIsNotFoundInJSON(t *testing.T) {
	r := newRig(t, nil)
	for _, path := range []string{"/", "/v1", "/v1/", "/v2/batch", "/v1/batch/x", "/v1/batch//", "/batch", "/track",
		"/v1/pixel/", "/v1/pixel/batch", "/v1/projects/settings", "/v1/projects/a/b/settings", "/v1/projects//settings",
		"/favicon.ico"} {
		w := r.do("POST", path, "{}")
		if status, code := r.understood(w); status != 404 || code != "not_found" {
			t.Errorf("%s: %d %s", path, status, code)
		}
	}
}

func TestAWrongMethodIsToldTheRightOnes(t *testing.T) {
	r := newRig(t, nil)
	for _, c := range []struct{ method, path, allow string }{
		{"GET", "/v1/batch", "POST, OPTIONS"}, {"HEAD", "/v1/t", "POST, OPTIONS"}, {"PUT", "/v1/track", "POST, OPTIONS"},
		{"DELETE", "/v1/m", "POST, OPTIONS"},
		{"POST", "/health", "GET, HEAD, OPTIONS"}, {"POST", "/v1/projects/k/settings", "GET, HEAD, OPTIONS"},
		{"POST", "/v1/pixel/track", "GET, HEAD, OPTIONS"},
	} {
		w := r.do(c.method, c.path, "")
		status, code := r.understood(w)
		if status != 405 || code != "method_not_allowed" || w.Header().Get("Allow") != c.allow {
			t.Errorf("%s %s: %d %s, Allow: %s", c.method, c.path, status, code, w.Header().Get("Allow"))
		}
	}
}

func TestPagesOfAnyOriginMaySendAndReadTheAnswer(t *testing.T) {
	r := newRig(t, nil)
	w := r.do("OPTIONS", "/v1/t", "", "Origin", "https://acme.example", "Access-Control-Request-Method", "POST",
		"Access-Control-Request-Headers", "authorization,content-type")
	want(t, "status", w.Code, 204)
	want(t, "methods", w.Header().Get("Access-Control-Allow-Methods"), "POST, OPTIONS")
	for _, header := range []string{"authorization", "content-type", "x-retry-count"} {
		if !strings.Contains(w.Header().Get("Access-Control-Allow-Headers"), header) {
			t.Errorf("%s is not allowed", header)
		}
	}
	for _, w := range []*httptest.ResponseRecorder{w,
		r.do("POST", "/v1/t", track("m"), append(basic(), "Origin", "https://acme.example")...),
		r.do("POST", "/v1/t", "no", "Origin", "https://acme.example"),
		r.do("GET", "/none", "", "Origin", "https://acme.example")} {
		want(t, "origin", w.Header().Get("Access-Control-Allow-Origin"), "https://acme.example")
		want(t, "credentials", w.Header().Get("Access-Control-Allow-Credentials"), "true")
		want(t, "exposed", w.Header().Get("Access-Control-Expose-Headers"), "Retry-After")
		want(t, "vary", w.Header().Get("Vary"), "Origin")
	}
	if w := r.do("POST", "/v1/t", track("m"), basic()...); w.Header().Get("Access-Control-Allow-Origin") != "" {
		t.Error("who names no origin is told one")
	}
}

func TestABatchCarriesItsContextAndIntegrations(t *testing.T) {
	r := newRig(t, nil)
	status, _ := r.post("/v1/batch",
		`{"context":{"library": {"name":"analytics-go"}},"batch":[`+track("1")+`,`+track("2")+`],"integrations":{"All":true},"sentAt":null,"other":1}`)
	want(t, "status", status, 200)
	m := sent(t, &r.queue)[0]
	want(t, "context", string(m.Context), `{"library": {"name":"analytics-go"}}`)
	want(t, "integrations", string(m.Integrations), `{"All":true}`)
	want(t, "events, to the byte", events(t, &r.queue), []string{track("1"), track("2")})
	if m.ReceivedAt.IsZero() {
		t.Error("the message does not say when it was received")
	}
	totals := r.counters.Totals()
	want(t, "accepted", totals.Accepted, 2)
	want(t, "requests", totals.Requests, map[int]int{200: 1})
}

func TestTheWriteKeyIsFoundWhereverSDKsPutIt(t *testing.T) {
	encode := base64.StdEncoding.EncodeToString
	body := `{"batch":[` + track("1") + `]}`
	for name, c := range map[string]struct{ path, auth, body string }{
		"basic":                   {"/v1/batch", "Basic " + encode([]byte(keyA+":")), body},
		"basic with a password":   {"/v1/batch", "basic " + encode([]byte(keyA+":x")), body},
		"basic without the colon": {"/v1/batch", "Basic " + encode([]byte(keyA)), body},
		"basic without padding":   {"/v1/batch", "Basic " + strings.TrimRight(encode([]byte(keyA+":")), "="), body},
		"basic for URLs": {"/v1/batch", "Basic " + base64.URLEncoding.EncodeToString([]byte(keyA+":???>>>")),
			body},
		"basic with a long password": {"/v1/batch", "Basic " + encode([]byte(keyA+":"+strings.Repeat("p", 500))), body},
		"bearer":                     {"/v1/batch", "Bearer " + keyA, body},
		"batch":                      {"/v1/batch", "", `{"batch":[` + track("1") + `],"writeKey":"` + keyA + `"}`},
		"batch, duplicate": {"/v1/batch", "",
			`{"writeKey":"` + keyB + `","batch":[` + track("1") + `],"writeKey":"` + keyA + `"}`},
		"event": {"/v1/track", "", `{"writeKey":"` + keyA + `",` + track("1")[1:]},
		"event, duplicate": {"/v1/track", "",
			`{"writeKey":"` + keyA + `","writeKey":"` + keyA + `",` + track("1")[1:]},
		"Basic before body": {"/v1/batch", "Basic " + encode([]byte(keyA+":")),
			`{"writeKey":"` + keyB + `",` + body[1:]},
		"body before a bearer token":  {"/v1/batch", "Bearer " + keyB, `{"writeKey":"` + keyA + `",` + body[1:]},
		"a header that is no key's":   {"/v1/track", "Digest x", `{"writeKey":"` + keyA + `",` + track("1")[1:]},
		"a header that is not base64": {"/v1/track", "Basic %%%", `{"writeKey":"` + keyA + `",` + track("1")[1:]},
		"both, as the browser does it": {"/v1/t", "Basic " + encode([]byte(keyA+":")),
			`{"writeKey":"` + keyA + `","context":{"ip":"1.1.1.1"},` + track("1")[1:]},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(c *Config) { c.Keys = keySet(t, map[string]Key{keyA: {Name: "a"}}) })
			var headers []string
			if c.auth != "" {
				headers = []string{"Authorization", c.auth}
			}
			if status, code := r.understood(r.do("POST", c.path, c.body, headers...)); status != 200 {
				t.Fatalf("%d %s", status, code)
			}
			m := sent(t, &r.queue)[0]
			want(t, "write key", m.WriteKey, keyA)
			if bytes.Contains(m.Events[0].Raw, []byte("writeKey")) {
				t.Errorf("the event still has it: %s", m.Events[0].Raw)
			}
		})
	}
}

func keySet(t testing.TB, keys map[string]Key) *Keys {
	t.Helper()
	k, err := NewKeys(keys)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestWithoutAKnownWriteKeyNothingIsTaken(t *testing.T) {
	for name, c := range map[string]struct{ auth, body, code string }{
		"none":          {"", `{"batch":[` + track("1") + `]}`, "invalid_write_key"},
		"unknown":       {"Bearer nobody", `{"batch":[` + track("1") + `]}`, "invalid_write_key"},
		"null":          {"", `{"writeKey":null,"batch":[` + track("1") + `]}`, "invalid_write_key"},
		"number":        {"", `{"writeKey":1,"batch":[` + track("1") + `]}`, "invalid_write_key"},
		"empty":         {"", `{"writeKey":"","batch":[` + track("1") + `]}`, "invalid_write_key"},
		"disabled":      {"Bearer " + keyB, `{"batch":[` + track("1") + `]}`, "source_disabled"},
		"much too long": {"Bearer " + strings.Repeat("k", 5000), `{"batch":[` + track("1") + `]}`, "invalid_write_key"},
		"long in a body": {"", `{"writeKey":"` + strings.Repeat("k", 5000) + `","batch":[` + track("1") + `]}`,
			"invalid_write_key"},
		"long and basic":  {"Basic " + strings.Repeat("aaaa", 5000), `{"batch":[` + track("1") + `]}`, "invalid_write_key"},
		"quotes and more": {"Bearer \"<x>\\", `{"batch":[` + track("1") + `]}`, "invalid_write_key"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(c *Config) {
				c.Keys = keySet(t, map[string]Key{keyA: {Name: "a"}, keyB: {Name: "b", Disabled: true}})
			})
			status, code := r.understood(r.do("POST", "/v1/batch", c.body, "Authorization", c.auth))
			if status != 400 || code != c.code {
				t.Errorf("%d %s, want 400 %s", status, code, c.code)
			}
			want(t, "calls", r.queue.calls+r.deadLetters.calls, 0)
			want(t, "refused", r.counters.Totals().Refused, map[string]int{c.code: 1})
		})
	}
}

func zipped(t testing.TB, text string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := io.WriteString(z, text); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestGzipIsSeenByItsFirstBytes(t *testing.T) {
	body := `{"batch":[` + track("1") + `]}`
	packed := zipped(t, body)
	mangled := strings.ToValidUTF8(packed, "\uFFFD")
	for name, c := range map[string]struct {
		body, encoding     string
		status             int
		code               string
		absent, unheralded int
	}{
		"announced":                   {packed, "gzip", 200, "", 0, 0},
		"announced in capitals":       {packed, "GZIP", 200, "", 0, 0},
		"not announced":               {packed, "", 200, "", 0, 1},
		"announced and taken off":     {body, "gzip", 200, "", 1, 0},
		"with a byte order mark":      {"\xef\xbb\xbf" + body, "", 200, "", 0, 0},
		"mangled":                     {mangled, "gzip", 400, "invalid_gzip", 0, 0},
		"mangled, header gone":        {mangled, "", 400, "invalid_json", 0, 0},
		"cut":                         {packed[:len(packed)-9], "gzip", 400, "invalid_gzip", 0, 0},
		"damaged":                     {packed[:20] + "xxxxxx" + packed[26:], "gzip", 400, "invalid_gzip", 0, 0},
		"nothing, announced":          {"", "gzip", 400, "invalid_gzip", 0, 0},
		"nothing":                     {"", "", 400, "invalid_json", 0, 0},
		"a header only":               {packed[:5], "gzip", 400, "invalid_gzip", 0, 0},
		"a bomb":                      {zipped(t, strings.Repeat(" ", 50<<20)), "gzip", 400, "body_too_large", 0, 0},
		"a bomb that hides":           {zipped(t, strings.Repeat(" ", 50<<20)), "", 400, "body_too_large", 0, 1},
		"too large as it is":          {strings.Repeat(" ", defaultMaxBody+1), "", 400, "body_too_large", 0, 0},
		"exactly as large as may be":  {body + strings.Repeat(" ", defaultMaxBody-len(body)), "", 200, "", 0, 0},
		"unpacked as large as may be": {zipped(t, body+strings.Repeat(" ", defaultMaxBody-len(body))), "gzip", 200, "", 0, 0},
		"two members":                 {zipped(t, body[:10]) + zipped(t, body[10:]), "gzip", 200, "", 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil)
			status, code := r.post("/v1/b", c.body, "Content-Encoding", c.encoding)
			if status != c.status || code != c.code {
				t.Errorf("%d %s, want %d %s", status, code, c.status, c.code)
			}
			if status == 200 {
				want(t, "events", len(events(t, &r.queue)), 1)
			}
			totals := r.counters.Totals()
			want(t, "announced, but absent", totals.GzipAbsent, c.absent)
			want(t, "there, but not announced", totals.GzipUnannounced, c.unheralded)
		})
	}
}

func TestABodyIsReadNoFurtherThanItsLimit(t *testing.T) {
	r := newRig(t, nil)
	read := 0
	body := readerFunc(func(p []byte) (int, error) {
		for i := range p {
			p[i] = ' '
		}
		read += len(p)
		return len(p), nil
	})
	request := httptest.NewRequest("POST", "/v1/b", body)
	request.Header.Set("Authorization", "Bearer "+keyA)
	w := httptest.NewRecorder()
	r.ServeHTTP(w, request)
	status, code := r.understood(w)
	if status != 400 || code != "body_too_large" || w.Header().Get("Connection") != "close" {
		t.Errorf("%d %s", status, code)
	}
	if read > defaultMaxBody+1 {
		t.Errorf("%d bytes were read", read)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestABodyThatBreaksOffMayComeAgain(t *testing.T) {
	r := newRig(t, nil)
	request := httptest.NewRequest("POST", "/v1/b", iotest.ErrReader(errors.New(marker+" reset")))
	request.Header.Set("Authorization", "Bearer "+keyA)
	w := httptest.NewRecorder()
	r.ServeHTTP(w, request)
	status, code := r.understood(w)
	want(t, "answer", []any{status, code}, []any{429, "body_incomplete"})
	request = httptest.NewRequest("POST", "/v1/b", iotest.ErrReader(&http.MaxBytesError{Limit: 1}))
	w = httptest.NewRecorder()
	r.ServeHTTP(w, request)
	status, code = r.understood(w)
	want(t, "answer to somebody else's limit", []any{status, code}, []any{400, "body_too_large"})
}

func TestPixelsAreAlwaysAnsweredWithTheImage(t *testing.T) {
	one := `{"userId":"u","event":"` + marker + `","writeKey":"` + keyA +
		`","p":"???>>>","messageId":"m","timestamp":"2026-11-23T11:00:00.000Z"}`
	std := base64.StdEncoding.EncodeToString([]byte(one))
	for name, c := range map[string]struct {
		query    string
		accepted int
		code     string
	}{
		"as documented":       {"data=" + strings.NewReplacer("+", "%2B", "/", "%2F", "=", "%3D").Replace(std), 1, ""},
		"padding is missing":  {"data=" + strings.TrimRight(std, "="), 1, ""},
		"plus is not escaped": {"data=" + std, 1, ""},
		"alphabet for URLs":   {"data=" + base64.RawURLEncoding.EncodeToString([]byte(one)), 1, ""},
		"no data":             {"", 0, "invalid_pixel"},
		"broken base64":       {"data=e30!", 0, "invalid_pixel"},
		"broken query":        {"data=%zz", 0, "invalid_pixel"},
		"no JSON":             {"data=aGFsbG8", 0, "invalid_json"},
		"no key":              {"data=e30", 0, "invalid_write_key"},
		"an event without event": {"data=" +
			base64.RawURLEncoding.EncodeToString([]byte(`{"userId":"u","writeKey":"`+keyA+`"}`)), 0, "event_not_defined"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil)
			w := r.do("GET", "/v1/pixel/track?"+c.query, "", "User-Agent", "Mail/1.0")
			want(t, "status", w.Code, 200)
			want(t, "type", w.Header().Get("Content-Type"), "image/gif")
			want(t, "image", w.Body.String(), string(transparentGIF))
			totals := r.counters.Totals()
			want(t, "accepted", totals.Accepted, c.accepted)
			if c.code != "" {
				want(t, "refused", totals.Refused, map[string]int{c.code: 1})
				return
			}
			want(t, "event", events(t, &r.queue),
				[]string{`{"type":"track","context":{"ip":"203.0.113.7","userAgent":"Mail/1.0"},"userId":"u","event":"` + marker +
					`","p":"???>>>","messageId":"m","timestamp":"2026-11-23T11:00:00.000Z"}`})
			want(t, "origin", sent(t, &r.queue)[0].Origin, event.FromClient)
		})
	}
	r := newRig(t, nil)
	r.queue.send = refuseAll
	want(t, "status when the queue is away",
		r.do("GET", "/v1/pixel/track?data="+base64.RawURLEncoding.EncodeToString([]byte(one)), "").Code, 200)
	want(t, "refused", r.counters.Totals().Refused, map[string]int{"queue_unavailable": 1})
	r.do("HEAD", "/v1/pixel/track?data="+base64.RawURLEncoding.EncodeToString([]byte(one)), "")
	want(t, "calls for a HEAD", r.queue.calls, 1)
}

func refuseAll(ctx context.Context, _ []message.Message) error { return errAway }

func TestMetricsOfSDKsAreTakenAndDropped(t *testing.T) {
	r := newRig(t, nil)
	for _, path := range []string{"/v1/m", "/m"} {
		status, _ := r.understood(r.do("POST", path, `{"series":[]}`))
		want(t, "status", status, 200)
	}
	want(t, "calls", r.queue.calls, 0)
}

func TestTheLongestKeyIsTakenWithAnyPassword(t *testing.T) {
	for length := range event.MaxWriteKeyBytes + 4 {
		for _, password := range []string{"", ":", ":p", ":" + strings.Repeat("p", 1000)} {
			key := strings.Repeat("k", length)
			got, _, ok := headerKey("Basic " + base64.StdEncoding.EncodeToString([]byte(key+password)))
			if fits := length > 0 && length <= event.MaxWriteKeyBytes; ok != fits || ok && got != key {
				t.Errorf("a key of %d and a password of %d: %q, %v", length, len(password), got, ok)
			}
		}
	}
}

func TestTheSettingsVaryByOriginAlsoWhenNoneIsNamed(t *testing.T) {
	r := newRig(t, nil)
	want(t, "vary", r.do("GET", "/v1/projects/k/settings", "").Header().Get("Vary"), "Origin")
}

func TestABodyWhoseChunksAreMalformedNeedNotComeAgain(t *testing.T) {
	r := newRig(t, nil)
	server := httptest.NewServer(r)
	defer server.Close()
	for body, status := range map[string]int{
		"3\r\n{}\n\r\n0\r\n\r\n": 400, // whole, but no batch
		"zz\r\n{}":               400,
		"2\r\n{}xx2\r\n":         400,
		"5\r\n{}":                429, // cut short
		"":                       429,
	} {
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn,
			"POST /v1/b HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"+body); err != nil {
			t.Fatal(err)
		}
		if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(answer.Body)
		if code := map[bool]string{true: "body_incomplete", false: "malformed_body"}[status == 429]; err != nil ||
			answer.StatusCode != status || !strings.Contains(body, "{}\n") && !bytes.Contains(text, []byte(code)) {
			t.Errorf("%q: %d %s, %v", body, answer.StatusCode, text, err)
		}
		conn.Close()
	}
}
