package local

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// answered is the status of a request behind a guard; headers are pairs of name and value.
func answered(g Guard, method, host string, headers ...string) int {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(method, "/_segmentd/reset", strings.NewReader("{}"))
	r.Host = host
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	g.Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })).ServeHTTP(w, r)
	return w.Code
}

func TestARequestMustNameThisMachine(t *testing.T) {
	g := Guard{Names: []string{"events.test"}}
	for host, want := range map[string]int{
		"localhost": 200, "localhost:9325": 200, "LOCALHOST:9325": 200, "localhost.:9325": 200, "app.localhost:1": 200,
		"127.0.0.1:9325": 200, "127.9.9.9": 200, "[::1]:9325": 200, "[::1]": 200, "::1": 200, "192.168.1.20:9325": 200,
		"[fe80::1%25eth0]:80": 200, "host.docker.internal:9325": 200, "host.containers.internal": 200,
		"events.test:9325": 200, "Events.Test.": 200, "": 200,

		"evil.example": 403, "evil.example:9325": 403, "localhost.evil.example:9325": 403, "127.0.0.1.evil.example": 403,
		"notlocalhost": 403, "evillocalhost:9325": 403, "xn--localhost-": 403, "events.test.evil.example": 403,
		"evil.events.test": 403, "localhost@evil.example": 403, "127.0.0.1@evil.example:80": 403, "0x7f.1": 403,
		"2130706433": 403, "localhost:80:evil.example": 403, "[::1].evil.example": 403, "localhost evil.example": 403,
		".localhost.evil": 403, "host.docker.internal.evil.example": 403, "..": 403, ":": 403,
	} {
		for _, method := range []string{"GET", "POST", "OPTIONS", "DELETE"} {
			if got := answered(g, method, host); got != want {
				t.Errorf("%s with Host %q is answered %d, want %d", method, host, got, want)
			}
		}
	}
}

func TestAPageOfAnotherSiteIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		host    string
		headers []string
		want    int
	}{
		"a program":                 {"localhost:9325", nil, 200},
		"a page of this machine":    {"localhost:9325", []string{"Origin", "http://localhost:3000"}, 200},
		"by address":                {"localhost:9325", []string{"Origin", "http://127.0.0.1:3000"}, 200},
		"by IPv6":                   {"[::1]:9325", []string{"Origin", "http://[::1]:9325"}, 200},
		"over TLS":                  {"localhost:9325", []string{"Origin", "https://app.localhost"}, 200},
		"of an allowed name":        {"localhost:9325", []string{"Origin", "https://events.test:8443"}, 200},
		"the endpoint's own":        {"192.168.1.20:9325", []string{"Origin", "http://192.168.1.20:9325"}, 200},
		"an address that was typed": {"localhost:9325", []string{"Sec-Fetch-Site", "none"}, 200},
		"its own link":              {"localhost:9325", []string{"Sec-Fetch-Site", "same-origin"}, 200},
		"another port's image":      {"localhost:9325", []string{"Sec-Fetch-Site", "same-site"}, 200},
		"an old browser's own link": {"localhost:9325", []string{"Referer", "http://localhost:9325/_segmentd/stats"},
			200},
		"another site":               {"localhost:9325", []string{"Origin", "https://evil.example"}, 403},
		"a site that sounds like it": {"localhost:9325", []string{"Origin", "http://localhost.evil.example"}, 403},
		"a user name that sounds so": {"localhost:9325", []string{"Origin", "http://localhost@evil.example"}, 403},
		"another machine's address":  {"localhost:9325", []string{"Origin", "http://192.168.1.66"}, 403},
		"a sandboxed frame, a file":  {"localhost:9325", []string{"Origin", "null"}, 403},
		"an empty origin":            {"localhost:9325", []string{"Origin", ""}, 403},
		"two origins": {"localhost:9325",
			[]string{"Origin", "http://localhost", "Origin", "https://evil.example"}, 403},
		"an image, a link, a frame":      {"localhost:9325", []string{"Sec-Fetch-Site", "cross-site"}, 403},
		"a value of the future":          {"localhost:9325", []string{"Sec-Fetch-Site", "Cross-Site"}, 403},
		"a neighbour of an allowed name": {"events.test:9325", []string{"Sec-Fetch-Site", "same-site"}, 403},
		"an old browser's image":         {"localhost:9325", []string{"Referer", "https://evil.example/"}, 403},
		"its own origin for another": {"localhost:9325",
			[]string{"Origin", "https://evil.example", "Sec-Fetch-Site", "same-origin"}, 403},
	} {
		for _, method := range []string{"GET", "POST", "OPTIONS"} {
			if got := answered(Guard{Names: []string{"events.test"}}, method, c.host, c.headers...); got != c.want {
				t.Errorf("%s by %s is answered %d, want %d", method, name, got, c.want)
			}
		}
	}
}

func TestOpenRequestsMayComeFromAnyPageButNotUnderAnyName(t *testing.T) {
	g := Guard{Open: func(r *http.Request) bool { return r.Method == http.MethodPost }}
	if got := answered(g, "POST", "localhost", "Origin", "https://shop.example"); got != http.StatusOK {
		t.Errorf("an open request of a page is answered %d", got)
	}
	if got := answered(g, "GET", "localhost", "Origin", "https://shop.example"); got != http.StatusForbidden {
		t.Errorf("another request of a page is answered %d", got)
	}
	if got := answered(g, "POST", "shop.example"); got != http.StatusForbidden {
		t.Errorf("a rebound name is answered %d", got)
	}
}

func TestARefusalSaysWhatToDoAndCantBecomeAPage(t *testing.T) {
	w := httptest.NewRecorder()
	r := httptest.NewRequest("GET", "/", nil)
	r.Host = "<script>alert(1)</script>.example:80"
	Guard{}.Wrap(http.NotFoundHandler()).ServeHTTP(w, r)
	body, _ := io.ReadAll(w.Result().Body)
	if !strings.Contains(string(body), "--allow-host") || w.Header().Get("X-Content-Type-Options") != "nosniff" ||
		w.Header().Get("Content-Type") != "text/plain; charset=utf-8" {
		t.Errorf("%v\n%s", w.Header(), body)
	}
}

func TestAllowedHostsAreNamesWithoutPorts(t *testing.T) {
	if got, err := ParseHosts([]string{"Events.Test.", "my-machine"}); err != nil ||
		strings.Join(got, " ") != "events.test my-machine" {
		t.Errorf("%q, %v", got, err)
	}
	for _, wrong := range []string{"", "a b", "http://events.test", "events.test:8080", "events.test/x", "*.events.test",
		"*", "u@h", "a?b"} {
		if got, err := ParseHosts([]string{wrong}); err == nil ||
			!strings.Contains(err.Error(), "must be a host name without a port") {
			t.Errorf("%q: %q, %v", wrong, got, err)
		}
	}
}
