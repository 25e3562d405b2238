package deadletter

import (
	"errors"
	"fmt"
	"time"

	"github.com/spillwayhq/spillway/shared/segment"
)

// A Minute counts what Segment answered in one minute.
type Minute struct {
	Start    time.Time `json:"start"`
	Answered int       `json:"answered"` // calls that Segment accepted or refused for their content: it is up
	// calls that Segment throttled, or refused for the write key or the address, or did not answer
	Failed      int  `json:"failed"`
	BreakerOpen bool `json:"breakerOpen"`
}

// Add counts calls with an answer of the given class.
func (m *Minute) Add(class segment.Class, calls int) {
	if class == segment.Delivered || class == segment.Rejected {
		m.Answered += calls
		return
	}
	m.Failed += calls
}

// maxHealthAge is how old the last minute with a delivery may be: since then every message that was
// retried has been tried again.
const maxHealthAge = 15 * time.Minute

// ErrFailing says that a redrive would not help now: the dead letters would be retried with the
// other messages, or become dead letters again.
var ErrFailing = errors.New("calls to Segment are failing")

// Failing returns an error that wraps [ErrFailing] if most calls of the minute failed, or the
// breaker is open and none succeeded. It returns nil if m is too old to say anything about now.
func (m Minute) Failing(now time.Time) error {
	switch {
	case now.Sub(m.Start) > maxHealthAge:
		return nil
	case m.BreakerOpen && m.Answered == 0:
		return fmt.Errorf("%w: the circuit breaker is open", ErrFailing)
	case m.Failed > m.Answered:
		return fmt.Errorf("%w: it answered %d of %d calls in the minute of %s", ErrFailing, m.Answered, m.Answered+m.Failed,
			m.Start.UTC().Format("15:04"))
	}
	return nil
}
