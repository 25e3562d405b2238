package deadletter

import (
	"errors"
	"fmt"
	"time"

	"github.com/spillwayhq/spillway/shared/segment"
)

// A Minute is what the deliveries of one minute say about Segment.
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

// ErrFailing is why a redrive does not send dead letters: they would wait with the other messages,
// or become dead letters again.
var ErrFailing = errors.New("calls to Segment are failing")

// Failing returns why Segment seems to fail, by the last minute in which deliver called it or would
// have; nil when it takes events, or when that minute is too long ago to tell. The error wraps
// [ErrFailing].
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
