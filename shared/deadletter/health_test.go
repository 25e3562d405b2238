package deadletter

import (
	"testing"
	"time"

	"github.com/spillwayhq/spillway/shared/segment"
)

func TestSegmentIsFailingWhenMostCallsOfTheLastMinuteFailed(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 30, 0, time.UTC)
	for name, c := range map[string]struct {
		minute Minute
		want   string
	}{
		"nothing is known": {Minute{}, "<nil>"},
		"it answers":       {Minute{Start: now, Answered: 2, Failed: 2}, "<nil>"},
		"most calls failed": {Minute{Start: now.Add(-90 * time.Second), Answered: 2, Failed: 3},
			"calls to Segment are failing: it answered 2 of 5 calls in the minute of 11:59"},
		"the breaker is open": {Minute{Start: now, BreakerOpen: true},
			"calls to Segment are failing: the circuit breaker is open"},
		"the breaker of one environment is open": {Minute{Start: now, BreakerOpen: true, Answered: 4, Failed: 1}, "<nil>"},
		"the minute is too old": {Minute{Start: now.Add(-16 * time.Minute), BreakerOpen: true, Failed: 9},
			"<nil>"},
	} {
		err := c.minute.Failing(now)
		if got := "<nil>"; err != nil {
			got = err.Error()
			want(t, name, got, c.want)
		} else {
			want(t, name, got, c.want)
		}
	}
	var m Minute
	for _, class := range segment.Classes() {
		m.Add(class, 1)
	}
	want(t, "classes that say that Segment is up", m.Answered, 2)
}
