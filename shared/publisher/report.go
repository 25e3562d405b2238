package publisher

import (
	"time"

	"github.com/spillwayhq/spillway/shared/emf"
)

// metrics returns what happened since an earlier Stats of the same client.
func (s *Stats) metrics(since *Stats) []emf.Metric {
	one := func(name, unit string, value float64) emf.Metric {
		return emf.Metric{Name: name, Unit: unit, Values: []float64{value}}
	}
	dropped := added(s.Dropped, since.Dropped)
	total := 0
	for _, n := range dropped {
		total += n
	}
	metrics := []emf.Metric{
		one("EventsPublished", emf.Count, float64(s.Published-since.Published)),
		one("EventsRetried", emf.Count, float64(s.Retried-since.Retried)),
		one("EventsDropped", emf.Count, float64(total)), // also 0, so that an alarm has data
		one("EventsSpilled", emf.Count, float64(s.Spilled-since.Spilled)),
		one("EventsReplayed", emf.Count, float64(s.Replayed-since.Replayed)),
		one("EventsWaiting", emf.Count, float64(s.Waiting)),
		one("OldestWaiting", emf.Seconds, s.Oldest.Seconds()),
	}
	metrics = append(metrics, emf.By("EventsRejected", "Reason", added(s.Rejected, since.Rejected))...)
	return append(metrics, emf.By("EventsDropped", "Reason", dropped)...)
}

// added returns what was added to counts since before.
func added(counts, before map[string]int64) map[string]int {
	more := map[string]int{}
	for reason, n := range counts {
		if n -= before[reason]; n > 0 {
			more[reason] = int(n)
		}
	}
	return more
}

// reportInterval is how often metrics are written, and losses logged.
const reportInterval = time.Minute

// report logs losses and writes metrics every minute and, for the last time, after the shutdown.
func (c *Client) report() {
	r := &reporter{config: &c.config, senders: c.senders,
		metrics: emf.NewWriter(c.config.Metrics, c.config.Pipeline, "publisher")}
	tick := time.NewTicker(reportInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			r.report(c.Stats())
		case <-c.ended:
			r.report(c.Stats())
			return
		}
	}
}

// A reporter tells what happened since its last report.
type reporter struct {
	config  *Config
	metrics *emf.Writer
	senders *senders
	last    Stats
}

func (r *reporter) report(now Stats) {
	log := r.config.Logger
	if rejected := added(now.Rejected, r.last.Rejected); len(rejected) > 0 {
		log.Warn("events were rejected; their callers got the errors", "since_last", rejected)
	}
	if dropped := added(now.Dropped, r.last.Dropped); len(dropped) > 0 {
		log.Error("events were dropped", "since_last", dropped, "total", now)
	} else if now.Spilled > r.last.Spilled {
		log.Warn("events were written to disk because no queue took them", "since_last", now.Spilled-r.last.Spilled,
			"total", now)
	}
	if r.config.Metrics != nil {
		if err := r.metrics.Write(time.Now(), now.metrics(&r.last)...); err != nil {
			log.Error("metrics can't be written", "error", err)
		}
		if err := r.senders.counter.Write(r.config.Metrics, time.Now()); err != nil {
			log.Error("the heaviest senders can't be written", "error", err)
		}
	}
	r.last = now
}
