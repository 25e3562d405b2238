package status

import (
	"path"
	"strings"
)

// ContentType is the type of a file of the site, by its name.
func ContentType(name string) string {
	types := map[string]string{
		".html": "text/html; charset=utf-8", ".json": "application/json", ".atom": "application/atom+xml; charset=utf-8",
		".svg": "image/svg+xml", ".png": "image/png", ".webp": "image/webp", ".jpg": "image/jpeg", ".gif": "image/gif",
	}
	if t := types[path.Ext(name)]; t != "" {
		return t
	}
	return "application/octet-stream"
}

// CacheControl is how long browsers and caches may keep a file of the site, by its name: what shows
// the present 30 s, a month 5 minutes, as somebody may still write to it, a logo a day.
func CacheControl(name string) string {
	switch {
	case strings.HasPrefix(name, "history/"):
		return "public, max-age=300"
	case strings.HasPrefix(name, "logo."):
		return "public, max-age=86400"
	}
	return "public, max-age=30"
}

// A Header is one that every file of the site is served with.
type Header struct{ Name, Value string }

// Headers are what every file of the site is served with, besides ContentType and CacheControl of
// its name. A page's own policy is in the page, with the hashes of its style and script, so that a
// page and what serves it may be of different versions; this one adds what only a header can say.
func Headers() []Header {
	return []Header{
		{"Content-Security-Policy", "default-src 'self' 'unsafe-inline' data:; object-src 'none'; base-uri 'none'; " +
			"form-action 'none'; frame-ancestors 'none'"},
		{"Strict-Transport-Security", "max-age=63072000"},
		{"X-Content-Type-Options", "nosniff"},
		{"X-Frame-Options", "DENY"},
		{"Referrer-Policy", "no-referrer"},
		// Widgets on other sites read the API, as they read Statuspage's. Everything here is
		// public.
		{"Access-Control-Allow-Origin", "*"},
	}
}
