package measure

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/spillwayhq/spillway/infra/local/segmentd"
	"github.com/spillwayhq/spillway/integration/peers/machine"
	"github.com/spillwayhq/spillway/integration/peers/peer"
	"github.com/spillwayhq/spillway/integration/peers/report"
)

const (
	// faultEvents are enough for a middle, and few enough for all peers at the same time.
	faultEvents = 5_000
	// faultLatency is long enough that a kill hits requests that Segment has accepted and not
	// answered.
	faultLatency = 200 * time.Millisecond
	// faultVisibility is the visibility timeout of all queues in these runs: hardly more than the
	// longest timeout of a function, below which Lambda takes no queue.
	faultVisibility = 65 * time.Second
	// killWithin is when a worker is killed that has delivered less than a third.
	killWithin = 20 * time.Second
	// briefEmpty is for how long a smoke run waits for what an empty queue no longer has: who loses
	// nothing has it in the queue.
	briefEmpty = 4 * time.Second
)

// faultPatience: what a killed worker had is received again after the visibility timeout, and after
// asynq's lease (30 s), the next run of its recoverer (1 min) and its delay of a retry.
func faultPatience(away time.Duration) patience {
	return patience{empty: 15 * time.Second, still: away + 200*time.Second, limit: away + 5*time.Minute,
		queue: true}
}

// kills kills each peer's worker in the middle. Nearly all of the time is waiting, so all peers run
// at the same time.
func kills(ctx context.Context, c *Config) error {
	return c.faults(ctx, "kill", 0, func(ctx context.Context, r *rig) error {
		if err := r.begin(ctx); err != nil {
			return err
		}
		if _, err := r.waitFor(ctx, max(1, r.count/3), min(killWithin, 2*c.Visibility)); err != nil {
			return err
		}
		return r.kill(ctx)
	})
}

// aways begins each peer's work while Segment answers 503.
func aways(ctx context.Context, c *Config) error {
	return c.faults(ctx, "away", c.Away, func(ctx context.Context, r *rig) error {
		script := segmentd.Script{Rules: []segmentd.Rule{{Until: segmentd.Moment{After: c.Away}, Status: 503}}}
		if err := machine.ScriptSegment(ctx, r.segment.URL, script); err != nil {
			return err
		}
		return r.begin(ctx)
	})
}

// faults runs all peers through a fault at the same time. away is for how long nothing can arrive.
func (c *Config) faults(ctx context.Context, kind string, away time.Duration,
	fault func(ctx context.Context, r *rig) error) error {
	peers := c.Peers
	if c.Brief {
		peers = slices.DeleteFunc(slices.Clone(peers), func(p peer.Peer) bool { return p.Queue == peer.Redis })
	}
	rigs := make([]*rig, len(peers))
	defer func() {
		for _, r := range rigs {
			if r != nil {
				r.close()
			}
		}
	}()
	for i := range peers {
		var err error
		if rigs[i], err = newRig(ctx, c, &peers[i], min(c.Events, faultEvents), faultLatency, c.Visibility); err != nil {
			return err
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	for i := range peers {
		group.Go(func() error {
			p := &peers[i]
			f, err := c.through(ctx, rigs[i], away, fault)
			if err != nil {
				return fmt.Errorf("%s with %s: %w", kind, p.Name, err)
			}
			f.Peer, f.Kind, f.Away = p.Name, kind, away
			fmt.Fprintf(os.Stderr, "%-5s %-24s %6d events: lost %d, doubled %d, last one after %.1f s, messages left %d\n",
				kind, p.Name, f.Events, f.Lost, f.Doubled, f.Took.Seconds(), f.Left)
			return report.Save(c.Results, kind+"-"+p.Name, f)
		})
	}
	return group.Wait()
}

func (c *Config) through(ctx context.Context, r *rig, away time.Duration,
	fault func(context.Context, *rig) error) (*report.Fault, error) {
	if err := fault(ctx, r); err != nil {
		return nil, err
	}
	patient := faultPatience(away)
	if c.Brief {
		patient.empty = briefEmpty
	}
	a, err := r.settle(ctx, patient)
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
	return &report.Fault{Events: r.count, Took: a.at, Lost: int64(r.count) - a.distinct, Doubled: a.doubled,
		Left: u.left}, nil
}
