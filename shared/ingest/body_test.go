package ingest

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/spillwayhq/spillway/shared/event"
)

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

func TestGzipIsRecognisedByItsFirstBytes(t *testing.T) {
	body := `{"batch":[` + track("1") + `]}`
	packed := zipped(t, body)
	mangled := strings.ToValidUTF8(packed, "\uFFFD")
	for name, c := range map[string]struct {
		body, encoding      string
		status              int
		code                string
		absent, unannounced int
	}{
		"announced":                     {packed, "gzip", 200, "", 0, 0},
		"announced in capitals":         {packed, "GZIP", 200, "", 0, 0},
		"not announced":                 {packed, "", 200, "", 0, 1},
		"announced and decompressed":    {body, "gzip", 200, "", 1, 0},
		"with a byte order mark":        {"\xef\xbb\xbf" + body, "", 200, "", 0, 0},
		"damaged by conversion to text": {mangled, "gzip", 400, "invalid_gzip", 0, 0},
		"damaged so, and not announced": {mangled, "", 400, "invalid_json", 0, 0},
		"cut":                           {packed[:len(packed)-9], "gzip", 400, "invalid_gzip", 0, 0},
		"damaged":                       {packed[:20] + "xxxxxx" + packed[26:], "gzip", 400, "invalid_gzip", 0, 0},
		"empty, announced":              {"", "gzip", 400, "invalid_gzip", 0, 0},
		"empty":                         {"", "", 400, "invalid_json", 0, 0},
		"a header only":                 {packed[:5], "gzip", 400, "invalid_gzip", 0, 0},
		"a bomb":                        {zipped(t, strings.Repeat(" ", 50<<20)), "gzip", 400, "body_too_large", 0, 0},
		"a bomb, not announced":         {zipped(t, strings.Repeat(" ", 50<<20)), "", 400, "body_too_large", 0, 1},
		"larger than the limit":         {strings.Repeat(" ", defaultMaxBody+1), "", 400, "body_too_large", 0, 0},
		"as large as the limit":         {body + strings.Repeat(" ", defaultMaxBody-len(body)), "", 200, "", 0, 0},
		"as large, zipped":              {zipped(t, body+strings.Repeat(" ", defaultMaxBody-len(body))), "gzip", 200, "", 0, 0},
		"two members":                   {zipped(t, body[:10]) + zipped(t, body[10:]), "gzip", 200, "", 0, 0},
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
			want(t, "announced, but plain", totals.GzipAbsent, c.absent)
			want(t, "gzip, but not announced", totals.GzipUnannounced, c.unannounced)
		})
	}
}

func TestABodyIsReadUpToItsLimit(t *testing.T) {
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

func TestAnIncompleteBodyMayBeRetried(t *testing.T) {
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
	want(t, "answer to the limit of another handler", []any{status, code}, []any{400, "body_too_large"})
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
	want(t, "status when the queue is down",
		r.do("GET", "/v1/pixel/track?data="+base64.RawURLEncoding.EncodeToString([]byte(one)), "").Code, 200)
	want(t, "refused", r.counters.Totals().Refused, map[string]int{"queue_unavailable": 1})
	r.do("HEAD", "/v1/pixel/track?data="+base64.RawURLEncoding.EncodeToString([]byte(one)), "")
	want(t, "calls for a HEAD", r.queue.calls, 1)
}

func TestABodyWithMalformedChunksMayNotBeRetried(t *testing.T) {
	r := newRig(t, nil)
	server := httptest.NewServer(r)
	defer server.Close()
	for body, status := range map[string]int{
		"3\r\n{}\n\r\n0\r\n\r\n": 400, // complete, but not a batch
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
