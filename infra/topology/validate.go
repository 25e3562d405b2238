package topology

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spillwayhq/spillway/infra/topology/metricmath"
)

// MaxBatchingWindow is the longest that Lambda waits to fill a batch (Lambda API reference,
// CreateEventSourceMapping).
const MaxBatchingWindow = 5 * time.Minute

// Limits of SQS and Lambda (their developer guides, "quotas" and "Using Lambda with Amazon SQS").
const (
	maxRetention       = 14 * day
	maxVisibility      = 12 * time.Hour
	maxReceiveCount    = 1000
	maxFunctionTimeout = 15 * time.Minute
	MaxBatchSize       = 10_000 // messages; of an event source
	minConcurrency     = 2      // of an event source
	maxConcurrency     = 1000
	visibilityFactor   = 6 // times the function's timeout: AWS's advice, so that throttled batches are retried in time
)

// Limits of CloudWatch alarms (CloudWatch API reference, PutMetricAlarm; user guide, "Alarm
// limits").
const (
	maxAlarmMetrics     = 10
	maxAlarmDescription = 1024
	maxEvaluation       = 7 * day
	maxShortEvaluation  = day // of periods below an hour
)

// logRetentions are those that CloudWatch Logs offers, up to a year (its API reference,
// PutRetentionPolicy).
var logRetentions = [...]time.Duration{
	day, 3 * day, 5 * day, 7 * day, 14 * day, 30 * day, 60 * day, 90 * day, 120 * day, 150 * day, 180 * day, 365 * day,
}

// Validate checks the topology against AWS's limits and against the rules that protect good
// messages from becoming dead letters. The error names every breach and what the value must be.
func (t *Topology) Validate() error {
	var p problems
	t.validateParts(&p)
	t.validateDashboard(&p)
	return errors.Join(p...)
}

func (t *Topology) validateParts(p *problems) {
	for _, q := range t.Queues {
		t.validateQueue(p, q)
	}
	for _, f := range t.Functions {
		validateFunction(p, f)
	}
	together := map[string]int{} // concurrency of all event sources of a function
	for _, s := range t.EventSources {
		t.validateEventSource(p, s)
		together[s.Function] += s.MaximumConcurrency
	}
	for _, f := range t.Functions {
		p.check(f.ReservedConcurrency == 0 || together[f.Name] <= f.ReservedConcurrency,
			"function %s: the maximum concurrencies of its event sources must be at most its reserved %d in all, are %d: "+
				"throttled receives would make good messages dead letters", f.Name, f.ReservedConcurrency, together[f.Name])
	}
	for _, s := range t.Schedules {
		_, found := t.Function(s.Function)
		p.check(found, "schedule of %s: the function does not exist", s.Function)
		p.check(s.Every >= time.Minute && s.Every%time.Minute == 0, "schedule of %s: must be whole minutes, is %v",
			s.Function, s.Every)
	}
	if e := t.IngestEndpoint; e != (IngestEndpoint{}) {
		_, found := t.Function(e.Function)
		p.check(found, "ingest endpoint: the function %s does not exist", e.Function)
		p.check(e.RequestsPerSecond >= 1 && e.Burst >= 1,
			"ingest endpoint: requests a second and burst must be at least 1, are %v and %d", e.RequestsPerSecond, e.Burst)
		p.checkRetention("ingest endpoint", e.LogRetention)
	}
	t.Archive.validate(p)
	t.validateAlarms(p)
}

// problems collects what is wrong.
type problems []error

// check adds a problem unless ok.
func (p *problems) check(ok bool, format string, args ...any) {
	if !ok {
		*p = append(*p, fmt.Errorf(format, args...))
	}
}

func (p *problems) checkRetention(what string, retention time.Duration) {
	days := make([]int, len(logRetentions))
	for i, r := range logRetentions {
		days[i] = int(r / day)
	}
	p.check(slices.Contains(logRetentions[:], retention), "%s: log retention must be one of %v days, is %v", what, days,
		retention)
}

func (t *Topology) validateQueue(p *problems, q Queue) {
	p.check(q.Retention >= time.Minute && q.Retention <= maxRetention, "queue %s: retention must be 1m to %v, is %v",
		q.Name, maxRetention, q.Retention)
	p.check(q.VisibilityTimeout >= 0 && q.VisibilityTimeout <= maxVisibility,
		"queue %s: visibility timeout must be at most %v, is %v", q.Name, maxVisibility, q.VisibilityTimeout)
	if q.DeadLetterQueue == "" {
		return
	}
	dead, ok := t.Queue(q.DeadLetterQueue)
	p.check(ok, "queue %s: its dead-letter queue %s does not exist", q.Name, q.DeadLetterQueue)
	p.check(!ok || dead.Retention >= q.Retention,
		"queue %s: retention of its dead-letter queue must be at least %v, is %v",
		q.Name, q.Retention, dead.Retention)
	p.check(q.MaxReceiveCount >= 1 && q.MaxReceiveCount <= maxReceiveCount,
		"queue %s: maximum receive count must be 1 to %d, is %d", q.Name, maxReceiveCount, q.MaxReceiveCount)
}

