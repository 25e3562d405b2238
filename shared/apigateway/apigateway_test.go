package apigateway

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// event makes an invocation; change sets what a test is about.
func event(t *testing.T, change func(*payload)) []byte {
	t.Helper()
	var p payload
	p.Version, p.RawPath = "2.0", "/v1/batch"
	p.RequestContext.HTTP.Method, p.RequestContext.HTTP.SourceIP, p.RequestContext.Stage = "POST", "203.0.113.9",
		"$default"
	p.RequestContext.DomainName = "abc.execute-api.us-east-1.amazonaws.com"
	change(&p)
	out, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestAnEventBecomesTheRequestThatTheGatewayReceived(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*payload)
		check  func(*http.Request, string) bool
	}{
		{"a body of text", func(p *payload) { p.Body = `{"a":"ü"}` },
			func(r *http.Request, body string) bool {
				return body == `{"a":"ü"}` && r.ContentLength == int64(len(body))
			}},
		{"a body in base64", func(p *payload) { p.Body, p.IsBase64Encoded = "H4sIAA==", true },
			func(r *http.Request, body string) bool { return body == "\x1f\x8b\x08\x00" && r.ContentLength == 4 }},
		{"no body", func(*payload) {}, func(r *http.Request, body string) bool { return body == "" && r.ContentLength == 0 }},
		{"headers in lower case",
			func(p *payload) { p.Headers = map[string]string{"authorization": "Basic abc", "x-retry-count": "2"} },
			func(r *http.Request, _ string) bool {
				return r.Header.Get("Authorization") == "Basic abc" && r.Header["X-Retry-Count"][0] == "2"
			}},
		{"headers with several values", func(p *payload) { p.Headers = map[string]string{"accept": "a,b"} },
			func(r *http.Request, _ string) bool { return r.Header.Get("Accept") == "a,b" }},
		{"cookies", func(p *payload) { p.Cookies = []string{"a=1", "b=2"} },
			func(r *http.Request, _ string) bool {
				b, err := r.Cookie("b")
				return err == nil && b.Value == "2"
			}},
		{"the host that the client named", func(p *payload) { p.Headers = map[string]string{"host": "events.example.com"} },
			func(r *http.Request, _ string) bool {
				return r.Host == "events.example.com" && r.Header.Get("Host") == ""
			}},
		{"the gateway's own host", func(*payload) {},
			func(r *http.Request, _ string) bool { return r.Host == "abc.execute-api.us-east-1.amazonaws.com" }},
		{"the length on the wire is not the body's", func(p *payload) {
			p.Headers, p.Body = map[string]string{"content-length": "7", "transfer-encoding": "chunked"}, "12345678"
		}, func(r *http.Request, body string) bool { return r.ContentLength == 8 && len(r.Header) == 0 }},
		{"the platform's address and not a header's",
			func(p *payload) { p.Headers = map[string]string{"x-forwarded-for": "10.0.0.1"} },
			func(r *http.Request, _ string) bool { return r.RemoteAddr == "203.0.113.9:0" }},
		{"an IPv6 address", func(p *payload) { p.RequestContext.HTTP.SourceIP = "2001:db8::1" },
			func(r *http.Request, _ string) bool { return r.RemoteAddr == "[2001:db8::1]:0" }},
		{"a query", func(p *payload) { p.RawPath, p.RawQueryString = "/v1/pixel/track", "data=YWJj%2B&x=1" },
			func(r *http.Request, _ string) bool {
				return r.URL.Query().Get("data") == "YWJj+" && r.RequestURI == "/v1/pixel/track?data=YWJj%2B&x=1"
			}},
		{"TLS", func(*payload) {}, func(r *http.Request, _ string) bool { return r.TLS != nil }},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := readRequest(t.Context(), event(t, c.change))
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(r.Body)
			if err != nil || !c.check(r, string(body)) {
				t.Errorf("%v\n%+v\nbody %q", err, r, body)
			}
		})
	}
}

func TestTheStageIsRemovedFromThePath(t *testing.T) {
	for _, c := range []struct{ raw, stage, want string }{
		{"/v1/batch", "$default", "/v1/batch"},
		{"/v1/batch", "", "/v1/batch"},
		{"/prod/v1/batch", "prod", "/v1/batch"},
		{"/v1/batch", "prod", "/v1/batch"}, // behind a domain of its own
		{"/production/v1/b", "prod", "/production/v1/b"},
		{"/prod", "prod", "/"},
		{"", "$default", "/"},
		{"/v1/projects/a%20b/settings", "$default", "/v1/projects/a b/settings"},
		{"/v1/projects/100%/settings", "$default", "/v1/projects/100%/settings"},
		{"/v1/import/", "$default", "/v1/import/"},
	} {
		if got := pathOf(c.raw, c.stage).Path; got != c.want {
			t.Errorf("%q of stage %q: %q, want %q", c.raw, c.stage, got, c.want)
		}
	}
}

