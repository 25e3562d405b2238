package console

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/spillwayhq/spillway/shared/message"
)

// Where a sighting was.
const (
	InQueue     = "events queue"
	InBulkQueue = "bulk queue"
	InDeadQueue = "dead-letter queue"
	AtSegment   = "Segment emulator"
	InSamples   = "samples"
	InArchive   = "archive"
)

// A Sighting is one trace of an event.
type Sighting struct {
	Sample
	Where        string
	DeadLetterID string // in the dead-letter queue
	Waits        string // in the events or bulk queue: why it is not delivered yet
	Object       string // in the archive: its name
	Replay       string // in the archive: the ID of the replay that sent it
	Payload      []byte // in the archive: the event itself, or the body that could not be read
}

// Why is why the event was not delivered: the reason and at most so many bytes of the detail, which
// begins with the reason where deliver has written it.
func (s Sighting) Why(most int) string {
	why, answer := strings.TrimSpace(s.Reason), message.Shorten(s.Answer, most)
	switch {
	case answer == "":
		return why
	case strings.HasPrefix(answer, why+": "):
		return answer
	}
	return why + ": " + answer
}

// A Place is where was looked for an event.
type Place struct {
	Name   string
	Says   string // what was searched, and what it can't tell
	Failed string // why nothing could be searched; empty: it could
	Left   int    // at least so many older traces are there, which the story has not
}

// A Story is what is known of the events that were looked for.
type Story struct {
	Query  string
	Events []StoryEvent // the one with the newest trace first
	More   int          // how many events of the user are not among them
	Looked []Place
}

// A StoryEvent is what is known of one event.
type StoryEvent struct {
	Sample              // what is known of the event itself, and its latest outcome
	Steps    []Sighting // oldest first
	IsIn     string     // where it is now: one of the places, or empty if that is not known
	Accepted time.Time  // when ingest or SQS accepted it; zero: not known
}

// MaxStory is how many events of a user a page shows.
const MaxStory = 20

// NewStory makes a story of sightings, of at most so many events.
func NewStory(query string, sightings []Sighting, looked []Place, most int) Story {
	s := Story{Query: query, Looked: looked}
	byID := map[string]*StoryEvent{}
	var order []*StoryEvent
	for _, at := range sightings {
		e := byID[at.MessageID]
		if e == nil || at.MessageID == "" { // one without an ID is nobody else's
			e = &StoryEvent{}
			byID[at.MessageID] = e
			order = append(order, e)
		}
		e.Steps = append(e.Steps, at)
	}
	for _, e := range order {
		e.finish()
	}
	slices.SortStableFunc(order, func(a, b *StoryEvent) int { return b.At.Compare(a.At) })
	if s.More = max(0, len(order)-most); s.More > 0 {
		order = order[:most]
	}
	for _, e := range order {
		s.Events = append(s.Events, *e)
	}
	return s
}

// finish derives what the steps say together.
func (e *StoryEvent) finish() {
	slices.SortStableFunc(e.Steps, func(a, b Sighting) int { return a.At.Compare(b.At) })
	e.Age = Unknown
	for _, s := range e.Steps {
		e.Type, e.Event, e.User = cmp.Or(s.Type, e.Type), cmp.Or(s.Event, e.Event), cmp.Or(s.User, e.User)
		e.MessageID, e.WriteKey = cmp.Or(s.MessageID, e.MessageID), cmp.Or(s.WriteKey, e.WriteKey)
		e.At = s.At
		if s.Outcome != "" {
			e.Outcome, e.Reason, e.Answer = s.Outcome, s.Reason, s.Answer
		}
		if s.Age > 0 && e.Accepted.IsZero() {
			e.Accepted = s.At.Add(-s.Age)
		}
	}
	// What a queue has now is there now; else the last outcome says where it went.
	for _, where := range []string{InDeadQueue, InBulkQueue, InQueue} {
		if slices.ContainsFunc(e.Steps, func(s Sighting) bool { return s.Where == where }) {
			e.IsIn = where
		}
	}
	if e.IsIn == "" && (e.Outcome == OutcomeDelivered ||
		slices.ContainsFunc(e.Steps, func(s Sighting) bool { return s.Where == AtSegment })) {
		e.IsIn = AtSegment
	}
}
