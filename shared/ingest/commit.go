package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/spillwayhq/spillway/shared/breaker"
	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

// load is what a request has for the queue under one header.
type part struct {
	header message.Header
	events [][]byte
	size   int // bytes of the events and a comma for each

	first, last int // the messages of the group that its events are in
}

// A group is the requests whose events share messages and calls. The first that comes leads it: it
// waits, packs, sends and tells the others. So nothing runs that no request pays for, and nothing
// is left when the last one is answered.
type group struct {
	members []*member
	bytes   int
	full    chan struct{} // closed when no more fits
	done    chan struct{} // closed when each member has its outcome
}

// member is a request in a group.
type member struct {
	parts []part
	err   error // nil: the queue has all of its events
}

const (
	// groupBytes ends a group's window: about what one call takes if events compress as usual, and
	// 4 ms of packing.
	groupBytes = 1 << 20
	// groupMembers does the same for small requests: many more in a message make it hardly cheaper,
	// and all of them wait.
	groupMembers = 256
)

// Why a group was not sent.
var (
	errBreakerOpen = errors.New("the queue was away a moment ago")
	errNoSlot      = errors.New("all calls to the queue are under way")
	errPanic       = errors.New("the request that sent it panicked")
)

// committer makes groups of requests.
type committer struct {
	queue      Sender
	linger     time.Duration
	timeout    time.Duration
	compressor *message.Compressor
	slots      chan struct{} // calls to the queue under way
	drain      chan struct{} // closed when nobody is to wait for others any more
	logger     *slog.Logger
	breaker    *breaker.Breaker
	packings   sync.Pool // of *packing

	mu   sync.Mutex
	open *group
}

// submit sends the loads of a request and returns when the queue has all of them (nil), or when it
// is known that it has not, or may not have. It returns within the time-out and ctx's deadline;
// that ctx is cancelled makes no difference, for others may be in the same message. The loads must
// not change until then.
func (c *committer) submit(ctx context.Context, loads []part) error {
	m := &member{parts: loads}
	size := 0
	for i := range loads {
		size += loads[i].size
	}
	c.mu.Lock()
	g := c.open
	leads := g == nil
	if leads {
		g = &group{full: make(chan struct{}), done: make(chan struct{})}
		c.open = g
	}
	g.members = append(g.members, m)
	if g.bytes += size; g.bytes >= groupBytes || len(g.members) >= groupMembers {
		c.open = nil
		close(g.full)
	}
	c.mu.Unlock()
	if leads {
		c.lead(ctx, g)
	} else {
		<-g.done
	}
	return m.err
}

// lead brings a group to its end.
func (c *committer) lead(ctx context.Context, g *group) {
	outcome := errPanic // of all, unless it is set below
	defer func() {
		c.close(g)
		if outcome != nil {
			for _, m := range g.members {
				m.err = outcome
			}
		}
		close(g.done)
	}()
	deadline, ok := ctx.Deadline()
	limit := time.Now().Add(c.timeout)
	whole := !ok || limit.Before(deadline) // the queue has all the time that it may take
	if whole {
		deadline = limit
	}
	ctx, cancel := context.WithDeadline(context.WithoutCancel(ctx), deadline)
	defer cancel()
	if c.linger > 0 {
		c.gather(ctx, g)
	}
	select { // until then, others may join
	case c.slots <- struct{}{}:
	case <-ctx.Done():
		outcome = errNoSlot
		c.close(g)
		c.logFailure(g, outcome)
		return
	}
	defer func() { <-c.slots }()
	c.close(g)
	call, ok := c.breaker.Allow(time.Now())
	if !ok {
		outcome = errBreakerOpen
		return
	}
	failed := true
	defer func() { c.breaker.Report(time.Now(), call, sqsclient.CallResult(failed, whole && ctx.Err() != nil)) }()
	failed, outcome = c.send(ctx, g)
}

// linger waits for others to join the group.
func (c *committer) gather(ctx context.Context, g *group) {
	t := time.NewTimer(c.linger)
	defer t.Stop()
	select {
	case <-t.C:
	case <-g.full:
	case <-c.drain:
	case <-ctx.Done():
	}
}

