package sdks

import (
	"cmp"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// umd is the package's own build for browsers.
var umd = filepath.Join("node_modules", "@segment", "analytics-next", "dist", "umd")

// browser is a page in Chromium with analytics-next. Its origin is not that of the ingest API.
type browser struct {
	*script
	sent    []string // messageIds, in the order in which the SDK was called
	dropped map[string]string
}

// browse opens the page and waits until it has called the SDK.
func browse(t *testing.T, d *deployment, mode, step string) *browser {
	t.Helper()
	chromium := cmp.Or(os.Getenv("CHROMIUM"), "/usr/bin/chromium")
	needs(t, "Chromium", chromium, "--version")
	needs(t, "@segment/analytics-next", "node", "--input-type=module", "-e",
		"import 'playwright-core'; import fs from 'node:fs'; fs.accessSync('"+filepath.ToSlash(umd)+"/index.js')")
	mux := http.NewServeMux()
	mux.Handle("/umd/", http.StripPrefix("/umd/", http.FileServer(http.Dir(umd))))
	mux.HandleFunc("/page.html", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, "page.html") })
	page := httptest.NewServer(mux)
	t.Cleanup(page.Close)
	query := url.Values{"ingest": {d.URL}, "key": {writeKey}, "mode": {mode}, "step": {step}}
	b := &browser{dropped: map[string]string{}}
	b.script = node(t, []string{"CHROMIUM=" + chromium}, "browser.mjs", page.URL+"/page.html?"+query.Encode())
	b.until(t, "the SDK to be called", func(line map[string]any) bool { return line["kind"] == "ready" })
	return b
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
	for _, c := range []struct {
		mode  string
		paths []string
	}{
		{"standard", []string{"/v1/a", "/v1/g", "/v1/i", "/v1/p", "/v1/s", "/v1/t"}},
		{"batching", []string{"/v1/b"}},
	} {
		t.Run(c.mode, func(t *testing.T) {
			t.Parallel()
			d := deploy(t, setup{})
			b := browse(t, d, c.mode, "all")
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
				if r.Header.Get("Content-Type") != "text/plain" || !strings.HasPrefix(r.Header.Get("Authorization"), "Basic ") ||
					r.Header.Get("Origin") == "" {
					t.Errorf("unexpected headers: %v", r.Header)
				}
			}
			slices.Sort(paths)
			if got := slices.Compact(paths); !slices.Equal(got, c.paths) {
				t.Errorf("it called %v, want %v", got, c.paths)
			}
			if !d.loaded("/v1/projects/" + writeKey + "/settings") {
				t.Error("it did not ask for its settings")
			}
		})
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
				b := browse(t, d, mode, "one")
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
