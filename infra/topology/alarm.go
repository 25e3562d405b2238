package topology

import (
	"fmt"
	"strings"
	"time"
)

// runbookFile is the file whose sections the alarms name.
const runbookFile = "docs/runbook.md"

// DefaultRunbook is the address of the runbook in the public repository.
const DefaultRunbook = "https://github.com/spillwayhq/spillway/blob/main/" + runbookFile

// A Metric is one that CloudWatch has. Exactly one of Queue, Function, Stream, IngestEndpoint and
// Own says what it is about.
type Metric struct {
	ID string // its name in an expression

	Queue          string // SQS writes it about this queue
	Function       string // Lambda writes it about this function
	Stream         string // Firehose writes it about this delivery stream
	IngestEndpoint bool   // the gateway writes it about the endpoint: Requests, ClientErrors, ServerErrors or Latency
	Own            string // we write it: the value of the dimension Function,
	Pipeline       string // and that of the dimension Pipeline

	Name             string
	Statistic        string // Sum, SampleCount, Maximum, Minimum, Average, p50, p99
	Dimension, Value string // a further dimension of our own metric, or ExecutedVersion of Lambda's
}

// Missing is how an alarm treats a period without data: CloudWatch's TreatMissingData.
type Missing string

// The ways to treat missing data.
const (
	MissingIsGood   Missing = "notBreaching" // nothing is written when nothing happens
	MissingIsBad    Missing = "breaching"    // the metric is a sign of life
	MissingIsSilent Missing = "ignore"       // the alarm's state does not change
	// The alarm's state is not known, which is CloudWatch's default.
	MissingIsUnknown Missing = "missing"
)

// Severity says how soon a person has to look, and with that which topic is notified.
type Severity string

// The severities.
const (
	Critical Severity = "critical" // now: events are not delivered, or are lost. Notifies Names.AlarmTopic, which pages
	Warning  Severity = "warning"  // today: nothing is lost yet. Notifies Names.TicketTopic
)

// An Alarm is a CloudWatch alarm: what it watches, when it fires, and what a person then does.
type Alarm struct {
	Name     string // unique in a region
	Severity Severity

	Metrics    []Metric
	Expression string // metric math over the metrics' IDs; empty: there is one metric, and it is the value
	Unit       string // of the value, for people

	Threshold float64
	Below     bool          // fires for values below the threshold; otherwise for values above
	Period    time.Duration // of one value
	Periods   int           // how many of the latest values are evaluated,
	Breaching int           // and how many of them must breach the threshold
	Missing   Missing

	Meaning string // what it means that the alarm fires
	First   string // what to do first
	Section string // the anchor of its section in the runbook
	Runbook string // the address of the runbook
}

// Description is the text that comes with the notification.
func (a *Alarm) Description() string {
	return describe(a.Severity, a.Meaning, a.First, a.Runbook, a.Section)
}

// A Composite is an alarm over metric alarms: it fires while any of them does. They have no actions
// of their own: only the composite notifies, once for an outage.
type Composite struct {
	Name     string
	Severity Severity
	Any      []string // the names of its alarms; an alarm is part of at most one composite

	// Suppressor is the name of a wider composite, or of an alarm that says why: while that fires,
	// this one notifies nobody. It is empty if there is none. See CloudWatch's ActionsSuppressor.
	Suppressor string
	Wait       time.Duration // how long a notification waits for the suppressor to fire; whole seconds
	Extension  time.Duration // how long the suppressor still counts after it is over; whole seconds

	Meaning, First, Section, Runbook string
}

// Description is the text that comes with the notification.
func (c *Composite) Description() string {
	return describe(c.Severity, c.Meaning, c.First, c.Runbook, c.Section)
}

func describe(severity Severity, meaning, first, runbook, section string) string {
	return fmt.Sprintf("%s: %s First: %s More: %s#%s", strings.ToUpper(string(severity)), meaning, first, runbook, section)
}

// Notifies returns the name of the SNS topic that the alarm or composite notifies. It is empty for
// an alarm that has no actions, because it is part of a composite, and for an unknown one.
func (t *Topology) Notifies(name string) (topic string) {
	if c, ok := t.Composite(name); ok {
		return t.Names.topic(c.Severity)
	}
	a, ok := t.Alarm(name)
	if _, part := t.CompositeOf(name); !ok || part {
		return ""
	}
	return t.Names.topic(a.Severity)
}

func (n Names) topic(s Severity) string {
	if s == Critical {
		return n.AlarmTopic
	}
	return n.TicketTopic
}
