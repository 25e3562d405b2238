package cloudwatch

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/infra/topology/metricmath"
)

// A Change is what an evaluation changed about an alarm.
type Change struct {
	At       time.Time
	Alarm    string
	From, To State // the same if only the suppressed action of a composite alarm ran now
	Reason   string
	// Notified: the alarm's action ran, so somebody was told. It never does for an alarm that is
	// part of a composite, for one whose actions are suppressed, or for another state than ALARM.
	Notified bool
}

// An AlarmState is how an alarm stands.
type AlarmState struct {
	Name      string
	Severity  topology.Severity
	Composite bool
	State     State
	Since     time.Time // of the last change; zero: there was none
	Reason    string
	Notified  bool // its action ran since then
	// SuppressedBy says what holds a composite's action back; empty if nothing does.
	SuppressedBy string
}

// multiDay is the length of evaluation beyond which CloudWatch evaluates an alarm once an hour,
// with the data up to the full hour, and multiDayMinute the minute of the hour in its example (user
// guide, "Alarm evaluation").
const (
	multiDay       = 24 * time.Hour
	multiDayMinute = 3
)

// An Evaluator evaluates the alarms of a topology. It is safe for concurrent use.
type Evaluator struct {
	store   *Store
	assumed Assumptions
	polled  map[string]bool // queues with an event source

	mu         sync.Mutex
	alarms     []*metricAlarm
	composites []*composite
	states     map[string]*AlarmState
}

// A metricAlarm is an alarm over metrics, ready to be evaluated.
type metricAlarm struct {
	topology.Alarm
	rule       rule
	expression *metricmath.Expression
	metrics    []reading
	computed   []float64 // what the expression made of the metrics' values; nil: nothing yet
	before     State     // the evaluation before
	notifies   bool      // it has an action of its own, because it is no part of a composite
}

// A reading is a metric and how it is summarised.
type reading struct {
	id        string
	key       Key
	statistic statistic
	series    *series   // nil until there is a value
	values    []float64 // of the last evaluation
	next      []float64 // room for those of the next one
}

// read reads the values, and reports whether they are others than before.
func (r *reading) read(first, per int64, visible *visibility) (changed bool) {
	r.series.read(r.next, first, per, r.statistic, visible)
	if slices.EqualFunc(r.next, r.values, func(a, b float64) bool { return math.Float64bits(a) == math.Float64bits(b) }) {
		return false
	}
	r.values, r.next = r.next, r.values
	return true
}

// New returns an Evaluator of the topology's alarms over a store, whose states are
// INSUFFICIENT_DATA until the first evaluation. The store then holds each metric as long as the
// alarms need it. The error names the alarm whose metric math, statistic or children CloudWatch
// would not take.
func New(t *topology.Topology, s *Store, a Assumptions) (*Evaluator, error) {
	e := &Evaluator{store: s, assumed: a, polled: map[string]bool{}, states: map[string]*AlarmState{}}
	for _, source := range t.EventSources {
		e.polled[source.Queue] = true
	}
	for _, alarm := range t.Alarms {
		m, err := e.newAlarm(alarm)
		if err != nil {
			return nil, fmt.Errorf("alarm %s: %w", alarm.Name, err)
		}
		m.notifies = t.Notifies(alarm.Name) != ""
		e.alarms = append(e.alarms, m)
		e.states[alarm.Name] = &AlarmState{Name: alarm.Name, Severity: alarm.Severity, State: InsufficientData}
	}
	if err := e.addComposites(t); err != nil {
		return nil, err
	}
	return e, nil
}

func (e *Evaluator) newAlarm(a topology.Alarm) (*metricAlarm, error) {
	m := &metricAlarm{Alarm: a, rule: rule{
		n: a.Periods, m: a.Breaching, threshold: a.Threshold, below: a.Below, missing: a.Missing,
	}}
	if len(a.Metrics) == 0 || a.Periods < 1 || a.Breaching < 1 || a.Period < time.Minute {
		return nil, fmt.Errorf("it needs at least one metric, one period of a minute or more and one breaching value; "+
			"has %d, %d of %v and %d", len(a.Metrics), a.Periods, a.Period, a.Breaching)
	}
	for _, metric := range a.Metrics {
		statistic, err := parseStatistic(metric.Statistic)
		if err != nil {
			return nil, fmt.Errorf("metric %s: %w", metric.Name, err)
		}
		n := a.Periods + e.assumed.BeyondRange
		m.metrics = append(m.metrics, reading{id: metric.ID, key: KeyOf(metric), statistic: statistic,
			values: make([]float64, n), next: make([]float64, n)})
		e.store.Keep(KeyOf(metric), time.Duration(a.Periods+e.assumed.BeyondRange)*a.Period+multiDay)
	}
	expression, err := metricmath.Parse(cmp.Or(a.Expression, a.Metrics[0].ID))
	if err != nil {
		return nil, err
	}
	for _, id := range expression.Metrics() {
		if !slices.ContainsFunc(m.metrics, func(r reading) bool { return r.id == id }) {
			return nil, fmt.Errorf("metric math %q: there is no metric with the ID %q", a.Expression, id)
		}
	}
	m.expression = expression
	return m, nil
}

