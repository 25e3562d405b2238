package why

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spillwayhq/spillway/cmd/spillway/console"
	"github.com/spillwayhq/spillway/cmd/spillway/terminal"
	"github.com/spillwayhq/spillway/shared/rawjson"
)

const (
	timeFormat = "2006-01-02 15:04:05 UTC"
	// maxAnswer is how much of Segment's answer a line shows; --json shows all.
	maxAnswer = 200
)

// Print prints a line for each event, the newest first, and for a query without a trace where it
// looked. flags name the pipeline in commands, like " --name spillway"; empty: the usual local one.
func Print(out, errOut io.Writer, s *console.Story, flags string) {
	for i := range s.Events {
		fmt.Fprintln(out, terminal.OneLine(Line(&s.Events[i], flags)))
	}
	if s.More > 0 || slices.ContainsFunc(s.Looked, func(p console.Place) bool { return p.Left > 0 }) {
		fmt.Fprintln(out, "… and older events: --limit shows more") // each place counts its own
	}
	for _, p := range s.Looked {
		switch {
		case p.Failed != "":
			fmt.Fprintf(errOut, "spillway: %s was not searched: %s\n", strings.ToLower(p.Name), terminal.OneLine(p.Failed))
		case len(s.Events) == 0:
			fmt.Fprintf(errOut, "%s: %s\n", p.Name, terminal.OneLine(p.Says))
		}
	}
}

// Line tells an event's story in one line. flags are those of Print.
func Line(e *console.StoryEvent, flags string) string {
	var b strings.Builder
	b.WriteString(e.At.UTC().Format(timeFormat))
	b.WriteString(" " + now(e) + " ")
	if e.Type != "" {
		b.WriteString(e.Type + " ")
	}
	if e.Event != "" {
		b.WriteString(strconv.QuoteToGraphic(e.Event) + " ")
	}
	for _, field := range [][2]string{{"user", e.User}, {"messageId", e.MessageID}, {"write key", e.WriteKey}} {
		if field[1] != "" {
			fmt.Fprintf(&b, "%s=%s ", strings.ReplaceAll(field[0], " ", "-"), field[1])
		}
	}
	return strings.TrimRight(b.String(), " ") + ": " + strings.Join(steps(e, flags), "; ")
}

// now is where the event is.
func now(e *console.StoryEvent) string {
	switch e.IsIn {
	case console.InDeadQueue:
		return "dead letter"
	case console.InQueue, console.InBulkQueue:
		return "waits"
	case console.AtSegment:
		return "delivered"
	}
	switch e.Outcome {
	case console.OutcomeDeadLettered:
		return "was a dead letter"
	case console.OutcomeRefused:
		return "refused"
	}
	return "not known where"
}

// steps are what happened, in clauses, and then what can be done. A step that several places tell is
// told once, and so is a reason that has not changed.
func steps(e *console.StoryEvent, flags string) []string {
	var clauses []string
	if !e.Accepted.IsZero() {
		clauses = append(clauses, "accepted at "+clock(e.Accepted, e.At))
	}
	var kind, replay, why, ids, object string
	deadLetters := 0
	for i := range e.Steps {
		s := &e.Steps[i]
		// Only the archive knows of a replay: the same step of another place has none.
		if k := kindOf(s); k != kind || s.Replay != "" && s.Replay != replay {
			if k != kind {
				why = ""
			}
			kind, replay = k, s.Replay
			told := s.Why(maxAnswer)
			clauses = append(clauses, clause(e, s, told == why))
			why = told
		}
		if s.Where == console.InDeadQueue {
			deadLetters++
			ids += " --id " + terminal.ShellWord(s.DeadLetterID)
		}
		if s.Where == console.InArchive && object == "" {
			object = s.Object
		}
	}
	if ids != "" {
		clauses = append(clauses, fmt.Sprintf("`spillway dlq redrive%s%s` sends %s again", flags, ids,
			map[bool]string{true: "it", false: "them"}[deadLetters == 1]))
	}
	if object != "" {
		clauses = append(clauses, "archived in "+object)
	}
	return clauses
}

// kindOf is what two places tell of the same step: its outcome and reason.
func kindOf(s *console.Sighting) string {
	switch s.Where {
	case console.InQueue, console.InBulkQueue:
		return s.Where
	case console.AtSegment:
		return console.OutcomeDelivered + " "
	}
	return s.Outcome + " " + s.Reason
}

