package ingest

import (
	"fmt"
	"net/http"
	"strings"
)

// routeKind is what a request to a path does.
type routeKind uint8

const (
	routeUnknown  routeKind = iota
	routeEvent              // one event in the body
	routeBatch              // a batch in the body
	routePixel              // one event in the query
	routeMetrics            // the SDKs' own metrics, which are accepted and dropped
	routeSettings           // what SDKs load at start
	routeHealth
)

// A route is a parsed path.
type route struct {
	kind   routeKind
	event  string // the type of routeEvent's and routePixel's event
	client bool   // browsers and phones send here
	key    string // the write key in the path of routeSettings
}

// eventRoute reads the path after /v1/. Segment documents the full names. Its browser SDK uses
// single characters: i p t s g a, b for batches, m for metrics; Kotlin, Swift, React Native and C#
// send batches to b as well. Ruby and Android send to import, Java to import/.
func eventRoute(name string) route {
	switch name {
	case "track", "identify", "page", "screen", "group", "alias":
		return route{kind: routeEvent, event: name}
	case "t":
		return route{kind: routeEvent, event: "track", client: true}
	case "i":
		return route{kind: routeEvent, event: "identify", client: true}
	case "p":
		return route{kind: routeEvent, event: "page", client: true}
	case "s":
		return route{kind: routeEvent, event: "screen", client: true}
	case "g":
		return route{kind: routeEvent, event: "group", client: true}
	case "a":
		return route{kind: routeEvent, event: "alias", client: true}
	case "batch", "import":
		return route{kind: routeBatch}
	case "b":
		return route{kind: routeBatch, client: true}
	case "m":
		return route{kind: routeMetrics}
	}
	return route{}
}

// ParsePathPrefix returns a path prefix as [Config].PathPrefix needs it: with a slash at its start
// and none at its end. Empty: there is none.
func ParsePathPrefix(text string) (string, error) {
	prefix := tidyPath(text)
	if prefix != "" && prefix[0] != '/' {
		prefix = "/" + prefix
	}
	for i := range len(prefix) {
		if c := prefix[i]; c <= ' ' || c > '~' || strings.IndexByte(`":%?#<>\`, c) >= 0 {
			return "", fmt.Errorf("the path prefix must be a path like /events, without a query, spaces and escapes, "+
				"is %q", text)
		}
	}
	return prefix, nil
}

// tidyPath removes what a configured host with a slash at its end adds: double slashes, and those
// at the end.
func tidyPath(path string) string {
	for strings.Contains(path, "//") {
		path = strings.ReplaceAll(path, "//", "/")
	}
	return strings.TrimSuffix(path, "/")
}

// routeOf reads a path. Proxies differ in whether they pass their prefix on, so a path is read both
// with and without it.
func routeOf(path, prefix string) route {
	path = tidyPath(path)
	if rest, ok := strings.CutPrefix(path, prefix); ok && prefix != "" {
		if r := routeWithin(rest); r.kind != routeUnknown {
			return r
		}
	}
	return routeWithin(path)
}

// routeWithin reads a path without a prefix. SDKs append their paths to the configured address, and
// people write it with /v1 at its end, without, or twice: so nothing depends on it.
func routeWithin(path string) route {
	name, ok := strings.CutPrefix(path, "/")
	if !ok {
		return route{}
	}
	for versioned := true; versioned; {
		name, versioned = strings.CutPrefix(name, "v1/")
	}
	if name == "health" {
		return route{kind: routeHealth}
	}
	if rest, ok := strings.CutPrefix(name, "pixel/"); ok {
		r := eventRoute(rest)
		if r.kind != routeEvent {
			return route{}
		}
		return route{kind: routePixel, event: r.event, client: true}
	}
	if rest, ok := strings.CutPrefix(name, "projects/"); ok {
		key, ok := strings.CutSuffix(rest, "/settings")
		if !ok || key == "" || strings.Contains(key, "/") {
			return route{}
		}
		return route{kind: routeSettings, key: key}
	}
	return eventRoute(name)
}

// methods returns the value of the Allow header.
func (r route) methods() string {
	switch r.kind {
	case routePixel, routeSettings, routeHealth:
		return "GET, HEAD, OPTIONS"
	}
	return "POST, OPTIONS"
}

// allows reports whether the route answers a method other than OPTIONS.
func (r route) allows(method string) bool {
	switch r.kind {
	case routePixel, routeSettings, routeHealth:
		return method == http.MethodGet || method == http.MethodHead
	}
	return method == http.MethodPost
}
