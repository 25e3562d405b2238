package segmentd

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// adminPrefix is where the stand-in is asked and scripted. Segment has nothing there.
const adminPrefix = "/_segmentd/"

// maxScriptBytes bounds the body of a PUT script.
const maxScriptBytes = 1 << 20

// serveAdmin answers
//
//	GET, PUT, DELETE /_segmentd/script   the script; DELETE goes back to normal
//	GET              /_segmentd/stats    Stats as JSON
//	GET              /_segmentd/events   the last events: ?limit= &messageId= &writeKey= &raw=true &format=json
//	POST             /_segmentd/reset    forgets events and counts
//	GET              /_segmentd/login    the page that FaultRedirect leads to
//
// Events come as NDJSON, one a line, oldest first, or as one array with format=json. Each has its
// event merged, or as it arrived with raw=true, without insignificant space.
func (s *Server) serveAdmin(w http.ResponseWriter, r *http.Request) {
	switch what := r.Method + " " + r.URL.Path; what {
	case "GET " + adminPrefix + "script":
		answerJSON(w, s.currentScript())
	case "PUT " + adminPrefix + "script":
		s.putScript(w, r)
	case "DELETE " + adminPrefix + "script":
		s.script.Store(nil)
		answerBody(w, http.StatusOK, "application/json", successBody)
	case "GET " + adminPrefix + "stats":
		answerJSON(w, s.Stats())
	case "GET " + adminPrefix + "events":
		s.getEvents(w, r)
	case "POST " + adminPrefix + "reset":
		s.reset()
		answerBody(w, http.StatusOK, "application/json", successBody)
	case "GET " + loginPath:
		answerBody(w, http.StatusOK, "text/html; charset=utf-8", loginBody)
	default:
		status := http.StatusNotFound
		switch strings.TrimPrefix(r.URL.Path, adminPrefix) {
		case "script", "stats", "events", "reset", "login":
			status = http.StatusMethodNotAllowed
		}
		answerError(w, status, "not_found", what+" is none of: GET, PUT, DELETE script; GET stats; GET events; POST reset")
	}
}

func (s *Server) putScript(w http.ResponseWriter, r *http.Request) {
	script, err := readScript(http.MaxBytesReader(w, r.Body, maxScriptBytes))
	if err == nil {
		err = s.SetScript(script)
	}
	if err != nil {
		answerError(w, http.StatusBadRequest, "invalid_script", err.Error())
		return
	}
	answerJSON(w, s.currentScript())
}

// readScript takes one JSON value and no key that it does not know: a misspelt rule would do
// nothing, silently.
func readScript(r io.Reader) (Script, error) {
	dec := json.NewDecoder(r)
	dec.DisallowUnknownFields()
	var script Script
	if err := dec.Decode(&script); errors.Is(err, io.EOF) {
		return Script{}, errors.New(`read script: it is empty: write one like {"rules":[{"until":"2m","status":503}]}`)
	} else if err != nil {
		return Script{}, fmt.Errorf("read script: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return Script{}, errors.New("read script: there is more after the JSON value")
	}
	return script, nil
}

// shownEvent is a line of GET events.
type shownEvent struct {
	At        time.Time       `json:"at"`
	Path      string          `json:"path"`
	WriteKey  string          `json:"writeKey"`
	MessageID string          `json:"messageId,omitempty"`
	SentAt    string          `json:"sentAt,omitempty"`
	Event     json.RawMessage `json:"event"`
}

func (s *Server) getEvents(w http.ResponseWriter, r *http.Request) {
	args := r.URL.Query()
	q := Query{MessageID: args.Get("messageId"), WriteKey: args.Get("writeKey")}
	if v := args.Get("limit"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 {
			answerError(w, http.StatusBadRequest, "invalid_limit", "limit must be a whole number above 0")
			return
		}
		q.Limit = n
	}
	asArray, raw := args.Get("format") == "json", args.Get("raw") == "true"
	shown := []shownEvent{}
	for _, e := range s.Events(q) {
		event := e.Raw
		if !raw {
			event = e.Merged()
		}
		shown = append(shown, shownEvent{e.At, e.Path, e.WriteKey, e.MessageID, e.SentAt, event})
	}
	if asArray {
		answerJSON(w, shown)
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	for _, e := range shown {
		if enc.Encode(e) != nil {
			return // the client has gone
		}
	}
}

func answerJSON(w http.ResponseWriter, v any) {
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		answerError(w, http.StatusInternalServerError, "internal", err.Error())
		return
	}
	answerBody(w, http.StatusOK, "application/json", body.String())
}
