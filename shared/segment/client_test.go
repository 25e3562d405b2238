package segment

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/klauspost/compress/gzip"

	"github.com/spillwayhq/spillway/shared/event"
)

// roundTripper stands in for the network where time is virtual.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// read takes a request in as a transport does: to the end, then closes it.
func read(t testing.TB, r *http.Request) string {
	t.Helper()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Errorf("read the request: %v", err)
	}
	if err := r.Body.Close(); err != nil {
		t.Errorf("close the request: %v", err)
	}
	if int64(len(body)) != r.ContentLength {
		t.Errorf("Content-Length %d, body of %d bytes", r.ContentLength, len(body))
	}
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			t.Fatalf("gzip: %v", err)
		}
		if body, err = io.ReadAll(z); err != nil {
			t.Fatalf("gzip: %v", err)
		}
	}
	return string(body)
}

func answer(status int, body string) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}
}

func newTestClient(t testing.TB, c Config) *Client {
	t.Helper()
	client, err := NewClient(c)
	if err != nil {
		t.Fatal(err)
	}
	if tr, ok := client.transport.(*http.Transport); ok {
		t.Cleanup(tr.CloseIdleConnections)
	}
	return client
}

func failure(t testing.TB, err error) *Error {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("error %v, want an *Error", err)
	}
	return e
}

func TestARequestIsWhatSegmentExpects(t *testing.T) {
	var got *http.Request
	var body string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got, body = r, read(t, r)
		w.Write([]byte(`{"success":true}`))
	}))
	defer server.Close()
	for _, zipped := range []bool{false, true} {
		for origin, path := range map[event.Origin]string{event.FromServer: "/v1/batch", event.FromClient: "/v1/b"} {
			client := newTestClient(t, Config{Endpoint: server.URL + "/", Gzip: zipped})
			b := batchOf(`{"type":"track","n":12345678901234567890}`, `{ "type":"page" }`)
			b.Origin, b.Context, b.Integrations = origin, []byte(`{"app":1}`), []byte(`{"All":true}`)
			if err := client.Flush(t.Context(), b); err != nil {
				t.Fatal(err)
			}
			if got.Method != "POST" || got.URL.RequestURI() != path {
				t.Errorf("%s %s, want POST %s", got.Method, got.URL.RequestURI(), path)
			}
			if user, password, ok := got.BasicAuth(); !ok || user != "key" || password != "" {
				t.Errorf("Basic auth %q %q", user, password)
			}
			if ct := got.Header.Get("Content-Type"); ct != "application/json" {
				t.Errorf("Content-Type %q", ct)
			}
			if ce := got.Header.Get("Content-Encoding"); (ce == "gzip") != zipped || ce != "" && !zipped {
				t.Errorf("Content-Encoding %q with gzip %v", ce, zipped)
			}
			want := regexp.MustCompile(`^\{"sentAt":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z","writeKey":"key","context":\{"app":1\},"integrations":\{"All":true\},` +
				`"batch":\[\{"type":"track","n":12345678901234567890\},\{ "type":"page" \}\]\}$`)
			if !want.MatchString(body) {
				t.Errorf("body %s", body)
			}
		}
	}
}

func TestSentAtIsTheTimeOfTheAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, zipped := range []bool{false, true} {
			client := newTestClient(t,
				Config{Gzip: zipped, Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
					want := `{"sentAt":"` + time.Now().UTC().Format(event.TimeFormat) + `",`
					if body := read(t, r); !strings.HasPrefix(body, want) {
						t.Errorf("body %s, want it to begin with %s", body, want)
					}
					return answer(503, ""), nil
				})})
			b := batchOf(`{}`)
			for range 3 {
				if e := failure(t, client.Flush(t.Context(), b)); e.Class != Transient || e.Status != 503 {
					t.Errorf("error %+v", e)
				}
				time.Sleep(time.Hour)
			}
		}
	})
}

