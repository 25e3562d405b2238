package ingest

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

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
		unversioned := strings.TrimPrefix(c.path, "/v1")
		for _, path := range []string{c.path, c.path + "/", "/" + c.path, c.path + "//", strings.Replace(c.path, "/v1/", "/v1//", 1),
			unversioned, unversioned + "/", "//" + unversioned, "/v1/v1" + unversioned, "/v1//v1" + unversioned} {
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
				want(t, "address is added", e.Context.IP != "", c.client)
			})
		}
	}
}

func TestUnknownPathsAreNotFound(t *testing.T) {
	r := newRig(t, nil)
	for _, path := range []string{"/", "/v1", "/v1/", "/v2/batch", "/v1/batch/x", "/v1/batch/v1", "/v3/track", "//", "/v1v1/track", "/events/track",
		"/v1/pixel/", "/v1/pixel", "/pixel//", "/v1/pixel/batch", "/v1/projects/settings", "/v1/projects/a/b/settings", "/v1/projects//settings",
		"/favicon.ico"} {
		w := r.do("POST", path, "{}")
		if status, code := r.understood(w); status != 404 || code != "not_found" {
			t.Errorf("%s: %d %s", path, status, code)
		}
	}
}

func TestAWrongMethodIsAnsweredWithTheAllowedOnes(t *testing.T) {
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
		want(t, "exposed", w.Header().Get("Access-Control-Expose-Headers"), "Retry-After, X-RateLimit-Reset")
		if !strings.HasPrefix(w.Header().Get("Vary"), "Origin") {
			t.Errorf("the answer varies by %q", w.Header().Get("Vary"))
		}
	}
	if w := r.do("POST", "/v1/t", track("m"), basic()...); w.Header().Get("Access-Control-Allow-Origin") != "" {
		t.Error("a request without an origin is answered with one")
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

func TestMetricsOfSDKsAreAcceptedAndDropped(t *testing.T) {
	r := newRig(t, nil)
	for _, path := range []string{"/v1/m", "/m"} {
		status, _ := r.understood(r.do("POST", path, `{"series":[]}`))
		want(t, "status", status, 200)
	}
	want(t, "calls", r.queue.calls, 0)
}

func TestAPanicFailsOneRequestOnly(t *testing.T) {
	r := newRig(t, nil)
	r.queue.send = func(context.Context, []message.Message) error { panic("a bug") }
	status, code := r.post("/v1/track", track("1"))
	want(t, "answer", []any{status, code}, []any{500, "internal"})
	r.queue.send = nil
	status, _ = r.post("/v1/track", track("1"))
	want(t, "status of the next", status, 200)
}

func TestManyClientsAreServedConcurrently(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Linger = time.Millisecond; c.ClientIP = nil })
	server := httptest.NewServer(r)
	defer server.Close()
	var clients sync.WaitGroup
	for i := range 8 {
		clients.Go(func() {
			for k := range 25 {
				id := fmt.Sprintf("%d-%d", i, k)
				request, err := http.NewRequestWithContext(t.Context(), "POST", server.URL+"/v1/t",
					strings.NewReader(`{"writeKey":"`+keyA+`",`+track(id)[1:]))
				if err != nil {
					t.Error(err)
					return
				}
				answer, err := server.Client().Do(request)
				if err != nil {
					t.Error(err)
					return
				}
				body, err := io.ReadAll(answer.Body)
				answer.Body.Close()
				if err != nil || answer.StatusCode != 200 || string(body) != `{"success":true}` ||
					answer.Header.Get("Content-Type") != "application/json" {
					t.Errorf("%d %s: %v", answer.StatusCode, body, err)
				}
			}
		})
	}
	clients.Wait()
	seen := map[string]bool{}
	for _, e := range events(t, &r.queue) {
		if !strings.Contains(e, `"ip":"127.0.0.1"`) {
			t.Errorf("no address in %s", e)
		}
		seen[e] = true
	}
	want(t, "events", len(seen), 200)
}

// breakingKeys panics while it is broken.
type breakingKeys struct {
	KeySet
	broken bool
}

func (k *breakingKeys) State() KeysState {
	if k.broken {
		panic("a bug")
	}
	return k.KeySet.State()
}

func TestAPanicAnywhereIsAnsweredInJSONAndAPixelWithTheImage(t *testing.T) {
	keys := &breakingKeys{keySet(t, map[string]Key{keyA: {Name: "web"}}), true}
	r := newRig(t, func(c *Config) { c.Keys = keys })
	status, code := r.understood(r.do("GET", "/health", ""))
	want(t, "answer", []any{status, code}, []any{500, "internal"})
	keys.broken = false
	r.queue.send = func(context.Context, []message.Message) error { panic("a bug") }
	data := base64.StdEncoding.EncodeToString([]byte(`{"writeKey":"` + keyA + `",` + track("1")[1:]))
	w := r.do("GET", "/v1/pixel/track?data="+url.QueryEscape(data), "")
	want(t, "pixel", []any{w.Code, w.Body.String()}, []any{200, string(transparentGIF)})
	want(t, "refused", r.counters.Totals().Refused, map[string]int{"internal": 2})
}

