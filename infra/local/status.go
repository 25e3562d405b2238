package local

import (
	"fmt"
	"strings"
	"time"

	"github.com/spillwayhq/spillway/infra/local/sqs"
	"github.com/spillwayhq/spillway/shared/canary"
	"github.com/spillwayhq/spillway/shared/deadletter"
	"github.com/spillwayhq/spillway/shared/operator"
)

// A Status describes a running pipeline. Totals count since the start. Only the field Canary
// includes the canary's events.
type Status struct {
	At            time.Time     `json:"at"`
	Version       string        `json:"version"`    // of the program
	IngestURL     string        `json:"ingestURL"`  // empty: there is no ingest endpoint
	SegmentURL    string        `json:"segmentURL"` // where events are delivered to
	ConsoleURL    string        `json:"consoleURL"` // of the operator's page; empty: there is none
	BulkQueueURL  string        `json:"bulkQueueURL"`
	ArchiveDir    string        `json:"archiveDir"` // the archive's directory, absolute; empty: there is none
	Accepted      int64         `json:"accepted"`   // events
	BacklogEvents int64         `json:"backlogEvents"`
	Backlog       int64         `json:"backlog"`     // messages: visible, in flight and delayed
	InFlight      int64         `json:"inFlight"`    // messages that are being delivered or wait for their retry
	OldestAge     time.Duration `json:"oldestAge"`   // in nanoseconds
	Bulk          Bulk          `json:"bulk"`        // what is not urgent; Accepted and the backlog are without it
	DeadLetters   int64         `json:"deadLetters"` // events in the dead-letter queue, those of earlier runs too
	Refused       int64         `json:"refused"`     // requests that were answered 4xx or 5xx, but not 429
	Shed          int64         `json:"shed"`        // requests that were answered 429
	// Degraded is that a person has paused delivery, why events are retried, why the write keys are
	// not those of their file, or why no canary arrives; empty if none is so.
	Degraded string `json:"degraded"`
	// Paused is that a person has paused delivery, and PausedKeys are the write keys that a person
	// has paused, by event.KeyID.
	Paused     operator.Mark `json:"paused,omitzero"`
	PausedKeys operator.Keys `json:"pausedKeys,omitempty"`
	// Store is what is wrong with the disk or the data directory; empty if nothing is.
	Store string `json:"store"`
	// StatusSite is why the status site is not written; empty if it is, or if there is none.
	StatusSite string            `json:"statusSite"`
	Canary     Canary            `json:"canary"`
	Archive    Archive           `json:"archive"`
	Segment    deadletter.Minute `json:"segment"` // the last minute with a delivery
	Totals
	// Alarms are those of the deployment, composites last; none if nothing is delivered.
	Alarms []Alarm `json:"alarms"`
}

// A Bulk describes the queue of what is not urgent: what is redriven, replayed, or sent out of a
// file.
type Bulk struct {
	Sent          int64         `json:"sent"` // events that were sent to it since the start
	BacklogEvents int64         `json:"backlogEvents"`
	Backlog       int64         `json:"backlog"`   // messages: visible, in flight and delayed
	InFlight      int64         `json:"inFlight"`  // messages that are being delivered or wait for their retry
	OldestAge     time.Duration `json:"oldestAge"` // since it was sent to this queue, in nanoseconds
}

// A Canary describes the synthetic events that the pipeline sends itself every minute. They take
// the path of other events, but are not sent to Segment.
type Canary struct {
	On      bool          `json:"on"`
	At      time.Time     `json:"at,omitzero"` // when the last one arrived; zero: none has
	Latency time.Duration `json:"latency"`     // of the last one, in nanoseconds
	Failure string        `json:"failure"`     // why the last one was not accepted; empty: it was
}

// newStatus returns the part of the status that comes from the queues.
func newStatus(now time.Time, events, bulk, dead sqs.Stats) Status {
	return Status{
		At: now, Accepted: events.SentEvents, BacklogEvents: events.Events, InFlight: events.InFlight,
		Backlog: held(events), OldestAge: oldest(now, events), DeadLetters: dead.Events,
		Bulk: Bulk{Sent: bulk.SentEvents, BacklogEvents: bulk.Events, Backlog: held(bulk), InFlight: bulk.InFlight,
			OldestAge: oldest(now, bulk)},
	}
}

// held is how many messages a queue holds.
func held(s sqs.Stats) int64 { return s.Visible + s.InFlight + s.Delayed }

func oldest(now time.Time, s sqs.Stats) time.Duration {
	if s.OldestSent.IsZero() {
		return 0
	}
	return max(0, now.Sub(s.OldestSent))
}

// withStore adds what is wrong with the store, and makes the pipeline degraded if it takes no
// messages.
func (s *Status) withStore(h sqs.Health, queues ...sqs.Stats) {
	var says []string
	if h.Failure != nil {
		says = append(says, "events are refused: "+h.Failure.Error())
		s.Degraded = says[0]
	}
	if h.Unsaved != nil {
		says = append(says, "deletes can't be written, so that a restart delivers events again: "+h.Unsaved.Error())
	}
	if h.Damages > 0 {
		says = append(says, fmt.Sprintf("damaged in %d places, %d messages lost: `spillway check` names them", h.Damages,
			h.Lost))
	}
	expired := int64(0)
	for _, q := range queues {
		expired += q.ExpiredEvents
	}
	if expired > 0 {
		says = append(says, fmt.Sprintf("%d events were older than their queue's retention and were deleted", expired))
	}
	s.Store = strings.Join(says, "; ")
}

// withPauses adds what a person has paused.
func (s *Status) withPauses(delivery operator.Mark, keys operator.Keys) {
	s.Paused, s.PausedKeys = delivery, keys
	if delivery.IsSet() {
		s.Degraded = "delivery has been paused " + delivery.String() + " (spillway resume)"
	}
}

// withKeys makes the pipeline degraded if the set of write keys can't be read.
func (s *Status) withKeys(failure error) {
	switch {
	case failure == nil:
	case s.Degraded == "":
		s.Degraded = failure.Error()
	default:
		s.Degraded += "; " + failure.Error()
	}
}

// withCanary subtracts the canary's events and requests from the numbers. If a canary runs it adds
// its state, and a missing canary makes the pipeline degraded.
func (s *Status) withCanary(c canary.Status, runs bool) {
	s.Accepted, s.Refused, s.Shed = max(0, s.Accepted-c.Sent), max(0, s.Refused-c.Refused), max(0, s.Shed-c.Throttled)
	s.Backlog, s.BacklogEvents = max(0, s.Backlog-c.Pending), max(0, s.BacklogEvents-c.Pending)
	s.InFlight = min(s.InFlight, s.Backlog)
	if s.Backlog == 0 {
		s.OldestAge = 0
	}
	if !runs {
		return
	}
	s.Canary = Canary{On: true, At: c.At, Latency: c.Latency}
	if c.Failure != nil {
		s.Canary.Failure = c.Failure.Error()
	}
	switch {
	case !c.Missing || s.Degraded != "":
	case s.Canary.Failure != "":
		s.Degraded = "the ingest endpoint does not accept the canary: " + s.Canary.Failure
	default:
		s.Degraded = fmt.Sprintf("no canary has arrived for over %v: events do not get from the ingest endpoint to Segment",
			canary.MissingAfter)
	}
}
