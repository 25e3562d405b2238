package httpserver

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestAHealthCheckSaysWhatTheServerSays(t *testing.T) {
	for path, c := range map[string]struct {
		status     int
		body       string
		said, fail string
	}{
		"/well":     {200, `{"success":true}`, `{"success":true}`, ""},
		"/ill":      {503, "{\"code\":\"queue\"}\n", "", "/ill/health answers 503 Service Unavailable: {\"code\":\"queue\"}"},
		"/moved":    {302, "elsewhere", "", "/moved/health answers 302 Found: elsewhere"},
		"/talks":    {200, strings.Repeat("x", 5<<10), strings.Repeat("x", 1<<10), ""},
		"/nothing":  {200, "", "", ""},
		"/no/such/": {404, "404 page not found", "", "/no/such/health answers 404 Not Found: 404 page not found"},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != strings.TrimSuffix(path, "/")+"/health" {
				t.Errorf("the check asks for %s", r.URL.Path)
			}
			w.Header().Set("Location", "/well/health")
			w.WriteHeader(c.status)
			_, _ = w.Write([]byte(c.body))
		}))
		t.Setenv("http_proxy", "http://127.0.0.1:1") // is not asked
		said, err := CheckHealth(t.Context(), server.URL+path)
		server.Close()
		if said != c.said || (err == nil) != (c.fail == "") || err != nil && err.Error() != server.URL+c.fail {
			t.Errorf("%s: %q, %v, want %q, %s", path, said, err, c.said, c.fail)
		}
	}
}

func TestAHealthCheckEndsWithoutAServer(t *testing.T) {
	if _, err := CheckHealth(t.Context(), "http://127.0.0.1:1"); err == nil ||
		!strings.HasPrefix(err.Error(), "http://127.0.0.1:1/health can't be asked: ") {
		t.Errorf("nothing listens: %v", err)
	}
	if _, err := CheckHealth(t.Context(), "http://[::1"); err == nil {
		t.Error("a URL that is none is asked")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	why := errors.New("Ctrl-C")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	if _, err := CheckHealth(ctx, "http://"+l.Addr().String()); !errors.Is(err, why) {
		t.Errorf("interrupted: %v", err)
	}
}

func TestAServerOfAllAddressesIsReachedAtALoopbackAddress(t *testing.T) {
	for listen, want := range map[string]string{
		":8080": "http://127.0.0.1:8080", "0.0.0.0:1": "http://127.0.0.1:1", "[::]:80": "http://127.0.0.1:80",
		"[::1]:8080": "http://[::1]:8080", "10.0.0.7:8080": "http://10.0.0.7:8080", "localhost:81": "http://localhost:81",
		"8080": "",
	} {
		if got, err := Local(listen); got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v, want %q", listen, got, err, want)
		}
	}
}