func TestAPanicIsLoggedWithoutItsValue(t *testing.T) {
	r := newRig(t, nil)
	r.queue.send = func(context.Context, []message.Message) error { panic(marker) }
	status, _ := r.post("/v1/track", track("1"))
	want(t, "status", status, 500)
	r.queue.send = func(_ context.Context, m []message.Message) error { _ = m[len(m)]; return nil }
	status, _ = r.post("/v1/track", track("1"))
	want(t, "status", status, 500)
	for _, text := range []string{"type=string", "index out of range", "handler_test.go"} {
		if !strings.Contains(r.log.String(), text) {
			t.Errorf("%q is not in the log: %s", text, r.log.String())
		}
	}
}

func TestAPathPrefixOfAProxyIsReadAndMayBeMissing(t *testing.T) {
	for _, prefix := range []string{"/events", "events/", "//events//"} {
		r := newRig(t, func(c *Config) { c.PathPrefix = prefix })
		for path, status := range map[string]int{
			"/events/v1/track": 200, "/events/track": 200, "//events//v1//track/": 200, "/v1/track": 200, "/track": 200,
			"/events/events/v1/track": 404, "/eventsv1/track": 404, "/v1/events/track": 404, "/events": 404,
		} {
			if got, code := r.post(path, track("1")); got != status {
				t.Errorf("%s under %s: %d %s, want %d", path, prefix, got, code, status)
			}
		}
		want(t, "health", r.do("GET", "/events/health", "").Code, 200)
		want(t, "health at the load balancer's path", r.do("GET", "/health", "").Code, 200)
		for _, path := range []string{"/events/v1/projects/WK/settings", "/v1/projects/WK/settings"} {
			if w := r.do("GET", "http://a.example"+path, ""); !strings.Contains(w.Body.String(), `"a.example/events/v1"`) {
				t.Errorf("%s: %d %s", path, w.Code, w.Body)
			}
		}
	}
}

func TestAPrefixThatIsAPathOfItsOwnHidesNothing(t *testing.T) {
	r := newRig(t, func(c *Config) { c.PathPrefix = "/t" })
	for _, path := range []string{"/t", "/t/", "/t/t", "/t/v1/t", "/v1/t"} {
		if status, code := r.post(path, track("1")); status != 200 {
			t.Errorf("%s: %d %s", path, status, code)
		}
	}
}

func TestWhatIsNoPathIsNoPrefix(t *testing.T) {
	for _, text := range []string{"/a b", "/a?b", "/a#b", "/a%20b", "/ä", "/a\n", `/a\b`} {
		if prefix, err := ParsePathPrefix(text); err == nil {
			t.Errorf("%q is taken for %q", text, prefix)
		}
	}
	for _, text := range []string{"", "/", "//"} {
		if prefix, err := ParsePathPrefix(text); err != nil || prefix != "" {
			t.Errorf("%q is taken for %q, %v", text, prefix, err)
		}
	}
}

func TestThePathSaysTheTypeWhateverTheEventSays(t *testing.T) {
	for _, c := range []struct{ path, kind, want string }{
		{"/v1/track", `"Track"`, "track"}, {"/v1/t", `"page"`, "track"}, {"/v1/page", `"TRACK"`, "page"},
		{"/v1/identify", `7`, "identify"}, {"/v1/s", `""`, "screen"}, {"/v1/group", `null`, "group"},
		{"/alias", `{"a":[]}`, "alias"},
	} {
		r := newRig(t, nil)
		status, code := r.post(c.path, `{"type":`+c.kind+`,"userId":"u","event":"e","groupId":"g","previousId":"p"}`)
		if status != 200 {
			t.Errorf("%s with the type %s: %d %s", c.path, c.kind, status, code)
			continue
		}
		if got := events(t, &r.queue)[0]; !strings.Contains(got, `"type":"`+c.want+`"`) || strings.Count(got, `"type"`) != 1 {
			t.Errorf("%s with the type %s: %s", c.path, c.kind, got)
		}
	}
}

// Whoever does not finish large bodies would otherwise leave their buffers to the next request, which
// counts them before anything of its own body has come.
func TestARefusedRequestLeavesNoBufferToTheNext(t *testing.T) {
	r := newRig(t, nil)
	event := `{"writeKey":"k","userId":"u","event":"e","properties":{"p":"` + strings.Repeat("x", 20<<10) + `"}}`
	want(t, "status", r.do("POST", "/v1/track", event).Code, 200)
	q := r.pool.get()
	if cap(q.raw) < len(event) {
		t.Errorf("an accepted request leaves a buffer of %d bytes, want it to be used again", cap(q.raw))
	}
	r.pool.put(q)
	want(t, "status", r.do("POST", "/v1/track", event[:len(event)-1]).Code, 400)
	if q := r.pool.get(); cap(q.raw)+cap(q.unpacked) != 0 {
		t.Errorf("a refused request leaves buffers of %d bytes", cap(q.raw)+cap(q.unpacked))
	}
}
