package console

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"net/http"
	"strings"
	"time"

	"github.com/spillwayhq/spillway/shared/chart"
)

//go:embed templates/*.html
var templateFiles embed.FS

//go:embed page.css
var pageCSS string

var css = []byte(chart.Theme + chart.CSS + pageCSS)

//go:embed page.js
var script []byte

//go:embed icon.svg
var icon []byte

// pages are the templates of the pages by their names: base.html, the parts that pages share, and
// the page's own file, which defines "main".
var pages = parsePages()

func parsePages() map[string]*template.Template {
	entries, err := templateFiles.ReadDir("templates")
	if err != nil {
		panic(err) // they are embedded
	}
	base := template.Must(template.New("").Funcs(functions).Funcs(deadFunctions).Parse(chart.HTML))
	template.Must(base.ParseFS(templateFiles, "templates/base.html", "templates/part-*.html"))
	all := map[string]*template.Template{}
	for _, e := range entries {
		name, _ := strings.CutSuffix(e.Name(), ".html")
		if name == "base" || strings.HasPrefix(name, "part-") {
			continue
		}
		all[name] = template.Must(template.Must(base.Clone()).ParseFS(templateFiles, "templates/"+e.Name()))
	}
	return all
}

// A link is an entry of the navigation.
type link struct{ Path, Name string }

// A view is what base.html shows, with the page's own data.
type view struct {
	Title  string
	Here   string // the path of the navigation's entry
	Links  []link
	About  About
	Cost   string
	Token  string // of the page's forms
	Notice *notice
	Now    time.Time
	Events string // where the stream of the page's parts is; empty: it has none
	Data   any    // of the page
}

// Refresh is how often the page loads itself again if it can't follow its stream, in seconds.
func (v *view) Refresh() int { return int(refreshEvery.Seconds()) }

// render answers with a page.
func (c *Console) render(w http.ResponseWriter, r *http.Request, status int, page, title string, data any) {
	c.write(w, r, status, page, &view{Title: title, Data: data})
}

// renderLive answers with a page whose parts the stream of the span updates.
func (c *Console) renderLive(w http.ResponseWriter, r *http.Request, page, title string, s span, data any) {
	c.write(w, r, http.StatusOK, page, &view{Title: title, Data: data, Events: "/events?span=" + s.ID})
}

// write adds to the view what every page has. Nothing is sent before the page is whole, so that an
// error is a clear answer and not half a page.
func (c *Console) write(w http.ResponseWriter, r *http.Request, status int, page string, v *view) {
	v.Links, v.About, v.Cost, v.Token, v.Now = c.links, c.about, c.source.Cost(), c.token, time.Now()
	v.Notice, v.Here = c.notices.of(r), r.URL.Path
	if i := strings.Index(v.Here[min(1, len(v.Here)):], "/"); i >= 0 {
		v.Here = v.Here[:i+1]
	}
	var b bytes.Buffer
	if err := pages[page].ExecuteTemplate(&b, "base", v); err != nil {
		http.Error(w, fmt.Sprintf("make the page %s: %v", page, err), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // an error is the client's, who has gone
}

// fail answers with a page that says what went wrong.
func (c *Console) fail(w http.ResponseWriter, r *http.Request, status int, err error) {
	c.render(w, r, status, "error", http.StatusText(status), err.Error())
}

// assetRoutes serves the files of the pages. Their addresses change with their content.
func (c *Console) assetRoutes(mux *http.ServeMux) {
	for _, a := range []struct {
		name, contentType string
		data              []byte
	}{{"page.css", "text/css; charset=utf-8", css}, {"page.js", "text/javascript; charset=utf-8", script},
		{"icon.svg", "image/svg+xml", icon}} {
		mux.HandleFunc("GET /assets/"+a.name, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", a.contentType)
			w.Header().Set("Cache-Control", "private, max-age=31536000, immutable")
			_, _ = w.Write(a.data)
		})
	}
}

// assets is the version of the files, which their addresses carry.
var assets = func() string {
	sum := sha256.Sum256(bytes.Join([][]byte{css, script, icon}, nil))
	return hex.EncodeToString(sum[:8])
}()
