package measure

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spillwayhq/spillway/integration/peers/machine"
	"github.com/spillwayhq/spillway/integration/peers/peer"
)

// A rig is a peer with a filled queue and a Segment emulator, each a process.
type rig struct {
	peer    *peer.Peer
	count   int // events in the queue
	filling int64
	dir     string
	program string // of the worker; empty: this one
	segment *machine.Process
	queue   *machine.Process
	worker  *machine.Process // nil before begin, and for a function
	gone    []machine.Use    // workers that have ended
	cpu     time.Duration    // of the queue before begin
	began   time.Time
}

// newRig starts everything but the worker. visibility 0: that of Spillway's deployment.
func newRig(ctx context.Context, c *Config, p *peer.Peer, count int, latency, visibility time.Duration) (*rig, error) {
	r := &rig{peer: p, count: p.Events(count), program: c.program(p.Program)}
	b, err := c.filled(ctx, p, r.count)
	if err != nil {
		return nil, err
	}
	if r.dir, err = os.MkdirTemp(c.Work, "run-"); err != nil {
		return nil, fmt.Errorf("make the queue's directory: %w", err)
	}
	r.filling = b.Requests
	if err := r.start(ctx, c, b, latency, visibility); err != nil {
		r.close()
		return nil, fmt.Errorf("prepare %s: %w", p.Name, err)
	}
	return r, nil
}

func (r *rig) start(ctx context.Context, c *Config, b *backlog, latency, visibility time.Duration) (err error) {
	if err := b.copyTo(r.dir); err != nil {
		return err
	}
	if r.segment, err = machine.StartSegment(ctx, latency); err != nil {
		return err
	}
	flags := []string{"--visibility=" + visibility.String(), "--segment=" + r.segment.URL}
	if r.peer.Function != nil {
		flags = append(flags, "--function="+r.peer.Name, "--binary="+c.program(r.peer.Function.Binary))
	}
	r.queue, err = startQueue(ctx, r.peer, r.dir, flags...)
	return err
}

// close ends what still runs and removes the copy of the queue.
func (r *rig) close() {
	for _, p := range []*machine.Process{r.worker, r.segment} {
		if p != nil {
			p.Kill()
		}
	}
	if r.queue != nil {
		_ = r.queue.Stop() // it ends the function's processes, and has no data that anybody needs
	}
	_ = os.RemoveAll(r.dir) // the caller removes all of Work
}

// begin starts the worker, or lets the function's event source begin.
func (r *rig) begin(ctx context.Context) error {
	r.cpu = r.queue.Use().CPU
	r.began = time.Now()
	return r.startWorker(ctx)
}

func (r *rig) startWorker(ctx context.Context) (err error) {
	if r.peer.Function != nil {
		return machine.StartFunction(ctx, r.queue.URL)
	}
	f := fillingOf(r.peer, r.queue, r.count)
	r.worker, err = machine.Worker(ctx, r.peer.Name, r.program,
		peer.Working{QueueURL: f.QueueURL, Redis: f.Redis, Segment: r.segment.URL})
	return err
}

// kill kills the worker with SIGKILL, or all environments of the function, and starts it again.
func (r *rig) kill(ctx context.Context) error {
	if r.peer.Function != nil {
		killed, err := machine.KillFunction(ctx, r.queue.URL)
		if err == nil && killed == 0 {
			err = errors.New("no environment of the function ran, so none was killed")
		}
		return err
	}
	r.worker.Kill()
	r.gone = append(r.gone, r.worker.Use())
	return r.startWorker(ctx)
}

// arrived is what the Segment emulator has.
type arrived struct {
	distinct, doubled int64
	at                time.Duration // since begin, when the last of the distinct ones was seen
}

const pollEvery = 10 * time.Millisecond

// waitFor waits until the Segment emulator has so many events, or limit has passed since begin.
func (r *rig) waitFor(ctx context.Context, events int, limit time.Duration) (a arrived, err error) {
	return r.watch(ctx, func(a arrived) (bool, error) {
		return a.distinct >= int64(events) || time.Since(r.began) > limit, nil
	})
}

