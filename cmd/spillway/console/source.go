package console

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/spillwayhq/spillway/cmd/spillway/top"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/operator"
)

// A Source reads a pipeline. It must be safe for concurrent use. A method that can't answer returns
// an error that says what to do, which the page shows in its place, or beside what came with it if
// it is [ErrPartial]; it must heed its context, whose
// deadline is a few seconds away. The page keeps and shares what it has read, so a Source need not.
type Source interface {
	// About says which pipeline it is. It does not change and asks nobody.
	About() About
	// Metrics returns n values of each metric, those of the periods that begin at from; period is
	// whole minutes and from a multiple of it. NaN: there is no data. Events that publishers send
	// count in the publishers' own metric EventsPublished: where that does not arrive, the source
	// answers with what the queue received otherwise than from ingest.
	Metrics(ctx context.Context, metrics []topology.Metric, from time.Time, period time.Duration,
		n int) ([][]float64, error)
	// Now returns how the pipeline is at this moment.
	Now(ctx context.Context) (Now, error)
	// Alarms returns all alarms and composites of the topology, with the times since then in which
	// they fired.
	Alarms(ctx context.Context, since time.Time) ([]Alarm, error)
	// Refusals returns what ingest refused from one time on and before another.
	Refusals(ctx context.Context, from, to time.Time) (Refusals, error)
	// Senders returns who sent what, with at most SenderRows of each table. Of a source that is
	// [Priced] the page calls it only when somebody has pressed a button that names the price.
	Senders(ctx context.Context, since time.Duration) (top.Report, error)
	// WriteKeys returns the write keys that ingest accepts, and those that were used without being
	// in a set, if ingest takes any.
	WriteKeys(ctx context.Context) ([]WriteKey, error)
	// Samples returns the latest events, newest first.
	Samples(ctx context.Context, q SampleQuery) ([]Sample, error)
	// DeadLetters is the dead-letter queue.
	DeadLetters() DeadLetters
	// Find returns what is known of the event with this messageId, or of this user's newest events:
	// at most so many.
	Find(ctx context.Context, query string, most int) (Story, error)
	// Switches are those of the Segment emulator; nil: there is none.
	Switches() Switches
	// Cost says what reading has cost so far, like "$0.03 since 12:00 UTC"; empty: it costs
	// nothing.
	Cost() string
}

// What sources return of senders and write keys.
const (
	SenderRows  = 10         // of each table of Senders
	RateOver    = top.Recent // the time of WriteKey.Rate
	RefusedOver = time.Hour  // the time of WriteKey.Refused
)

// ErrPartial says that what comes with it is current, but lacks what the error names.
var ErrPartial = errors.New("a part is missing")

// Priced is a Source that is charged for each Senders.
type Priced interface {
	// SendersPrice says what it would cost now, like "$0.02 (4.1 GB)".
	SendersPrice(ctx context.Context, since time.Duration) (string, error)
}

// About says what the page is of.
type About struct {
	Pipeline string // its name
	Region   string // empty: it runs on this machine
	Version  string // of Spillway
	Local    bool   // it runs on this machine
	Topology topology.Topology
	// URLs are for people to copy or open; empty ones are not shown.
	IngestURL, EventsURL, DeadLetterURL, SegmentURL, DashboardURL string
	// Command is the command line that talks to this pipeline, and Flags are what its verbs need to
	// find it: "AWS_REGION=eu-west-1 spillway", and " --name shop" after the verb.
	Command, Flags string
}

// Unknown is the value of a number of Now that is not known.
const Unknown = -1

// Now is how a pipeline is at a moment. Canaries do not count.
type Now struct {
	At            time.Time
	Messages      int64         // that wait: visible, in flight and delayed
	Events        int64         // in them; Unknown
	InFlight      int64         // messages that are being delivered or wait for their retry
	OldestAge     time.Duration // of the messages that wait; Unknown
	Bulk          int64         // events that wait in the bulk queue, or messages where events are not known; Unknown
	DeadLetters   int64         // events in the dead-letter queue, or messages where events are not known
	BreakerOpen   bool          // Segment is taken for down: nothing is sent but a probe from time to time
	Paused        string        // since when, by whom and why a person has paused delivery; empty: nobody has
	Degraded      string        // why delivery does not go on as it should; empty: it does
	Store         string        // what is wrong with the disk; empty: nothing
	Canary        string        // why no canary arrives; empty: they do, or none is sent
	CanaryAge     time.Duration // since the last one arrived; Unknown
	CanaryLatency time.Duration // of the last one; Unknown
	// Totals count since the pipeline began, for the live chart; nil: they are not known by the
	// second.
	Totals *Totals
}

