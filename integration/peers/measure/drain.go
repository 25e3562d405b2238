package measure

import (
	"context"
	"fmt"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/spillwayhq/spillway/integration/peers/machine"
	"github.com/spillwayhq/spillway/integration/peers/peer"
	"github.com/spillwayhq/spillway/integration/peers/report"
)

// latencies are how long the Segment emulator takes for an answer, unless one is asked for.
var latencies = []time.Duration{0, 50 * time.Millisecond}

// slow is how long a drain takes that is not repeated.
const slow = 8 * time.Second

// drainPatience: the clients of the peers flush after at most 10 s.
var drainPatience = patience{empty: 12 * time.Second, still: 15 * time.Second, limit: 5 * time.Minute}

// drains measures all drains, interleaved: a busy moment of the machine hits every peer.
func drains(ctx context.Context, c *Config) error {
	if c.Brief {
		return briefDrains(ctx, c)
	}
	done := map[string]bool{}
	for round := c.First; round < c.First+c.Rounds; round++ {
		for _, latency := range c.Latencies {
			for i := range c.Peers {
				p := &c.Peers[i]
				if done[p.Name+latency.String()] {
					continue
				}
				d, err := drain(ctx, c, p, latency)
				if err != nil {
					return fmt.Errorf("drain with %s: %w", p.Name, err)
				}
				done[p.Name+latency.String()] = d.Took > slow
				if err := c.save(d, round); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// briefDrains are all drains at the same time: each mostly waits, and their numbers mean nothing.
func briefDrains(ctx context.Context, c *Config) error {
	for i := range c.Peers { // which several drains need
		if _, err := c.filled(ctx, &c.Peers[i], c.Peers[i].Events(c.Events)); err != nil {
			return err
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, latency := range c.Latencies {
		for i := range c.Peers {
			p := &c.Peers[i]
			group.Go(func() error {
				d, err := drain(ctx, c, p, latency)
				if err != nil {
					return fmt.Errorf("drain with %s: %w", p.Name, err)
				}
				return c.save(d, c.First)
			})
		}
	}
	return group.Wait()
}

// save prints and keeps the result of a drain. It is safe for concurrent use.
func (c *Config) save(d *report.Drain, round int) error {
	d.Round = round
	fmt.Fprintf(os.Stderr, "%-24s %6d events at %4s: %7.2f s, %6.1f µs an event, lost %d, doubled %d\n", d.Peer,
		d.Events, d.Latency, d.Took.Seconds(), micros(d.WorkerCPU+d.QueueCPU, d.Events), d.Lost, d.Doubled)
	return report.Save(c.Results, fmt.Sprintf(report.DrainPrefix+"%s-%s-%d", d.Peer, d.Latency, round), d)
}

func micros(d time.Duration, events int) float64 {
	return float64(d) / float64(time.Microsecond) / float64(events)
}

func drain(ctx context.Context, c *Config, p *peer.Peer, latency time.Duration) (*report.Drain, error) {
	r, err := newRig(ctx, c, p, c.Events, latency, 0)
	if err != nil {
		return nil, err
	}
	defer r.close()
	if err := r.begin(ctx); err != nil {
		return nil, err
	}
	a, err := r.settle(ctx, drainPatience)
	if err != nil {
		return nil, err
	}
	u, err := r.end(ctx)
	if err != nil {
		return nil, err
	}
	if a, err = r.final(ctx, a); err != nil {
		return nil, err
	}
	d := &report.Drain{Peer: p.Name, Latency: latency, Events: r.count, Took: a.at, Lost: int64(r.count) - a.distinct,
		Doubled: a.doubled, WorkerCPU: u.worker.CPU, QueueCPU: u.queue.CPU, WorkerRSS: u.worker.PeakRSS,
		QueueRSS: u.queue.PeakRSS, Processes: u.processes, Requests: u.requests, WireBytes: u.wireBytes, Left: u.left}
	if f := p.Function; f != nil {
		d.Invocations, d.LogBytes = u.function.Invocations, u.function.LogBytes
		d.GBSeconds = u.function.Billed.Seconds() * float64(f.Source.MemoryMB) / 1024
	}
	return d, nil
}

// final counts again after the worker has ended, because it may have sent more; the time remains.
func (r *rig) final(ctx context.Context, a arrived) (arrived, error) {
	stats, err := machine.SegmentStats(ctx, r.segment.URL)
	a.distinct, a.doubled = stats.Distinct, stats.Duplicates
	return a, err
}
