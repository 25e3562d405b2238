package cloudwatch

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spillwayhq/spillway/infra/topology"
)

// A composite is an alarm over other alarms, and the action that it may hold back.
type composite struct {
	topology.Composite
	parts    []*metricAlarm
	notifies bool
	pending  bool // it fires, and its action has not run
	// suppressing is whether its suppressor fires, and ended when that last stopped.
	suppressing bool
	ended       time.Time
}

func (e *Evaluator) addComposites(t *topology.Topology) error {
	for _, c := range t.Composites {
		added := &composite{Composite: c, notifies: t.Notifies(c.Name) != ""}
		for _, name := range c.Any {
			i := slices.IndexFunc(e.alarms, func(a *metricAlarm) bool { return a.Name == name })
			if i < 0 {
				return fmt.Errorf("alarm %s: the alarm %s does not exist", c.Name, name)
			}
			added.parts = append(added.parts, e.alarms[i])
		}
		e.composites = append(e.composites, added)
		e.states[c.Name] = &AlarmState{Name: c.Name, Severity: c.Severity, Composite: true, State: InsufficientData}
	}
	for _, c := range t.Composites {
		if s := e.states[c.Suppressor]; c.Suppressor != "" && (s == nil || c.Suppressor == c.Name) {
			return fmt.Errorf("alarm %s: its suppressor %q is no other alarm", c.Name, c.Suppressor)
		}
	}
	return nil
}

// evaluateComposites evaluates the composites, and then runs their actions: a suppressor may be any
// of them.
func (e *Evaluator) evaluateComposites(now time.Time) []Change {
	changes := map[string]Change{}
	for _, c := range e.composites {
		var causes []string
		for _, part := range c.parts {
			state := e.states[part.Name].State
			if e.assumed.CompositeDelay > 0 {
				state = part.before
			}
			if state == Alarm {
				causes = append(causes, part.Name)
			}
		}
		to, reason := OK, "none of its alarms fires"
		if len(causes) > 0 {
			to, reason = Alarm, strings.Join(causes, ", ")+": ALARM"
		}
		if s := e.states[c.Name]; to != s.State {
			changes[c.Name] = e.change(now, s, to, reason, false)
			c.pending = to == Alarm && c.notifies
		}
	}
	var inOrder []Change
	for _, c := range e.composites {
		change, changed := changes[c.Name]
		s := e.states[c.Name]
		if c.act(now, s, e.states[c.Suppressor]) {
			if !changed {
				change = Change{At: now, Alarm: c.Name, From: Alarm, To: Alarm, Reason: s.Reason}
			}
			s.Notified, change.Notified, changed = true, true, true
		}
		if changed {
			inOrder = append(inOrder, change)
		}
	}
	return inOrder
}

// act reports whether the composite's action runs now, and says in its state what holds it back.
// While the suppressor fires it does not, nor for the extension period after that, nor while it
// waits for the suppressor (user guide, "Suppressing composite alarm actions"). An action that has
// run does not run again in the same outage.
func (c *composite) act(now time.Time, s, suppressor *AlarmState) bool {
	if suppressor != nil {
		if suppressing := suppressor.State == Alarm; suppressing != c.suppressing {
			c.suppressing = suppressing
			if !suppressing {
				c.ended = now
			}
		}
	}
	s.SuppressedBy = ""
	if !c.pending {
		return false
	}
	switch {
	case c.suppressing:
		s.SuppressedBy = c.Suppressor + " fires"
	case !c.ended.IsZero() && now.Before(c.ended.Add(c.Extension)):
		s.SuppressedBy = fmt.Sprintf("%s stopped less than %v ago", c.Suppressor, c.Extension)
	case suppressor != nil && c.Wait >= time.Minute && now.Before(s.Since.Add(c.Wait)):
		// Alarms are evaluated once a minute: nothing changes during a shorter wait.
		s.SuppressedBy = fmt.Sprintf("waiting up to %v for %s", c.Wait, c.Suppressor)
	default:
		c.pending = false
		return true
	}
	return false
}