func TestAnEventThatIsNotARequestIsAnError(t *testing.T) {
	for name, event := range map[string]string{
		"broken JSON":  `{"version":`,
		"null":         `null`,
		"REST API":     `{"version":"1.0","httpMethod":"POST","path":"/v1/batch"}`,
		"SQS":          `{"Records":[]}`,
		"false base64": `{"version":"2.0","rawPath":"/","body":"%%","isBase64Encoded":true,"requestContext":{"http":{"method":"POST"}}}`,
	} {
		if _, err := (Handler{http.NotFoundHandler()}).Invoke(t.Context(), []byte(event)); !errors.Is(err, errPayload) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAnAnswerIsTheSameInTheGatewaysFormat(t *testing.T) {
	const gif = "GIF89a\x01\x00\x01\x00\x80"
	for _, c := range []struct {
		name   string
		answer http.HandlerFunc
		want   reply
	}{
		{"JSON", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"success":true}`)
		}, reply{StatusCode: 200, Headers: map[string]string{"Content-Type": "application/json"}, Body: `{"success":true}`}},
		{"a gif", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "image/gif")
			_, _ = io.WriteString(w, gif)
		}, reply{StatusCode: 200, Headers: map[string]string{"Content-Type": "image/gif"},
			Body: base64.StdEncoding.EncodeToString([]byte(gif)), IsBase64Encoded: true}},
		{"JSON that is not UTF-8", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json; charset=utf-8")
			_, _ = io.WriteString(w, "\xff")
		}, reply{StatusCode: 200, Headers: map[string]string{"Content-Type": "application/json; charset=utf-8"}, Body: "/w==",
			IsBase64Encoded: true}},
		{"429", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(http.StatusTooManyRequests)
			w.Header().Set("Too-Late", "x")
		}, reply{StatusCode: 429, Headers: map[string]string{"Retry-After": "7"}}},
		{"values of one name, and cookies", func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Vary"] = []string{"Origin", "Accept"}
			w.Header()["Set-Cookie"] = []string{"a=1", "b=2"}
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(http.StatusNoContent)
		}, reply{StatusCode: 204, Headers: map[string]string{"Vary": "Origin, Accept"}, Cookies: []string{"a=1", "b=2"}}},
		{"nothing at all", func(http.ResponseWriter, *http.Request) {}, reply{StatusCode: 200, Headers: map[string]string{}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Handler{c.answer}.Invoke(t.Context(), event(t, func(*payload) {}))
			if err != nil {
				t.Fatal(err)
			}
			want, err := json.Marshal(c.want)
			if err != nil || string(got) != string(want) {
				t.Errorf("got  %s\nwant %s (%v)", got, want, err)
			}
		})
	}
}

func TestTheHandlersDeadlineIsBeforeTheInvocationsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		wait := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			w.WriteHeader(http.StatusTooManyRequests)
		})
		got, err := Handler{wait}.Invoke(ctx, event(t, func(*payload) {}))
		if err != nil || !strings.Contains(string(got), "429") || time.Since(start) != 10*time.Second-answerMargin {
			t.Errorf("after %v: %s, %v", time.Since(start), got, err)
		}
	})
}

func FuzzAnEventIsARequestOrAnError(f *testing.F) {
	f.Add([]byte(`{"version":"2.0","rawPath":"/v1/batch","rawQueryString":"a=b","cookies":["a=1"],"headers":{"host":"x","content-type":"text/plain"},` +
		`"requestContext":{"domainName":"d","stage":"prod","http":{"method":"POST","sourceIp":"1.2.3.4"}},"body":"eyJ9","isBase64Encoded":true}`))
	f.Add([]byte(`{"version":"2.0","rawPath":"%zz","requestContext":{"http":{"method":"GET","sourceIp":"::"}}}`))
	f.Add([]byte(`[]`))
	echo := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "" || r.RemoteAddr == "" || r.Body == nil {
			panic("a request that net/http would not make")
		}
		_, _ = io.Copy(w, r.Body)
	})
	f.Fuzz(func(t *testing.T, event []byte) {
		out, err := Handler{echo}.Invoke(t.Context(), event)
		if err != nil {
			if !errors.Is(err, errPayload) {
				t.Fatalf("an error that does not say what to do: %v", err)
			}
			return
		}
		var p payload
		var r reply
		if err := errors.Join(json.Unmarshal(event, &p), json.Unmarshal(out, &r)); err != nil {
			t.Fatal(err)
		}
		sent, got := []byte(p.Body), []byte(r.Body)
		if p.IsBase64Encoded {
			sent, _ = base64.StdEncoding.DecodeString(p.Body)
		}
		if r.IsBase64Encoded {
			if got, err = base64.StdEncoding.DecodeString(r.Body); err != nil {
				t.Fatal(err)
			}
		}
		if string(sent) != string(got) {
			t.Fatalf("sent %q, came back as %q", sent, got)
		}
	})
}
