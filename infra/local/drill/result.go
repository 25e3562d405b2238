// Package drill plays an incident against the pipeline, in virtual time: the real handlers and
// emulators with production's numbers, the alarms as CloudWatch evaluates them, and beside them the
// same day in the design that failed.
//
// A drill answers what a test of one part can't: how long until somebody knows, does the API
// notice, does everything drain, and is everything there afterwards. Its whole answer is one
// [Result], and what people read of it, in a terminal or in a browser, is made from its JSON alone.
//
// Time is that of a bubble of testing/synctest, see package virtual, and not an injected clock:
// every handler, client and emulator would have to be given one, and a drill must play what is
// deployed. A bubble runs one goroutine after the other through a day, so calm hours are modelled
// after minutes that were played. A [Scenario] is data. It is played once, and what CloudWatch
// would have of it is then judged under every lag and assumption.
package drill

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/spillwayhq/spillway/infra/local/drill/old"
	"github.com/spillwayhq/spillway/shared/chart"
)

// A Result is what a drill has found. Its JSON is a format that others may read: moments are RFC
// 3339 in UTC, durations are seconds with "Seconds" in their name, and null means that there is no
// such moment or value. A list without an element is [].
type Result struct {
	Scenario        string    `json:"scenario"` // its name on the command line
	Title           string    `json:"title"`    // a few words
	Story           string    `json:"story"`    // what happens, in a few sentences of plain text
	Seed            uint64    `json:"seed"`
	EventsPerSecond float64   `json:"eventsPerSecond"` // the usual traffic; Series have what really came
	Start           time.Time `json:"start"`           // in virtual time: a whole minute
	Minutes         int       `json:"minutes"`         // the length of each of Series

	Marks      []Mark      `json:"marks"`  // in the order of From
	Series     []Series    `json:"series"` // in the order in which they are shown
	Alarms     []Alarm     `json:"alarms"` // without those that may fire and did not; by name
	Events     Events      `json:"events"`
	API        API         `json:"api"`
	Cost       Cost        `json:"cost"`
	Parameters []Parameter `json:"parameters"`

	// DrainSeconds is how long the backlog took to go, from the end of the last fault; null: there
	// was none, or it has not gone.
	DrainSeconds *float64 `json:"drainSeconds"`
	// Name is what the name in front of two regions did; null: there is one region. The alarms are
	// those of the near one.
	Name *Name `json:"name"`
	// Old is the same day in the design that failed; null where that says nothing.
	Old *old.Day `json:"old"`
	// Broken are the promises that did not hold, a sentence each; empty: the drill has passed.
	Broken []string `json:"broken"`
}

// MarshalJSON writes lists that are nil as [], which a reader can count and go through.
func (r *Result) MarshalJSON() ([]byte, error) {
	type plain Result
	p := plain(*r)
	p.Marks, p.Series, p.Parameters, p.Broken = list(p.Marks), list(p.Series), list(p.Parameters), list(p.Broken)
	p.Cost.Lines = list(p.Cost.Lines)
	p.Alarms = list(slices.Clone(p.Alarms))
	if p.Name != nil {
		n := *p.Name
		n.Left = list(n.Left)
		p.Name = &n
	}
	for i := range p.Alarms {
		p.Alarms[i].Firings = list(p.Alarms[i].Firings)
	}
	return json.Marshal(&p)
}

