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
	jsonType    = []string{"application/json"}
	gifType     = []string{"image/gif"}
	neverCached = []string{"no-store"}
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
