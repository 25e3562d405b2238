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

// adminPrefix begins the paths that read and script the emulator. Segment has none of them.
const adminPrefix = "/_segmentd/"

// maxScriptBytes is the maximum size of the body of a PUT script.
const maxScriptBytes = 1 << 20

// admin answers the requests under adminPrefix, which Segment's API does not have.
type admin struct{ s *Server }

// serve answers
//
//	GET, PUT, DELETE /_segmentd/script   the script; DELETE ends it
//	GET              /_segmentd/stats    Stats as JSON
//	GET              /_segmentd/events   the last events: ?limit= &messageId= &writeKey= &raw=true &format=json
//	POST             /_segmentd/reset    forgets events and counts
//	GET              /_segmentd/login    the page that FaultRedirect leads to
//
// Events are NDJSON, one a line, oldest first, or one array with format=json. Each event is merged
// with its batch, or as it arrived with raw=true, without insignificant space.
func (a admin) serve(w http.ResponseWriter, r *http.Request) {
	s := a.s
	switch what := r.Method + " " + r.URL.Path; what {
	case "GET " + adminPrefix + "script":
		answerJSON(w, s.currentScript())
	case "PUT " + adminPrefix + "script":
		a.putScript(w, r)
	case "DELETE " + adminPrefix + "script":
		s.script.Store(nil)
		answerBody(w, http.StatusOK, "application/json", successBody)
	case "GET " + adminPrefix + "stats":
		answerJSON(w, s.Stats())
	case "GET " + adminPrefix + "events":
		a.getEvents(w, r)
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
		answerError(w, status, "not_found",
			what+" is unknown (known: GET, PUT, DELETE script; GET stats; GET events; POST reset)")
	}
}

func (a admin) putScript(w http.ResponseWriter, r *http.Request) {
	script, err := readScript(http.MaxBytesReader(w, r.Body, maxScriptBytes))
	if err == nil {
		err = a.s.SetScript(script)
	}
	if err != nil {
		answerError(w, http.StatusBadRequest, "invalid_script", err.Error())
		return
	}
	answerJSON(w, a.s.currentScript())
}

// readScript reads one JSON value. It refuses unknown keys: a misspelt rule would silently do
// nothing.
func readScript(r io.Reader) (Script, error) {
	dec := json.NewDecoder(r)
	dec.DisallowUnknownFields()
	var script Script
	if err := dec.Decode(&script); errors.Is(err, io.EOF) {
		return Script{}, errors.New(`read script: it is empty; an example: {"rules":[{"until":"2m","status":503}]}`)
	} else if err != nil {
		return Script{}, fmt.Errorf("read script: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return Script{}, errors.New("read script: unexpected data after the JSON value")
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

func (a admin) getEvents(w http.ResponseWriter, r *http.Request) {
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
	for _, e := range a.s.Events(q) {
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