// clause tells a step; known: its reason has been told.
func clause(e *console.StoryEvent, s *console.Sighting, known bool) string {
	at := " at " + clock(s.At, e.At)
	if s.Receives > 1 {
		at += fmt.Sprintf(" at attempt %d", s.Receives)
	}
	by := ""
	if s.Replay != "" {
		by = ", by replay " + s.Replay
	}
	why := ""
	if !known {
		why = " (" + s.Why(maxAnswer) + ")"
	}
	switch {
	case s.Where == console.InQueue:
		return s.Waits
	case s.Where == console.InBulkQueue:
		return "in the bulk queue " + s.Waits
	case s.Outcome == console.OutcomeDelivered || s.Where == console.AtSegment:
		took := ""
		if !e.Accepted.IsZero() {
			took = ", " + s.At.Sub(e.Accepted).Round(time.Millisecond).String() + " after it was accepted"
		}
		return "delivered" + at + took + by
	case s.Outcome == console.OutcomeRetried:
		return "retried" + at + why + by
	case s.Outcome == console.OutcomeDeadLettered:
		return "became a dead letter" + at + why + by
	}
	return s.Outcome + at + why
}

// clock is a time without its day if that is the day of the line.
func clock(t, line time.Time) string {
	t, line = t.UTC(), line.UTC()
	if t.YearDay() == line.YearDay() && t.Year() == line.Year() {
		return t.Format("15:04:05.000")
	}
	return t.Format(timeFormat)
}

// The document of --json.
type (
	document struct {
		Query    string          `json:"query"`
		Events   []eventDocument `json:"events"`
		More     int             `json:"more,omitempty"` // events of the user that were found and are not in Events
		Searched []placeDocument `json:"searched"`
	}
	eventDocument struct {
		MessageID string          `json:"messageId,omitempty"`
		Type      string          `json:"type,omitempty"`
		Event     string          `json:"event,omitempty"`
		User      string          `json:"user,omitempty"`
		WriteKey  string          `json:"writeKey,omitempty"` // its name or fingerprint
		Accepted  time.Time       `json:"acceptedAt,omitzero"`
		Now       string          `json:"now"`
		Steps     []stepDocument  `json:"steps"`
		Payload   json.RawMessage `json:"payload,omitempty"` // a string if it is not JSON
	}
	stepDocument struct {
		At         time.Time `json:"at"`
		Where      string    `json:"where"`
		Outcome    string    `json:"outcome,omitempty"`
		Reason     string    `json:"reason,omitempty"`
		Detail     string    `json:"detail,omitempty"`
		Receives   int       `json:"receives,omitempty"`
		DeadLetter string    `json:"deadLetterId,omitempty"`
		Object     string    `json:"object,omitempty"`
		Replay     string    `json:"replay,omitempty"`
	}
	placeDocument struct {
		Name   string `json:"name"`
		Says   string `json:"says,omitempty"`
		Failed string `json:"failed,omitempty"`
		Left   int    `json:"left,omitempty"` // at least so many older traces are not in Events
	}
)

// WriteJSON writes all of a story as one JSON object.
func WriteJSON(out io.Writer, s *console.Story) error {
	d := document{Query: s.Query, Events: []eventDocument{}, More: s.More}
	for i := range s.Events {
		e := &s.Events[i]
		one := eventDocument{MessageID: e.MessageID, Type: e.Type, Event: e.Event, User: e.User, WriteKey: e.WriteKey,
			Accepted: e.Accepted.UTC(), Now: now(e)}
		for _, s := range e.Steps {
			one.Steps = append(one.Steps, stepDocument{At: s.At.UTC(), Where: s.Where, Outcome: s.Outcome, Reason: s.Reason,
				Detail: s.Answer, Receives: s.Receives, DeadLetter: s.DeadLetterID, Object: s.Object, Replay: s.Replay})
			if len(s.Payload) > 0 {
				one.Payload = asJSON(s.Payload)
			}
		}
		d.Events = append(d.Events, one)
	}
	for _, p := range s.Looked {
		d.Searched = append(d.Searched, placeDocument(p))
	}
	return terminal.WriteJSON(out, d)
}

func asJSON(payload []byte) json.RawMessage {
	if utf8.Valid(payload) && rawjson.Valid(payload) {
		return payload
	}
	return rawjson.AppendQuoted(nil, string(payload))
}
