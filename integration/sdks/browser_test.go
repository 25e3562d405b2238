package sdks

import (
	"bytes"
	"cmp"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// browser is a page in Chromium with an SDK. Its origin is not that of the ingest API.
type browser struct {
	*script
	sent    []string // messageIds, in the order in which the SDK was called
	dropped map[string]string

	mu  sync.Mutex
	cdn []string // paths that the SDK loaded from Segment's CDN
}

// browse opens the page and waits until it has called the SDK. The forms of a page are listed in
// page.html.
func browse(t *testing.T, d *deployment, form, mode, step string) *browser {
	t.Helper()
	chromium := cmp.Or(os.Getenv("CHROMIUM"), "/usr/bin/chromium")
	needs(t, "Chromium", chromium, "--version")
	needs(t, "the SDKs for browsers", "node", "--input-type=module", "-e", "import 'playwright-core'; import fs from 'node:fs'; "+
		"for (const p of ['@segment/analytics-next', 'analytics-next-1.64', '@segment/analytics-consent-tools', "+
		"'@segment/snippet', '@ht-sdks/events-sdk-js-browser']) fs.accessSync('node_modules/' + p)")
	mux := http.NewServeMux()
	mux.HandleFunc("/modules/{path...}", serveModule)
	mux.HandleFunc("/page.html", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, "page.html") })
	page := httptest.NewServer(mux)
	t.Cleanup(page.Close)
	b := &browser{dropped: map[string]string{}}
	cdn := httptest.NewTLSServer(http.HandlerFunc(b.serveCDN))
	t.Cleanup(cdn.Close)
	query := url.Values{"ingest": {d.URL}, "key": {writeKey}, "form": {form}, "mode": {mode}, "step": {step}}
	b.script = node(t, []string{"CHROMIUM=" + chromium, "CDN=" + cdn.Listener.Addr().String()},
		"browser.mjs", page.URL+"/page.html?"+query.Encode())
	b.until(t, "the SDK to be called", func(line map[string]any) bool { return line["kind"] == "ready" })
	return b
}

// segmentSettings are a source's settings as Segment's CDN answers them: they name Segment's own API.
const segmentSettings = `{"integrations":{"Segment.io":{"apiKey":"` + writeKey + `","apiHost":"api.segment.io/v1",
	"versionSettings":{"version":"4.4.7","componentTypes":["browser"]}}},
	"plan":{"track":{"__default":{"enabled":true,"integrations":{}}}},"remotePlugins":[]}`

// serveCDN answers as cdn.segment.com does: with a source's settings, and the SDK that the snippet
// loads.
func (b *browser) serveCDN(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	b.cdn = append(b.cdn, r.URL.Path)
	b.mu.Unlock()
	name := path.Base(r.URL.Path)
	switch name {
	case "settings":
		w.Header().Set("Access-Control-Allow-Origin", "*")
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, segmentSettings)
		return
	case "analytics.min.js":
		name = "standalone.js"
	}
	http.ServeFile(w, r, filepath.Join("node_modules", "@segment", "analytics-next", "dist", "umd", name))
}

// loadedFromCDN reports whether something was loaded from Segment's CDN.
func (b *browser) loadedFromCDN(path string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Contains(b.cdn, path)
}

// serveModule serves a file of node_modules. An import may leave out ".js" and "/index.js", as
// bundlers let it; it is redirected, because imports in the file are relative to its own address.
func serveModule(w http.ResponseWriter, r *http.Request) {
	name := path.Join("node_modules", path.Clean("/"+r.PathValue("path")))
	for _, end := range []string{"", ".js", "/index.js"} {
		info, err := os.Stat(filepath.FromSlash(name + end))
		switch {
		case err != nil || !info.Mode().IsRegular():
		case end != "":
			http.Redirect(w, r, r.URL.Path+end, http.StatusFound)
			return
		default:
			w.Header().Set("Content-Type", "text/javascript")
			http.ServeFile(w, r, name)
			return
		}
	}
	http.NotFound(w, r)
}

// until reads what the page reports until done reports true. It calls done with nil first, for what
// was read before.
func (b *browser) until(t *testing.T, what string, done func(map[string]any) bool) {
	t.Helper()
	if done(nil) {
		return
	}
	for line := range b.lines {
		id, _ := line["messageId"].(string)
		switch line["kind"] {
		case "sent":
			b.sent = append(b.sent, id)
		case "dropped":
			b.dropped[id], _ = line["code"].(string)
		case "console":
			t.Logf("the page's console: %s", line["message"])
		case "failed":
			t.Fatalf("the page failed: %s", line["message"])
		}
		if done(line) {
			return
		}
	}
	t.Fatalf("the browser ended before %s", what)
}

// track makes the page send another event and returns its messageId.
func (b *browser) track(t *testing.T, name string) string {
	t.Helper()
	if _, err := io.WriteString(b.input, name+"\n"); err != nil {
		t.Fatal(err)
	}
	b.until(t, name, func(line map[string]any) bool { return line["kind"] == "sent" })
	return b.sent[len(b.sent)-1]
}

