package publisher

import (
	"encoding/json"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spillwayhq/spillway/shared/emf"
)

// Stats are what a client has done since New, and what it holds now. All numbers are events but
// where they say otherwise.
type Stats struct {
	Published int64 // SQS has them
	Messages  int64 // messages to SQS that held them
	Retried   int64 // sent again because a call failed; one that is retried twice counts twice
	Spilled   int64 // moved from memory to disk
	// of Published, those that came from the disk; in the durable modes all but those of Publish
	Replayed int64
	Dropped  map[string]int64 // by reason, of which Full is the one to know
	Rejected map[string]int64 // by reason: not accepted, as their callers know

	Waiting      int64 // accepted, in memory, and not in SQS yet
	WaitingBytes int64 // memory that they take, never more than Config.BufferBytes
	DiskBytes    int64 // what Config.Dir holds, never more than Config.DiskBytes
	// how long the one has waited that has waited longest; of those that are being sent from memory
	// it says nothing
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

// drops are the sums by reason of what was dropped, and of what was rejected.
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

// Stats returns the numbers of this moment. It may be called at any time, also after Close.
func (c *Client) Stats() Stats {
	s := Stats{
		Published: c.counts.published.Load(), Messages: c.counts.messages.Load(), Retried: c.counts.retried.Load(),
		Spilled: c.counts.spilled.Load(), Replayed: c.counts.replayed.Load(),
		Waiting: c.buffer.events.Load(), WaitingBytes: c.buffer.held.Load(),
	}
	s.Dropped, s.Rejected = c.counts.drops()
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
	for _, r := range c.routes {
		if !r.down.Load() {
			s.Queue = r.url
			break
		}
	}
	return s
}

// String is Stats as JSON: with it a client is an expvar.Var, for expvar.Publish("publisher",
// client).
func (c *Client) String() string {
	text, err := json.Marshal(c.Stats())
	if err != nil {
		return "{}" // numbers and strings can't fail
	}
	return string(text)
}

// LogValue makes slog write the numbers one by one.
func (s Stats) LogValue() slog.Value {
	return slog.GroupValue(slog.Int64("published", s.Published), slog.Int64("messages", s.Messages),
		slog.Int64("retried", s.Retried), slog.Any("dropped", s.Dropped), slog.Any("rejected", s.Rejected),
		slog.Int64("spilled", s.Spilled), slog.Int64("replayed", s.Replayed), slog.Int64("disk_bytes", s.DiskBytes),
		slog.Int64("waiting", s.Waiting), slog.Int64("waiting_bytes", s.WaitingBytes), slog.Duration("oldest", s.Oldest),
		slog.String("queue", s.Queue))
}

// metrics says in CloudWatch's terms what happened since an earlier Stats of the same client.
func (s *Stats) metrics(since *Stats) []emf.Metric {
	one := func(name, unit string, value float64) emf.Metric {
		return emf.Metric{Name: name, Unit: unit, Values: []float64{value}}
	}
	dropped := lessBefore(s.Dropped, since.Dropped)
	total := 0
	for _, n := range dropped {
		total += n
	}
	metrics := []emf.Metric{
		one("EventsPublished", emf.Count, float64(s.Published-since.Published)),
		one("EventsRetried", emf.Count, float64(s.Retried-since.Retried)),
		one("EventsDropped", emf.Count, float64(total)), // also when it is 0, so that an alarm has data
		one("EventsSpilled", emf.Count, float64(s.Spilled-since.Spilled)),
		one("EventsReplayed", emf.Count, float64(s.Replayed-since.Replayed)),
		one("EventsWaiting", emf.Count, float64(s.Waiting)),
		one("OldestWaiting", emf.Seconds, s.Oldest.Seconds()),
	}
	metrics = append(metrics, emf.By("EventsRejected", "Reason", lessBefore(s.Rejected, since.Rejected))...)
	return append(metrics, emf.By("EventsDropped", "Reason", dropped)...)
}

// reportInterval is how often metrics are written, and the log says what was dropped.
const reportInterval = time.Minute

// report tells what happened until the client has been shut down, and for the last time then.
func (c *Client) report() {
	var last Stats
	metrics := emf.NewWriter(c.config.Metrics, c.config.Pipeline, "publisher")
	tell := func() {
		now := c.Stats()
		if rejected := lessBefore(now.Rejected, last.Rejected); len(rejected) > 0 {
			c.log.Warn("events were rejected, as their callers were told", "since_last", rejected)
		}
		if dropped := lessBefore(now.Dropped, last.Dropped); len(dropped) > 0 {
			c.log.Error("events were dropped", "since_last", dropped, "in_all", now)
		} else if now.Spilled > last.Spilled {
			c.log.Warn("events were put on disk", "since_last", now.Spilled-last.Spilled, "in_all", now)
		}
		if c.config.Metrics != nil {
			if err := metrics.Write(time.Now(), now.metrics(&last)...); err != nil {
				c.log.Error("metrics can't be written", "error", err)
			}
		}
		last = now
	}
	tick := time.NewTicker(reportInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			tell()
		case <-c.ended:
			tell()
			return
		}
	}
}

// lessBefore is what was added to counts since before.
func lessBefore(counts, before map[string]int64) map[string]int {
	added := map[string]int{}
	for reason, n := range counts {
		if n -= before[reason]; n > 0 {
			added[reason] = int(n)
		}
	}
	return added
}
