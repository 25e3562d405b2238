package segmentd

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
)

const pixelPrefix = "/v1/pixel/"

// pixelGIF is the answer to a pixel request: an image of one transparent pixel.
const pixelGIF = "GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\x00\x00\x00!\xf9\x04\x01\x00\x00\x00\x00," +
	"\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"

// pixelRoute returns the route of a pixel's path, /v1/pixel/track for example.
func pixelRoute(path string) (route, bool) {
	typ, ok := strings.CutPrefix(path, pixelPrefix)
	rt, known := routeOf("/v1/" + typ)
	return rt, ok && known && !rt.batch
}

// servePixel takes one event from the query, and answers with the image whatever becomes of it, as
// Segment documents it. Of a script only faults and latency show in the answer.
func (s *Server) servePixel(w http.ResponseWriter, r *http.Request, path string, rt route) int {
	body := pixelEvent(r.URL.RawQuery)
	posted := r.Clone(r.Context())
	posted.Body, posted.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	posted.Header.Del("Content-Encoding")

	bufs := s.bufs.Get().(*buffers)
	_, p, _ := s.accept(bufs, posted, path, rt)
	bufs.release()
	s.bufs.Put(bufs)
	if p.fault() != "" {
		return s.answer(w, r, p, http.StatusOK, nil)
	}
	sleep(r.Context(), s.latency+p.latency)
	return answerBody(w, http.StatusOK, "image/gif", pixelGIF)
}

// pixelEvent returns the JSON of the event in a query: the parameter data, as JSON or in base64, or
// else the parameters as fields, where dots make objects. It returns what is no JSON for what can't
// be read.
func pixelEvent(query string) []byte {
	values, _ := url.ParseQuery(query) // despite an error it has all good pairs
	if data := values.Get("data"); strings.HasPrefix(data, "{") {
		return []byte(data)
	} else if data != "" {
		standard := strings.NewReplacer("-", "+", "_", "/", " ", "+").Replace(strings.TrimRight(data, "="))
		decoded, err := base64.RawStdEncoding.DecodeString(standard)
		if err != nil {
			return nil
		}
		return decoded
	}
	event := map[string]any{}
	for name := range values {
		if value := values.Get(name); value != "" {
			setField(event, strings.Split(name, "."), value)
		}
	}
	if len(event) == 0 {
		return nil
	}
	body, err := json.Marshal(event)
	if err != nil {
		return nil // maps and strings always marshal
	}
	return body
}

// setField sets a field at a path. An object wins over another value at the same place.
func setField(o map[string]any, path []string, value string) {
	for ; len(path) > 1; path = path[1:] {
		next, ok := o[path[0]].(map[string]any)
		if !ok {
			next = map[string]any{}
			o[path[0]] = next
		}
		o = next
	}
	if _, isObject := o[path[0]].(map[string]any); !isObject {
		o[path[0]] = value
	}
}
