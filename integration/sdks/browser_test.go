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

// browser is a page of another origin than the door, in Chromium, with analytics-next in it.
type browser struct {
	*script
	sent    []string // messageIds, in the order in which the SDK was called
	dropped map[string]string
}

// browse opens the page and waits until it has called the SDK.
func browse(t *testing.T, d *door, mode, step string) *browser {
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
	query := url.Values{"door": {d.URL}, "key": {writeKey}, "mode": {mode}, "step": {step}}
	b := &browser{dropped: map[string]string{}}
	b.script = node(t, []string{"CHROMIUM=" + chromium}, "browser.mjs", page.URL+"/page.html?"+query.Encode())
	b.until(t, "the SDK to be called", func(line map[string]any) bool { return line["kind"] == "ready" })
	return b
}

// until reads what the page reports, until done says so of what has been read; the line is nil at
// first, for it may have been.
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
	t.Fatalf("the browser ended before it came to %s", what)
}

// track has the page send a further event, and returns its id.
func (b *browser) track(t *testing.T, name string) string {
	t.Helper()
	if _, err := io.WriteString(b.input, name+"\n"); err != nil {
		t.Fatal(err)
	}
	b.until(t, name, func(line map[string]any) bool { return line["kind"] == "sent" })
	return b.sent[len(b.sent)-1]
}

func TestTheBrowserSendsEveryKindAndAllFieldsArrive(t *testing.T) {
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
			d := open(t, setup{})
			b := browse(t, d, c.mode, "all")
			d.awaitEvents(t, b.sent...)
			all := assertAllArrived(t, d, "/v1/b", stamped{ip: "127.0.0.1"}, "page", "identify", "track", "group", "screen",
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
					t.Errorf("not as it was seen before: %v", r.Header)
				}
			}
			slices.Sort(paths)
			if got := slices.Compact(paths); !slices.Equal(got, c.paths) {
				t.Errorf("it called %v, want %v", got, c.paths)
			}
			if !d.asked("/v1/projects/" + writeKey + "/settings") {
				t.Error("it did not ask for its settings")
			}
		})
	}
}

func TestTheBrowserTriesAgainWhenItIsToldTo(t *testing.T) {
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
				d := open(t, setup{answers: c.answers})
				b := browse(t, d, mode, "one")
				first := b.sent[0]
				kept := c.want[len(c.want)-1] == http.StatusOK
				switch {
				case kept:
					d.awaitEvents(t, first)
				case mode == "standard":
					b.until(t, "the drop", func(map[string]any) bool { return b.dropped[first] == "delivery_failure" })
				default: // it drops a batch without a word
					d.await(t, "the refusal", func() bool { return len(d.sent()) == 1 })
				}
				// The next event finds the SDK in good order, and is sent without what was dropped.
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
				if n := len(d.arrivals()[first]); (n == 1) != kept {
					t.Errorf("it arrived %d times", n)
				}
			})
		}
	}
}
