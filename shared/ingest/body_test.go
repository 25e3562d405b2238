package ingest

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
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
	packed, bomb := zipped(t, body), zipped(t, strings.Repeat(" ", 10<<20))
	var members strings.Builder
	for i := range len(body) {
		members.WriteString(zipped(t, body[i:i+1]))
	}
	for name, c := range map[string]struct {
		body, encoding      string
		status              int
		code                string
		absent, unannounced int
	}{
		"announced":                   {packed, "gzip", 200, "", 0, 0},
		"announced in capitals":       {packed, "GZIP", 200, "", 0, 0},
		"not announced":               {packed, "", 200, "", 0, 1},
		"announced and decompressed":  {body, "gzip", 200, "", 1, 0},
		"gzip of gzip":                {zipped(t, packed), "gzip", 400, "invalid_json", 0, 0},
		"with a byte order mark":      {"\xef\xbb\xbf" + body, "", 200, "", 0, 0},
		"bytes behind it":             {packed + "\x00\x00\x00", "gzip", 200, "", 0, 0},
		"much behind it":              {packed + strings.Repeat("garbage", 1000), "gzip", 200, "", 0, 0},
		"a JSON document behind it":   {packed + body, "gzip", 200, "", 0, 0},
		"a byte of a magic behind it": {packed + "\x1f", "", 200, "", 0, 1},
		"a damaged member behind it":  {packed + packed[:len(packed)-9], "gzip", 400, "invalid_gzip", 0, 0},
		"bytes behind two members":    {zipped(t, body[:10]) + zipped(t, body[10:]) + "\n", "gzip", 200, "", 0, 0},
		"an empty member first":       {zipped(t, "") + packed, "gzip", 200, "", 0, 0},
		"many members":                {members.String(), "gzip", 200, "", 0, 0},
		"a bomb in members":           {strings.Repeat(zipped(t, strings.Repeat(" ", 100_000)), 6), "gzip", 400, "body_too_large", 0, 0},
		"by its old name":             {packed, "x-gzip", 200, "", 0, 0},
		"with nothing else":           {packed, " gzip , identity", 200, "", 0, 0},
		"cut":                         {packed[:len(packed)-9], "gzip", 400, "invalid_gzip", 0, 0},
		"damaged":                     {packed[:20] + "xxxxxx" + packed[26:], "gzip", 400, "invalid_gzip", 0, 0},
		"empty, announced":            {"", "gzip", 400, "invalid_gzip", 0, 0},
		"empty":                       {"", "", 400, "invalid_json", 0, 0},
		"a header only":               {packed[:5], "gzip", 400, "invalid_gzip", 0, 0},
		"a bomb":                      {bomb, "gzip", 400, "body_too_large", 0, 0},
		"a bomb, not announced":       {bomb, "", 400, "body_too_large", 0, 1},
		"larger than the limit":       {strings.Repeat(" ", defaultMaxBody+1), "", 400, "body_too_large", 0, 0},
		"as large as the limit":       {body + strings.Repeat(" ", defaultMaxBody-len(body)), "", 200, "", 0, 0},
		"as large, zipped":            {zipped(t, body+strings.Repeat(" ", defaultMaxBody-len(body))), "gzip", 200, "", 0, 0},
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
			want(t, "announced, but plain", totals.GzipAbsent, c.absent)
			want(t, "gzip, but not announced", totals.GzipUnannounced, c.unannounced)
		})
	}
}

// asText is what a gateway makes of bytes that it takes for text in ISO 8859-1.
func asText(bytes string) string {
	var b strings.Builder
	for i := range len(bytes) {
		b.WriteRune(rune(bytes[i]))
	}
	return b.String()
}

