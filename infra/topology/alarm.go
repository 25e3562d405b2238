package topology

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Runbook is the file whose sections the alarms name.
const Runbook = "infra/RUNBOOK.md"

// Limits of CloudWatch alarms (CloudWatch API reference, PutMetricAlarm; user guide, "Alarm
// limits").
const (
	maxAlarmMetrics     = 10
	maxAlarmDescription = 1024
	maxEvaluation       = 7 * day
	maxShortEvaluation  = day // of periods below an hour
)

// A Metric is one that CloudWatch has. Whose it is, says exactly one of Queue, Function, Own and
// Door.
type Metric struct {
	ID string // its name in an expression

	Queue    string // one that SQS writes about this queue
	Function string // one that Lambda writes about this function
	Own      string // one that we write: the value of its dimension Function
	Pipeline string // of one that we write: the value of its dimension Pipeline
	// one that the gateway writes about the door: Requests, ClientErrors, ServerErrors or Latency
	IngestEndpoint bool

	Name             string
	Statistic        string // Sum, Maximum, Minimum, Average, p50, p99
	Dimension, Value string // a further dimension of our own metric
}

// Missing is what an alarm makes of a minute without data: CloudWatch's TreatMissingData.
type Missing string

// The ways to treat missing data.
const (
	MissingIsGood   Missing = "notBreaching" // nothing is written where nothing happens
	MissingIsBad    Missing = "breaching"    // it is a sign of life that is missing
	MissingIsSilent Missing = "ignore"       // the state stays as it was
)

// Severity says how soon a person has to look.
type Severity string

// The severities.
const (
	Critical Severity = "critical" // now: events do not arrive or get lost
	Warning  Severity = "warning"  // today: nothing is lost yet
)

// An Alarm is a CloudWatch alarm: what it watches, when it fires, and what a person then does.
type Alarm struct {
	Name     string // unique in a region
	Severity Severity

	Metrics    []Metric
	Expression string // of CloudWatch's metric math over the metrics' IDs; empty: there is one metric, and it is the value
	Unit       string // of the value, for people

	Threshold float64
	Below     bool          // fires for values below the threshold; otherwise for values above
	Period    time.Duration // of one value
	Periods   int           // how many of the latest values are looked at,
	Breaching int           // and how many of them must be on the wrong side
	Missing   Missing

	Meaning string // what it means that it fires
	First   string // what to do first
	Section string // the anchor of its section in Runbook
}

// Description is the text that comes with the notification.
func (a *Alarm) Description() string { return describe(a.Severity, a.Meaning, a.First, a.Section) }

// A Composite is an alarm over other alarms: it fires while one of the conditions holds.
type Composite struct {
	Name     string
	Severity Severity
	Any      []Condition

	Meaning, First, Section string
}

// A Condition holds while Alarm fires, and Unless, if it is set, does not.
type Condition struct{ Alarm, Unless string }

// Description is the text that comes with the notification.
func (c *Composite) Description() string { return describe(c.Severity, c.Meaning, c.First, c.Section) }

func describe(severity Severity, meaning, first, section string) string {
	return fmt.Sprintf("%s: %s First: %s More: %s#%s", strings.ToUpper(string(severity)), meaning, first, Runbook, section)
}

// Alarm returns the alarm of that name.
func (t *Topology) Alarm(name string) (Alarm, bool) {
	i := slices.IndexFunc(t.Alarms, func(a Alarm) bool { return a.Name == name })
	if i < 0 {
		return Alarm{}, false
	}
	return t.Alarms[i], true
}

