package replay

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spillwayhq/spillway/shared/archive"
	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/rawjson"
)

// A Selection is which events of the archive are meant. Within a field one of the values is enough;
// an empty field leaves all.
type Selection struct {
	From time.Time `json:"from"` // of the outcome, to the millisecond
	To   time.Time `json:"to"`   // the first moment that is not meant

	Events    []string `json:"events,omitempty"`    // names of tracks, and types of other events
	Users     []string `json:"users,omitempty"`     // userIds and anonymousIds
	WriteKeys []string `json:"writeKeys,omitempty"` // keys, or what event.KeyID makes of them; DefaultKey: none
	Outcome   string   `json:"outcome,omitempty"`   // archive.Delivered or archive.DeadLettered
	Reasons   []string `json:"reasons,omitempty"`   // of dead letters
	// Late is how long after their outcome events may have come into the archive: as long as it was
	// away. Objects up to so much after To are read; DefaultLate after it are read always.
	Late time.Duration `json:"late,omitempty"`
	// Replayed selects also what a replay has delivered.
	Replayed bool `json:"replayed,omitempty"`
}

// DefaultKey selects records without a write key. What was sent with the configured default has that
// one in its record.
const DefaultKey = "default"

// Errors of a Selection whose range of times can't have an event.
var (
	ErrReversed = errors.New("the range of times ends before it begins")
	ErrEmpty    = errors.New("the range of times is empty")
	ErrFuture   = errors.New("the range of times is in the future")
)

// Validate checks the selection at the time now.
func (s *Selection) Validate(now time.Time) error {
	switch {
	case s.To.Before(s.From):
		return ErrReversed
	case !s.From.Before(s.To):
		return ErrEmpty
	case s.From.After(now):
		return ErrFuture
	case s.Late < 0:
		return fmt.Errorf("how late events may be archived must be at least 0, is %v", s.Late)
	case s.Outcome != "" && s.Outcome != archive.Delivered && s.Outcome != archive.DeadLettered:
		return fmt.Errorf("the outcome must be %s or %s, is %q", archive.Delivered, archive.DeadLettered, s.Outcome)
	case s.Outcome == archive.Delivered && len(s.Reasons) > 0:
		return errors.New("a delivered event has no reason: leave the reason or the outcome out")
	}
	for _, values := range [][]string{s.Events, s.Users, s.WriteKeys} {
		if slices.Contains(values, "") {
			return errors.New("no event has an empty name, user or write key")
		}
	}
	for _, reason := range s.Reasons {
		if !slices.Contains(message.Reasons(), reason) {
			return fmt.Errorf("unknown reason %q (known: %s)", reason, strings.Join(message.Reasons(), ", "))
		}
	}
	return nil
}

// slack is how much earlier or later than its outcome an event may have arrived in the archive, by
// whose hour objects are named: Firehose waits up to 15 minutes for more, and what it does not take
// waits in the bulk queue.
const slack = time.Hour

// DefaultLate is how long after their outcome events may come into an archive that was not away.
const DefaultLate = slack

// hours are the first and the last hour whose objects may have events of the selection.
func (s *Selection) hours() (from, to time.Time) {
	return s.From.Add(-slack), s.To.Add(max(slack, s.Late))
}

// A matcher finds the lines of a selection. It looks at their bytes first, because most lines of an
// archive are not meant: reading each as JSON takes longer than reading the object. It is safe for
// concurrent use.
type matcher struct {
	Selection
	from, to []byte // as a line has them
	needles  []archive.Needle
}

const (
	lineStart = `{"time":"`
	timeEnd   = len(lineStart) + len("2006-01-02T15:04:05.000Z") // event.TimeFormat in UTC
)

func newMatcher(s Selection) *matcher {
	m := &matcher{Selection: s}
	// A line has its time to the millisecond, cut off.
	m.from = s.From.UTC().Add(time.Millisecond-1).AppendFormat(nil, event.TimeFormat)
	m.to = s.To.UTC().Add(time.Millisecond-1).AppendFormat(nil, event.TimeFormat)
	for _, values := range [][]string{s.Events, s.Users, s.Reasons} {
		if len(values) > 0 {
			m.needles = append(m.needles, archive.NewNeedle(values...))
		}
	}
	if s.Outcome != "" {
		m.needles = append(m.needles, archive.NewNeedle(`"outcome":"`+s.Outcome+`"`))
	}
	return m
}

// mayMatch reports whether a line may be meant. It never refuses one that is.
func (m *matcher) mayMatch(line []byte) bool {
	if len(line) >= timeEnd && string(line[:len(lineStart)]) == lineStart && line[timeEnd-1] == 'Z' {
		if at := line[len(lineStart):timeEnd]; bytes.Compare(at, m.from) < 0 || bytes.Compare(at, m.to) >= 0 {
			return false
		}
	}
	for _, n := range m.needles {
		if !n.MayBeIn(line) {
			return false
		}
	}
	return true
}

// inTime reports whether a record's time is in the range.
func (m *matcher) inTime(r *archive.Record) bool {
	return !r.Time.Before(m.From) && r.Time.Before(m.To)
}

// matches reports whether a record is meant, as far as the record says it. Events and Users are
// looked for in e, its event.
func (m *matcher) matches(r *archive.Record, e *event.Event) bool {
	return m.inTime(r) && (m.Outcome == "" || m.Outcome == r.Outcome) &&
		(len(m.Reasons) == 0 || slices.Contains(m.Reasons, r.Reason)) &&
		(len(m.WriteKeys) == 0 || m.hasKey(r.WriteKey)) &&
		(len(m.Events) == 0 || slices.Contains(m.Events, string(e.Name()))) &&
		(len(m.Users) == 0 || slices.Contains(m.Users, string(e.User())) || slices.Contains(m.Users, string(e.Anonymous())))
}

func (m *matcher) hasKey(key string) bool {
	if key == "" {
		return slices.Contains(m.WriteKeys, DefaultKey)
	}
	return slices.Contains(m.WriteKeys, key) || slices.Contains(m.WriteKeys, event.KeyID(key))
}

// scanRecord scans a record's event. ok is false if that is no event but a body that could not be
// read: e then has no name and no user.
func scanRecord(s *rawjson.Scanner, r *archive.Record, e *event.Event) (ok bool) {
	s.Reset(r.Event)
	if event.Scan(s, r.Event, e) != nil || s.End() != nil || !rawjson.IsObject(e.Raw) {
		*e = event.Event{}
		return false
	}
	return !isBody(e.Raw)
}

// isBody reports whether an object is a whole message and no event: what could not be delivered at
// all is archived as it came.
func isBody(object []byte) bool {
	if !bytes.Contains(object, []byte(`"batch"`)) {
		return false
	}
	var s rawjson.Scanner
	s.Reset(object)
	for s.Enter('{'); ; {
		key, ok := s.Field()
		if !ok {
			return false
		}
		if string(key) == "batch" && s.Peek() == '[' {
			return true
		}
		s.Value()
	}
}