func list[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

// A Kind says what a mark is.
type Kind string

// The kinds of marks.
const (
	Fault   Kind = "fault"   // something does not work: Segment away, metrics late
	Load    Kind = "load"    // the traffic is another than usual
	Action  Kind = "action"  // what people do: a deployment, a redrive
	Outcome Kind = "outcome" // what followed: the backlog has gone
)

// A Mark is something that happened.
type Mark struct {
	Kind Kind       `json:"kind"`
	From time.Time  `json:"from"`
	To   *time.Time `json:"to"` // null: it happened at the moment From
	Text string     `json:"text"`
}

// A Series is one value a minute.
type Series struct {
	Chart  string     `json:"chart"` // the title of the chart that it is in; series of one chart have one unit
	Name   string     `json:"name"`  // unique in its chart
	Unit   string     `json:"unit"`  // one of the units below
	Values []*float64 `json:"values"`
}

// The units of series.
const (
	Seconds         = chart.Seconds
	PerMinute       = chart.PerMinute
	EventCount      = "events"
	InvocationCount = "invocations"
	Bytes           = chart.Bytes
)

// The charts of every drill.
const (
	ChartAPILatency  = "How long the API waits to publish"
	ChartTraffic     = "Events accepted and delivered"
	ChartBacklog     = "Events that wait"
	ChartOldest      = "Age of the oldest event that waits"
	ChartAnswers     = "What Segment answers"
	ChartRegions     = "Where requests of SDKs are answered" // with two regions
	ChartConcurrency = "Invocations of deliver at once"
)

// An Alarm is one of the topology's alarms, as it was during the drill.
type Alarm struct {
	Name      string   `json:"name"`
	Severity  string   `json:"severity"` // topology.Severity
	Composite bool     `json:"composite"`
	Firings   []Firing `json:"firings"` // in order; empty: it was silent
	Meaning   string   `json:"meaning"`
	First     string   `json:"first"`   // what to do first
	Section   string   `json:"section"` // the anchor of its section in docs/runbook.md

	// MustFireFrom until MustFireBy is the time in which it was promised to begin to fire: an alarm
	// that fires before its cause keeps no promise. null: nothing was promised.
	MustFireFrom *time.Time `json:"mustFireFrom"`
	MustFireBy   *time.Time `json:"mustFireBy"`
	// MustBeSilent says that it was promised not to fire.
	MustBeSilent bool `json:"mustBeSilent"`
}

// A Firing is a time during which an alarm fired.
type Firing struct {
	From     time.Time  `json:"from"`
	To       *time.Time `json:"to"` // null: it fired still at the end
	Notified bool       `json:"notified"`
	Reason   string     `json:"reason"` // CloudWatch's words for why it fired
}

// Events are what became of the events. Accepted is the sum of Delivered, DeadLettered and Waiting,
// and Lost.
type Events struct {
	Accepted     int64            `json:"accepted"` // publish or ingest said yes
	Refused      map[string]int64 `json:"refused"`  // ingest said no: by its code
	Delivered    int64            `json:"delivered"`
	DeadLettered map[string]int64 `json:"deadLettered"` // by reason
	Waiting      int64            `json:"waiting"`      // at the end
	Lost         int64            `json:"lost"`
	// sent to Segment again with the same messageId, which counts it once
	Duplicates int64 `json:"duplicates"`
}

// API is how the API fared that published.
type API struct {
	Calls       int64   `json:"calls"`
	Failed      int64   `json:"failed"` // calls that got an error
	P50Seconds  float64 `json:"p50Seconds"`
	P99Seconds  float64 `json:"p99Seconds"`
	MaxSeconds  float64 `json:"maxSeconds"`
	DownSeconds float64 `json:"downSeconds"` // of the minutes in which more than one call in ten failed
}

// Cost is what the drill's time would have cost on AWS.
type Cost struct {
	Dollars      float64    `json:"dollars"`      // of the whole drill
	UsualDollars float64    `json:"usualDollars"` // of the same time with usual traffic and no fault
	Lines        []CostLine `json:"lines"`
}

// A CostLine is a part of the cost.
type CostLine struct {
	What    string  `json:"what"`
	Dollars float64 `json:"dollars"`
}

// A Name is what the name in front of two regions did, for clients that are nearer to one of them.
type Name struct {
	Near       string  `json:"near"`
	Far        string  `json:"far"`
	TTLSeconds float64 `json:"ttlSeconds"` // for which a client keeps an answer
	Left       []Left  `json:"left"`
	// FirstElsewhere is when a request of an SDK was first accepted in the far region; null: none
	// was.
	FirstElsewhere *time.Time `json:"firstElsewhere"`
}

// A Left is a time in which Route 53 answered with the far region.
type Left struct {
	From   time.Time  `json:"from"`
	To     *time.Time `json:"to"`     // null: still at the end
	Alarms []string   `json:"alarms"` // that the health check failed by
}

// A Parameter is a number that the result depends on.
type Parameter = old.Parameter
