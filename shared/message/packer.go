package message

import "github.com/spillwayhq/spillway/shared/event"

// A Packer fills messages with events of one header, each message with as much as one batch to
// Segment may hold. In the worst case, events that do not compress and can't be sent plain, a
// message has 667 KB: less than SQS takes. A Packer is not safe for concurrent use.
type Packer struct {
	// Fair gives each message the group of the header's write key, see [Message.Group].
	Fair bool

	header     Header
	keyID      event.LastKeyID
	compressor *Compressor
	room       int // bytes of events with their commas
	events     [][]byte
	size       int
	plain      []byte
}

// NewPacker returns a Packer for one header.
func NewPacker(h Header, c *Compressor) *Packer {
	p := &Packer{compressor: c}
	p.Reset(h)
	return p
}

// Reset empties the Packer for another header, and reuses its memory.
func (p *Packer) Reset(h Header) {
	clear(p.events)
	p.header, p.events, p.size = h, p.events[:0], 0
	p.room = h.Room()
}

// Fits reports whether an event of n bytes can be added. An empty Packer takes any event, so that
// one that is too large becomes a dead letter and is not lost.
func (p *Packer) Fits(n int) bool {
	return len(p.events) == 0 || len(p.events) < event.MaxBatchEvents && p.size+n+1 <= p.room
}

// Add adds an event. Call Fits first, and do not change the event before Pack.
func (p *Packer) Add(event []byte) {
	p.events = append(p.events, event)
	p.size += len(event) + 1
}

// Len returns the number of events that were added since the last Pack or Reset.
func (p *Packer) Len() int { return len(p.events) }

// maxPlain is the largest body in bytes that is not compressed: a person can read it, and
// compressing it would cost time and save nothing, because SQS counts by 64 KB.
const maxPlain = 4 << 10

// Pack returns the events that were added as one message and empties the Packer. It compresses a
// body over 4 KiB if that makes it shorter, and always one with characters that SQS refuses.
func (p *Packer) Pack() Message {
	p.plain = AppendJSON(p.plain[:0], p.header, p.events...)
	body, _ := p.compressor.body(p.plain, maxPlain, isLegalJSON(p.plain))
	packed := New(body, len(p.events), p.header.Origin)
	if p.Fair {
		packed.Group = p.keyID.Of(p.header.WriteKey)
	}
	clear(p.events)
	p.events, p.size = p.events[:0], 0
	return packed
}