func validateFunction(p *problems, f Function) {
	p.check(f.Timeout >= time.Second && f.Timeout <= maxFunctionTimeout, "function %s: timeout must be 1s to %v, is %v",
		f.Name, maxFunctionTimeout, f.Timeout)
	p.check(f.MemoryMB >= 128 && f.MemoryMB <= 10240, "function %s: memory must be 128 to 10240 MB, is %d", f.Name,
		f.MemoryMB)
	p.check(f.ReservedConcurrency >= 0, "function %s: reserved concurrency must be at least 0, is %d", f.Name,
		f.ReservedConcurrency)
	p.checkRetention("function "+f.Name, f.LogRetention)
}

func (t *Topology) validateEventSource(p *problems, s EventSource) {
	name := s.Queue + " → " + s.Function
	q, ok := t.Queue(s.Queue)
	p.check(ok, "event source %s: the queue does not exist", name)
	f, found := t.Function(s.Function)
	p.check(found, "event source %s: the function does not exist", name)
	p.check(s.BatchSize >= 1 && s.BatchSize <= MaxBatchSize, "event source %s: batch size must be 1 to %d, is %d", name,
		MaxBatchSize, s.BatchSize)
	p.check(s.BatchSize <= 10 || s.BatchingWindow >= time.Second,
		"event source %s: batching window must be at least 1s for a batch size of %d, is %v", name, s.BatchSize,
		s.BatchingWindow)
	p.check(s.BatchingWindow >= 0 && s.BatchingWindow <= MaxBatchingWindow,
		"event source %s: batching window must be at most %v, is %v", name, MaxBatchingWindow, s.BatchingWindow)
	p.check(s.MaximumConcurrency >= minConcurrency && s.MaximumConcurrency <= maxConcurrency,
		"event source %s: maximum concurrency must be %d to %d, is %d", name, minConcurrency, maxConcurrency,
		s.MaximumConcurrency)
	least := visibilityFactor*f.Timeout + s.BatchingWindow
	p.check(!ok || !found || q.VisibilityTimeout >= least,
		"event source %s: the queue's visibility timeout must be at least %v (%d x the function's timeout + the batching "+
			"window), is %v", name, least, visibilityFactor, q.VisibilityTimeout)
}

func (t *Topology) validateAlarms(p *problems) {
	names := map[string]bool{}
	text := func(name, description string, parts ...string) {
		p.check(!names[name], "alarm %s: another alarm has this name", name)
		names[name] = true
		p.check(len(description) <= maxAlarmDescription, "alarm %s: the description must have at most %d characters, has %d",
			name, maxAlarmDescription, len(description))
		p.check(!slices.Contains(parts, ""), "alarm %s: meaning, what to do first or the section of %s is missing", name,
			runbookFile)
	}
	notifies := func(name string, severity Severity) {
		p.check(severity == Critical || severity == Warning, "alarm %s: severity must be %s or %s, is %q", name, Critical,
			Warning, severity)
	}
	for _, a := range t.Alarms {
		notifies(a.Name, a.Severity)
		text(a.Name, a.Description(), a.Meaning, a.First, a.Section)
		t.validateAlarm(p, a)
	}
	for _, c := range t.Composites {
		notifies(c.Name, c.Severity)
		text(c.Name, c.Description(), c.Meaning, c.First, c.Section)
		t.validateComposite(p, c)
	}
	for _, a := range t.Routing {
		text(a.Name, a.Description(), a.Meaning, a.First, a.Section)
		t.validateAlarm(p, a)
	}
	t.validateRouting(p)
}

// validateComposite keeps to one mail an outage: an alarm has one composite, and what suppresses a
// composite tells of the outage itself, or is suppressed by a metric alarm that does.
func (t *Topology) validateComposite(p *problems, c Composite) {
	p.check(len(c.Any) > 0, "alarm %s: it must be over at least one alarm", c.Name)
	for _, name := range c.Any {
		_, ok := t.Alarm(name)
		p.check(ok, "alarm %s: the alarm %s does not exist", c.Name, name)
		other, _ := t.CompositeOf(name)
		p.check(other.Name == c.Name, "alarm %s: the alarm %s is part of %s already", c.Name, name, other.Name)
	}
	if c.Suppressor == "" {
		p.check(c.Wait == 0 && c.Extension == 0, "alarm %s: without a suppressor it can't wait for one", c.Name)
		return
	}
	p.check(t.Notifies(c.Suppressor) != "" && c.Suppressor != c.Name,
		"alarm %s: its suppressor %q must be another alarm, which notifies somebody", c.Name, c.Suppressor)
	suppressor, _ := t.Composite(c.Suppressor)
	_, inTurn := t.Composite(suppressor.Suppressor)
	p.check(!inTurn, "alarm %s: its suppressor %s must not be suppressed by a composite itself", c.Name, c.Suppressor)
	p.check(c.Wait >= time.Second && c.Wait%time.Second == 0 && c.Extension >= time.Second && c.Extension%time.Second == 0,
		"alarm %s: it must wait for its suppressor, before and after, for whole seconds, waits %v and %v", c.Name, c.Wait,
		c.Extension)
}

