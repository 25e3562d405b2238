package ingest

import (
	"net/http"
	"strings"
)

// kind is what is done at a path.
type kind uint8

const (
	unknown  kind = iota
	single        // one event in the body
	batch         // a batch in the body
	pixel         // one event in the query
	metrics       // SDKs' own metrics: taken and dropped
	settings      // what SDKs load at start
	health
)

// A route is what a path says.
type route struct {
	kind   kind
	event  string // the type of single and pixel events
	client bool   // browsers and phones send here
	key    string // of settings, as it stands in the path
}

// kindOf reads what stands behind /v1/. Full names are what Segment documents. Letters are what its
// browser SDK sends: i p t s g a, b for batches, m for metrics; Kotlin, Swift, React Native and C#
// send batches to b as well. Ruby and Android send to import, Java with a slash behind it.
func kindOf(name string) route {
	switch name {
	case "track", "identify", "page", "screen", "group", "alias":
		return route{kind: single, event: name}
	case "t":
		return route{kind: single, event: "track", client: true}
	case "i":
		return route{kind: single, event: "identify", client: true}
	case "p":
		return route{kind: single, event: "page", client: true}
	case "s":
		return route{kind: single, event: "screen", client: true}
	case "g":
		return route{kind: single, event: "group", client: true}
	case "a":
		return route{kind: single, event: "alias", client: true}
	case "batch", "import":
		return route{kind: batch}
	case "b":
		return route{kind: batch, client: true}
	case "m":
		return route{kind: metrics}
	}
	return route{}
}

// routeOf reads a path. A slash at its end is no difference. Mobile SDKs append their paths to the
// host that is configured, with or without /v1 at its end: so b, m and the settings are found
// without it as well.
func routeOf(path string) route {
	path = strings.TrimSuffix(path, "/")
	if path == "/health" {
		return route{kind: health}
	}
	name, versioned := strings.CutPrefix(path, "/v1/")
	if !versioned {
		name = strings.TrimPrefix(path, "/")
		if name != "b" && name != "m" && !strings.HasPrefix(name, "projects/") {
			return route{}
		}
	}
	if rest, ok := strings.CutPrefix(name, "pixel/"); ok {
		r := kindOf(rest)
		if r.kind != single {
			return route{}
		}
		return route{kind: pixel, event: r.event, client: true}
	}
	if rest, ok := strings.CutPrefix(name, "projects/"); ok {
		key, ok := strings.CutSuffix(rest, "/settings")
		if !ok || key == "" || strings.Contains(key, "/") {
			return route{}
		}
		return route{kind: settings, key: key}
	}
	return kindOf(name)
}

// methods are what a route allows, as the Allow header says it.
func (r route) methods() string {
	switch r.kind {
	case pixel, settings, health:
		return "GET, HEAD, OPTIONS"
	}
	return "POST, OPTIONS"
}

// allows reports whether a method is among them; OPTIONS is answered before.
func (r route) allows(method string) bool {
	switch r.kind {
	case pixel, settings, health:
		return method == http.MethodGet || method == http.MethodHead
	}
	return method == http.MethodPost
}
