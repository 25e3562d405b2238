package forget

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"github.com/spillwayhq/spillway/shared/archive"
	"github.com/spillwayhq/spillway/shared/deadletter"
	"github.com/spillwayhq/spillway/shared/event"
)

// Where an event was found.
const (
	InArchive     = "archive"
	InDeadLetters = "dead letters"
)

// A Found is a line of the list of what is removed. It does not hold the event itself.
type Found struct {
	Where      string    `json:"where"`
	Object     string    `json:"object,omitempty"`       // in the archive
	DeadLetter string    `json:"deadLetterId,omitempty"` // in the dead letters
	Time       time.Time `json:"time,omitzero"`          // of its outcome; of a dead letter, when it was received
	Outcome    string    `json:"outcome,omitempty"`
	Reason     string    `json:"reason,omitempty"`
	MessageID  string    `json:"messageId,omitempty"`
	Type       string    `json:"type,omitempty"`
	Event      string    `json:"event,omitempty"` // its name
	By         string    `json:"by"`              // ByUserID, …; ByText
}

// ByText is how a body that can't be read names a person: somewhere.
const ByText = "text"

func newFound(s *event.Summary, by string) Found {
	return Found{MessageID: s.MessageID, Type: s.Type, Event: s.Name, By: by}
}

func foundInArchive(object string, r *archive.Record, s *event.Summary, by string) Found {
	f := newFound(s, by)
	f.Where, f.Object, f.Time, f.Outcome, f.Reason = InArchive, object, r.Time.UTC(), r.Outcome, r.Reason
	return f
}

func foundInDeadLetter(r *deadletter.Removed, s *event.Summary, by string) Found {
	f := newFound(s, by)
	f.Where, f.DeadLetter, f.Time, f.Reason = InDeadLetters, r.DeadLetterID, r.FirstSeen.UTC(), r.Reason
	f.MessageID = r.MessageID
	return f
}

// lines are the list's lines for what was found.
func lines(found []Found) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	for i := range found {
		if err := e.Encode(&found[i]); err != nil {
			return nil, fmt.Errorf("write down what was found: %w", err)
		}
	}
	return b.Bytes(), nil
}