// patience says when a run that has not delivered everything is over.
type patience struct {
	empty time.Duration // without an event after the queue is empty
	still time.Duration // without an event at all
	limit time.Duration // since begin
	// queue: it is not over before the queue is empty: what is still there may arrive twice.
	queue bool
}

// settle waits until every event has arrived, or nothing more is to be expected.
func (r *rig) settle(ctx context.Context, p patience) (arrived, error) {
	var asked time.Time
	return r.watch(ctx, func(a arrived) (bool, error) {
		still, all := time.Since(r.began)-a.at, a.distinct >= int64(r.count)
		if all && !p.queue || still > p.still || time.Since(r.began) > p.limit {
			return true, nil
		}
		if !all && still < p.empty || time.Since(asked) < time.Second {
			return false, nil
		}
		asked = time.Now()
		left, err := r.left(ctx)
		return left == 0, err
	})
}

// left is how many messages or jobs the queue has.
func (r *rig) left(ctx context.Context) (int64, error) {
	if r.peer.Queue == peer.Redis {
		return r.peer.Left(ctx, r.queue.URL)
	}
	state, err := machine.StateOf(ctx, r.queue.URL)
	return state.Backlog, err
}

func (r *rig) watch(ctx context.Context, over func(arrived) (bool, error)) (a arrived, err error) {
	for {
		stats, err := machine.SegmentStats(ctx, r.segment.URL)
		if err != nil {
			return a, err
		}
		if stats.Distinct > a.distinct {
			a.at = time.Since(r.began)
		}
		a.distinct, a.doubled = stats.Distinct, stats.Duplicates
		if done, err := over(a); done || err != nil {
			return a, err
		}
		if r.worker != nil {
			if err := r.worker.Failure(); err != nil {
				return a, err
			}
		}
		select {
		case <-ctx.Done():
			return a, context.Cause(ctx)
		case <-time.After(pollEvery):
		}
	}
}

// deleteWithin is how long a peer has after the last event to delete its messages.
const deleteWithin = 2 * time.Second

// deleted waits until the queue is empty, at most for deleteWithin, and returns what is left:
// Segment had the last event before the peer had its answer.
func (r *rig) deleted(ctx context.Context) (left int64, err error) {
	for begin := time.Now(); ; {
		left, err = r.left(ctx)
		if err != nil || left == 0 || time.Since(begin) > deleteWithin {
			return left, err
		}
		select {
		case <-ctx.Done():
			return left, context.Cause(ctx)
		case <-time.After(pollEvery):
		}
	}
}

// used is what a run has used.
type used struct {
	worker, queue machine.Use
	processes     int   // of the worker at the same time
	requests      int64 // of SQS, with the filling
	wireBytes     int64 // to Segment
	function      machine.FunctionState
	left          int64 // messages in the queue
}

// end reads what was used since begin, and then ends the worker in good order: what it still has to
// send, it sends.
func (r *rig) end(ctx context.Context) (u used, err error) {
	if u.left, err = r.deleted(ctx); err != nil {
		return u, err
	}
	if r.peer.Queue == peer.SQS {
		state, err := machine.StateOf(ctx, r.queue.URL)
		if err != nil {
			return u, err
		}
		u.function, u.requests = state.Function, state.Requests+r.filling
	}
	u.queue = r.queue.Use()
	u.queue.CPU -= r.cpu
	if r.peer.Function != nil {
		u.worker, u.processes = u.function.Use, int(u.function.Concurrent)
	} else {
		err = r.worker.Stop()
		u.worker, u.processes = r.worker.Use(), 1
		for _, g := range r.gone {
			u.worker.CPU += g.CPU
			u.worker.PeakRSS = max(u.worker.PeakRSS, g.PeakRSS)
		}
	}
	stats, failed := machine.SegmentStats(ctx, r.segment.URL)
	u.wireBytes = stats.WireBytes
	return u, errors.Join(err, failed)
}
