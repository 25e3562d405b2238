package ingest

import (
	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/message"
)

// packing holds the reusable buffers in which a group's parts become messages. It serves one group
// at a time.
type packing struct {
	packer *message.Packer
	index  map[message.Key]int // of equal
	equal  [][]*part           // parts with equal headers
}

func newPacking(c *message.Compressor) *packing {
	return &packing{packer: message.NewPacker(message.Header{}, c), index: map[message.Key]int{}}
}

// pack makes messages of the members' parts, those with equal headers together, and records in each
// part which messages hold it. A part that fits one message is never split over two, so that the
// queue has all of it or nothing.
func (p *packing) pack(members []*member) []message.Message {
	var messages []message.Message
	if len(members) == 1 { // the usual case in a Lambda; a key would cost copies
		for i := range members[0].parts {
			pt := &members[0].parts[i]
			messages = p.packParts(messages, pt.header, pt)
		}
		return messages
	}
	for _, m := range members {
		for i := range m.parts {
			pt := &m.parts[i]
			key := pt.header.Key()
			if n, ok := p.index[key]; ok {
				p.equal[n] = append(p.equal[n], pt)
			} else {
				p.index[key] = len(p.equal)
				p.equal = append(p.equal, []*part{pt})
			}
		}
	}
	for _, parts := range p.equal {
		header := parts[0].header
		for _, pt := range parts {
			if pt.header.ReceivedAt.Before(header.ReceivedAt) {
				header.ReceivedAt = pt.header.ReceivedAt
			}
		}
		messages = p.packParts(messages, header, parts...)
	}
	clear(p.index)
	clear(p.equal)
	p.equal = p.equal[:0]
	return messages
}

// packParts appends the messages of parts with equal headers.
func (p *packing) packParts(messages []message.Message, header message.Header, parts ...*part) []message.Message {
	p.packer.Reset(header)
	room := header.Room()
	size := 0 // of the events in the packer
	flush := func() {
		if p.packer.Len() > 0 {
			messages = append(messages, p.packer.Pack())
		}
		size = 0
	}
	for _, pt := range parts {
		if size+pt.size > room || p.packer.Len()+len(pt.events) > event.MaxBatchEvents {
			flush()
		}
		pt.first = len(messages)
		for _, e := range pt.events {
			if !p.packer.Fits(len(e)) {
				flush()
			}
			p.packer.Add(e)
			size += len(e) + 1
		}
		pt.last = len(messages)
	}
	flush()
	return messages
}
