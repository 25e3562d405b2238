package ingest

import (
	"net/http"
	"strconv"
)

// An answer is the HTTP response to a request. Without a body it has no content type.
type answer struct {
	status      int
	contentType []string
	body        []byte
}

// Header values that are always the same. The slices are never written to.
var (
	jsonType         = []string{"application/json"}
	gifType          = []string{"image/gif"}
	neverCached      = []string{"no-store"}
	varyOrigin       = []string{"Origin"}
	trueValue        = []string{"true"}
	exposedHeaders   = []string{"Retry-After"}
	allowedHeaders   = []string{"authorization, content-type, x-retry-count"}
	preflightSeconds = []string{"7200"} // Chromium caches it no longer
)

var success = answer{http.StatusOK, jsonType, []byte(`{"success":true}`)}

// transparentGIF is an image of one transparent pixel.
var transparentGIF = []byte("GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\x00\x00\x00" +
	"!\xf9\x04\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;")

func (a answer) write(w http.ResponseWriter) {
	if a.body == nil {
		w.WriteHeader(a.status)
		return
	}
	header := w.Header()
	header["Content-Type"] = a.contentType
	header.Set("Content-Length", strconv.Itoa(len(a.body)))
	w.WriteHeader(a.status)
	w.Write(a.body) // an error means that the client is gone
}

// pixel answers with the image.
func pixel(header http.Header) answer {
	header["Cache-Control"] = neverCached
	return answer{http.StatusOK, gifType, transparentGIF}
}

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
// so the browser sends a preflight request before every event.
func setOptions(header http.Header, rt route) {
	header.Set("Allow", rt.methods())
	header.Set("Access-Control-Allow-Methods", rt.methods())
	header["Access-Control-Allow-Headers"] = allowedHeaders
	header["Access-Control-Max-Age"] = preflightSeconds
}
