package cloudwatch

import (
	"math"

	"github.com/spillwayhq/spillway/infra/topology"
)

// A State is an alarm's, by CloudWatch's names.
type State string

// The states of an alarm.
const (
	OK               State = "OK"
	Alarm            State = "ALARM"
	InsufficientData State = "INSUFFICIENT_DATA"
)

// A rule is what makes a state of an alarm's values: M of N.
type rule struct {
	n, m      int // how many values count, and how many of them must breach
	threshold float64
	below     bool
	missing   topology.Missing
}

func (r *rule) breaches(v float64) bool {
	if r.below {
		return v < r.threshold
	}
	return v > r.threshold
}

// decide returns the state that follows from the values of the evaluation range, the oldest first;
// NaN is a missing one (user guide, "Configuring how CloudWatch alarms treat missing data"):
//   - With N real values in the range the newest N decide, wherever they lie.
//   - With fewer all of them count, and only the shortfall is treated as the alarm says.
func (r *rule) decide(values []float64, now State) State {
	real, breaching := r.newest(values)
	switch shortfall := r.n - real; {
	case breaching >= r.m:
		return Alarm
	case breaching+shortfall < r.m: // whatever the missing ones would be
		return OK
	case r.missing == topology.MissingIsBad:
		return Alarm
	case r.missing == topology.MissingIsGood:
		return OK
	case real > breaching:
		return OK
	case r.missing == topology.MissingIsSilent:
		return now
	case real > 0 && r.aged(values):
		return Alarm
	}
	return InsufficientData
}

// newest counts the newest real values, at most N, and those of them that breach.
func (r *rule) newest(values []float64) (real, breaching int) {
	for i := len(values) - 1; i >= 0 && real < r.n; i-- {
		if math.IsNaN(values[i]) {
			continue
		}
		real++
		if r.breaches(values[i]) {
			breaching++
		}
	}
	return real, breaching
}

// coming counts how far the rule has got on its way to M breaching values: M less the values that
// must still breach, if from now on each does. It is 0 while the newest one does not breach.
func (r *rule) coming(values []float64) int {
	var breach []bool // of the newest real values, the newest first
	for i := len(values) - 1; i >= 0 && len(breach) < r.n; i-- {
		if !math.IsNaN(values[i]) {
			breach = append(breach, r.breaches(values[i]))
		}
	}
	if len(breach) == 0 || !breach[0] {
		return 0
	}
	for more := range r.m {
		stays := 0 // of those that are still among the newest N then
		for _, b := range breach[:min(len(breach), r.n-more)] {
			if b {
				stays++
			}
		}
		if stays+more >= r.m {
			return r.m - more
		}
	}
	return 0
}

// aged reports whether the oldest breaching value is as old as the M-th newest period: then the
// alarm fires although fewer than M breach. A newer one may be followed by a good one (user guide,
// "Avoiding premature transitions to alarm state").
func (r *rule) aged(values []float64) bool {
	for i, v := range values {
		if !math.IsNaN(v) && r.breaches(v) {
			return len(values)-i >= r.m
		}
	}
	return false
}
