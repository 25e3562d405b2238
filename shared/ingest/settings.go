package ingest

import (
	"net/http"
	"strings"

	"github.com/spillwayhq/spillway/shared/rawjson"
)

// settings answers with the settings of a write key, which caches may keep if the key is known.
func settings(header http.Header, r *http.Request, rt route, c *Config, known bool) answer {
	header["Cache-Control"] = neverCached
	if known {
		header["Cache-Control"] = settingsCached
	}
	// Also when the request names no origin: the next one that a cache answers may have one.
	header["Vary"] = varyOrigin
	scheme, host := c.publicURL(r)
	return answer{status: http.StatusOK, contentType: jsonType, body: settingsBody(rt.key, scheme, host+c.PathPrefix)}
}

var settingsCached = []string{"private, max-age=300"}

// publicURL returns scheme and host under which the client reaches the endpoint.
func (c *Config) publicURL(r *http.Request) (scheme, host string) {
	if c.PublicURL != "" {
		scheme, host, _ = strings.Cut(strings.TrimRight(c.PublicURL, "/"), "://")
		return scheme, host
	}
	scheme = "http"
	if r.TLS != nil {
		scheme = "https"
	}
	if c.TrustForwardedProto {
		if forwarded := strings.ToLower(r.Header.Get("X-Forwarded-Proto")); forwarded == "http" || forwarded == "https" {
			scheme = forwarded
		}
	}
	return scheme, r.Host
}

// settingsBody returns the settings that SDKs load at start; the browser SDK does not start without
// them. They enable everything and name one destination, Segment.io, at this endpoint: in the
// Kotlin and Swift SDKs apiHost overrides the configured host, so Segment's own settings would
// bypass Spillway. The browser SDK takes the scheme from protocol. They have no consentSettings:
// Segment's consent tools take an empty object for settings with categories, and fail.
func settingsBody(key, scheme, host string) []byte {
	b := append([]byte(nil), `{"integrations":{"Segment.io":{"apiKey":`...)
	b = rawjson.AppendQuoted(b, key)
	b = append(b, `,"apiHost":`...)
	b = rawjson.AppendQuoted(b, host+"/v1")
	b = append(b, `,"protocol":`...)
	b = rawjson.AppendQuoted(b, scheme)
	return append(b, `,"unbundledIntegrations":[],"addBundledMetadata":true,"maybeBundledConfigIds":{},`+
		`"versionSettings":{"version":"4.4.7","componentTypes":["browser"]}}},`+
		`"plan":{"track":{"__default":{"enabled":true,"integrations":{}}},`+
		`"identify":{"__default":{"enabled":true}},"group":{"__default":{"enabled":true}}},`+
		`"edgeFunction":{},"middlewareSettings":{},"enabledMiddleware":{},"remotePlugins":[],"metrics":{"sampleRate":0},`+
		`"legacyVideoPluginsEnabled":false,"analyticsNextEnabled":true}`...)
}
