package ingest

import (
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

// routeOf reads a path; a slash at its end makes no difference. Mobile SDKs append their paths to
// the configured address, with or without /v1 at its end: so b, m and the settings work without it
// as well.
func routeOf(path string) route {
	path = strings.TrimSuffix(path, "/")
	if path == "/health" {
		return route{kind: routeHealth}
	}
	name, versioned := strings.CutPrefix(path, "/v1/")
	if !versioned {
		name = strings.TrimPrefix(path, "/")
		if name != "b" && name != "m" && !strings.HasPrefix(name, "projects/") {
			return route{}
		}
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