func TestAnAttemptEndsWithItsTimeOutOrWithTheContextsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			attempt, deadline, want time.Duration
		}{
			{0, time.Hour, DefaultAttemptTimeout}, {3 * time.Second, time.Hour, 3 * time.Second},
			{3 * time.Second, time.Second, time.Second}, {0, 0, 0},
		} {
			// Segment hangs before its answer, or in it.
			for name, hang := range map[string]roundTripper{
				"no answer": func(r *http.Request) (*http.Response, error) {
					read(t, r)
					<-r.Context().Done()
					return nil, r.Context().Err()
				},
				"half an answer": func(r *http.Request) (*http.Response, error) {
					read(t, r)
					pr, pw := io.Pipe()
					go func() {
						pw.Write([]byte(`{"succ`))
						<-r.Context().Done()
						pw.CloseWithError(r.Context().Err())
					}()
					resp := answer(200, "")
					resp.Body = pr
					return resp, nil
				},
			} {
				client := newTestClient(t, Config{AttemptTimeout: c.attempt, Transport: hang})
				ctx, cancel := context.WithTimeout(t.Context(), c.deadline)
				start := time.Now()
				e := failure(t, client.Flush(ctx, batchOf(`{}`)))
				if e.Class != Transient || !errors.Is(e, context.DeadlineExceeded) {
					t.Errorf("%s: error %v, want transient for the deadline", name, e)
				}
				if took := time.Since(start); took != c.want {
					t.Errorf("%s: attempt timeout %v, deadline %v: took %v, want %v", name, c.attempt, c.deadline, took, c.want)
				}
				cancel()
			}
		}
	})
}

func TestEachAnswerBecomesItsClass(t *testing.T) {
	for status := 200; status <= 599; status++ {
		client := newTestClient(t, Config{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			read(t, r)
			resp := answer(status, `{"code":"text"}`)
			resp.Header.Set("Retry-After", "7")
			return resp, nil
		})})
		err := client.Flush(t.Context(), batchOf(`{}`))
		if Classify(status) == Delivered {
			if err != nil {
				t.Errorf("status %d: %v", status, err)
			}
			continue
		}
		e := failure(t, err)
		if e.Class != Classify(status) || e.Status != status || e.RetryAfter != 7*time.Second ||
			e.Detail != `{"code":"text"}` || e.Err != nil {
			t.Errorf("status %d: %+v", status, e)
		}
		if strings.Contains(e.Error(), "text") {
			t.Errorf("status %d: the error's text %q quotes the answer, which may quote an event", status, e)
		}
	}
}

func TestDetailIsAThousandBytesOfTextAtMost(t *testing.T) {
	for _, c := range []struct{ body, want string }{
		{strings.Repeat("d", 5000), strings.Repeat("d", 1000)},
		{strings.Repeat("d", 1000), strings.Repeat("d", 1000)},
		{strings.Repeat("d", 999) + "é", strings.Repeat("d", 999) + "?"}, // cut within a character
		{strings.Repeat("\xff.", 2000), strings.Repeat("?.", 500)},
		{"", ""},
	} {
		client := newTestClient(t, Config{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			read(t, r)
			return answer(400, c.body), nil
		})})
		e := failure(t, client.Flush(t.Context(), batchOf(`{}`)))
		if e.Detail != c.want || !utf8.ValidString(e.Detail) {
			t.Errorf("%.10q… of %d bytes gives %d bytes: %.10q…", c.body, len(c.body), len(e.Detail), e.Detail)
		}
	}
}

func TestRetryAfterIsReadAsSecondsOrAsADate(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	const year = 365 * 24 * time.Hour
	for header, want := range map[string]time.Duration{
		"": 0, " ": 0, "0": 0, "1": time.Second, " 30 ": 30 * time.Second, "1.5": 1500 * time.Millisecond, "-1": 0,
		"-1e300":               0,
		"99999999999999999999": year, "1e300": year, "NaN": 0, "Inf": 0, "-Inf": 0, "infinity": 0, "soon": 0, "30s": 0,
		"1,2": 0, "\x00": 0,
		"Mon, 23 Nov 2026 12:00:30 GMT":    30 * time.Second,
		"Monday, 23-Nov-26 12:01:00 GMT":   time.Minute,
		"Mon Nov 23 12:00:01 2026":         time.Second,
		"Mon, 23 Nov 2026 11:59:59 GMT":    0,
		"Mon, 23 Nov 2026 12:00:00 GMT":    0,
		"Sun, 23 Nov 1800 12:00:00 GMT":    0,
		"Mon, 99 Nov 2026 12:00:30 GMT":    0,
		"2026-11-23T12:00:30Z":             0,
		"Fri, 31 Dec 9999 23:59:59 GMT xx": 0,
	} {
		if got := retryAfter(header, now); got != want {
			t.Errorf("retryAfter(%q) is %v, want %v", header, got, want)
		}
	}
	if got := retryAfter("Fri, 31 Dec 9999 23:59:59 GMT", now); got < year {
		t.Errorf("a date far away gives %v", got)
	}
}

