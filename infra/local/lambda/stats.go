package lambda

import "sync/atomic"

// Stats is what an event source mapping has done since it was made. While nothing is under way, and
// nothing was killed, MessagesReceived = MessagesDeleted + MessagesFailed + DeletesFailed.
type Stats struct {
	Invocations int64 // that ran, failed ones included, throttled ones not
	Failed      int64 // of them, those that ended with an error, time-outs included
	TimedOut    int64 // of them, those that passed the function's time-out
	Throttled   int64 // that found the function at its concurrency

	MessagesReceived int64 // a message counts again each time that it comes
	MessagesDeleted  int64
	MessagesFailed   int64 // left in the queue because their invocation or the answer said so, throttled ones included
	DeletesFailed    int64 // messages that were processed and could not be deleted, so that they come again

	Concurrent int64 // invocations under way
	Peak       int64 // the most there have been at the same time
	Pollers    int64 // how many poll; 0 when it doesn't run
}

// Stats may be called at any time. The numbers are read one after the other, not at one instant.
func (m *EventSourceMapping) Stats() Stats {
	c := &m.counts
	return Stats{
		Invocations:      c.invocations.Load(),
		Failed:           c.failed.Load(),
		TimedOut:         c.timedOut.Load(),
		Throttled:        c.throttled.Load(),
		MessagesReceived: c.received.Load(),
		MessagesDeleted:  c.deleted.Load(),
		MessagesFailed:   c.messagesFailed.Load(),
		DeletesFailed:    c.deleteFailed.Load(),
		Concurrent:       c.concurrent.Load(),
		Peak:             c.peak.Load(),
		Pollers:          int64(m.pollers.count()),
	}
}

type counters struct {
	invocations, failed, timedOut, throttled        atomic.Int64
	received, deleted, messagesFailed, deleteFailed atomic.Int64
	concurrent, peak                                atomic.Int64
}

func (c *counters) begin() {
	now := c.concurrent.Add(1)
	for {
		peak := c.peak.Load()
		if now <= peak || c.peak.CompareAndSwap(peak, now) {
			return
		}
	}
}

func (c *counters) end() { c.concurrent.Add(-1) }
