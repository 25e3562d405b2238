package console

import (
	"context"
	"crypto/rand"
	"net/http"
	"time"

	"github.com/spillwayhq/spillway/infra/local"
)

// Config configures a Console. Only Source is required.
type Config struct {
	Source Source
	Guard  local.Guard // says which hosts and pages may use it
	// Mounts are further pages, by their path, like "/status/"; they get the path without it.
	Mounts map[string]http.Handler
}

// A Console is the operator's page as an http.Handler. It is safe for concurrent use.
type Console struct {
	source  Source
	about   About
	token   string // that the forms of this process carry
	handler http.Handler
	notices notices
	links   []link // of the navigation
}

// New returns the page of a source.
func New(c Config) *Console {
	o := &Console{source: c.Source, about: c.Source.About(), token: rand.Text()}
	o.links = []link{{"/", "Overview"}}
	mux := http.NewServeMux()
	o.overviewRoutes(mux)
	o.assetRoutes(mux)
	for path, h := range c.Mounts {
		mux.Handle(path, http.StripPrefix(path[:len(path)-1], h))
		if path == "/status/" {
			o.links = append(o.links, link{path, "Status site"})
		}
	}
	o.handler = c.Guard.Wrap(bounded(mux))
	return o
}

// ServeHTTP answers with the page.
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) { c.handler.ServeHTTP(w, r) }

// Run keeps the page current for those who watch it, until ctx ends.
func (c *Console) Run(ctx context.Context) {
	<-ctx.Done()
}

// deadline is how long one part of a page may take to read.
func (c *Console) deadline() time.Duration {
	if c.about.Local {
		return 2 * time.Second
	}
	return 8 * time.Second
}

func (c *Console) overviewRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), c.deadline())
		defer cancel()
		now, err := c.source.Now(ctx)
		if err != nil {
			c.fail(w, r, http.StatusServiceUnavailable, err)
			return
		}
		c.render(w, r, http.StatusOK, "overview", "Overview", now)
	})
}
