package canary

import (
	"fmt"
	"time"
)

// MaxDrill is how long canaries may be dropped to try the alarms: they take up to ten minutes to
// fire, and as long nobody would see that the pipeline is really down.
const MaxDrill = 15 * time.Minute

// DrillText is the text of a parameter that says until when canaries are dropped.
func DrillText(until time.Time) string { return until.UTC().Format(time.RFC3339) }

// ParseDrill reads a text of [DrillText]. A time of more than [MaxDrill] after now is an error; one
// that is over is none.
func ParseDrill(text string, now time.Time) (until time.Time, err error) {
	until, err = time.Parse(time.RFC3339, text)
	switch {
	case err != nil:
		return time.Time{}, fmt.Errorf("the end of the drill must be a time like %s", DrillText(time.Unix(0, 0)))
	case until.Sub(now) > MaxDrill+clockSkew:
		return time.Time{}, fmt.Errorf("the end of the drill must be at most %v ahead, is %s", MaxDrill, DrillText(until))
	}
	return until, nil
}

// clockSkew is how far the clock that set the time may be ahead.
const clockSkew = time.Minute
