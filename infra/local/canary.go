package local

import (
	"context"
	"fmt"
	"time"

	"github.com/spillwayhq/spillway/shared/canary"
	"github.com/spillwayhq/spillway/shared/emf"
)

// A Canary says how the events do that the pipeline sends itself every minute, through the door to
// where Segment would be called. They are in none of a Status's other numbers.
type Canary struct {
	On      bool          `json:"on"`
	At      time.Time     `json:"at,omitzero"` // when the last one came through; zero: none has
	Latency time.Duration `json:"latency"`     // from the door to the end, in nanoseconds
	Failure string        `json:"failure"`     // why the door did not accept the last one, empty: it did
}

// sing sends a canary now and then every minute until ctx ends. One that is under way then is
// waited for, so that it is counted.
func (p *Pipeline) sing(ctx context.Context) {
	metrics := emf.NewWriter(p.log, p.pipeline, "canary")
	every := time.NewTicker(canary.Interval)
	defer every.Stop()
	for {
		r := p.canary.Send(context.WithoutCancel(ctx))
		p.watch.RecordSent(r)
		_ = metrics.Write(time.Now(), r.Metrics()...) // as those of deliver
		if r.Err != nil {
			p.logger.Error("the canary was not accepted", "error", r.Err)
		}
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
	}
}

// withCanary tells a status of the canary, takes it out of the numbers, and says so when it is
// silent.
func (s *Status) withCanary(h canary.Status, on bool) {
	s.Accepted, s.Refused, s.Shed = max(0, s.Accepted-h.Sent), max(0, s.Refused-h.Refused), max(0, s.Shed-h.Throttled)
	s.Backlog, s.BacklogEvents = max(0, s.Backlog-h.UnderWay), max(0, s.BacklogEvents-h.UnderWay)
	s.InFlight = min(s.InFlight, s.Backlog)
	if s.Backlog == 0 {
		s.OldestAge = 0
	}
	if !on {
		return
	}
	s.Canary = Canary{On: true, At: h.At, Latency: h.Latency}
	if h.Failure != nil {
		s.Canary.Failure = h.Failure.Error()
	}
	if !h.Missing || s.Trouble != "" {
		return
	}
	s.Trouble = fmt.Sprintf("no canary has come through for over %v: events do not get from the door to Segment",
		canary.MissingAfter)
	if s.Canary.Failure != "" {
		s.Trouble = "the door takes no canary: " + s.Canary.Failure
	}
}
