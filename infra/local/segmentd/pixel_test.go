package segmentd

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// get sends a pixel request and returns the answer.
func get(t *testing.T, s *Server, target string) reply {
	t.Helper()
	return post(t, s, target, "", func(r *http.Request) {
		r.Method = http.MethodGet
		r.Header.Del("Authorization")
	})
}

func TestAPixelIsAnEventInItsQuery(t *testing.T) {
	one := `{"userId":"u","event":"E","writeKey":"key","messageId":"m","properties":{"a":"1"}}`
	for name, query := range map[string]string{
		"base64":               "data=" + base64.RawURLEncoding.EncodeToString([]byte(one)),
		"padded base64":        "data=" + url.QueryEscape(base64.StdEncoding.EncodeToString([]byte(one))),
		"JSON":                 "data=" + url.QueryEscape(one),
		"fields":               "userId=u&event=E&properties.a=1&writeKey=key&messageId=m&name=",
		"a broken pair beside": "cb=100%&userId=u&event=E&properties.a=1&properties=x&writeKey=key&messageId=m",
	} {
		s := New(Options{})
		r := get(t, s, "/v1/pixel/track?"+query)
		if r.status != 200 || r.body != pixelGIF || r.header.Get("Content-Type") != "image/gif" {
			t.Errorf("%s: %d %q", name, r.status, r.body)
		}
		got := s.Events(Query{})
		if len(got) != 1 || got[0].WriteKey != "key" || got[0].MessageID != "m" || got[0].Path != "/v1/pixel/track" ||
			!strings.Contains(string(got[0].Raw), `"properties":{"a":"1"}`) {
			t.Errorf("%s: %+v, stats %+v", name, got, s.Stats())
		}
	}
}

func TestAPixelThatCanNotBeReadIsCountedBehindTheImage(t *testing.T) {
	for query, code := range map[string]string{
		"data=e30!": "invalid_json", "": "invalid_json", "data=%zz": "invalid_json",
	} {
		s := New(Options{})
		if r := get(t, s, "/v1/pixel/page?"+query); r.status != 200 || r.body != pixelGIF || s.Stats().Refused[code] != 1 {
			t.Errorf("%q: %d %q, stats %+v", query, r.status, r.body, s.Stats())
		}
	}
	s := New(Options{})
	get(t, s, "/v1/pixel/track?userId=u&writeKey=key")
	if got := s.Stats(); got.Received != 0 || len(got.Rejected) != 1 {
		t.Errorf("a track without a name: %+v", got)
	}
	for _, path := range []string{"/v1/pixel/batch", "/v1/pixel/", "/v1/pixel/x", "/v1/pixel/pixel/track"} {
		if r := get(t, s, path); r.status != 404 {
			t.Errorf("%s: %d", path, r.status)
		}
	}
}

func TestAScriptDelaysAndBreaksPixelsButTheirStatusIs200(t *testing.T) {
	s := New(Options{})
	setScript(t, s, Rule{Match: Match{Path: "/v1/pixel/track"}, Status: 503})
	if r := get(t, s, "/v1/pixel/track?userId=u&event=E&writeKey=key"); r.status != 200 || s.Stats().Received != 0 {
		t.Errorf("%d, stats %+v", r.status, s.Stats())
	}
}
