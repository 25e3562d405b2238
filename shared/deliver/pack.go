package deliver

import (
	"bytes"

	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/message"
)

// What an invocation holds open at a time. Within these bounds a part goes where it fits best;
// beyond them the fullest batch leaves. They bound memory, and the search, whatever mix of keys a
// batch of messages has.
const (
	maxOpen      = 64
	maxOpenBytes = 2 << 20
	fullEnough   = event.MaxBatchBytes * 98 / 100 // nothing worth waiting for fits any more
)

// part is a run of a message's events that travel together: the whole message, unless it is larger
// than a batch.
type part struct {
	m        *delivery
	from, to int // of m.events
}

// batch is a Segment batch under construction or under way.
type batch struct {
	event.Batch
	parts []part
	size  int // bytes of events, with a comma each
	room  int
}

// packer fills batches, each with the events of one header. It is a policy and nothing else: no
// clock, no I/O.
type packer struct {
	open  []*batch
	bytes int

	last *batch // an empty one with the header that roomFor was asked for last
}

// roomFor is how many bytes of events a batch with this header holds. Most messages of an
// invocation share theirs, so it is computed only when the header changes.
func (p *packer) roomFor(h *message.Header) int {
	if p.last == nil || !sameHeader(&p.last.Batch, h) {
		p.last = newBatch(h, h.Room())
	}
	return p.last.room
}

func newBatch(h *message.Header, room int) *batch {
	return &batch{room: room, Batch: event.Batch{
		WriteKey: h.WriteKey, Origin: h.Origin, Context: bytes.Clone(h.Context), Integrations: bytes.Clone(h.Integrations),
	}}
}

// add puts a part into the open batch where the least room is left behind it, or into a new one,
// and returns the batches that are to leave.
func (p *packer) add(h *message.Header, pt part, size, room int) (leave []*batch) {
	best := -1
	for i, b := range p.open {
		if b.size+size > b.room || len(b.Events)+pt.to-pt.from > event.MaxBatchEvents || !sameHeader(&b.Batch, h) {
			continue
		}
		if best < 0 || b.size > p.open[best].size {
			best = i
		}
	}
	if best < 0 {
		p.open = append(p.open, newBatch(h, room))
		best = len(p.open) - 1
	}
	b := p.open[best]
	b.Events = append(b.Events, pt.m.events[pt.from:pt.to]...)
	b.parts = append(b.parts, pt)
	b.size += size
	p.bytes += size
	if b.size >= min(fullEnough, b.room) || len(b.Events) == event.MaxBatchEvents {
		leave = append(leave, p.take(best))
	}
	for len(p.open) > maxOpen || p.bytes > maxOpenBytes {
		leave = append(leave, p.take(p.fullest()))
	}
	return leave
}

// rest returns what is still open.
func (p *packer) rest() []*batch {
	rest := p.open
	*p = packer{}
	return rest
}

func (p *packer) fullest() int {
	full := 0
	for i, b := range p.open {
		if b.size > p.open[full].size {
			full = i
		}
	}
	return full
}

func (p *packer) take(i int) *batch {
	b := p.open[i]
	p.open[i] = p.open[len(p.open)-1]
	p.open = p.open[:len(p.open)-1]
	p.bytes -= b.size
	return b
}

// sameHeader: Segment merges a batch's context and integrations into every event of it, so only
// events that share them to the byte may share a batch.
func sameHeader(b *event.Batch, h *message.Header) bool {
	return b.WriteKey == h.WriteKey && b.Origin == h.Origin && bytes.Equal(b.Context, h.Context) &&
		bytes.Equal(b.Integrations, h.Integrations)
}

// split cuts a message's events into parts that each fit a batch: one, unless the message is larger
// than a batch may be.
func split(m *delivery, room int, f func(pt part, size int)) {
	from, size := 0, 0
	for i, raw := range m.events {
		n := len(raw) + 1
		if i > from && (size+n > room || i-from == event.MaxBatchEvents) {
			f(part{m, from, i}, size)
			from, size = i, 0
		}
		size += n
	}
	if from < len(m.events) {
		f(part{m, from, len(m.events)}, size)
	}
}
