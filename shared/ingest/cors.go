package ingest

import (
	"net/http"
	"strings"
)

// Header values that are always the same. The slices are never written to.
var (
	trueValue        = []string{"true"}
	varyOrigin       = []string{"Origin"}
	varyPreflight    = []string{"Origin, Access-Control-Request-Headers, Access-Control-Request-Private-Network"}
	exposedHeaders   = []string{"Retry-After, X-RateLimit-Reset"}
	preflightSeconds = []string{"7200"} // Chromium caches it no longer
)

// allowedHeaders are the request headers that Segment's SDKs send.
const allowedHeaders = "authorization, content-type, x-retry-count"

// maxAllowedHeaders bounds the bytes of the other header names that are allowed in an answer.
const maxAllowedHeaders = 2 << 10

// allowOrigin lets pages of any origin read the answer. It echoes the origin, because browsers
// accept no * for requests with credentials, which the browser SDK can be configured to send. That
// is safe, because cookies authorise nothing here.
func allowOrigin(header http.Header, r *http.Request) {
	origin := r.Header["Origin"]
	if len(origin) == 0 {
		return
	}
	header["Access-Control-Allow-Origin"] = origin[:1]
	header["Access-Control-Allow-Credentials"] = trueValue
	header["Access-Control-Expose-Headers"] = exposedHeaders
	header["Vary"] = varyOrigin
}

// setOptions sets the headers that answer an OPTIONS request. The browser SDK sends Authorization,
// so the browser sends a preflight request before every event, and a header that is not allowed
// there costs every event, unseen.
func setOptions(header http.Header, r *http.Request, rt route) {
	header.Set("Allow", rt.methods())
	header.Set("Access-Control-Allow-Methods", rt.methods())
	header.Set("Access-Control-Allow-Headers", allowHeaders(r.Header["Access-Control-Request-Headers"]))
	header["Access-Control-Max-Age"] = preflightSeconds
	header["Vary"] = varyPreflight
	// Browsers ask this before a public page may send to a private address. Any page may send
	// events here: the address of the endpoint protects nothing.
	if r.Header.Get("Access-Control-Request-Private-Network") == "true" {
		header["Access-Control-Allow-Private-Network"] = trueValue
	}
}

// allowHeaders returns the header names that a page may send: the SDKs' own, and those that it asks
// for, since pages add their own (a trace's, a tenant's). No header has an effect that a page must
// not have. A * is no answer, because it does not cover Authorization, and is a name of its own in
// requests with credentials. Names that are none are left out, and those beyond
// [maxAllowedHeaders].
func allowHeaders(asked []string) string {
	var b strings.Builder
	b.WriteString(allowedHeaders)
	for _, list := range asked {
		for name := range strings.SplitSeq(list, ",") {
			name = strings.TrimSpace(name)
			if b.Len()+len(name) > len(allowedHeaders)+maxAllowedHeaders {
				return b.String()
			}
			if isToken(name) && !containsName(allowedHeaders, name) {
				b.WriteString(", ")
				b.WriteString(name)
			}
		}
	}
	return b.String()
}

// containsName reports whether a list of names separated by a comma and a space has the name.
func containsName(list, name string) bool {
	for has := range strings.SplitSeq(list, ", ") {
		if strings.EqualFold(has, name) {
			return true
		}
	}
	return false
}

// isToken reports whether text is a header's name, or a similar word (RFC 9110, 5.6.2).
func isToken(text string) bool {
	for i := range len(text) {
		c := text[i]
		if !(c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' ||
			strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0) {
			return false
		}
	}
	return text != ""
}
