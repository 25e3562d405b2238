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
	length      []string // the value of Content-Length; nil: it is written for this answer
}

// Header values that are always the same. The slices are never written to.
var (
	jsonType    = []string{"application/json"}
	gifType     = []string{"image/gif"}
	neverCached = []string{"no-store"}
)

var success = answerAlways(http.StatusOK, jsonType, `{"success":true}`)

// answerAlways is an answer that is given often.
func answerAlways(status int, contentType []string, body string) answer {
	return answer{status, contentType, []byte(body), []string{strconv.Itoa(len(body))}}
}

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
	if header["Content-Length"] = a.length; a.length == nil {
		header["Content-Length"] = []string{strconv.Itoa(len(a.body))}
	}
	w.WriteHeader(a.status)
	w.Write(a.body) // an error means that the client is gone
}

// pixel answers with the image.
func pixel(header http.Header) answer {
	header["Cache-Control"] = neverCached
	return answer{status: http.StatusOK, contentType: gifType, body: transparentGIF}
}
