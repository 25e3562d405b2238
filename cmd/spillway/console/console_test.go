package console

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/spillwayhq/spillway/infra/topology"
)

func newFake() *fake {
	t := topology.Default()
	return &fake{about: About{Pipeline: "spillway", Local: true, Version: "v1.2.3", Topology: t, Command: "spillway"}}
}

// ask sends a request to a page, as a browser on this machine does it.
func ask(h http.Handler, method, target, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://localhost:9326"+target, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", "http://localhost:9326")
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestEveryAnswerForbidsWhatThePageDoesNotNeed(t *testing.T) {
	c := New(Config{Source: newFake()})
	for _, target := range []string{"/", "/nothing", "/assets/page.css"} {
		h := ask(c, "GET", target, "").Header()
		if p := h.Get("Content-Security-Policy"); !strings.HasPrefix(p, "default-src 'none';") ||
			!strings.Contains(p, "frame-ancestors 'none'") || strings.Contains(p, "unsafe") {
			t.Errorf("%s: the policy is %q", target, p)
		}
		if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Referrer-Policy") != "same-origin" {
			t.Errorf("%s: the headers are %v", target, h)
		}
	}
}

func TestAnActionNeedsTheTokenOfThisProcess(t *testing.T) {
	c := New(Config{Source: newFake()})
	done := 0
	mux := http.NewServeMux()
	c.action(mux, "/do", func(*http.Request) (string, string, error) {
		done++
		return "it is done", "/alarms?a=b", nil
	})
	h := bounded(mux)
	for _, body := range []string{"a=b", "token=", "token=wrong", "token=" + New(Config{Source: newFake()}).token} {
		if w := ask(h, "POST", "/do", body); w.Code != http.StatusForbidden {
			t.Errorf("with %q the answer is %d", body, w.Code)
		}
	}
	if w := ask(h, "POST", "/do",
		"token="+c.token+"&x="+strings.Repeat("x", maxForm)); w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("a large form is answered %d", w.Code)
	}
	if done != 0 {
		t.Fatal("an action was done without the token")
	}
	w := ask(h, "POST", "/do", url.Values{"token": {c.token}}.Encode())
	u, err := url.Parse(w.Header().Get("Location"))
	if err != nil || w.Code != http.StatusSeeOther || done != 1 || u.Path != "/alarms" || u.Query().Get("a") != "b" {
		t.Fatalf("the answer is %d, %v, and it was done %d times", w.Code, u, done)
	}
	if n := c.notices.of(httptest.NewRequest("GET", u.String(), nil)); n == nil || n.Text != "it is done" || n.Bad {
		t.Errorf("the page says %v", n)
	}
}

func TestANoticeLeadsOnlyToPagesOfOurOwnAndFewAreKept(t *testing.T) {
	var n notices
	for next, want := range map[string]string{"/alarms?a=b": "/alarms", "https://evil.test/": "/", "//evil.test/x": "/",
		"x": "/",
		"":  "/", "/%zz": "/"} {
		u, err := url.Parse(n.add(next, notice{Text: "said"}))
		if err != nil || u.Path != want || u.Host != "" || u.Query().Get("said") == "" {
			t.Errorf("after %q the page goes on at %v", next, u)
		}
	}
	for range 2 * maxNotices {
		n.add("/", notice{})
	}
	if len(n.texts) != maxNotices || len(n.ids) != maxNotices {
		t.Errorf("%d notices are kept", len(n.texts))
	}
}
