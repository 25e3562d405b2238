package cloudwatch

import (
	"fmt"
	"slices"
	"time"

	"github.com/spillwayhq/spillway/infra/topology"
)

// Stream returns what the data of an alarm over one metric says to somebody who reads it and does
// not look at the alarm's state, as Route 53 does for a health check. Of the alarm they know the
// metric, the threshold and N, and nothing of M or of how it treats missing data: without enough
// data the state is INSUFFICIENT_DATA (Route 53 API reference, "CloudWatchAlarmConfiguration"). The
// error names an alarm that does not exist.
func (e *Evaluator) Stream(alarm string, now time.Time) (State, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	i := slices.IndexFunc(e.alarms, func(a *metricAlarm) bool { return a.Name == alarm })
	if i < 0 {
		return "", fmt.Errorf("alarm %s: it does not exist", alarm)
	}
	a := e.alarms[i]
	values, ok := e.values(a, now, &e.assumed.Lags)
	if !ok {
		return InsufficientData, nil
	}
	r := a.rule
	r.m, r.missing = r.n, topology.MissingIsUnknown
	return r.decide(values, InsufficientData), nil
}
