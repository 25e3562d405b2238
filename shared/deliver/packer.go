package deliver

import (
	"slices"

	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/message"
)

// Bounds of the batches that are open at a time. Within them a part goes where it fits best; beyond
// them the fullest batch is sent. So any mix of headers takes bounded memory and time.
const (
	maxOpen      = 64
	maxOpenBytes = 2 << 20
	fullEnough   = event.MaxBatchBytes * 98 / 100 // nothing worth waiting for fits any more
)

// part is a range of a message's events that are sent together: the whole message, unless it is
// larger than a batch.
type part struct {
	m        *delivery
	from, to int // of m.events
	size     int // bytes of the events, with a comma each
}

// batch is a Segment batch that is packed or sent.
type batch struct {
	event.Batch
	key    message.Key
	parts  []part
	waited bool // of the bulk queue: it could not be sent at once, see pace
	size   int  // bytes of events, with a comma each
	room   int
}

// bulk reports whether all of a batch is of the bulk queue. Lambda's event sources never mix queues
// in an invocation.
func (b *batch) bulk() bool {
	return !slices.ContainsFunc(b.parts, func(pt part) bool { return !pt.m.bulk })
}

// share is what the batch counts among those under way.
func (b *batch) share() float64 { return shareOf(b.size) }

// packer packs events into batches, each with the events of one header. It is a policy without
// clock and I/O.
type packer struct {
	open  []*batch
	bytes int

	// Of the header that roomFor was called with last: most messages of an invocation share theirs.
	key  message.Key
	room int
}

// roomFor is how many bytes of events a batch with this header holds. The parts that are added next
// have this header.
func (p *packer) roomFor(h *message.Header) int {
	if p.room == 0 || !h.HasKey(&p.key) {
		p.key, p.room = h.Key(), h.Room()
	}
	return p.room
}

func (p *packer) newBatch() *batch {
	b := &batch{key: p.key, room: p.room, Batch: event.Batch{WriteKey: p.key.WriteKey, Origin: p.key.Origin}}
	if p.key.Context != "" {
		b.Context = []byte(p.key.Context)
	}
	if p.key.Integrations != "" {
		b.Integrations = []byte(p.key.Integrations)
	}
	return b
}

// add puts a part into the open batch where it leaves the least room, or into a new one. It returns
// the batches to send.
func (p *packer) add(pt part) (leave []*batch) {
	best := -1
	for i, b := range p.open {
		if b.size+pt.size > b.room || len(b.Events)+pt.to-pt.from > maxPart(pt.m) || b.key != p.key {
			continue
		}
		if best < 0 || b.size > p.open[best].size {
			best = i
		}
	}
	if best < 0 {
		p.open = append(p.open, p.newBatch())
		best = len(p.open) - 1
	}
	b := p.open[best]
	b.Events = append(b.Events, pt.m.events[pt.from:pt.to]...)
	b.parts = append(b.parts, pt)
	b.size += pt.size
	p.bytes += pt.size
	if b.size >= min(fullEnough, b.room) || len(b.Events) >= maxPart(pt.m) {
		leave = append(leave, p.take(best))
	}
	for len(p.open) > maxOpen || p.bytes > maxOpenBytes {
		leave = append(leave, p.take(p.fullest()))
	}
	return leave
}

// maxPart is how many events of the message a batch holds at most.
func maxPart(m *delivery) int {
	if m.bulk {
		return maxBulkBatch
	}
	return event.MaxBatchEvents
}

// rest returns the batches that are still open.
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

// split appends parts of a message that each fit into a batch: one, unless the message is larger
// than a batch.
func split(parts []part, m *delivery, room int) []part {
	from, size := 0, 0
	for i, raw := range m.events {
		n := len(raw) + 1
		if i > from && (size+n > room || i-from == maxPart(m)) {
			parts = append(parts, part{m, from, i, size})
			from, size = i, 0
		}
		size += n
	}
	if from < len(m.events) {
		parts = append(parts, part{m, from, len(m.events), size})
	}
	return parts
}