// Evaluate evaluates every alarm at the end of the last full minute before now, and then the
// composites. It is called once a minute. The changes are in the order of the topology.
func (e *Evaluator) Evaluate(now time.Time) []Change {
	e.mu.Lock()
	defer e.mu.Unlock()
	var changes []Change
	for _, a := range e.alarms {
		a.before = e.states[a.Name].State
		values, ok := e.values(a, now, &e.assumed.Lags)
		if !ok {
			continue
		}
		state := e.states[a.Name]
		to := a.rule.decide(values, state.State)
		if to == state.State {
			continue
		}
		changes = append(changes, e.change(now, state, to, a.reason(values), to == Alarm && a.notifies))
	}
	return append(changes, e.evaluateComposites(now)...)
}

// change sets an alarm's state.
func (e *Evaluator) change(now time.Time, s *AlarmState, to State, reason string, notified bool) Change {
	c := Change{At: now, Alarm: s.Name, From: s.State, To: to, Reason: reason, Notified: notified}
	s.State, s.Since, s.Reason, s.Notified = to, now, reason, notified
	return c
}

// States returns how every alarm stands, in the order of the topology, composites last.
func (e *Evaluator) States() []AlarmState {
	e.mu.Lock()
	defer e.mu.Unlock()
	states := make([]AlarmState, 0, len(e.states))
	for _, a := range e.alarms {
		states = append(states, *e.states[a.Name])
	}
	for _, c := range e.composites {
		states = append(states, *e.states[c.Name])
	}
	return states
}

// Coming returns which alarms over metrics do not fire and are on their way to it, and how many of
// the breaching values that they need are there. It knows more than the alarms, which get each
// value later: all that is in the store.
func (e *Evaluator) Coming(now time.Time) map[string]int {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := map[string]int{}
	for _, a := range e.alarms {
		if e.states[a.Name].State == Alarm {
			continue
		}
		if values, ok := e.values(a, now, &Lags{}); ok {
			if n := a.rule.coming(values); n > 0 {
				all[a.Name] = n
			}
		}
	}
	return all
}

// values are those of the alarm's evaluation range, the oldest first. ok is false if CloudWatch
// does not evaluate the alarm now.
func (e *Evaluator) values(a *metricAlarm, now time.Time, lags *Lags) (values []float64, ok bool) {
	end := minuteOf(now)
	if a.Period*time.Duration(a.Periods) > multiDay {
		if end%60 != multiDayMinute {
			return nil, false
		}
		end -= multiDayMinute
	}
	n := a.Periods + e.assumed.BeyondRange
	per := minutes(a.Period)
	first := end - int64(n)*per
	changed := a.computed == nil
	e.store.mu.RLock()
	for i := range a.metrics {
		r := &a.metrics[i]
		if r.series == nil {
			r.series = e.store.series[r.key]
		}
		v := e.visible(&r.key, now, lags)
		if r.read(first, per, &v) {
			changed = true
		}
	}
	e.store.mu.RUnlock()
	if changed { // in most minutes all is as it was, and most of an evaluation is metric math
		a.computed = a.expression.Evaluate(metricmath.Data{
			Periods: n, Period: a.Period, FillEmpty: e.assumed.FillEmpty,
			Values: a.valuesOf,
		})
	}
	return a.computed, true
}

func (a *metricAlarm) valuesOf(id string) []float64 {
	for i := range a.metrics {
		if a.metrics[i].id == id {
			return a.metrics[i].values
		}
	}
	return nil // New has refused it
}

// visible returns which minutes of a metric can be seen now. The caller holds the store's lock.
func (e *Evaluator) visible(k *Key, now time.Time, lags *Lags) visibility {
	var lag time.Duration
	switch {
	case k.Queue != "":
		lag = lags.Queue
	case k.Function != "", k.Stream != "": // AWS documents none of Firehose
		lag = lags.Lambda
	case k.IngestEndpoint:
		lag = lags.Endpoint
	default:
		lag = lags.Own
	}
	v := visibility{until: minuteOf(now.Add(-lag))} // a minute is visible once it has ended and the lag is over
	if k.Queue != "" && !e.polled[k.Queue] {
		v.sleeps, v.active = true, e.store.active[k.Queue]
		v.held, v.now = minutes(lags.QueueAfterIdle), minuteOf(now)
	}
	return v
}

// A visibility says which minutes of a metric can be seen at a time.
type visibility struct {
	until  int64 // only those before
	sleeps bool  // it is about a queue without an event source:
	active spans //
	held   int64 // how many minutes nothing is seen of it after it was idle
	now    int64
}

func (v *visibility) sees(minute int64) bool {
	if minute >= v.until || !v.sleeps {
		return minute < v.until
	}
	s, ok := v.active.of(minute)
	return ok && (minute >= s.first+v.held || v.now >= s.first+v.held)
}

// reason says for people what the values were.
func (a *metricAlarm) reason(values []float64) string {
	real, breaching := a.rule.newest(values)
	shown := values[len(values)-a.Periods:]
	if slices.ContainsFunc(shown, math.IsNaN) {
		shown = values // older ones count in the place of missing ones
	}
	words := make([]string, len(shown))
	for i, v := range shown {
		words[i] = number(v)
	}
	side := "above"
	if a.Below {
		side = "below"
	}
	text := fmt.Sprintf("%d of %d values are %s %s", breaching, a.Periods, side, number(a.Threshold))
	if a.Unit != "" {
		text += " " + a.Unit
	}
	if short := a.Periods - real; short > 0 {
		text += fmt.Sprintf(", %d are missing (%s)", short, a.Missing)
	}
	return text + ": " + strings.Join(words, ", ")
}

// number is a value for people; a missing one is a dash.
func number(v float64) string {
	if math.IsNaN(v) {
		return "-"
	}
	return fmt.Sprintf("%.4g", v)
}
