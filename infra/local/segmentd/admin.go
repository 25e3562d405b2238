package segmentd

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
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
		script, _ := s.Script()
		answerJSON(w, script)
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
	script, _ = a.s.Script()
	answerJSON(w, script)
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
		return Script{}, fmt.Errorf("read script: %w", explainJSON(err))
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return Script{}, errors.New("read script: unexpected data after the JSON value")
	}
	return script, nil
}

// explainJSON says in the words of JSON what encoding/json says in those of Go's types.
func explainJSON(err error) error {
	wrong, ok := errors.AsType[*json.UnmarshalTypeError](err)
	if !ok {
		return errors.New(strings.TrimPrefix(err.Error(), "json: "))
	}
	field := wrong.Field
	if field == "" {
		field = "the script"
	}
	is, isNumber := strings.CutPrefix(wrong.Value, "number ")
	if !isNumber {
		is = map[string]string{"string": "a string", "number": "a number", "bool": "true or false", "array": "an array",
			"object": "an object"}[wrong.Value]
	}
	return fmt.Errorf("%s must be %s, is %s", field, expected(wrong.Type), is)
}

// expected says what JSON a type takes.
func expected(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[Duration]():
		return `a duration like "250ms" or "1m30s"`
	case reflect.TypeFor[Moment]():
		return `a duration from now like "30s", or a time like "2026-11-23T10:00:00Z"`
	}
	switch t.Kind() {
	case reflect.Int:
		return "a whole number"
	case reflect.Uint64:
		return "a whole number above or equal to 0"
	case reflect.Float64:
		return "a number"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice:
		return "an array"
	case reflect.Struct:
		return "an object"
	}
	return "a string"
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
