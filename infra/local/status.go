package local

import (
	"time"

	"github.com/spillwayhq/spillway/infra/local/segmentd"
	"github.com/spillwayhq/spillway/infra/local/sqs"
	"github.com/spillwayhq/spillway/shared/deadletter"
	"github.com/spillwayhq/spillway/shared/deliver"
	"github.com/spillwayhq/spillway/shared/segment"
)

// A Status is what a person wants to know of a running pipeline. Totals count since the start.
type Status struct {
	At            time.Time     `json:"at"`
	Accepted      int64         `json:"accepted"` // events
	BacklogEvents int64         `json:"backlogEvents"`
	Backlog       int64         `json:"backlog"`     // messages: visible, in flight and delayed
	InFlight      int64         `json:"inFlight"`    // messages that are being delivered or wait for their next try
	OldestAge     time.Duration `json:"oldestAge"`   // in nanoseconds
	DeadLetters   int64         `json:"deadLetters"` // events in the dead-letter queue, those of earlier runs too
	Refused       int64         `json:"refused"`     // requests that the door answered 4xx
	Shed          int64         `json:"shed"`        // and 429
	// why events of the last invocations stay in the queue, or that the canary is silent; empty
	// when nothing is wrong
	Trouble string            `json:"trouble"`
	Canary  Canary            `json:"canary"`
	Segment deadletter.Minute `json:"segment"` // the last minute with a delivery
	Totals
}

// Status asks the queues and the function. After Run it is what it was at the end.
func (p *Pipeline) Status() Status {
	p.mu.Lock()
	final := p.final
	p.mu.Unlock()
	if final != nil {
		return *final
	}
	now := time.Now()
	events, dead := p.events.Stats(), p.dead.Stats()
	s := Status{
		At: now, Accepted: events.SentEvents, BacklogEvents: events.Events, InFlight: events.InFlight,
		Backlog: events.Visible + events.InFlight + events.Delayed, DeadLetters: dead.Events,
	}
	if !events.OldestSent.IsZero() {
		s.OldestAge = max(0, now.Sub(events.OldestSent))
	}
	door := p.counters.Totals()
	for _, n := range door.Refused {
		s.Refused += int64(n)
	}
	for _, n := range door.Shed {
		s.Shed += int64(n)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	s.Totals, s.Trouble, s.Segment = p.totals, p.trouble, p.minute
	s.withCanary(p.watch.Status(), p.canary != nil)
	return s
}

func (p *Pipeline) count(s *deliver.Report) {
	p.watch.RecordDelivered(s.CanaryAges)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.totals.Invocations++
	if len(s.Flushes) > 0 || s.BreakerOpen { // otherwise it says nothing of Segment
		p.segmentSays(s, time.Now().Truncate(time.Minute))
	}
	p.totals.Delivered += int64(s.Delivered)
	for class, n := range s.Retried {
		p.totals.Retried += int64(n)
		p.trouble = troubles[class]
	}
	if s.Delivered > 0 && len(s.Retried) == 0 {
		p.trouble = ""
	}
	for _, n := range s.DeadLettered {
		p.totals.DeadLettered += int64(n)
	}
}

func (p *Pipeline) segmentSays(s *deliver.Report, minute time.Time) {
	if !minute.Equal(p.minute.Start) {
		p.minute = deadletter.Minute{Start: minute}
	}
	for _, f := range s.Flushes {
		p.minute.Add(f.Class, 1)
	}
	p.minute.BreakerOpen = s.BreakerOpen
}

// troubles say for a person what a class of segment.Classes means for events that stay.
var troubles = map[string]string{
	segment.Transient.String(): "Segment can't be reached or fails: events wait up to 15 min for their next try",
	segment.Throttled.String(): "Segment asks for less (429): its write key waits",
	segment.Misconfigured.String(): "Segment refuses the write key or the address (401, 403, 404, a redirect), or " +
		"there is no write key: its events wait",
}

// SQS is the endpoint, for tests that talk to it without a socket.
func (p *Pipeline) SQS() *sqs.Server { return p.sqs }

// StandIn is the Segment stand-in, nil when another Segment was named.
func (p *Pipeline) StandIn() *segmentd.Server { return p.segment }
