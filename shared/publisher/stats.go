package publisher

import (
	"encoding/json"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Stats are what a client has done since New, and what it holds now. All numbers count events if
// nothing else is said.
type Stats struct {
	Published int64 // in SQS
	Messages  int64 // messages to SQS that held them
	Retried   int64 // sent again because a call failed; an event that is retried twice counts twice
	Spilled   int64 // moved from memory to disk
	// Replayed are those of Published that came from disk: with Durability Process or Disk all but
	// those of Publish.
	Replayed int64
	Dropped  map[string]int64 // lost, by reason (Full, Refused, …)
	Rejected map[string]int64 // not accepted and not Spillway's fault, by reason (Invalid, TooLarge, …)

	Waiting      int64 // accepted, in memory, and not in SQS yet
	WaitingBytes int64 // memory that they take, at most Config.BufferBytes
	DiskBytes    int64 // size of the files in Config.Dir, at most Config.DiskBytes
	// Oldest is how long the oldest event on disk or in memory has waited. Events that are being
	// sent from memory are not considered.
	Oldest time.Duration
	Queue  string // URL of the first queue that takes events; empty: none does
}

// counts are the sums since New.
type counts struct {
	published, messages, retried, spilled, replayed atomic.Int64

	mu      sync.Mutex
	dropped map[string]int64
}

func (c *counts) drop(reason string, events int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dropped == nil {
		c.dropped = map[string]int64{}
	}
	c.dropped[reason] += int64(events)
}

// drops returns the events that were dropped and those that were rejected, by reason.
func (c *counts) drops() (dropped, rejected map[string]int64) {
	dropped, rejected = map[string]int64{}, map[string]int64{}
	c.mu.Lock()
	defer c.mu.Unlock()
	for reason, n := range c.dropped {
		switch reason {
		case Invalid, TooLarge, Unencodable, Failed:
			rejected[reason] = n
		default:
			dropped[reason] = n
		}
	}
	return dropped, rejected
}

// Stats returns the current numbers. It may be called at any time, also after Close.
func (c *Client) Stats() Stats {
	s := Stats{
		Published: c.settler.counts.published.Load(), Messages: c.settler.counts.messages.Load(),
		Retried: c.settler.counts.retried.Load(),
		Spilled: c.settler.counts.spilled.Load(), Replayed: c.settler.counts.replayed.Load(),
		Waiting: c.buffer.events.Load(), WaitingBytes: c.buffer.held.Load(), Queue: c.sender.regions.FirstUp(),
	}
	s.Dropped, s.Rejected = c.settler.counts.drops()
	oldest := c.buffer.oldest()
	if c.disk != nil {
		d := c.disk.Stats()
		s.DiskBytes = d.Bytes
		if !d.Oldest.IsZero() && (oldest.IsZero() || d.Oldest.Before(oldest)) {
			oldest = d.Oldest
		}
	}
	if !oldest.IsZero() {
		s.Oldest = max(0, time.Since(oldest)) // the clock of an earlier process may have been ahead
	}
	return s
}

// String returns Stats as JSON, which makes the client an expvar.Var: expvar.Publish("publisher",
// client).
func (c *Client) String() string {
	text, err := json.Marshal(c.Stats())
	if err != nil {
		return "{}" // numbers and strings can't fail
	}
	return string(text)
}

// LogValue makes slog write each number as an attribute of its own.
func (s Stats) LogValue() slog.Value {
	return slog.GroupValue(slog.Int64("published", s.Published), slog.Int64("messages", s.Messages),
		slog.Int64("retried", s.Retried), slog.Any("dropped", s.Dropped), slog.Any("rejected", s.Rejected),
		slog.Int64("spilled", s.Spilled), slog.Int64("replayed", s.Replayed), slog.Int64("disk_bytes", s.DiskBytes),
		slog.Int64("waiting", s.Waiting), slog.Int64("waiting_bytes", s.WaitingBytes), slog.Duration("oldest", s.Oldest),
		slog.String("queue", s.Queue))
}
