package publisher

import (
	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/spill"
)

// parcel is a message to SQS and what is to be told when it is there, or will not be.
type parcel struct {
	message.Message
	events  int
	items   []item         // those from memory
	records []spill.Record // those from the disk; nil when it comes from memory
	tries   int            // calls that held it
	unknown bool           // one of them got no answer
	refused int            // calls in which SQS refused it for its own fault
	err     error          // of the last one
}

// waited reports whether callers wait for it: such a parcel is never put on disk, and is given up
// soon.
func (p *parcel) waited() bool { return len(p.items) > 0 && p.items[0].pub != nil }

// gone reports whether none of its callers waits any more.
func (p *parcel) gone() bool {
	for i := range p.items {
		if !p.items[i].pub.gone.Load() {
			return false
		}
	}
	return true
}

// pack fills messages with the chunks' events: those that a caller waits for apart from the others,
// because they end differently, and Raw ones apart, because a message's context is that of all its
// events.
func (c *Client) pack(chunks []*chunk) []*parcel {
	packer, ok := c.packers.Get().(*message.Packer)
	if !ok {
		packer = message.NewPacker(c.header, c.compressor)
	}
	defer c.packers.Put(packer)
	var parcels []*parcel
	for _, kind := range [...]struct{ waited, bare bool }{{true, false}, {true, true}, {false, false}, {false, true}} {
		p := &parcel{}
		flush := func() {
			if packer.Len() == 0 {
				return
			}
			p.events = packer.Len()
			p.Message = packer.Pack()
			parcels = append(parcels, p)
			p = &parcel{}
		}
		packer.Reset(c.header)
		if kind.bare {
			packer.Reset(c.bare)
		}
		for _, ch := range chunks {
			if ch.waited() != kind.waited {
				continue
			}
			for i := range ch.items {
				it := &ch.items[i]
				if it.bare != kind.bare || it.pub != nil && it.pub.gone.Load() {
					continue
				}
				if !packer.Fits(len(it.raw)) || packer.Len() == c.config.MessageEvents {
					flush()
				}
				packer.Add(it.raw)
				p.items = append(p.items, *it)
			}
		}
		flush()
	}
	return parcels
}