func (t *Topology) validateAlarm(p *problems, a Alarm) {
	longest := maxEvaluation
	if a.Period < time.Hour {
		longest = maxShortEvaluation
	}
	p.check(a.Period >= time.Minute && a.Period%time.Minute == 0, "alarm %s: period must be whole minutes, is %v", a.Name,
		a.Period)
	p.check(a.Periods >= 1 && a.Period*time.Duration(a.Periods) <= longest,
		"alarm %s: must have 1 or more periods, at most %v in all, has %d of %v", a.Name, longest, a.Periods, a.Period)
	p.check(a.Breaching >= 1 && a.Breaching <= a.Periods, "alarm %s: breaching values must be 1 to %d, are %d", a.Name,
		a.Periods, a.Breaching)
	p.check(slices.Contains([]Missing{MissingIsGood, MissingIsBad, MissingIsSilent, MissingIsUnknown}, a.Missing),
		"alarm %s: missing data must be %s, %s, %s or %s, is %q", a.Name, MissingIsGood, MissingIsBad, MissingIsSilent,
		MissingIsUnknown, a.Missing)
	p.check(len(a.Metrics) >= 1 && len(a.Metrics) <= maxAlarmMetrics, "alarm %s: must have 1 to %d metrics, has %d",
		a.Name, maxAlarmMetrics, len(a.Metrics))
	p.check(a.Expression != "" || len(a.Metrics) == 1, "alarm %s: an expression is missing, which several metrics need",
		a.Name)
	t.validateMetrics(p, "alarm "+a.Name, a.Metrics)
	if a.Expression != "" {
		err := metricmath.Check(a.Expression, metricIDs(a.Metrics))
		p.check(err == nil, "alarm %s: %w", a.Name, err)
	}
}

func metricIDs(metrics []Metric) []string {
	ids := make([]string, len(metrics))
	for i, m := range metrics {
		ids[i] = m.ID
	}
	return ids
}

// metricID is what CloudWatch accepts as the name of a metric in expressions (API reference,
// MetricDataQuery).
var metricID = regexp.MustCompile(`^[a-z][a-zA-Z0-9_]*$`)

// validateMetrics checks metrics that one expression may use.
func (t *Topology) validateMetrics(p *problems, where string, metrics []Metric) {
	ids := map[string]bool{}
	for _, m := range metrics {
		p.check(metricID.MatchString(m.ID), "%s: metric %s: the ID must be a lower-case letter, then letters, digits and _, "+
			"is %q", where, m.Name, m.ID)
		p.check(!ids[m.ID], "%s: metric %s: another metric has the ID %q", where, m.Name, m.ID)
		ids[m.ID] = true
		if err := t.validateMetric(m); err != nil {
			p.check(false, "%s: metric %s: %w", where, m.Name, err)
		}
	}
}

func (t *Topology) validateMetric(m Metric) error {
	subjects := 0
	for _, set := range [...]bool{m.Queue != "", m.Function != "", m.Stream != "", m.Own != "", m.IngestEndpoint} {
		if set {
			subjects++
		}
	}
	_, queue := t.Queue(m.Queue)
	_, function := t.Function(m.Function)
	switch {
	case subjects != 1 || m.Name == "" || m.Statistic == "":
		return errors.New("it must have a name, a statistic, and one of Queue, Function, Stream, IngestEndpoint " +
			"and Own")
	case m.Queue != "" && !queue:
		return fmt.Errorf("the queue %s does not exist", m.Queue)
	case m.Function != "" && !function:
		return fmt.Errorf("the function %s does not exist", m.Function)
	case m.Stream != "" && m.Stream != t.Archive.Stream:
		return fmt.Errorf("the delivery stream %s does not exist", m.Stream)
	case m.Own != "" && m.Pipeline != t.Names.Pipeline:
		return fmt.Errorf("the pipeline must be %s, is %q", t.Names.Pipeline, m.Pipeline)
	}
	return nil
}

func (t *Topology) validateDashboard(p *problems) {
	for _, row := range t.Dashboard() {
		for _, w := range row {
			where := "dashboard, " + strings.ToLower(w.Title)
			var metrics []Metric
			for _, l := range w.Lines {
				if l.Expression == "" {
					metrics = append(metrics, l.Metric)
				}
			}
			t.validateMetrics(p, where, metrics)
			_, ok := t.Alarm(w.Alarm)
			p.check(ok || w.Alarm == "", "%s: the alarm %s does not exist", where, w.Alarm)
		}
	}
}
