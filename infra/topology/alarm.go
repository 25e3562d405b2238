package topology

import (
	"fmt"
	"strings"
	"time"
)

// runbookFile is the file whose sections the alarms name.
const runbookFile = "docs/runbook.md"

// A Metric is one that CloudWatch has. Exactly one of Queue, Function, IngestEndpoint and Own says
// what it is about.
type Metric struct {
	ID string // its name in an expression

	Queue          string // SQS writes it about this queue
	Function       string // Lambda writes it about this function
	IngestEndpoint bool   // the gateway writes it about the endpoint: Requests, ClientErrors, ServerErrors or Latency
	Own            string // we write it: the value of the dimension Function,
	Pipeline       string // and that of the dimension Pipeline

	Name             string
	Statistic        string // Sum, Maximum, Minimum, Average, p50, p99
	Dimension, Value string // a further dimension of our own metric
}

// Missing is how an alarm treats a period without data: CloudWatch's TreatMissingData.
type Missing string

// The ways to treat missing data.
const (
	MissingIsGood   Missing = "notBreaching" // nothing is written when nothing happens
	MissingIsBad    Missing = "breaching"    // the metric is a sign of life
	MissingIsSilent Missing = "ignore"       // the alarm's state does not change
)

// Severity says how soon a person has to look.
type Severity string

// The severities.
const (
	Critical Severity = "critical" // now: events are not delivered, or are lost
	Warning  Severity = "warning"  // today: nothing is lost yet
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

// A Condition holds while Alarm fires and Unless, if it is set, does not.
type Condition struct{ Alarm, Unless string }

// Description is the text that comes with the notification.
func (c *Composite) Description() string { return describe(c.Severity, c.Meaning, c.First, c.Section) }

func describe(severity Severity, meaning, first, section string) string {
	return fmt.Sprintf("%s: %s First: %s More: %s#%s",
		strings.ToUpper(string(severity)), meaning, first, runbookFile, section)
}
