package ingest

import (
	"net/http"
	"strings"

	"github.com/spillwayhq/spillway/shared/rawjson"
)

// publicURL is scheme and host under which the client reaches the door.
func (h *Handler) publicURL(r *http.Request) (scheme, host string) {
	if h.config.PublicURL != "" {
		scheme, host, _ = strings.Cut(strings.TrimRight(h.config.PublicURL, "/"), "://")
		return scheme, host
	}
	scheme = "http"
	if r.TLS != nil {
		scheme = "https"
	}
	if h.config.TrustForwardedProto {
		if said := strings.ToLower(r.Header.Get("X-Forwarded-Proto")); said == "http" || said == "https" {
			scheme = said
		}
	}
	return scheme, r.Host
}

// appendSettings appends what SDKs load at start, with which the browser SDK does not start if it
// fails. It switches everything on and names one destination, Segment.io, at our own host: in the
// Kotlin and Swift SDKs apiHost overrides the host that they are configured with, so settings of
// Segment's would lead them past us. The browser SDK takes the scheme from protocol.
func appendSettings(dst []byte, key, scheme, host string) []byte {
	dst = append(dst, `{"integrations":{"Segment.io":{"apiKey":`...)
	dst = rawjson.AppendQuoted(dst, key)
	dst = append(dst, `,"apiHost":`...)
	dst = rawjson.AppendQuoted(dst, host+"/v1")
	dst = append(dst, `,"protocol":`...)
	dst = rawjson.AppendQuoted(dst, scheme)
	return append(dst, `,"unbundledIntegrations":[],"addBundledMetadata":true,"maybeBundledConfigIds":{},`+
		`"versionSettings":{"version":"4.4.7","componentTypes":["browser"]}}},`+
		`"plan":{"track":{"__default":{"enabled":true,"integrations":{}}},"identify":{"__default":{"enabled":true}},"group":{"__default":{"enabled":true}}},`+
		`"edgeFunction":{},"middlewareSettings":{},"enabledMiddleware":{},"remotePlugins":[],"metrics":{"sampleRate":0},`+
		`"consentSettings":{},"legacyVideoPluginsEnabled":false,"analyticsNextEnabled":true}`...)
}