func TestBrowserEventsOfEveryTypeArriveWithAllFields(t *testing.T) {
	t.Parallel()
	single := []string{"/v1/a", "/v1/g", "/v1/i", "/v1/p", "/v1/s", "/v1/t"}
	for _, c := range []struct {
		form, mode string
		paths      []string
	}{
		{"next", "standard", single},
		{"next", "batching", []string{"/v1/b"}},
		{"old", "standard", single},
		{"headers", "standard", single},
		{"destinations", "standard", single},
		{"snippet", "standard", single},
		{"opt-in", "standard", single},
		{"opt-out", "standard", single},
	} {
		t.Run(c.form+", "+c.mode, func(t *testing.T) {
			t.Parallel()
			d := deploy(t, setup{})
			b := browse(t, d, c.form, c.mode, "all")
			d.awaitEvents(t, b.sent...)
			all := assertAllArrived(t, d, "/v1/b", enriched{ip: "127.0.0.1"}, "page", "identify", "track", "group", "screen",
				"alias")
			slices.Sort(all)
			if want := slices.Sorted(slices.Values(b.sent)); !slices.Equal(all, want) {
				t.Errorf("sent %v, want %v", all, want)
			}
			var paths []string
			for _, r := range d.sent() {
				paths = append(paths, r.Path)
				key := strings.HasPrefix(r.Header.Get("Authorization"), "Basic ")
				if r.Header.Get("Content-Type") != "text/plain" || key != (c.form != "old") || r.Header.Get("Origin") == "" {
					t.Errorf("unexpected headers: %v", r.Header)
				}
				if tenant := r.Header.Get("X-Tenant"); (tenant == "acme") != (c.form == "headers") {
					t.Errorf("the page's own header is %q", tenant)
				}
				if strings.HasPrefix(c.form, "opt-") && !bytes.Contains(r.Body, []byte(`"categoryPreferences":{"Advertising":true`)) {
					t.Errorf("an event without the visitor's consent: %s", r.Body)
				}
			}
			slices.Sort(paths)
			if got := slices.Compact(paths); !slices.Equal(got, c.paths) {
				t.Errorf("it called %v, want %v", got, c.paths)
			}
			settings := "/v1/projects/" + writeKey + "/settings"
			if ours, segments := d.loaded(settings), b.loadedFromCDN(settings); ours == segments ||
				segments != (c.form == "destinations") {
				t.Errorf("it asked the ingest API for its settings: %v; Segment: %v", ours, segments)
			}
		})
	}
}

// Hightouch's fork posts to the full names, as servers do: so its events lack the visitor's address.
func TestHightouchsBrowserEventsOfEveryTypeArriveWithAllFields(t *testing.T) {
	t.Parallel()
	d := deploy(t, setup{})
	b := browse(t, d, "hightouch", "standard", "all")
	d.awaitEvents(t, b.sent...)
	all := assertAllArrived(t, d, "/v1/batch", enriched{}, "page", "identify", "track", "group", "screen", "alias")
	slices.Sort(all)
	if want := slices.Sorted(slices.Values(b.sent)); !slices.Equal(all, want) {
		t.Errorf("sent %v, want %v", all, want)
	}
}

func TestBrowserRetriesByStatusAndRetryAfter(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"standard", "batching"} {
		for _, c := range []struct {
			name    string
			answers []scripted
			want    []int
		}{
			{"429 with Retry-After", []scripted{{429, 1}, {429, 2}}, []int{429, 429, 200}},
			{"503", []scripted{{503, 0}, {503, 0}}, []int{503, 503, 200}},
			{"400", []scripted{{400, 0}}, []int{400}},
		} {
			t.Run(mode+", "+c.name, func(t *testing.T) {
				t.Parallel()
				d := deploy(t, setup{answers: c.answers})
				b := browse(t, d, "next", mode, "one")
				first := b.sent[0]
				accepted := c.want[len(c.want)-1] == http.StatusOK
				switch {
				case accepted:
					d.awaitEvents(t, first)
				case mode == "standard":
					b.until(t, "the drop", func(map[string]any) bool { return b.dropped[first] == "delivery_failure" })
				default: // it drops a batch without reporting it
					d.Await(t, "the refusal", func() bool { return len(d.sent()) == 1 })
				}
				// The SDK still works: it sends the next event, without the dropped one.
				second := b.track(t, "second")
				d.awaitEvents(t, second)
				var tries []request
				for _, r := range d.sent() {
					if slices.Contains(ids(t, r), first) {
						tries = append(tries, r)
					}
				}
				if got := statuses(tries); !slices.Equal(got, c.want) {
					t.Errorf("it was answered %v, want %v", got, c.want)
				}
				assertWaited(t, tries)
				if n := len(d.Get(first)); (n == 1) != accepted {
					t.Errorf("it arrived %d times", n)
				}
			})
		}
	}
}
