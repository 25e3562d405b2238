package lambda

import "sync/atomic"

// Stats counts what an event source mapping has done since it was made. While nothing is
// under way, MessagesReceived = MessagesDeleted + MessagesFailed + DeletesFailed.
type Stats struct {
	Invocations int64 // that ran, failed ones included, throttled ones not
	Failed      int64 // of Invocations: ended with an error, timeouts included
	TimedOut    int64 // of Failed: passed the function's timeout
	Throttled   int64 // did not run because the function was at its concurrency limit

	MessagesReceived int64 // a message counts each time it is received
	MessagesDeleted  int64
	MessagesFailed   int64 // not processed: failed or throttled invocations, and failures that the answer names
	DeletesFailed    int64 // processed, but not deleted: they are delivered again

	Concurrent int64 // invocations under way
	Peak       int64 // the largest value of Concurrent
	Pollers    int64 // 0 when the mapping is not running
}

// Stats is safe for concurrent use. It reads the numbers one after the other, not at one instant.
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

// Add returns the sum of both. Peak is that of two mappings whose peaks came at the same time.
func (s Stats) Add(o Stats) Stats {
	return Stats{
		Invocations: s.Invocations + o.Invocations, Failed: s.Failed + o.Failed, TimedOut: s.TimedOut + o.TimedOut,
		Throttled: s.Throttled + o.Throttled, MessagesReceived: s.MessagesReceived + o.MessagesReceived,
		MessagesDeleted: s.MessagesDeleted + o.MessagesDeleted, MessagesFailed: s.MessagesFailed + o.MessagesFailed,
		DeletesFailed: s.DeletesFailed + o.DeletesFailed, Concurrent: s.Concurrent + o.Concurrent, Peak: s.Peak + o.Peak,
		Pollers: s.Pollers + o.Pollers,
	}
}

type counters struct {
	invocations, failed, timedOut, throttled        atomic.Int64
	received, deleted, messagesFailed, deleteFailed atomic.Int64
	concurrent, peak                                atomic.Int64
}

// begin counts an invocation that begins.
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