func TestGzipThatWasCarriedAsTextIsRestoredOrRetriedAndCounted(t *testing.T) {
	packed := zipped(t, `{"batch":[`+track("1")+`]}`)
	for name, c := range map[string]struct {
		body   string
		status int
		code   string
	}{
		"bytes replaced":          {strings.ToValidUTF8(packed, "\uFFFD"), 429, "gzip_mangled"},
		"replaced by ?":           {strings.ToValidUTF8(packed, "?"), 429, "gzip_mangled"},
		"dropped":                 {strings.ToValidUTF8(packed, ""), 429, "gzip_mangled"},
		"each one character":      {asText(packed), 200, ""},
		"so, and cut":             {asText(packed)[:len(packed)/2], 400, "invalid_gzip"},
		"so, and then replaced":   {asText(packed)[:40] + "\uFFFD", 429, "gzip_mangled"},
		"another character in it": {asText(packed)[:40] + "\u20AC", 429, "gzip_mangled"},
	} {
		for _, encoding := range []string{"gzip", ""} {
			t.Run(name+" "+encoding, func(t *testing.T) {
				r := newRig(t, nil)
				w := r.do("POST", "/v1/batch", c.body, append(basic(), "Content-Encoding", encoding, "Content-Type", "text/plain")...)
				status, code := r.understood(w)
				want(t, "answer", []any{status, code}, []any{c.status, c.code})
				want(t, "mangled", r.counters.Totals().GzipMangled, 1)
				if status == 200 {
					want(t, "events", events(t, &r.queue), []string{track("1")})
				}
				if status == 429 {
					want(t, "wait", w.Header().Get("Retry-After"), "60")
				}
			})
		}
	}
}

func TestAnEncodingThatIngestLacksIsNamed(t *testing.T) {
	body := `{"batch":[` + track("1") + `]}`
	var deflated bytes.Buffer
	z := zlib.NewWriter(&deflated)
	io.WriteString(z, body)
	z.Close()
	for _, c := range []struct{ encoding, body, named string }{
		{"br", body, " br "}, {"deflate", deflated.String(), " deflate "}, {"zstd", "\x28\xb5\x2f\xfd", " zstd "},
		{"Deflate", body, " deflate "}, {"compress", body, " compress "}, {"gzip, br", body, " br "},
		{"gzip,gzip", zipped(t, zipped(t, body)), " gzip, gzip "}, {"br", zipped(t, body), " br "},
		{"aws-chunked", body, " aws-chunked "},
		{strings.Repeat("x", 1000), body, " of this request "}, {`<a href="x">`, body, " of this request "},
	} {
		r := newRig(t, nil)
		w := r.do("POST", "/v1/batch", c.body, append(basic(), "Content-Encoding", c.encoding)...)
		status, code := r.understood(w)
		if status != 400 || code != "unsupported_encoding" || !strings.Contains(w.Body.String(), "the Content-Encoding"+c.named) {
			t.Errorf("%q: %d %s", c.encoding, status, w.Body)
		}
		want(t, "refused", r.counters.Totals().Refused, map[string]int{"unsupported_encoding": 1})
	}
	for _, encoding := range []string{"identity", "", "utf-8", "UTF8", " identity, identity"} {
		r := newRig(t, nil)
		if status, code := r.post("/v1/batch", body, "Content-Encoding", encoding); status != 200 {
			t.Errorf("%q: %d %s", encoding, status, code)
		}
	}
}

func TestALimitIsNamedInItsError(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Limits.MaxBody = 100_000 })
	for body, text := range map[string]string{
		strings.Repeat(" ", 100_001):                           "larger than 100000 bytes",
		zipped(t, strings.Repeat(" ", 100_001)):                "larger than 100000 bytes",
		`{"batch":[` + strings.Repeat("0,", maxEvents) + `0]}`: "more than 5000 events",
	} {
		if w := r.do("POST", "/v1/batch", body, basic()...); w.Code != 400 || !strings.Contains(w.Body.String(), text) {
			t.Errorf("%d %s, want %s", w.Code, w.Body, text)
		}
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