// Totals count events since a pipeline began; those of requests that were refused are requests.
type Totals struct{ Accepted, Refused, Retried, DeadLettered, Delivered int64 }

// Refusals are what ingest refused, by code.
type Refusals struct {
	Requests map[string]float64 // that were answered 4xx or 5xx
	Events   map[string]float64 // invalid events of accepted requests: they became dead letters
}

// The states of an alarm, by CloudWatch's names.
const (
	StateOK      = "OK"
	StateAlarm   = "ALARM"
	StateUnknown = "INSUFFICIENT_DATA"
)

// An Alarm is how an alarm or a composite of the topology stands.
type Alarm struct {
	Name         string
	Severity     topology.Severity
	Composite    bool
	State        string
	Since        time.Time // of the last change; zero: not known
	Reason       string
	Notified     bool   // somebody was told of it
	SuppressedBy string // what holds back a composite's notification
	Firings      []Span // oldest first
	// Coming is how many of the breaching values that it needs to fire there are already; 0 while it
	// fires, and where that is not known before it does.
	Coming int
}

// A Span is a time; To is zero while it lasts.
type Span struct{ From, To time.Time }

// A WriteKey is a source of events, by its name or fingerprint: the key itself is never shown.
type WriteKey struct {
	Name     string // of the write-key document; empty: none is known
	ID       string // the fingerprint, event.KeyID
	Disabled bool   // its requests are refused
	Quota    float64
	Burst    float64   // events that may come at once; 0 with a quota: ten seconds of it
	Rate     float64   // events a second in the last RateOver; Unknown
	Last     time.Time // when its last event came; zero: not known
	Refused  int64     // requests or events of the last RefusedOver that were refused; Unknown
	Paused   string    // why nothing is sent to Segment with it at the moment; empty: it is
	ByHand   bool      // a person has paused it
}

// WithPaused returns the keys with what a person has paused, by fingerprint. Nothing may have come in
// with a paused key for long, so that no other row has it.
func WithPaused(keys []WriteKey, paused operator.Keys) []WriteKey {
	rest := maps.Clone(paused)
	for i := range keys {
		if m, is := rest[keys[i].ID]; is {
			keys[i].Paused, keys[i].ByHand = pausedByHand(m), true
			delete(rest, keys[i].ID)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(rest)) {
		keys = append(keys, WriteKey{ID: id, Rate: Unknown, Refused: Unknown, Paused: pausedByHand(rest[id]), ByHand: true})
	}
	return keys
}

func pausedByHand(m operator.Mark) string { return "by hand " + m.String() }

// The outcomes of a sample: those of the CLI, and what ingest refused.
const (
	OutcomeDelivered    = "delivered"
	OutcomeRetried      = "retried"
	OutcomeDeadLettered = "dead_lettered"
	OutcomeRefused      = "refused"
)

// A SampleQuery chooses samples; empty fields choose all.
type SampleQuery struct {
	Outcome string // one of the outcomes
	Reason  string // of the outcome: a segment.Class, a dead letter's reason, a code of a refusal
	Limit   int    // how many at most, 1 to 100
}

// A Sample is what happened to one event, or to a request that ingest refused. Its texts are the
// sender's or Segment's: the page bounds and escapes them.
type Sample struct {
	At        time.Time
	Outcome   string
	Reason    string
	Answer    string // Segment's, or ingest's; why
	Type      string // of the event: track, …
	Event     string // its name
	User      string // its userId, otherwise its anonymousId
	MessageID string
	WriteKey  string        // name or fingerprint
	Age       time.Duration // since it was accepted; Unknown
	Receives  int           // of its message
}

// Switches say how the Segment emulator answers, and send events to try it.
type Switches interface {
	// Modes are the ways in which it can answer, the normal one first.
	Modes() []Mode
	// Current returns the ID of the mode that it answers in, since when, and until when; zero:
	// until it is changed. An empty ID is a script that no mode has.
	Current() (id string, since, until time.Time)
	// Set changes the mode.
	Set(ctx context.Context, id string) error
	// Send sends n sample events through the pipeline, 1 to MaxSend, and returns how many were
	// accepted.
	Send(ctx context.Context, n int) (accepted int, err error)
}

// MaxSend is how many sample events one press of the button sends at most.
const MaxSend = 10_000

// A Mode is a way in which the Segment emulator answers.
type Mode struct {
	ID   string // for the form: lower-case, digits and hyphens
	Name string // on the button: "503"
	Text string // what happens then, in one sentence
}
