package cloudwatch

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spillwayhq/spillway/infra/topology"
)

// A composite is an alarm over other alarms.
type composite struct {
	topology.Composite
}

// addComposites adds the composite alarms, and takes the action of their parts away.
func (e *Evaluator) addComposites(all []topology.Composite) error {
	for _, c := range all {
		e.composites = append(e.composites, &composite{Composite: c})
		e.states[c.Name] = &AlarmState{Name: c.Name, Severity: c.Severity, Composite: true, State: InsufficientData}
	}
	for _, c := range all {
		for _, child := range c.Any {
			if _, ok := e.states[child]; !ok {
				return fmt.Errorf("alarm %s: the alarm %s does not exist", c.Name, child)
			}
			if i := slices.IndexFunc(e.alarms, func(a *metricAlarm) bool { return a.Name == child }); i >= 0 {
				e.alarms[i].part = true
			}
		}
	}
	return nil
}

// evaluateComposites evaluates the composites, given which alarms fire.
func (e *Evaluator) evaluateComposites(now time.Time, firing map[string]bool) []Change {
	var changes []Change
	for _, c := range e.composites {
		var causes []string
		for _, child := range c.Any {
			if firing[child] {
				causes = append(causes, child)
			}
		}
		to, reason := OK, "none of its alarms fires"
		if len(causes) > 0 {
			to, reason = Alarm, strings.Join(causes, ", ")+": ALARM"
		}
		if s := e.states[c.Name]; to != s.State {
			changes = append(changes, e.change(now, s, to, reason, to == Alarm))
		}
	}
	return changes
}