func FuzzRetryAfter(f *testing.F) {
	for _, seed := range []string{"", "1", "-1", "1e300", "NaN", "0x1p9", "Mon, 23 Nov 2026 12:00:30 GMT"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		if got := retryAfter(header, time.Unix(0, 0)); got < 0 {
			t.Fatalf("retryAfter(%q) is %v", header, got)
		}
	})
}

func TestNewClientRefusesAnInvalidEndpoint(t *testing.T) {
	for endpoint, want := range map[string]string{
		"api.segment.io":       `must be a URL such as https://api.segment.io (US) or https://events.eu1.segmentapis.com (EU), is "api.segment.io"`,
		"localhost:8080":       "must be a URL such as https://api.segment.io",
		"ftp://api.segment.io": "must be a URL such as",
		"https://":             "must be a URL such as",
		"https://:443":         "must be a URL such as",
		"http://[::1":          "must be a URL such as",
		"https://api.segment.io/v1": "must have no more than a scheme and a host, such as " +
			`https://api.segment.io, is "https://api.segment.io/v1"`,
		"https://api.segment.io/v1/b/":   "such as https://api.segment.io, is",
		"https://api.segment.io?a=b":     "such as https://api.segment.io, is",
		"https://api.segment.io#f":       "such as https://api.segment.io, is",
		"https://user:secret@segment.io": "such as https://segment.io, is",
	} {
		_, err := NewClient(Config{Endpoint: endpoint})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q in it", endpoint, err, want)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("the error shows the password: %v", err)
		}
	}
	if _, err := NewClient(Config{GzipLevel: 10}); err == nil ||
		!strings.Contains(err.Error(), "must be between 1 and 9, or 0 for the fastest, is 10") {
		t.Errorf("error %v", err)
	}
	if _, err := NewClient(Config{AttemptTimeout: -1}); err == nil ||
		!strings.Contains(err.Error(), "must be positive, or 0 for the default of 10s, is -1ns") {
		t.Errorf("a negative timeout: %v", err)
	}
	for given, want := range map[string]string{"": EndpointUS, EndpointEU: EndpointEU,
		"HTTP://127.0.0.1:8125/": "http://127.0.0.1:8125"} {
		if client := newTestClient(t, Config{Endpoint: given}); client.endpoint != want {
			t.Errorf("endpoint %q becomes %q, want %q", given, client.endpoint, want)
		}
	}
}

func TestTheTextOfAnErrorSaysWhatHappened(t *testing.T) {
	cause := errors.New("cause")
	for want, e := range map[string]*Error{
		"transient: no answer from Segment: cause":     {Class: Transient, Err: cause},
		"rejected: Segment answered 400":               {Class: Rejected, Status: 400, Detail: "secret"},
		"transient: Segment answered 200: cause":       {Class: Transient, Status: 200, Err: cause},
		"misconfigured: no answer from Segment: cause": {Class: Misconfigured, Err: cause},
	} {
		if e.Error() != want {
			t.Errorf("%q, want %q", e, want)
		}
		if e.Err != nil && !errors.Is(e, cause) {
			t.Errorf("%v does not unwrap to its cause", e)
		}
	}
}

func TestABetterLevelOfGzipSendsFewerBytes(t *testing.T) {
	b := &event.Batch{WriteKey: "key"}
	for i := range 400 {
		b.Events = append(b.Events, sampleEvent(i))
	}
	sizes, sent := map[int]int{}, time.Now()
	for _, level := range []int{0, 1, 6} {
		c, err := NewClient(Config{Gzip: true, GzipLevel: level})
		if err != nil {
			t.Fatal(err)
		}
		plain, size := b.NewReader(sent)
		zipped, err := c.compress(plain)
		if err != nil {
			t.Fatal(err)
		}
		sizes[level] = zipped.Len()
		r, err := gzip.NewReader(zipped)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, r); n != size || err != nil {
			t.Errorf("level %d: %d bytes come out, want %d: %v", level, n, size, err)
		}
	}
	if sizes[0] != sizes[1] || sizes[6] > sizes[1]*97/100 {
		t.Errorf("bytes by level: %v", sizes)
	}
}
