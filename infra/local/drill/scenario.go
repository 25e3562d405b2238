package drill

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spillwayhq/spillway/infra/local/segmentd"
)

// A Scenario is what happens in a drill, as data: load and faults over time, and what must follow.
// Times are counted from its start.
type Scenario struct {
	Name, Title, Story string

	Lasts time.Duration // whole minutes
	// Played is what is simulated event by event. The rest is calm, and its metrics are modelled
	// after the first minutes, which are always played: see model.
	Played []Span

	Rate float64 // usual events/s; 0: DefaultRate
	// Sample is how many of the usual events/s are simulated at most; each stands for several then.
	// 0: DefaultRate.
	Sample float64
	// Pack is the longest time that the API's events wait for others to share their message; 0: 10
	// s.
	Pack     time.Duration
	Daily    bool // the load has a daily peak of ten times the night's, around the rate
	Load     []Change
	Failures []Failure
	Actions  []Step

	Promises []Promise
	// MayFire are alarms that may fire or not, such as those whose value is close to the threshold.
	// What is neither here nor promised must be silent.
	MayFire []string
	// Clears is how long after the backlog has gone everything has cleared; 0: a quarter of an
	// hour.
	Clears time.Duration
	// Stays are alarms that go on firing after the backlog has gone, because something is left to
	// do.
	Stays []string
	// DeadLetters are the reasons of dead letters that this scenario makes; any other is broken.
	DeadLetters []string
	// Dropped is how many events somebody drops with their dead letters: they are not lost.
	Dropped int64
	// TwoRegions: another region is behind the same name, and in the publisher's list of queues. No
	// fault concerns it. FarMayFire are its alarms that may fire; all others must be silent.
	TwoRegions bool
	FarMayFire []string
	// Away is when the name must lead to the other region: from its cause until it is over. It has
	// LeavesWithin to do so, plus the lag of the metrics.
	Away         Span
	LeavesWithin time.Duration
	// Vanishes: the region's metrics are away too, so Route 53 waits for all of the evaluation range,
	// beyond the alarm's own too.
	Vanishes bool
	// Answered: each request of an SDK is answered at once by one of the regions.
	Answered bool
	// OldDesign: the same day in the design that failed says something.
	OldDesign bool
	// Ending: the backlog has not gone at the end, and need not have.
	Ending bool
}

// A Span is a time of a scenario, until is not part of it.
type Span struct{ From, Until time.Duration }

func (s Span) holds(at time.Duration) bool { return at >= s.From && at < s.Until }

// A Source is a way in which events come in.
type Source string

// The sources of a drill.
const (
	FromAPI     Source = "api"     // a Go API with a publisher
	FromSDKs    Source = "sdks"    // Segment's SDKs, through the ingest endpoint
	FromPartner Source = "partner" // one write key of the SDKs, which may become noisy
	FromFlood   Source = "flood"   // requests with a write key that nobody knows
)

// A Change is a load other than usual.
type Change struct {
	Span
	Source Source
	Times  float64 // of its usual rate,
	Added  float64 // and so many events/s more
	Text   string
	Hidden bool // no mark of its own
}

// A Failure is a fault; it lasts for a time.
type Failure struct {
	Span
	Kind   Problem
	Text   string
	Rule   segmentd.Rule // of Segment; From and Until are set
	Hidden bool
}

// Problem says what does not work.
type Problem string

// The faults.
const (
	Segment       Problem = "segment"         // it answers by the rule
	NoMetrics     Problem = "metrics"         // CloudWatch gets nothing
	NoSQS         Problem = "sqs"             // no call to SQS is answered
	SlowSQS       Problem = "slow sqs"        // each takes seconds
	NoDeadLetters Problem = "dead letters"    // the dead-letter queue takes nothing
	NoEndpoint    Problem = "endpoint"        // the gateway answers 503
	GatewayLimit  Problem = "gateway limit"   // the gateway answers 429
	NoRegion      Problem = "region"          // SQS, Lambda, gateway, schedule: nothing of it is there
	DeliverFails  Problem = "deliver"         // every invocation ends with an error
	DeliverHeld   Problem = "concurrency"     // others use up deliver's concurrency
	IngestHeld    Problem = "ingest"          // Lambda throttles the ingest function
	WrongDocument Problem = "wrong keys"      // the write-key document lacks the keys
	BadDocument   Problem = "unreadable keys" // the document can't be read
	NoCanary      Problem = "canary"          // the schedule invokes nothing
	HalfCanaries  Problem = "half canaries"   // every second canary gets a 503
	MangledGzip   Problem = "gzip"            // the gateway carries gzip bodies as text
)

// A Step is what people do at a moment.
type Step struct {
	At   time.Duration
	Do   Deed
	Text string
}

// Deed is a thing that people do.
type Deed string

// The deeds.
const (
	Deploy     Deed = "deploy"     // new versions take over at once: every environment is replaced
	RollOut    Deed = "roll out"   // new versions take over by steps
	RollOutBug Deed = "bug"        // the same, and what deliver sends can't be read
	Redrive    Deed = "redrive"    // of all dead letters
	Drop       Deed = "drop"       // of all dead letters
	Drain      Deed = "drain"      // of the near region
	Restore    Deed = "restore"    // of a drained region
	Poison     Deed = "poison"     // a message arrives on which the function dies, at every receive
	Invalid    Deed = "invalid"    // a message arrives whose event Segment would not take
	OldApp     Deed = "old app"    // two messages arrive with the old app's write key
	Unpacked   Deed = "unpacked"   // a script sends 110,000 messages of one event
	Compressed Deed = "compressed" // an SDK sends a body in gzip
	Pause      Deed = "pause"      // delivery
	Resume     Deed = "resume"     // delivery
	PauseKey   Deed = "pause key"  // the partner's write key
	ResumeKey  Deed = "resume key" // the partner's write key
)

// A Promise says until when an alarm fires.
type Promise struct {
	Alarm  string        // without the pipeline's name
	From   time.Duration // its cause
	Within time.Duration // plus the lag of its metrics
}

// clearsWithin is how long after the backlog has gone everything has cleared.
const clearsWithin = 15 * time.Minute

// Find returns the scenario of that name.
func Find(name string) (*Scenario, error) {
	all := Scenarios()
	i := slices.IndexFunc(all, func(s Scenario) bool { return s.Name == name })
	if i < 0 {
		names := make([]string, len(all))
		for i := range all {
			names[i] = all[i].Name
		}
		return nil, fmt.Errorf("unknown scenario %q (known: %s)", name, strings.Join(names, ", "))
	}
	return &all[i], nil
}
