package deadletter

import (
	"errors"
	"fmt"
	"time"

	"github.com/spillwayhq/spillway/shared/segment"
)

// A Minute is what the deliveries of one minute say of Segment.
type Minute struct {
	Start    time.Time `json:"start"`
	Answered int       `json:"answered"` // calls that Segment took or refused for their content: it is there
	// calls that were throttled, refused for the write key or the address, or got no answer
	Failed      int  `json:"failed"`
	BreakerOpen bool `json:"breakerOpen"`
}

// Add counts a call of that class.
func (m *Minute) Add(class segment.Class, calls int) {
	if class == segment.Delivered || class == segment.Rejected {
		m.Answered += calls
		return
	}
	m.Failed += calls
}

// healthAge is how old the last minute may be in which anything was delivered: then every message
// that waits has been tried again.
const healthAge = 15 * time.Minute

// ErrFailing is why letters are not sent again: they would wait with the rest, or come back.
var ErrFailing = errors.New("calls to Segment are failing")

// Failing says why Segment is taken to fail, by the last minute in which the function called it or
// would have; nil when it takes events, or when that is too long ago to tell.
func (m Minute) Failing(now time.Time) error {
	switch {
	case now.Sub(m.Start) > healthAge:
		return nil
	case m.BreakerOpen && m.Answered == 0:
		return fmt.Errorf("%w: the circuit breaker is open", ErrFailing)
	case m.Failed > m.Answered:
		return fmt.Errorf("%w: it answered %d of %d calls in the minute of %s", ErrFailing, m.Answered, m.Answered+m.Failed,
			m.Start.UTC().Format("15:04"))
	}
	return nil
}
