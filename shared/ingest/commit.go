package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

// A group is a number of requests whose events share messages and calls. The first request leads
// it: it waits for others, packs, sends, and passes them the result. So there are no goroutines but
// those of requests, and none is left after the last answer.
type group struct {
	members []*member
	bytes   int
	ready   chan struct{} // closed when it lingers no more
	isReady bool          // guarded by the committer's mu
	done    chan struct{} // closed when each member has its result
}

// member is a request in a group.
type member struct {
	parts []part
	err   error // nil: the queue has all of its events
}

const (
	// maxGroupBytes is about what one call carries if events compress as usual, and 4 ms of
	// packing. A group that has as many does not linger.
	maxGroupBytes = 1 << 20
	// maxGroupMembers does the same for small requests: more of them in a message make it hardly
	// cheaper, and all of them wait.
	maxGroupMembers = 256
)

// Why a group was not sent.
var (
	errNoSlot = errors.New("the limit of concurrent calls to the queue is reached")
	errPanic  = errors.New("the request that sent the message panicked")
)

// committer sends the events of requests to the queue, in groups. It is safe for concurrent use.
type committer struct {
	queue      Sender
	linger     time.Duration
	timeout    time.Duration
	compressor *message.Compressor
	fair       func() bool     // see Config
	slots      chan struct{}   // one element for each call in progress
	draining   <-chan struct{} // closed when no leader should wait for others any more
	logger     *slog.Logger
	packings   sync.Pool // of *packing
	sends      sends

	mu    sync.Mutex
	open  *group // that requests can join; nil: none
	calls int    // groups that are being sent
}

// submit sends the parts of a request. It returns nil when the queue has all of them, and an error
// when it does not or may not. It returns within the timeout and ctx's deadline, but not when ctx
// is cancelled, because a message may have parts of other requests. The parts must not change
// before it returns.
func (c *committer) submit(ctx context.Context, parts []part) error {
	m := &member{parts: parts}
	g, leads := c.join(m)
	if leads {
		c.lead(ctx, g)
	} else {
		<-g.done
	}
	return m.err
}

// join adds a request to the open group, or opens one, which the request then leads.
func (c *committer) join(m *member) (g *group, leads bool) {
	size := 0
	for i := range m.parts {
		size += m.parts[i].size
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	g = c.open
	if leads = g == nil; leads {
		g = &group{ready: make(chan struct{}), done: make(chan struct{})}
		c.open = g
		if c.calls == 0 {
			g.setReady()
		}
	}
	g.members = append(g.members, m)
	if g.bytes += size; g.bytes >= maxGroupBytes || len(g.members) >= maxGroupMembers {
		c.open = nil
		g.setReady()
	}
	return g, leads
}

// setReady ends the lingering. It is called with the committer's mu held.
func (g *group) setReady() {
	if !g.isReady {
		g.isReady = true
		close(g.ready)
	}
}

// lead waits for members, sends the group, and passes on the result.
func (c *committer) lead(ctx context.Context, g *group) {
	err := errPanic // every member's, unless it becomes nil below
	defer func() {
		c.close(g)
		if err != nil {
			for _, m := range g.members {
				m.err = err
			}
		}
		close(g.done)
	}()
	deadline, ok := ctx.Deadline()
	if limit := time.Now().Add(c.timeout); !ok || limit.Before(deadline) {
		deadline = limit
	}
	ctx, cancel := context.WithDeadline(context.WithoutCancel(ctx), deadline)
	defer cancel()
	if c.linger > 0 {
		c.gather(ctx, g)
	}
	select { // until there is a slot, others may join
	case c.slots <- struct{}{}:
	case <-ctx.Done():
		err = errNoSlot
		c.close(g)
		c.logFailure(ctx, g, err)
		return
	}
	defer func() { <-c.slots }()
	c.begin(g)
	defer c.end()
	c.send(ctx, g)
	err = nil
}

// gather waits for others to join the group: until no call is under way, for the linger at most. So
// a queue that answers at once is used at once, and one that takes its time gets fewer and larger
// messages, as Nagle's algorithm does it for TCP.
func (c *committer) gather(ctx context.Context, g *group) {
	t := time.NewTimer(c.linger)
	defer t.Stop()
	select {
	case <-t.C:
	case <-g.ready:
	case <-c.draining:
	case <-ctx.Done():
	}
}

// close lets no more requests join a group.
func (c *committer) close(g *group) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closeLocked(g)
}

func (c *committer) closeLocked(g *group) {
	if c.open == g {
		c.open = nil
	}
}

// begin closes a group and counts its call.
func (c *committer) begin(g *group) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closeLocked(g)
	c.calls++
}

// end counts a call that has ended. If it was the only one, the open group waits for nothing more.
func (c *committer) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.calls--; c.calls == 0 && c.open != nil {
		c.open.setReady()
	}
}

// send packs and sends a group, and gives each member its result.
func (c *committer) send(ctx context.Context, g *group) {
	p, ok := c.packings.Get().(*packing)
	if !ok {
		p = newPacking(c.compressor)
	}
	p.packer.Fair = c.fair()
	messages := p.pack(g.members)
	c.packings.Put(p)
	err := c.queue.Send(ctx, messages)
	failed := sqsclient.Failures(err, len(messages))
	c.sends.note(time.Now(), len(messages), failed)
	if err == nil {
		return
	}
	if !errors.Is(err, sqsclient.ErrNoQueue) { // that was logged when the queue went away
		c.logFailure(ctx, g, err)
	}
	for _, m := range g.members {
		m.err = m.failure(failed)
	}
}

// logFailure logs a failure once per group, not once per request.
func (c *committer) logFailure(ctx context.Context, g *group, err error) {
	c.logger.ErrorContext(ctx, "events could not be sent to the queue: their requests are answered 429", "requests",
		len(g.members), "error", err)
}

// failure returns why the queue did not accept a message with events of the member; nil if it
// accepted all.
func (m *member) failure(failed map[int]error) error {
	for i := range m.parts {
		for n := m.parts[i].first; n <= m.parts[i].last; n++ {
			if err, ok := failed[n]; ok {
				return fmt.Errorf("send message to the queue: %w", err)
			}
		}
	}
	return nil
}