// close lets nobody join a group any more.
func (c *committer) close(g *group) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open == g {
		c.open = nil
	}
}

// send packs and sends a group, and gives each member its outcome. allFailed says that not one
// message was taken; the error that all of them have the same one.
func (c *committer) send(ctx context.Context, g *group) (allFailed bool, err error) {
	p, ok := c.packings.Get().(*packing)
	if !ok {
		p = &packing{packer: message.NewPacker(message.Header{}, c.compressor)}
	}
	messages := p.pack(g.members)
	c.packings.Put(p)
	err = c.queue.Send(ctx, messages)
	if err != nil {
		c.logFailure(g, err)
	}
	var partial *sqsclient.SendError
	if !errors.As(err, &partial) {
		return err != nil, err
	}
	for _, m := range g.members {
		m.err = failure(m.parts, partial.Failed)
	}
	return len(partial.Failed) == len(messages), nil
}

// complain logs once for a group what would be the same line for each of its requests.
func (c *committer) logFailure(g *group, err error) {
	c.logger.Error("events did not reach the queue; their requests are answered 429", "requests", len(g.members), "error",
		err)
}

// failure is why a message with events of the loads was not taken, nil if all were.
func failure(loads []part, failed map[int]error) error {
	for i := range loads {
		for n := loads[i].first; n <= loads[i].last; n++ {
			if why, ok := failed[n]; ok {
				return fmt.Errorf("the queue did not take the message: %w", why)
			}
		}
	}
	return nil
}

// packing is the memory that packing takes, for one group at a time.
type packing struct {
	packer *message.Packer
	byKey  map[string][]*part // by header
	order  []string
	key    []byte
}

// pack makes messages of the members' loads, those with the same header together, and notes which
// message has what. A load that fits one message is never split over two, so that it is in the
// queue whole or not at all.
func (p *packing) pack(members []*member) []message.Message {
	var messages []message.Message
	if len(members) == 1 { // most of the time, behind a Lambda
		for i := range members[0].parts {
			l := &members[0].parts[i]
			messages = p.packHeader(messages, l.header, l)
		}
		return messages
	}
	if p.byKey == nil {
		p.byKey = map[string][]*part{}
	}
	for _, m := range members {
		for i := range m.parts {
			l := &m.parts[i]
			p.key = headerID(p.key[:0], &l.header)
			same := p.byKey[string(p.key)]
			if same == nil {
				p.order = append(p.order, string(p.key))
			}
			p.byKey[string(p.key)] = append(same, l)
		}
	}
	for _, key := range p.order {
		loads := p.byKey[key]
		header := loads[0].header
		for _, l := range loads {
			if l.header.ReceivedAt.Before(header.ReceivedAt) {
				header.ReceivedAt = l.header.ReceivedAt
			}
		}
		messages = p.packHeader(messages, header, loads...)
	}
	clear(p.byKey)
	clear(p.order)
	p.order = p.order[:0]
	return messages
}

// packHeader makes messages of loads with the same header.
func (p *packing) packHeader(messages []message.Message, header message.Header, loads ...*part) []message.Message {
	p.packer.Reset(header)
	room := header.Room()
	size := 0 // of what waits in the packer
	flush := func() {
		if p.packer.Len() > 0 {
			messages = append(messages, p.packer.Pack())
		}
		size = 0
	}
	for _, l := range loads {
		if size+l.size > room || p.packer.Len()+len(l.events) > event.MaxBatchEvents {
			flush()
		}
		l.first = len(messages)
		for _, event := range l.events {
			if !p.packer.Fits(len(event)) {
				flush()
			}
			p.packer.Add(event)
			size += len(event) + 1
		}
		l.last = len(messages)
	}
	flush()
	return messages
}

// headerID appends what tells headers apart whose events may share a message: all but the time.
func headerID(dst []byte, h *message.Header) []byte {
	dst = append(append(dst, h.WriteKey...), 0, byte(h.Origin))
	dst = append(append(dst, h.Context...), 0) // JSON holds no NUL
	return append(dst, h.Integrations...)
}