func (t *Topology) validateAlarms() (errs []error) {
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	names := map[string]bool{}
	text := func(name, description string, severity Severity, parts ...string) {
		check(!names[name], "alarm %s: the name is taken, write another", name)
		names[name] = true
		check(severity == Critical || severity == Warning, "alarm %s: severity is %q, write %s or %s", name, severity,
			Critical, Warning)
		check(len(description) <= maxAlarmDescription, "alarm %s: its description has %d characters, write at most %d", name,
			len(description), maxAlarmDescription)
		check(!slices.Contains(parts, ""), "alarm %s: write what it means, what to do first, and its section of %s", name,
			Runbook)
	}
	for _, a := range t.Alarms {
		text(a.Name, a.Description(), a.Severity, a.Meaning, a.First, a.Section)
		longest := maxEvaluation
		if a.Period < time.Hour {
			longest = maxShortEvaluation
		}
		check(a.Period >= time.Minute && a.Period%time.Minute == 0, "alarm %s: period is %v, write whole minutes", a.Name,
			a.Period)
		check(a.Periods >= 1 && a.Period*time.Duration(a.Periods) <= longest,
			"alarm %s: %d periods of %v, write at least one and no more than %v in all", a.Name, a.Periods, a.Period, longest)
		check(a.Breaching >= 1 && a.Breaching <= a.Periods, "alarm %s: fires for %d of %d values, write 1 to %d", a.Name,
			a.Breaching, a.Periods, a.Periods)
		check(slices.Contains([]Missing{MissingIsGood, MissingIsBad, MissingIsSilent}, a.Missing),
			"alarm %s: missing data is %q, write %s, %s or %s", a.Name, a.Missing, MissingIsGood, MissingIsBad, MissingIsSilent)
		check(len(a.Metrics) >= 1 && len(a.Metrics) <= maxAlarmMetrics, "alarm %s: %d metrics, write 1 to %d", a.Name,
			len(a.Metrics), maxAlarmMetrics)
		check(a.Expression != "" || len(a.Metrics) == 1, "alarm %s: %d metrics and no expression, write one over their IDs",
			a.Name, len(a.Metrics))
		for _, err := range t.validateMetrics(a.Metrics) {
			errs = append(errs, fmt.Errorf("alarm %s: %w", a.Name, err))
		}
	}
	for _, c := range t.Composites {
		text(c.Name, c.Description(), c.Severity, c.Meaning, c.First, c.Section)
		check(len(c.Any) > 0, "alarm %s: write the alarms that it is about", c.Name)
		for _, condition := range c.Any {
			_, ok := t.Alarm(condition.Alarm)
			_, unless := t.Alarm(condition.Unless)
			check(ok && (unless || condition.Unless == ""), "alarm %s: there is no alarm %s, or no %s", c.Name, condition.Alarm,
				condition.Unless)
		}
	}
	return errs
}

// metricID is what CloudWatch takes for a metric's name in expressions (API reference,
// MetricDataQuery).
var metricID = regexp.MustCompile(`^[a-z][a-zA-Z0-9_]*$`)

// validateMetrics is for those that stand together.
func (t *Topology) validateMetrics(metrics []Metric) (errs []error) {
	ids := map[string]bool{}
	for _, m := range metrics {
		if !metricID.MatchString(m.ID) || ids[m.ID] {
			errs = append(errs, fmt.Errorf("metric %s: its ID %q is taken or none: write a lower-case letter, then letters, "+
				"digits and _", m.Name, m.ID))
		}
		ids[m.ID] = true
		if err := t.validateMetric(m); err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

func (t *Topology) validateMetric(m Metric) error {
	whose := 0
	for _, is := range [...]bool{m.Queue != "", m.Function != "", m.Own != "", m.IngestEndpoint} {
		if is {
			whose++
		}
	}
	if whose != 1 || m.Name == "" || m.Statistic == "" {
		return fmt.Errorf("metric %s: write its name, its statistic, and one of Queue, Function, Own and Door", m.Name)
	}
	if m.Own != "" && m.Pipeline != t.Names.Pipeline {
		return fmt.Errorf("metric %s: the pipeline must be %s, is %q", m.Name, t.Names.Pipeline, m.Pipeline)
	}
	if _, ok := t.Queue(m.Queue); m.Queue != "" && !ok {
		return fmt.Errorf("metric %s: the queue %s does not exist", m.Name, m.Queue)
	}
	if _, ok := t.Function(m.Function); m.Function != "" && !ok {
		return fmt.Errorf("metric %s: the function %s does not exist", m.Name, m.Function)
	}
	return nil
}
